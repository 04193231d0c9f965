"""The tap: settings in, streams out."""

from __future__ import annotations

import copy
import datetime
import functools
import gc
import io
import json
import logging
import os
import sys
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn, cast

import click
from singer_sdk import Stream, Tap
from singer_sdk.exceptions import MappingError
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_apollo.api.client import UNREADABLE
from tap_apollo.api.concurrency import side_by_side
from tap_apollo.api.errors import ApolloError, ForbiddenError, SettingsError, UnknownReplyError
from tap_apollo.api.rate_limits import WaitTooLongError
from tap_apollo.config import checks, settings
from tap_apollo.credits import SPENDING, Ledger, Limits, Spending, read_meter
from tap_apollo.plan import make_plan
from tap_apollo.readers.io import StreamIO
from tap_apollo.report import counted
from tap_apollo.services import Services
from tap_apollo.singer.conform import is_bookmark
from tap_apollo.singer.messages import BlockWriter
from tap_apollo.streams import CREDIT_STREAMS, PAGED, REFRESHED, STREAMS
from tap_apollo.streams.workspace import CreditUsageStats

if TYPE_CHECKING:
    from singer_sdk.singerlib import CatalogEntry

    from tap_apollo.credits import Meter
    from tap_apollo.plan import Plan
    from tap_apollo.singer.stream import ApolloStream

#: A page of contacts is some 20,000 objects, none of them in a cycle: looking for cycles at every 700, as Python does,
#: took a quarter of a sync's CPU.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000

#: Seconds that the end of a run waits for a thread to come to a stop.
PATIENCE = 10

#: Streams that show what the others bought and spent, and therefore run after them.
AFTER_CREDIT_STREAMS = ("enrichment_results", "credit_usage_stats")


