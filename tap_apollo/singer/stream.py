"""A stream: its declaration, its schema, and how its rows become messages."""

from __future__ import annotations

import enum
import functools
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk import Stream, metrics
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib import Catalog, Metadata, Schema
from typing_extensions import override

from tap_apollo import schemas, sdk
from tap_apollo.config.settings import REFRESH_DAYS
from tap_apollo.readers.io import StreamIO
from tap_apollo.readers.lists import Whole
from tap_apollo.readers.tolerance import LeftOut
from tap_apollo.singer.conform import Conform, timestamp
from tap_apollo.singer.memory import Memory, StateError, refusal
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.api.endpoint import Endpoint
    from tap_apollo.readers.derived import Derived
    from tap_apollo.readers.reader import Reader
    from tap_apollo.services import Services
    from tap_apollo.singer.conform import Conformed


class Metric(enum.Enum):
    """Metrics of the tap's own, beside the SDK's."""

    MISSING_RECORDS = "missing_records"
    CREDITS_SPENT = "credits_spent"


class ApolloStream(Stream):
    """A stream, which a subclass declares: by default a list that comes whole.

    Attributes:
        endpoint: Where its records are asked for.
        reads: How it is read.
        conform: How its rows become records.
        services: What the streams of a run share.
        priority: Whose requests go first where streams compete: the lowest.
        written: Records written, of a stream that is derived from another.
        left_out: The rows that cannot be rows.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # `conform` brings each record into form, once.
    STATE_MSG_FREQUENCY = sys.maxsize  # STATE comes after each page, when a later run can go on from there.

    endpoint: ClassVar[Endpoint]
    reads: ClassVar[Reader] = Whole()
    conform: ClassVar[Conform] = Conform()
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)
    replication_key: str | None = None
    state_partitioning_keys = ()  # one bookmark a stream

    priority = 0
    written = 0

    #: Whether no column is deselected, once that is known.
    selects_all: bool | None = None

    # Where the SDK has no public hook: `sdk` tells why.
    _generate_record_messages = sdk.record_messages
    _increment_stream_state = sdk.leave_the_state_alone
    _write_starting_replication_value = sdk.leave_the_state_alone
    log = sdk.log

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Take from the way of reading whether the stream is on by default."""
        super().__init_subclass__(**arguments)
        cls.selected_by_default = cls.reads.on_by_default

    def __init__(self, tap: Tap, services: Services) -> None:
        """Bind the stream to its tap and to what the streams of a run share, and read its schema."""
        super().__init__(tap, schema=schemas.load(self.name))
        self.services = services
        self.left_out = LeftOut()

    # The schema

    @functools.cached_property
    def conformed(self) -> Conformed:
        """What brings rows into the form of the schema."""
        return self.conform.bind(self)

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Take from a catalog what is selected, and how it describes columns; those that it does not know are added.

        A catalog may be older than the tap: Meltano keeps one until the settings change. So keys and types are the
        tap's. Where it deselects any column, those that it does not know are deselected, too, but for
        those of the key: only some may be meant to be loaded.
        """
        super().apply_catalog(catalog)
        sdk.keep_keys(self)
        entry = catalog.get_stream(self.name)
        if entry:
            known = entry.schema.to_dict()
            if not all(entry.metadata.resolve_selection().values()):
                for name in self.schema["properties"].keys() - known.get("properties", {}).keys():
                    entry.metadata["properties", name] = Metadata(selected=name in self.primary_keys)
            entry.key_properties, entry.replication_key = [*self.primary_keys], self.replication_key
            entry.schema = Schema.from_dict(sdk.described(self.schema, known))

    def learn(self) -> None:
        """Read what the SCHEMA needs to know beside what the tap ships.

        Raises:
            ApolloError: It cannot be read; other errors as those of ``Client.send``.
        """
        if columns := self.conformed.learned():
            sdk.add_properties(self, columns)

    def ready(self) -> bool:
        """Return whether the SCHEMA can be written; what forbids it goes to the run's report."""
        before, learned = self.schema, False
        with self.services.report.containing(self.name):
            self.learn()
            learned = True
        if self.schema is not before:
            sdk.tell_mapper(self)
        return learned

    # The run

    def io(self) -> StreamIO:
        """Return what the stream is read with, once; its place is kept if what is read is also written.

        Raises:
            ApolloError: The state does not tell what was bought.
        """
        days: dict[str, int | None] = {**REFRESH_DAYS, **self.config["full_refresh_days"]}
        start = self.config.get("start_date")
        memory = self._memory()
        return StreamIO(
            self.services,
            type(self),
            memory.place,
            memory,
            self.priority,
            keeps_place=self.selected,
            refresh_days=days.get(self.name),
            start=timestamp(start) if start else None,
            left_out=self.left_out,
        )

    def _memory(self) -> Memory:
        """Return what is remembered of the stream: nothing, if the state of a free one cannot be used, which is said.

        Raises:
            ApolloError: The state does not tell what was bought.
        """
        bookmark, kind = self.stream_state, self.reads.remembers
        try:
            return Memory(bookmark, kind, self.replication_key)
        except StateError as error:
            if self.reads.costs:
                raise refusal(self.name, error) from error
            self.logger.warning("%s: the state %s; reading everything.", self.name, error)
        bookmark.clear()
        return Memory(bookmark, kind, self.replication_key)

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the stream; what ends it early goes to the run's report, so that the other streams go on."""
        report, conformed, io = self.services.report, self.conformed, None
        if report.fatal is None:
            with report.containing(self.name):
                io = self.io()
        if io is None:
            return
        began = time.monotonic()
        self.number_version()
        for child in self._derived:
            child.number_version()
            sdk.announce(child)
        with metrics.http_request_counter(self.name, self.endpoint.path) as requests_sent, report.containing(self.name):
            io.on_request = requests_sent.increment
            for rows in self.reads.rows(io):
                report.read.add(self.name)
                for row in self.left_out.without(self.name, rows, self.primary_keys):
                    try:
                        record = conformed(row)
                    except Exception as fault:
                        if not self.reads.costs:
                            raise
                        io.fault = fault  # what is paid for is remembered all the same
                        continue
                    if warnings := conformed.warnings():
                        self.warn(warnings)
                    yield record
                    io.delivered += 1
            if (io.asked or io.limits) and self.name not in report.named:  # else it asked nothing, or in vain
                report.read.add(self.name)
            if io.deletions_proven and self.reads.finds_deletions:
                self.drop_others()
        self._sum_up(io, time.monotonic() - began)
        for child in self._derived:
            child.logger.info("%s: %s, out of %s", child.name, counted(child.written, "record"), self.name)
            child._sum_up_left_out()  # noqa: SLF001

    def _sum_up(self, io: StreamIO, seconds: float) -> None:
        """Say in one line what came of the stream, and which limits ended it."""
        parts = self.reads.summary(io)
        if parts:
            self.logger.info("%s: %s, %s s", self.name, ", ".join(parts), f"{seconds:,.0f}")
        for limit in io.limits:
            self.logger.warning("%s stopped at a limit: %s", self.name, limit)
        self._sum_up_left_out(io.missing)
        if self.reads.costs and self.services.has_ledger:
            self._count(Metric.CREDITS_SPENT, self.services.ledger.spent[self.name])

    def _sum_up_left_out(self, missing: int = 0) -> None:
        """Say which rows were left out, and count those with the others that are known to be missing."""
        for name, text in self.left_out.said():
            self.services.report.incomplete(self.name, text if name == self.name else f"{name}: {text}")
        if self.reads.finds_deletions or self.left_out.count:
            self._count(Metric.MISSING_RECORDS, missing + self.left_out.count)

    def _count(self, metric: Metric, number: int) -> None:
        point = metrics.Point("counter", metric, number, {metrics.Tag.STREAM: self.name})  # type: ignore[arg-type]
        metrics.log(self.metrics_logger, point)

    def warn(self, warnings: Iterable[str]) -> None:
        """Say what became of values."""
        for warning in warnings:
            self.logger.warning("%s: %s.", self.name, warning)

    # Messages

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context | None]:
        """Hand the record to the streams derived from it, which need no context and no sync of their own."""
        for child in self._derived:
            rows = [*cast("Derived", child.reads).rows_of(record)]
            for row in child.left_out.without(child.name, rows, child.primary_keys):
                sdk.write(child, child.conformed(row))
                child.written += 1
            child.warn(child.conformed.warnings())
        return ()

    @functools.cached_property
    def _derived(self) -> list[ApolloStream]:
        return [cast("ApolloStream", one) for one in self.child_streams if one.selected]

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Return nothing to put into the state: the walk sees to it that no bookmark is too late."""

    # Deletions

    def number_version(self) -> None:
        """Let the records bear a number by which a target tells those of this run from others, if that is asked for."""
        finds = self.reads.finds_deletions or self.parent_stream_type
        if finds and self.config["detect_deletes"] and not self.services.trial:
            sdk.number_records(self, self.services.version)

    def drop_others(self) -> None:
        """Have the target drop or mark the rows that this run did not bring, if that is asked for.

        One that was left out is not gone.
        """
        if self.left_out.count:
            return
        for child in self._derived:
            child.drop_others()
        if not (self.config["detect_deletes"] and self.selected) or self.services.trial:
            return
        if sdk.shares_its_table(self):
            self.logger.warning(
                "%s: `detect_deletes` has no effect, as `stream_maps` lets another stream into the same table.",
                self.name,
            )
            return
        sdk.activate_version(self)
