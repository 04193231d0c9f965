"""Exports of conversations: a program of its own, since an export is paid for at once and fetched later."""

from __future__ import annotations

import datetime
import gzip
import time
import zlib
from typing import TYPE_CHECKING, Any, ClassVar

import requests
from typing_extensions import override

from tap_apollo.api import mending
from tap_apollo.api.client import UNREADABLE
from tap_apollo.api.endpoint import GET, POST, id_of
from tap_apollo.api.errors import CredentialsError, ForbiddenError, GoneError, RequestError, TransientError
from tap_apollo.credits import CONVERSATION, Price
from tap_apollo.paging.windows import FLOOR
from tap_apollo.readers.purchase import Job, Order, Purchase
from tap_apollo.singer.conform import now, timestamp
from tap_apollo.singer.memory import BuysExports, ExportOrder, Moment, entries, expire
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.conversations import Conversations, has_insights
from tap_apollo.streams.workspace import UserProfile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Record

    from tap_apollo.readers.io import StreamIO
    from tap_apollo.readers.purchase import Buying, Parts

#: Where an export can be downloaded once it is ready.
FIND_EXPORT = GET(
    "conversations/export/{id}",
    scope="api/v1/conversations/find_export",
    oauth="conversations_find_export",
    gone={404: ("export not found",)},
)


class Exports(Purchase):
    """One export per window of whole days up to yesterday, each as large as the budget allows."""

    also_asks = (FIND_EXPORT,)

    #: Seconds after which to ask whether an export is ready; after the last, the next run asks.
    patience: ClassVar[tuple[int, ...]] = (0, 1, 2, 4, 8, 15)

    #: Days after which an export that is not ready never will be, and after which nobody needs to know of it any more.
    kept: ClassVar[int] = 7
    forgotten: ClassVar[int] = 37

    def __init__(self) -> None:
        """Declare the price."""
        price = Price(
            1,
            "conversation",
            kind=CONVERSATION,
            batch=1000,
            free="a conversation without AI insights",
            detail="with AI insights",
            sure="as conversation_details",
        )
        backwards = {"start_time": "2100-01-02T00:00:00Z", "end_time": "2100-01-01T00:00:00Z"}
        super().__init__(price, _Windows(), probe=backwards)

    @override
    def bought(self, buying: Buying) -> Iterator[list[Record]]:
        """Fetch what was paid for, then pay for the next window, until yesterday is reached."""
        remembered: BuysExports = buying.io.remembered
        ended = {one for some in entries(remembered.ended) for one in some}
        for export_id, order in [order for some in entries(remembered.pending) for order in some.items()]:
            if export_id not in ended:
                yield from self._fetched(export_id, order, buying)
        forgotten = buying.today - datetime.timedelta(days=self.forgotten)
        expire(remembered.pending, forgotten)
        expire(remembered.ended, forgotten)
        for job in self.jobs.of(buying):
            yield from self._done(job, buying)
            buying.io.save()
            if isinstance(job, _Window) and job.ordered:
                yield from self._fetched(*job.ordered, buying)

    def _fetched(self, export_id: str, order: ExportOrder, buying: Buying) -> Iterator[list[Record]]:
        """Yield the row of an export if it is ready."""
        io, day = buying.io, datetime.date.fromisoformat(order.requested_at[:10])
        age = buying.today - day
        try:
            rows = self._download(export_id, io)
        except (CredentialsError, ForbiddenError):
            raise
        except UNREADABLE as error:  # it may be ready all the same: the next run asks, and this one goes on
            io.tolerance.note_failed(error)
            reason = io.services.client.why(error)
            io.report.failed(io.name, f"the export {export_id}, which is paid for, cannot be fetched yet: {reason}")
            return
        io.tolerance.note_read()
        if rows is None:
            if age.days > self.kept:
                self._ended(export_id, buying)
                text = "%s: the export %s, paid for on %s, was not ready after %d days and is given up: ask Apollo."
                io.logger.warning(text, io.name, export_id, day, self.kept)
            else:
                io.logger.info("%s: the export %s is not ready; the next run asks again.", io.name, export_id)
            return
        yield [
            {
                "export_id": export_id,
                "start_time": order.start_time,
                "end_time": order.end_time,
                "requested_at": order.requested_at,
                "record_count": len(rows),
                "conversations": rows,
            }
        ]
        self._ended(export_id, buying)
        if age.days > self.forgotten or len(rows) != order.booked:
            return
        free = sum(not has_insights(row) for row in rows if isinstance(row, dict))
        this_run = datetime.datetime.fromisoformat(order.requested_at) >= io.started
        buying.ledger.take_back(io.name, free * buying.price.credits, booked=day, of_this_run=this_run)

    @staticmethod
    def _ended(export_id: str, buying: Buying) -> None:
        buying.entry(buying.io.remembered.ended, list[str]()).append(export_id)
        buying.io.keep()

    def _download(self, export_id: str, io: StreamIO) -> list[Any] | None:
        """Return the rows of an export; None if it is not ready."""
        for seconds in self.patience:
            with io.services.writer.released():
                time.sleep(seconds)
            try:
                reply = io.ask({}, export_id, endpoint=FIND_EXPORT)
            except GoneError:
                continue
            with FIND_EXPORT.parsing():
                address = str(reply["redirect_url"])
            with io.services.writer.released():
                content, said = io.services.client.retrying(downloaded, io.name)(address, io.services.client.timeout)
            for line in said:
                io.logger.warning("%s: %s.", io.name, line)
            with FIND_EXPORT.parsing():
                if not isinstance(content, list):
                    raise TypeError("an export is no list of conversations")
            return content
        return None


