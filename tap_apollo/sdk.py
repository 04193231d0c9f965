"""Every place where the SDK offers no public hook, each with its reason: one room to look at when the SDK changes.

What a stream needs are functions here, which ``ApolloStream`` takes as its methods; what the tap needs is a base class.
"Final" is a typing mark of the SDK's, not a lock.
"""

from __future__ import annotations

import datetime
import logging
import sys
from typing import TYPE_CHECKING, Any, cast

from singer_sdk import Stream, Tap
from singer_sdk.exceptions import MappingError
from singer_sdk.singerlib import Catalog, RecordMessage, Schema
from typing_extensions import override

from tap_apollo.api.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from singer_sdk.helpers.types import Record
    from singer_sdk.singerlib import CatalogEntry

    from tap_apollo.singer.stream import ApolloStream

# Streams


def record_messages(stream: ApolloStream, record: Record) -> Generator[RecordMessage, None, None]:
    """Yield the messages of a record: ``Stream._generate_record_messages``.

    The SDK's looks for deselected columns in every value; this does so only if there are any, which takes a fifth off a
    sync's CPU. And what an expression of `stream_maps` raises may quote the record: no public hook comes between.

    Raises:
        SettingsError: An expression fails.
    """
    if stream.selects_all is None:
        stream.selects_all = all(stream.mask.values())
    try:
        if not stream.selects_all:
            yield from Stream._generate_record_messages(stream, record)  # noqa: SLF001
            return
        for stream_map in stream.stream_maps:
            mapped = stream_map.transform(record)
            if mapped is not None:
                now = datetime.datetime.now(tz=datetime.timezone.utc)
                yield RecordMessage(stream_map.stream_alias, mapped, stream._stream_version, now)  # noqa: SLF001
    except Exception as error:  # whatever an expression raises
        if not stream.config.get("stream_maps"):
            raise
        raise SettingsError(
            f"Setting `stream_maps`: an expression for {stream.name} fails on a record ({type(error).__name__}): "
            "guard it against null, as in `... if record.get('email') else None`, and name selected columns only.",
        ) from None


def leave_the_state_alone(stream: Stream, *arguments: Any, **options: Any) -> None:
    """Do nothing, in place of ``Stream._increment_stream_state`` and the like.

    The SDK would move the bookmark with each record, and begin from the one in the state. Here a walk knows what it has
    covered: the state changes when what a page brought is written.
    """