class TapApollo(Tap):
    """Singer tap for Apollo.io: every record, resumable, ready to join."""

    name = "tap-apollo"
    package_name = "tap-apollo"
    message_writer_class = BlockWriter
    config_jsonschema: ClassVar[dict[str, Any]] = copy.deepcopy(settings.SETTINGS)  # the SDK adds its own
    capabilities: ClassVar[list[Any]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    #: Whether a signal is ending the run.
    _ending = False

    def __init__(self, *, parse_env_config: bool = False, **arguments: Any) -> None:
        """Read the settings.

        Args:
            parse_env_config: Whether to read settings from the environment.
            **arguments: As the SDK's taps take them.

        Raises:
            SettingsError: A setting is missing, unknown or impossible.
        """
        try:
            super().__init__(parse_env_config=parse_env_config, **arguments)
        except ValueError:
            bad = checks.bad_variables(os.environ, self._env_var_prefix, self.config_jsonschema)
            if not (parse_env_config and bad):
                raise
            raise SettingsError("\n".join(bad)) from None

    @override
    def discover_streams(self) -> list[Stream]:
        named = self.config.get("credit_streams") or ()
        return [
            stream(self, self.services)
            for name, stream in STREAMS.items()
            if name not in CREDIT_STREAMS or name in named
        ]

    @override
    def run_discovery(self) -> str:
        """Print and return the catalog, with the custom fields if there are credentials to read them with."""
        # Renewing a token would revoke the sync's, if there is no file that hands the new one over.
        if not self._validate_config(raise_errors=False) and self.services.credential == "api_key":
            self.services.discovering = True
            self._describe_custom_fields()
        return super().run_discovery()

    def _describe_custom_fields(self) -> None:
        """Add the custom fields to the schemas, or say why not: the sync will try again."""
        try:
            for stream in self.streams.values():
                cast("ApolloStream", stream).learn()
        except UNREADABLE as error:
            reason = self.services.client.why(error)
            self.logger.warning(
                "The catalog has no custom fields: %s A sync adds them, if it can read them.",
                reason,
            )

    # What the streams share

    @functools.cached_property
    def services(self) -> Services:
        """What the streams share."""
        return Services(
            self.config,
            self.logger,
            self.metrics_logger,
            state=self.state,
            emit_state=self.state_writer.write_state,
            started=datetime.datetime.fromtimestamp(self.initialized_at / 1000, tz=datetime.timezone.utc),
            user_agent=self.config.get("user_agent") or f"{self.name}/{self.plugin_version}",
            open_ledger=self._open_ledger,
        )

    def _open_ledger(self) -> Ledger:
        """Return a ledger with what the state and Apollo tell.

        Raises:
            ApolloError: The state does not tell what was spent in this cycle.
        """
        meter = self._meter()
        try:
            spending = Spending(self.state.get("bookmarks", {}).get(SPENDING, {}), _today, meter)
        except (AttributeError, TypeError, ValueError) as error:
            raise ApolloError(
                f"the state does not tell what was spent ({type(error).__name__}): repair `bookmarks.{SPENDING}`, or "
                "remove it to count anew.",
            ) from error
        if meter and meter.start and spending.total > meter.consumed:
            self.logger.warning(
                "Credits: the state counts %s spent in this cycle, Apollo's meter %s for the whole team. The state may "
                "be of another team, or a request that failed was counted at its worst; the higher count stands.",
                f"{spending.total:,}",
                f"{meter.consumed:,}",
            )
        limits = Limits(
            self.config["credit_budget"],
            self.config.get("credit_budget_per_cycle"),
            self.config["credit_reserve"],
        )
        return Ledger(limits, spending, meter)

    def _meter(self) -> Meter | None:
        """Return the team's balance, or None where it may not be read, which is said.

        Raises:
            ApolloError: It cannot be read for another reason.
        """
        io = StreamIO(self.services, CreditUsageStats, {}, keeps_place=False, needed_by="the ledger")
        try:
            reply = io.ask()
            with io.endpoint.parsing():
                return read_meter(reply)
        except (ForbiddenError, WaitTooLongError, UnknownReplyError) as error:
            reason = self.services.client.why(error)
        kept = "`credit_reserve` cannot be kept, and " if self.config["credit_reserve"] else ""
        text = "Credits: the team's balance is unknown: %s Without it %sthe tap goes by its own limits."
        self.logger.warning(text, reason, kept)
        return None

    def plan(self) -> Plan:
        """Return what a sync would do, by free requests only.

        Raises:
            ApolloError: The credentials are not accepted, or Apollo cannot be reached.
        """
        self.services.planning = True
        return make_plan([cast("ApolloStream", one) for one in self.streams.values() if one.selected], self.services)

    # Input that cannot be read is one line, not a traceback

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state, also as `meltano state get` prints it; what is unsound is dropped, and said.

        Raises:
            SettingsError: The state is no Singer state.
        """
        inner = state.get("singer_state", state) if isinstance(state, dict) else None
        bookmarks = inner.get("bookmarks", {}) if isinstance(inner, dict) else None
        if not isinstance(bookmarks, dict) or not all(isinstance(value, dict) for value in bookmarks.values()):
            raise SettingsError(
                f'The state is not of the form {{"bookmarks": {{"contacts": {{...}}}}}}: {_REPAIR["--state"]}.'
            )
        super().load_state({"bookmarks": {name: self._sound(name, value) for name, value in bookmarks.items()}})

    def _sound(self, stream: str, bookmark: dict[str, Any]) -> dict[str, Any]:
        """Return what can be used of a bookmark: without its moment, if it is none, only what was bought and spent."""
        if is_bookmark(bookmark.get("replication_key_value")):
            return bookmark
        if stream not in {*CREDIT_STREAMS, SPENDING}:
            text = "%s: the state cannot be used, as its bookmark is not a timestamp; reading everything."
            self.logger.warning(text, stream)
            return {}
        text = "%s: the bookmark in the state is not a timestamp and is dropped; what was bought and spent is kept."
        self.logger.warning(text, stream)
        return {key: value for key, value in bookmark.items() if not key.startswith("replication_key")}

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        try:
            return super().cb_config(ctx, param, value)
        except OSError as error:
            raise SettingsError(_unreadable("--config", error.strerror or type(error).__name__)) from error
        except (TypeError, ValueError) as error:
            raise SettingsError(f"The file of --config holds no JSON object: {_REPAIR['--config']}.") from error

    @classmethod
    @override
    def invoke(
        cls,
        *,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
        plan: bool = False,
        **options: Any,
    ) -> None:
        state, catalog = _json_object("--state", state), _json_object("--catalog", catalog)
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)  # the process is the tap's own here
        if plan:
            cls._print_plan(options["config"], state, catalog, options.get("about_format"))
        else:
            super().invoke(state=state, catalog=catalog, **options)

    @classmethod
    def _print_plan(
        cls,
        config: Any,
        state: IO[str] | None,
        catalog: IO[str] | None,
        style: str | None,
    ) -> None:
        """Print what a sync would do."""
        tap = cls(
            config=config.config,
            parse_env_config=config.parse_env,
            state=json.load(state) if state else None,
            catalog=json.load(catalog) if catalog else None,
        )
        tap.metrics_logger.setLevel(logging.WARNING)  # a line per request would hide the table
        plan = tap.plan()
        click.echo(plan.to_json() if style == "json" else plan.to_table())

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        for option in command.params:
            if isinstance(option.type, click.File):
                option.type = _InputFile()
        text = (
            "Show what a sync would read, how long it would take and what it could cost at most, by free requests "
            "only. As JSON with --format=json."
        )
        command.params.append(click.Option(["--plan"], is_flag=True, help=text))
        return command

    # The SDK offers no public hook at these points: it would quote the values of bad settings, secret ones included,
    # runs streams by name, one after another, and nothing after the last. "Final" is a typing mark of it, not a lock.

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
        problems = checks.problems(
            self._config,
            self.config_jsonschema,
            streams=STREAMS,
            paged=PAGED,
            refreshed=REFRESHED,
            credit=CREDIT_STREAMS,
        )
        if problems and raise_errors:
            raise SettingsError("\n".join(problems))
        return problems or super()._validate_config(raise_errors=raise_errors)

    @override
    def setup_mapper(self) -> None:
        """Read the stream maps.

        Raises:
            SettingsError: One cannot be used.
        """
        super(Tap, self).setup_mapper()
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

    @override  # type: ignore[misc]
    def load_streams(self) -> list[Stream]:
        """Return the streams in the order in which they run: those that buy last, as listed, and then the meter."""
        order = [*(self.config.get("credit_streams") or ()), *AFTER_CREDIT_STREAMS]
        ranks = {name: rank for rank, name in enumerate(order, start=1)}
        return sorted(super().load_streams(), key=lambda stream: ranks.get(stream.name, 0))

    @override  # type: ignore[misc]
    def sync_all(self) -> None:
        """Sync the selected streams side by side: one that waits for its rate window does not hold up the others."""
        self._reset_state_progress_markers()
        self._set_compatible_replication_methods()
        if self.state:
            self.state_writer.write_state(self.state)
        streams = [one for one in self.streams.values() if one.selected or one.has_selected_descendents]
        if not streams:
            self.logger.warning("No stream is selected, so nothing is read: see `select`, or the file of --catalog.")
        one_by_one = {*CREDIT_STREAMS, *AFTER_CREDIT_STREAMS}
        groups = [[one] for one in streams if one.name not in one_by_one and one.parent_stream_type is None]
        groups.append([one for one in streams if one.name in one_by_one])
        for priority, group in enumerate(groups):
            for stream in group:
                cast("ApolloStream", stream).priority = priority
        self.services.prepare()
        try:
            side_by_side(
                [functools.partial(self._sync_in_turn, group) for group in groups if group], self.services.baton
            )
        finally:
            try:
                if isinstance(self.message_writer, BlockWriter):
                    self.message_writer.flush()
            finally:
                self.services.authenticator.finish(PATIENCE)
        if self.services.has_ledger:
            self.logger.info("%s", self.services.ledger.summary())
        self.services.report.raise_for_failures()

    def _sync_in_turn(self, streams: list[Stream]) -> None:
        for stream in streams:
            if self.services.report.fatal is None and cast("ApolloStream", stream).ready():
                stream.sync()
                stream.finalize_state_progress_markers()

    @override  # type: ignore[misc]
    def run_connection_test(self) -> bool:
        self.services.trial = True
        passed = super().run_connection_test()
        self.services.report.raise_for_failures()
        tried = [name for name in self.streams if name not in CREDIT_STREAMS]
        said = [name for name in tried if name in self.services.report.named]
        above = f"; see the messages above on {', '.join(said)}" if said else ""
        self.logger.info("%s of %s can be read%s.", len(tried) - len(said), counted(len(tried), "stream"), above)
        return passed

    @override
    def _handle_termination(self, signum: int, frame: Any) -> None:
        """Keep the last state, and end as a process does that a signal ended: the sync is not complete."""
        if self._ending:  # a terminal sends one signal, and a runner another
            return
        self._ending = True
        if not self.services.baton.drop(
            patience=PATIENCE
        ):  # whoever works is held up by the target: the last STATE stands
            os._exit(128 + signum)
        if self.services.has_ledger:
            self.services.ledger.write_to(self.state)
        self.services.authenticator.finish(PATIENCE)
        try:
            super()._handle_termination(signum, frame)
        except SystemExit:
            sys.exit(128 + signum)


def _today() -> datetime.date:
    return datetime.datetime.now(tz=datetime.timezone.utc).date()


class _InputFile(click.File):
    """A file to read: one that cannot be opened is one line, as all that is wrong with what a user gives."""

    @override
    def fail(self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None) -> NoReturn:
        raise SettingsError(_unreadable(f"--{param and param.name}", message.rpartition(": ")[2]))


def _unreadable(option: str, reason: str) -> str:
    return f"The file of {option} cannot be read ({reason}): check the path."


#: What to do about the file of an option that holds no JSON object.
_REPAIR = {
    "--config": "repair it",
    "--catalog": "repair it, or write it anew with --discover",
    "--state": "repair it; without it everything is read, and what costs credits is bought, again",
}


def _json_object(option: str, file: IO[str] | None) -> IO[str] | None:
    """Return a file's text if it is a JSON object.

    Raises:
        SettingsError: It is not.
    """
    if file is None:
        return None
    text = ""
    try:
        text = file.read()
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise SettingsError(f"The file of {option} holds no JSON object: {_REPAIR[option]}.")
    return io.StringIO(text)