class _Windows:
    """What the windows of exports remember, and how many conversations are left."""

    asks_for = "conversations, counted; user_profile, whom Apollo tells"
    sources = (Conversations, UserProfile)
    remembers = BuysExports

    def of(self, buying: Buying) -> Iterator[Job]:
        """Yield the windows, up to yesterday."""
        while (start := next_start(buying)) < last_end(buying):
            end, count = window(buying, start, last_end(buying))
            yield _Window(buying, start, end, count)

    def to_buy(self, buying: Buying) -> tuple[int, bool]:
        """Return how many conversations are not exported."""
        return count_of(buying, next_start(buying), last_end(buying)), False

    def summary(self, buying: Buying) -> None:
        """Report nothing."""


class _Window(Job):
    """The order of one export.

    Attributes:
        ordered: Its id, and what was ordered; None: there is nothing to fetch.
    """

    def __init__(self, buying: Buying, start: datetime.datetime, end: datetime.datetime, count: int) -> None:
        self._buying = buying
        self._start = start
        self._end = end
        self._count = count
        self._id: str | None = None
        self.ordered: tuple[str, ExportOrder] | None = None
        if count:
            buying.left = f"conversations from {start:%Y-%m-%d} on"
        else:
            self._pass()

    def order(self) -> Order | None:
        """Return the order, unless the window is done."""
        if next_start(self._buying) >= self._end:
            return None
        profiles = self._buying.io.lookup(UserProfile)
        with UserProfile.endpoint.parsing():
            notified = profiles[0]["email"]  # Apollo asks for a member of the team
        body = {"start_time": _second(self._start), "end_time": _second(self._end), "email": notified}
        return Order(self._count * self._buying.price.credits, body)

    def cost(self, reply: Any) -> int:  # noqa: ARG002
        """Return the worst case: what it did cost its rows will tell."""
        return self._count * self._buying.price.credits

    def rows(self, reply: Any, parts: Parts) -> list[Record]:
        """Return nothing yet: the rows are fetched when they are ready."""
        with parts.part():
            self._id = id_of(reply["export_id"])
            if self._id is None:
                raise LookupError("an export without an id")
        return []

    def bought(self, rows: list[Record]) -> None:  # noqa: ARG002
        """Note the order, by which its rows can be fetched."""
        if self._id is not None:
            start, end = Moment(self._start.isoformat()), Moment(self._end.isoformat())
            order = ExportOrder(start, end, Moment(now()), self._count)
            self._buying.entry(self._buying.io.remembered.pending, dict[str, ExportOrder]())[self._id] = order
            self.ordered = self._id, order
        self._pass()

    def refused(self, error: RequestError) -> None:
        """Go on if there are no conversations after all.

        Raises:
            RequestError: The order is refused for another reason.
        """
        if not isinstance(error, GoneError):
            raise error
        self._pass()

    def _pass(self) -> None:
        self._buying.io.place.exported_until = Moment(self._end.isoformat())


def last_end(buying: Buying) -> datetime.datetime:
    """Return where the last window ends: yesterday is the last whole day."""
    return datetime.datetime.combine(buying.today, datetime.time(), datetime.timezone.utc)


def next_start(buying: Buying) -> datetime.datetime:
    """Return where the next window begins."""
    since = buying.io.place.exported_until or buying.io.config.get("start_date") or f"{FLOOR}"
    return datetime.datetime.fromisoformat(timestamp(since))


def window(buying: Buying, start: datetime.datetime, end: datetime.datetime) -> tuple[datetime.datetime, int]:
    """Return the end of the next window and how many conversations are in it, at least a day, as many as fit.

    Raises:
        LimitReachedError: Not even a day fits.
    """
    day = datetime.timedelta(days=1)
    while count := count_of(buying, start, end):
        buying.left = f"conversations from {start:%Y-%m-%d} on"
        if count <= min(buying.price.batch, buying.allow(buying.price.credits)):
            break
        if end - start <= day:
            buying.allow(count * buying.price.credits)
            break
        half = (end - start) / 2
        end = start + max(day, datetime.timedelta(days=half.days))
    return end, count


def count_of(buying: Buying, start: datetime.datetime, end: datetime.datetime) -> int:
    """Return how many conversations a window holds, which is free to ask."""
    source = buying.io.of(Conversations)
    span = {"start": _second(start), "end": _second(end)}  # both ends are within, so no moment is between two windows
    reply = source.ask({"date_range": span, "page": 1, "per_page": 1, "num_fetch_result": 1})
    with source.endpoint.parsing():
        return int(reply["pagination"]["total_entries"])


def downloaded(address: str, timeout: int) -> tuple[Any, list[str]]:
    """Download and unpack from the store that Apollo names, without the key, and return it with what was mended in it.

    Raises:
        TransientError: It failed, and may not the next time.
        RequestError: The store refuses it.
    """
    response = requests.get(address, timeout=timeout)
    if response.status_code >= requests.codes.server_error:
        raise TransientError(f"the store of exports failed ({response.status_code})", response)
    if response.status_code != requests.codes.ok:
        raise RequestError(f"the store of exports refuses the download ({response.status_code}).")
    content = response.content
    try:  # a store that names gzip as the encoding has had it unpacked already
        return mending.read(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise TransientError(f"the export cannot be unpacked ({type(error).__name__})", response) from None


class ConversationExports(ApolloStream):
    """One export per window of whole days up to yesterday, each as large as the budget allows."""

    name = "conversation_exports"
    endpoint = POST(
        "conversations/export",
        oauth="conversations_export",
        gone={404: ("unable to find conversations within the given time range",)},
    )
    primary_keys = ("export_id",)
    reads = Exports()


def _second(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