def log(stream: ApolloStream, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
    """Log what the SDK says, but not of a trial that it ended in an error: it ends itself, after one record."""
    if not (stream.services.trial and level == logging.ERROR):
        Stream.log(stream, message, *args, level=level, **kwargs)


def number_records(stream: Stream, version: int) -> None:
    """Let the records bear a version; the SDK sets one only with an ACTIVATE_VERSION before the first of them."""
    stream._stream_version = version  # noqa: SLF001


def activate_version(stream: Stream) -> None:
    """Write an ACTIVATE_VERSION, if the records bear a version.

    The SDK would write it before the records, so that a sync that fails leaves an empty table.
    """
    if stream._stream_version is not None:  # noqa: SLF001
        stream._write_activate_version_message(stream._stream_version)  # noqa: SLF001


def announce(stream: Stream) -> None:
    """Write the SCHEMA of a stream that has no sync of its own."""
    stream._write_schema_message()  # noqa: SLF001


def write(stream: Stream, record: Record) -> None:
    """Write the RECORD of a stream that has no sync of its own."""
    stream._write_record_message(record)  # noqa: SLF001


def add_properties(stream: ApolloStream, columns: Mapping[str, Any]) -> None:
    """Add properties to columns that are objects; the SDK takes a schema for fixed once the stream is made.

    Args:
        stream: The stream.
        columns: JSON Schema of the properties of each column; a catalog's word on them may be out of date.
    """
    tap = stream._tap  # noqa: SLF001
    added = {"properties": {name: {"properties": inner} for name, inner in columns.items()}}
    stream._schema = merged(stream.schema, added)  # noqa: SLF001
    entry = tap.catalog.get_stream(stream.name)
    if entry:
        entry.schema = Schema.from_dict(merged(entry.schema.to_dict(), added))


def keep_keys(stream: ApolloStream) -> None:
    """Let the keys be those of the declaration; the SDK takes them from the catalog, which may be an older one."""
    declared: Any = type(stream)
    cast("Any", stream).primary_keys, stream.replication_key = declared.primary_keys, declared.replication_key


def tell_mapper(stream: Stream) -> None:
    """Tell the stream maps of a schema that has changed since they were made."""
    tap = stream._tap  # noqa: SLF001
    if entry := tap.catalog.get_stream(stream.name):
        tap.mapper.register_raw_streams_from_catalog(Catalog({stream.name: entry}))


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return two JSON Schemas as one, with the properties of both at all levels; the second's own hold."""
    if "properties" not in second:
        return dict(second or first)
    mine, yours = first.get("properties", {}), second["properties"]
    properties = {name: merged(mine.get(name, {}), yours.get(name, {})) for name in {**mine, **yours}}
    return {**first, **second, "properties": properties}


def described(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tap's JSON Schema with what a catalog says of it in words, and with the properties that only it has.

    The types are the tap's: a catalog of an older version may have others, and records come as the tap makes them.
    """
    schema = {**mine, **{name: theirs[name] for name in ("title", "description") if name in theirs}}
    if "object" in mine.get("type", ()):
        inner, others = mine.get("properties", {}), theirs.get("properties", {})
        properties = {name: described(node, others.get(name, {})) for name, node in inner.items()}
        schema["properties"] = {**properties, **{name: others[name] for name in others if name not in inner}}
    return schema


def shares_its_table(stream: Stream) -> bool:
    """Whether a stream map lets another stream go into the same table."""
    tap = stream._tap  # noqa: SLF001
    maps = tap.mapper.stream_maps
    names = {one.stream_alias for one in maps[stream.name]}
    others = (other for other in tap.streams.values() if other is not stream and other.selected)
    return any(one.stream_alias in names for other in others for one in maps[other.name])


# The tap


class BaseTap(Tap):
    """The SDK's tap, with hooks where it has none."""

    #: Whether a signal is ending the run.
    _ending = False

    @property
    def variables_prefix(self) -> str:
        """What the names of the settings' variables in the environment begin with."""
        return str(self._env_var_prefix)

    @property
    def is_configured(self) -> bool:
        """Whether nothing is wrong with the settings."""
        return not self._validate_config(raise_errors=False)

    # Hooks

    def problems(self) -> list[str]:
        """Say what is wrong with the settings, one line each."""
        raise NotImplementedError

    def in_order(self, streams: list[Stream]) -> list[Stream]:
        """Return the streams in the order in which they run; the SDK's is that of their names."""
        raise NotImplementedError

    def sync_streams(self) -> None:
        """Sync the selected streams; the SDK does one after another, and nothing after the last."""
        raise NotImplementedError

    def stopped_by(self, signum: int) -> None:
        """Make the state ready to be written once more, as a signal ends the run."""
        raise NotImplementedError

    # The settings: the SDK's messages would quote the values of bad ones, secret ones included

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        # From version 0.55 on the SDK has a switch for every stream; here `detect_deletes` decides, and what was read.
        config_jsonschema["properties"].pop("emit_activate_version_messages", None)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self._config = {name: value for name, value in self._config.items() if value is not None}
        self.append_builtin_config(self.config_jsonschema)
        problems = self.problems()
        if problems and raise_errors:
            raise SettingsError("\n".join(problems))
        return problems or super()._validate_config(raise_errors=raise_errors)

    # Stream maps: what is wrong with one is a traceback that names neither the setting nor the stream

    @override
    def setup_mapper(self) -> None:
        """Read the stream maps.

        Raises:
            SettingsError: One cannot be used.
        """
        super(Tap, self).setup_mapper()
        _ = self.streams  # which bring a given catalog up to date, before it is mapped
        for entry in self.catalog.streams:
            name = entry.stream or entry.tap_stream_id
            try:
                self._register(name, entry)
            except MappingError as error:
                wrong = "an expression is malformed"
                if "key properties" in f"{error}":
                    wrong = f"its key must stay ({', '.join(entry.key_properties or ())})"
                raise SettingsError(f"Setting `stream_maps` cannot be used for {name}: {wrong}.") from None

    def _register(self, name: str, entry: CatalogEntry) -> None:
        """Tell the mapper of a stream; of one that is not selected, no column may be left that a map could keep.

        Raises:
            MappingError: A map of it cannot be used.
        """
        try:
            self.mapper.register_raw_streams_from_catalog(Catalog({name: entry}))
        except MappingError:
            if entry.metadata.resolve_selection()[()]:
                raise
            self.mapper.register_raw_stream_schema(name, entry.schema.to_dict(), entry.key_properties)

    # The run

    @override  # type: ignore[misc]
    def load_streams(self) -> list[Stream]:
        return self.in_order(super().load_streams())

    @override  # type: ignore[misc]
    def sync_all(self) -> None:
        self._reset_state_progress_markers()
        self._set_compatible_replication_methods()
        if self.state:
            self.state_writer.write_state(self.state)
        self.sync_streams()

    @override
    def _handle_termination(self, signum: int, frame: Any) -> None:
        """Keep the last state, and end as a process does that a signal ended: the SDK exits with 0."""
        if self._ending:  # a terminal sends one signal, and a runner another
            return
        self._ending = True
        self.stopped_by(signum)
        try:
            super()._handle_termination(signum, frame)
        except SystemExit:
            sys.exit(128 + signum)
