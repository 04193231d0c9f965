"""What every stream shares: its schema, its rows as records, and the walk that reads them."""

from __future__ import annotations

import contextlib
import datetime
import enum
import functools
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import requests
from singer_sdk import Stream, metrics
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib import Catalog, Metadata, RecordMessage, Schema
from typing_extensions import override

from tap_apollo import schemas
from tap_apollo.api.client import MAX_TRIES, Call
from tap_apollo.api.errors import (
    ApolloError,
    CredentialsError,
    ForbiddenError,
    PassingError,
    SettingsError,
    UnknownReplyError,
)
from tap_apollo.api.rate_limits import WaitTooLongError
from tap_apollo.paging import FilterIgnoredError, Page, PageRequest, WholePages
from tap_apollo.readers.prefetch import LookAhead, Outlook, Reading
from tap_apollo.report import counted
from tap_apollo.singer.conform import RecordShaper

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.api.endpoint import Endpoint
    from tap_apollo.paging import Outcome, Walk
    from tap_apollo.services import Services

OtherStream = TypeVar("OtherStream", bound="ApolloStream")

#: What code that reads a reply raises if the reply has not the form it is known to have.
UNKNOWN_FORM = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, UnknownReplyError)


#: What asking and reading a reply raise if a stream cannot be read.
UNREADABLE = (ApolloError, WaitTooLongError, *UNKNOWN_FORM, RetriableAPIError, requests.RequestException)


class Metric(enum.Enum):
    """Metrics of the tap's own, beside the SDK's."""

    MISSING_RECORDS = "missing_records"
    CREDITS_SPENT = "credits_spent"


