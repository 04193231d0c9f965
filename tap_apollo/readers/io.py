"""What a reader is given: where to ask, where its place is kept, and where to say what went wrong."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import requests
from singer_sdk.exceptions import RetriableAPIError

from tap_apollo import schemas
from tap_apollo.api.client import Call
from tap_apollo.api.errors import ApolloError, ForbiddenError, PassingError, UnknownReplyError
from tap_apollo.readers.prefetch import LookAhead
from tap_apollo.readers.tolerance import LeftOut, Tolerance
from tap_apollo.singer.conform import timestamp
from tap_apollo.singer.memory import Memory, Moment, StateError, refusal

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator, Mapping

    from tap_apollo.api.endpoint import Endpoint
    from tap_apollo.paging import Page, PageRequest, Record
    from tap_apollo.readers.cursor import Cursor
    from tap_apollo.report import SyncReport
    from tap_apollo.services import Services
    from tap_apollo.singer.memory import Form
    from tap_apollo.singer.stream import ApolloStream

Found = TypeVar("Found")


def name_of(stream: type[ApolloStream]) -> str:
    """Return a stream's name, which the SDK declares for objects only."""
    return str(cast("Any", stream).name)


@dataclasses.dataclass
class StreamIO:
    """What a reader is given to read one stream with, once.

    Attributes:
        services: What the run shares.
        stream: The declaration of the stream.
        place: What tells a later run where to go on; changed in place.
        memory: What takes it into the state, and all else that is remembered; None: nothing is.
        priority: Whose requests go first where streams compete: the lowest.
        keeps_place: Whether the place is written: not if what is read is not.
        refresh_days: After how many days to read everything again; None: never.
        start: The moment from which on to read; None: everything.
        needed_by: The stream that this one is read for; None if it is read for itself.
        on_request: Called at each request.
        asked: Whether Apollo was asked anything, about this stream or for its ends.
        requests: Requests so far.
        orders: Charged requests so far.
        pages: Pages so far.
        delivered: Rows that are written.
        missing: How many rows are known to be missing, at the least.
        deletions_proven: Whether what did not come is not there, so that a target may drop it.
        limits: What is to be said of the limits that ended the reading.
        unfinished: How many of several lists were not read to their end.
        cursor: What drives the walk; None before there is one.
        tolerance: Counts the records that cannot be read by themselves.
        fault: What the tap failed at when a row that was paid for became a record: the row is lost, and it is said.
        left_out: The rows that cannot be rows, those of other streams that it reads included.
        cut_short: What Apollo shows only a part of, counted: per unit and text.
    """

    services: Services
    stream: type[ApolloStream]
    place: Any
    memory: Memory | None = None
    priority: int = 0
    keeps_place: bool = True
    refresh_days: int | None = None
    start: str | None = None
    needed_by: str | None = None
    on_request: Callable[[], None] = lambda: None
    asked: bool = False
    requests: int = 0
    orders: int = 0
    pages: int = 0
    delivered: int = 0
    missing: int = 0
    deletions_proven: bool = False
    limits: list[str] = dataclasses.field(default_factory=list)
    unfinished: int = 0
    cursor: Cursor | None = None
    fault: Exception | None = None
    tolerance: Tolerance = dataclasses.field(default_factory=Tolerance)
    left_out: LeftOut = dataclasses.field(default_factory=LeftOut)
    cut_short: collections.Counter[tuple[str, str]] = dataclasses.field(default_factory=collections.Counter)

    # What there is to know

    @property
    def name(self) -> str:
        """The stream's name."""
        return name_of(self.stream)

    @property
    def endpoint(self) -> Endpoint:
        """Where its records are asked for."""
        return self.stream.endpoint

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings."""
        return self.services.config

    @property
    def report(self) -> SyncReport:
        """Where to say what went wrong."""
        return self.services.report

    @property
    def logger(self) -> logging.Logger:
        """The stream's logger."""
        return self.services.logger.getChild(self.name)

    @property
    def started(self) -> datetime.datetime:
        """When the run began, in UTC."""
        return self.services.started

    @property
    def began(self) -> Moment:
        """The same, as text that compares like time."""
        return Moment(timestamp(self.started.isoformat()))

    @property
    def columns(self) -> Mapping[str, Any]:
        """The JSON Schema of each column."""
        columns: dict[str, Any] = schemas.load(self.name)["properties"]
        return columns

    @property
    def looks_up(self) -> bool:
        """Whether another stream needs all of it, and keeps no place."""
        return self.needed_by is not None and not self.keeps_place

    @property
    def max_pages(self) -> int | None:
        """What the setting of that name says of the stream."""
        pages: dict[str, int] = self.config["max_pages"]
        return pages.get(self.name)

    @property
    def max_pages_told(self) -> str:
        """What that setting says, in words."""
        return f"`max_pages.{self.name}` is {self.max_pages:,}"

    def within_max_pages(self, wanted: int, unit: str = "requests") -> tuple[int, str]:
        """Return how many requests that setting allows of those wanted, and, if that is not all, what to say of it."""
        limit = self.max_pages
        if limit is None or wanted <= limit:
            return wanted, ""
        return limit, f"`max_pages` allows {limit:,} of {wanted:,} {unit}"

    def refresh_is_due(self, walked_at: datetime.datetime | None) -> bool:
        """Whether everything was last read as long ago as the setting says; what is yet to come never was."""
        if self.refresh_days is None:
            return False
        if walked_at is None or walked_at > self.started:
            return True
        return self.started - walked_at >= datetime.timedelta(days=self.refresh_days)

    # Asking

    def ask(
        self,
        parameters: Mapping[str, Any] | None = None,
        record_id: str | None = None,
        *,
        endpoint: Endpoint | None = None,
        worst: int = 0,
        cost: Callable[[Any], int] | None = None,
    ) -> Any:
        """Ask, and return the reply.

        Args:
            parameters: The JSON body of a POST, the query of a GET; by default what the endpoint sends always.
            record_id: The record that it is about, where the endpoint's path holds its id.
            endpoint: By default the stream's.
            worst: The most credits that a request can cost.
            cost: Tells from a reply what it did cost.

        Raises:
            ApolloError: Apollo refuses it; other errors as those of ``Client.send``.
        """
        self._count()
        where = endpoint or self.endpoint
        what = where.parameters if parameters is None else parameters
        with self._said_as_needed():
            return self.services.client.send(Call(where, what, self.name, record_id, self.priority, worst, cost))

    def fetch(self, request: PageRequest, ahead: LookAhead | None = None) -> Page:
        """Ask for a page, or take it from those asked for ahead.

        Raises:
            UnknownReplyError: The reply is of an unknown form; other errors as those of ``ask``.
        """
        coming = ahead.take(request) if ahead else None
        if coming is None:
            reply = self.ask(self.endpoint.page_parameters(request))
        else:
            self._count()
            with self.services.writer.released():
                reply = coming.result()
        page = self.endpoint.page(reply)
        if page.left_out:
            self.left_out.without(self.name, self.endpoint.records(reply), self.endpoint.keys)
        return page

    def look_ahead(self) -> LookAhead:
        """Return what asks for pages before they are wanted."""
        endpoint, client, limiter = self.endpoint, self.services.client, self.services.limiter

        def send(request: PageRequest) -> Any:
            return client.send(Call(endpoint, endpoint.page_parameters(request), self.name, priority=self.priority))

        return LookAhead(send, self.config["max_concurrent_requests"], lambda: limiter.room(endpoint.path))

    def _count(self) -> None:
        self.requests += 1
        self._note_asked()
        self.on_request()

    def _note_asked(self) -> None:
        self.asked = True

    @contextlib.contextmanager
    def _said_as_needed(self) -> Iterator[None]:
        """Say of errors that the stream is read because another needs it, if it is."""
        if self.needed_by is None:
            yield
            return
        path = self.endpoint.path
        try:
            yield
        except ApolloError as error:
            # A refusal and an unknown form name their endpoint and what to do, whoever needs it.
            if error is self.report.fatal or isinstance(error, (ForbiddenError, UnknownReplyError)):
                raise
            raise type(error)(f"{path} is needed, and cannot be read: {error.message}") from error
        except (RetriableAPIError, requests.RequestException) as error:
            reason = self.services.client.why(error)
            raise PassingError(f"{path} is needed, and cannot be read: {reason}") from error

    # Other streams

    def of(
        self,
        stream: type[ApolloStream],
        place: Form | None = None,
        refresh_days: int | None = None,
        start: str | None = None,
    ) -> StreamIO:
        """Return what another stream is read with for this one's ends, selected or not.

        Args:
            stream: Its declaration.
            place: Its place within this one's, so that neither disturbs the other; None: nothing is kept.
            refresh_days: After how many days to read everything of it again.
            start: The moment from which on to read; None: everything.
        """
        return StreamIO(
            self.services,
            stream,
            stream.reads.place() if place is None else place,
            self.memory,
            self.priority,
            keeps_place=place is not None,
            refresh_days=refresh_days,
            start=start,
            needed_by=self.needed_by or self.name,
            left_out=self.left_out,
            on_request=self._note_asked,
        )

    def lookup(self, stream: type[ApolloStream]) -> list[Record]:
        """Return all rows of a small stream that this one needs, selected or not: read once a run.

        Raises:
            ApolloError: They cannot be read.
        """
        other = dataclasses.replace(self.of(stream), priority=0, left_out=LeftOut())

        def read() -> list[Record]:
            found = [row for rows in stream.reads.rows(other) for row in rows]
            for name, text in other.left_out.said():
                self.logger.warning("%s: of %s, which it needs, %s.", self.name, name, text)
            return found

        return self.services.lookup(stream, read)

    def remembered_by(self, stream: type[ApolloStream]) -> Any:
        """Return what another stream remembers, to look at: of its kind of ``Bookmark``.

        Raises:
            ApolloError: The state does not tell.
        """
        bookmarks: dict[str, Any] = self.services.state.get("bookmarks", {})
        name = name_of(stream)
        try:
            return Memory(bookmarks.get(name, {}), stream.reads.remembers).held
        except StateError as error:
            raise refusal(name, error) from error

    # Saying and saving

    @property
    def remembered(self) -> Any:
        """All that is remembered of the stream: of its kind of ``Bookmark``; changed in place."""
        if self.memory is None:
            raise TypeError(f"nothing is remembered of {self.name}")
        return self.memory.held

    def keep(self) -> None:
        """Put what is remembered into the state, if the place is kept."""
        if self.keeps_place and self.memory:
            self.memory.write()

    def save(self) -> None:
        """Put what is remembered into a STATE, if the place is kept: what was written before it stands."""
        if self.keeps_place:
            self.keep()
            self.services.write_state()

    def stopped(self, limit: str, left: str, then: str = "") -> None:
        """Note that a limit ended the reading.

        Args:
            limit: Which, and where it stands.
            left: What is left for the next run.
            then: What the next run does, a sentence, if it is not that.
        """
        self.limits.append(f"{limit}. {then or f'Left for the next run: {left}.'}")

    def incomplete(self, reason: str) -> None:
        """Say that records are missing."""
        if self.needed_by is None:
            self.report.incomplete(self.name, reason)
        else:
            self.report.incomplete(self.needed_by, f"{self.name}: {reason}")