class ApolloStream(Stream):
    """A list that comes whole; a stream adds its name, its endpoint and its primary key.

    Attributes:
        endpoint: Where its records are asked for.
        run: What the streams share.
        priority: Whose requests go first where streams compete: the lowest.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # RecordShaper conforms each record, once.
    STATE_MSG_FREQUENCY = sys.maxsize  # STATE comes after each page, when a later run can go on from there.

    endpoint: ClassVar[Endpoint]
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)

    priority = 0

    #: Whether a walk that reads a list whole has read all that belongs into the table.
    one_list: ClassVar[bool] = True

    _selects_all: bool | None = None

    _reading: Reading
    _ahead: LookAhead | None = None

    def __init__(self, tap: Tap, run: Services) -> None:
        """Bind the stream to its tap and to the run that it is part of, and read its schema."""
        super().__init__(tap, schema=schemas.load(self.name))
        self.run = run

    # The schema

    @functools.cached_property
    def shape(self) -> RecordShaper:
        """What brings rows into the types of the schema."""
        return RecordShaper(schemas.annotated(self.name))

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Take from a catalog what is selected, and what it says of columns; those that it does not know are added.

        A catalog may be older than the tap: Meltano keeps one until the settings change. Where it deselects any column,
        those that it does not know are deselected, too: only some may be meant to be loaded.
        """
        super().apply_catalog(catalog)
        entry = catalog.get_stream(self.name)
        if entry:
            known = entry.schema.to_dict()
            if not all(entry.metadata.resolve_selection().values()):
                for name in self.schema["properties"].keys() - known.get("properties", {}).keys():
                    entry.metadata["properties", name] = Metadata(selected=False)
            entry.schema = Schema.from_dict(_merged(self.schema, known))

    def extend_schema(self, properties: Mapping[str, Mapping[str, Any]]) -> None:
        """Add properties to columns that are objects; what a catalog says of them may be out of date.

        Args:
            properties: JSON Schema of the properties of each column.
        """
        columns = {"properties": {name: {"properties": inner} for name, inner in properties.items()}}
        self._schema = _merged(self.schema, columns)
        entry = self._tap.catalog.get_stream(self.name)
        if entry:
            entry.schema = Schema.from_dict(_merged(entry.schema.to_dict(), columns))

    def learn(self) -> None:
        """Read what the SCHEMA needs to know.

        Raises:
            ApolloError: It cannot be read; other errors as those of ``ask``.
        """

    def ready(self) -> bool:
        """Return whether the SCHEMA can be written; what forbids it goes to the tap's report."""
        before, learned = self.schema, False
        with self.reporting():
            self.learn()
            learned = True
        entry = self._tap.catalog.get_stream(self.name)
        if self.schema is not before and entry:
            self._tap.mapper.register_raw_streams_from_catalog(Catalog({self.name: entry}))
        return learned

    # Requests

    def ask(self, parameters: Mapping[str, Any], record_id: str | None = None) -> Any:
        """Ask, and return the reply. Safe to call from several threads.

        Args:
            parameters: The JSON body of a POST, the query of a GET.
            record_id: The record that it is about, where the endpoint's path holds its id.

        Raises:
            ApolloError: Apollo refuses it; other errors as those of ``Client.send``.
        """
        call = Call(self.endpoint, parameters, self.name, record_id=record_id, priority=self.priority)
        return self.run.client.send(call)

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """Say of errors that the stream is read because another needs it.

        Raises:
            ApolloError: The stream cannot be read.
        """
        try:
            yield
        except ApolloError as error:
            # Some say it by themselves.
            if error is self.run.report.fatal or isinstance(error, (ForbiddenError, UnknownReplyError)):
                raise
            raise type(error)(f"{self.endpoint.path} is needed, and cannot be read: {error.message}") from error
        except (RetriableAPIError, requests.RequestException) as error:
            reason = self.run.client.why(error)
            raise PassingError(f"{self.endpoint.path} is needed, and cannot be read: {reason}") from error

    # Pages

    def fetch(self, request: PageRequest) -> Page:
        """Ask for a page, or take it from those asked for.

        Raises:
            UnknownReplyError: The reply is of an unknown form; other errors as those of ``ask``.
        """
        coming = self._ahead.take(request) if self._ahead else None
        if coming:
            with self.run.baton.laid_down():
                reply = coming.result()
        else:
            reply = self.send_for(request)
        return self.read_page(reply)

    def send_for(self, request: PageRequest) -> Any:
        """Ask for a page. Safe to call from several threads."""
        return self.ask(self.page_parameters(request))

    def page_parameters(self, request: PageRequest) -> dict[str, Any]:
        """Return what to send for one page."""
        return self.endpoint.page_parameters(request)

    def read_page(self, reply: Any) -> Page:
        """Return the page in a reply."""
        return self.endpoint.page(reply)

    def read_records(self, reply: Any) -> list[Record]:
        """Return the rows of a reply."""
        return self.endpoint.records(reply)

    # The walk

    def new_walk(self, context: Context | None) -> Walk:  # noqa: ARG002
        """Return the walk that reads the stream."""
        return WholePages()

    def page_limit(self, context: Context | None) -> int | None:  # noqa: ARG002
        """Return the most pages to read."""
        return None

    @property
    def max_pages(self) -> int | None:
        """What the setting of that name says of the stream."""
        return cast("dict[str, int]", self.config["max_pages"]).get(self.name)

    @property
    def full_refresh_days(self) -> int | None:
        """What the setting of that name says of the stream."""
        return cast("dict[str, int]", self.config["full_refresh_days"]).get(self.name)

    def page_delivered(self, rows: list[Record]) -> None:
        """Note that the records of a page are written: called after each."""

    def walk_ended(self, walk: Walk, outcome: Outcome | None) -> None:  # noqa: ARG002
        """Note how a walk ended; no outcome: it was stopped before its end."""
        if outcome and outcome.shortfall:
            self.run.report.incomplete(self.name, outcome.shortfall)
        if outcome and outcome.settles and self.one_list:
            self.drop_others()
        missing = outcome.missing if outcome else 0
        point = metrics.Point("counter", Metric.MISSING_RECORDS, missing, {metrics.Tag.STREAM: self.name})  # type: ignore[arg-type]
        metrics.log(self.metrics_logger, point)

    # The run

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the stream; what ends it early goes to the run's report, so that the other streams go on."""
        if self.run.report.fatal is not None:
            return
        began, delivered, some = time.monotonic(), 0, self.read(context)
        with self.reporting():
            for rows in some:
                for row in rows:
                    yield self.shaped(row, context)
                    delivered += 1
        self.ended(delivered, time.monotonic() - began)

    def read(self, context: Context | None) -> Iterable[list[Record]]:
        """Return an iterator over the rows, some at a time; whoever asks for more has written those before."""
        self.number_version()
        limiter, depth = self.run.limiter, cast("int", self.config["max_concurrent_requests"])
        self._ahead = LookAhead(self.send_for, depth, lambda: limiter.room(self.endpoint.path))
        self._reading = Reading(self.new_walk(context), self.fetch, self.page_limit(context), self._ahead)
        return self._pages()

    def _pages(self) -> Iterator[list[Record]]:
        with metrics.http_request_counter(self.name, self.endpoint.path) as requests_sent:
            for rows in self._reading:
                requests_sent.increment()
                yield rows
                self.page_delivered(rows)

    def ended(self, delivered: int, seconds: float) -> None:
        """Note how the reading ended, and say what came of it.

        Args:
            delivered: Records written.
            seconds: How long it took.
        """
        walk, outcome, pages = self._reading.walk, self._reading.outcome, self._reading.pages
        self.walk_ended(walk, outcome)
        if walk.restarted:
            self.logger.warning("%s: %s; reading everything.", self.name, walk.restarted)
        if outcome is None and not pages:  # what kept it from the first page was said, or is the limit
            if self._reading.limited:
                self.page_limit_reached()
            return
        if outcome is None:
            records = f"{counted(delivered, 'record')}, not read to the end"
        elif outcome.verified or outcome.missing:
            records = f"{min(outcome.seen, outcome.total or 0):,} of {counted(outcome.total or 0, 'record')}"
        elif outcome.whole:
            records = f"{counted(delivered, 'record')}, up to the end"
        else:
            records = f"{counted(delivered, 'record')}, all that is new"
        self.sum_up(seconds, records, counted(pages, "request"))
        if self._reading.limited:
            self.page_limit_reached()

    def page_limit_reached(self) -> None:
        """Say that the page limit ended the reading."""
        self.limited(f"`max_pages.{self.name}` is {self.max_pages:,}", "the rest of the list")

    def limited(self, limit: str, left: str) -> None:
        """Say that a limit ended the reading.

        Args:
            limit: Which, and where it stands.
            left: What the next run has to do.
        """
        self.logger.warning("%s stopped at a limit: %s. Left for the next run: %s.", self.name, limit, left)

    def sum_up(self, seconds: float, *parts: str) -> None:
        """Say in one line what came of the stream."""
        self.logger.info("%s: %s, %s s", self.name, ", ".join(parts), f"{seconds:,.0f}")

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Put what ends the stream early into the run's report."""
        report = self.run.report
        try:
            yield
        except CredentialsError as error:
            report.fatal = report.fatal or error
        except ForbiddenError as error:
            report.forbidden(self.name, error.message)
        except UNKNOWN_FORM as error:
            report.failed(self.name, f"{self.unknown_form(error)} Update tap-apollo, or deselect the stream.")
        except ApolloError as error:
            if error is not report.fatal:
                report.failed(self.name, error.message, may_pass=isinstance(error, PassingError))
        except WaitTooLongError as error:
            report.incomplete(self.name, self.run.client.waits_too_long(error))
        except FilterIgnoredError as error:
            report.failed(
                self.name, f"Apollo ignores the filter {error}: nothing is loaded rather than the wrong records."
            )
        except (RetriableAPIError, requests.RequestException) as error:
            report.failed(self.name, f"{self.run.client.describe(error)}, {MAX_TRIES} times in a row.", may_pass=True)

    def shaped(self, row: Record, context: Context | None) -> Record:  # noqa: ARG002
        """Return a row as it goes to the warehouse."""
        shape = self.shape
        record = shape(row)
        if news := shape.news():
            self.tell(news)
        if self.replication_key:
            record.setdefault(self.replication_key, None)
        return record

    def tell(self, news: Iterable[str]) -> None:
        """Warn of values that were not loaded."""
        for line in news:
            self.logger.warning("%s: %s.", self.name, line)

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """As the SDK does, which looks for deselected columns in every value: only if there are any.

        No public hook comes between a record and its message; this takes a fifth off a sync's CPU.
        """
        if self._selects_all is None:
            self._selects_all = all(self.mask.values())
        try:
            if not self._selects_all:
                yield from super()._generate_record_messages(record)
                return
            for stream_map in self.stream_maps:
                mapped = stream_map.transform(record)
                if mapped is not None:
                    now = datetime.datetime.now(tz=datetime.timezone.utc)
                    yield RecordMessage(stream_map.stream_alias, mapped, self._stream_version, now)
        except Exception as error:  # whatever an expression raises; its text may quote the record
            if not self.config.get("stream_maps"):
                raise
            raise SettingsError(
                f"Setting `stream_maps`: an expression for {self.name} fails on a record ({type(error).__name__}): "
                "guard it against null, as in `... if record.get('email') else None`, and name selected columns only.",
            ) from None

    @override
    def _increment_stream_state(self, latest_record: Record, *, context: Context | None = None) -> None:
        """Leave the state alone: it changes when what a request brought is written, not with each record."""

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        """Log what the SDK says, but not of a trial that it ended in an error: it ends itself, after one record."""
        if not (self.run.trial and level == logging.ERROR):
            super().log(message, *args, level=level, **kwargs)

    def write_state(self) -> None:
        """Write a STATE: what was written before it stands."""
        self._tap.state_writer.write_state(self.tap_state)

    # Deletions

    def number_version(self) -> None:
        """Let the records bear a number by which a target tells those of this run from others, if that is asked for."""
        if self.config["detect_deletes"] and not self.run.trial:
            self._stream_version = self._tap.initialized_at // 1000

    def drop_others(self) -> None:
        """Have the target drop or mark the rows that this run did not bring, if that is asked for.

        The SDK would send this message before the records, so that a sync that fails leaves an empty table.
        """
        if self._stream_version is None or not self.selected:
            return
        if self._shares_its_table():
            self.logger.warning(
                "%s: `detect_deletes` has no effect, as `stream_maps` lets another stream into the same table.",
                self.name,
            )
            return
        self._write_activate_version_message(self._stream_version)

    def _shares_its_table(self) -> bool:
        """Whether a stream map lets another stream go into the same table: its rows would be dropped, too."""
        maps = self._tap.mapper.stream_maps
        names = {one.stream_alias for one in maps[self.name]}
        others = (other for other in self._tap.streams.values() if other is not self and other.selected)
        return any(one.stream_alias in names for other in others for one in maps[other.name])

    def why(self, error: Exception) -> str:
        """Say in a sentence why the stream cannot be read.

        Args:
            error: One of ``UNREADABLE``.
        """
        if isinstance(error, UNKNOWN_FORM):
            return self.unknown_form(error)
        return self.run.client.why(error)

    def unknown_form(self, error: Exception) -> str:
        """Say that a reply cannot be read."""
        if isinstance(error, UnknownReplyError):
            return error.message
        return UnknownReplyError(self.endpoint.path, error).message

    # Other streams

    def sibling(self, stream: type[OtherStream]) -> OtherStream:
        """Return a stream object made to be read for this one: not the one that the run reads."""
        return stream(self._tap, self.run)

    def lookup(self, stream: type[ApolloStream]) -> list[Record]:
        """Return all rows of a small stream that this one needs, selected or not: read once a run.

        Raises:
            ApolloError: They cannot be read.
        """
        return self.run.lookup(stream, self.sibling(stream).read_all)

    def read_all(self) -> list[Record]:
        """Return all rows as Apollo gives them, for a stream that needs them to read its own.

        Raises:
            ApolloError: They cannot be read.
        """
        with self.needed():
            return [row for rows in Reading(self.new_walk(None), self.fetch) for row in rows]

    def outlook(self) -> Outlook:
        """Return what a sync would read, for the plan: at most two requests, all of them free.

        Raises:
            ApolloError: The stream cannot be read.
        """
        return Outlook(len(self.fetch(PageRequest()).records), requests=1)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return two JSON Schemas as one, with the properties of both at all levels; the second's own hold."""
    if "properties" not in second:
        return dict(second or first)
    mine, yours = first.get("properties", {}), second["properties"]
    properties = {name: _merged(mine.get(name, {}), yours.get(name, {})) for name in {**mine, **yours}}
    return {**first, **second, "properties": properties}
