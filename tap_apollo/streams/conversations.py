"""What was said in recorded calls and meetings, as far as reading it is charged."""

from __future__ import annotations

import datetime
import gzip
import json
import time
import zlib
from typing import TYPE_CHECKING, Any, ClassVar

import requests
from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.api.errors import GoneError, RequestError, TransientError
from tap_apollo.credits import Price
from tap_apollo.paging import PER_PAGE
from tap_apollo.paging.windows import FLOOR
from tap_apollo.singer.conform import now, timestamp
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.credit import CreditStream, RecordCreditStream, Wanted
from tap_apollo.streams.windowed import WindowedStream
from tap_apollo.streams.workspace import UserProfile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Record

    from tap_apollo.paging import DateWindow


def has_insights(conversation: Record) -> bool:
    """Whether Apollo drew insights from a conversation, which is what it charges for; in doubt, it did."""
    return conversation.get("state") != "failed" or bool(conversation.get("transcript"))


class Conversations(WindowedStream):
    """Recorded calls and meetings, by the moment they began; what was said in them is charged and not read here."""

    name = "conversations"
    # the documented page size here; the others' `per_page` goes too
    endpoint = POST(
        "conversations/search",
        paged=by_number,
        rows="conversations",
        scope="api/v1/conversations/search",
        oauth="conversations_search",
        parameters={"num_fetch_result": PER_PAGE},
    )
    replication_key = "start_time"

    @override
    def window_parameters(self, window: DateWindow) -> Mapping[str, Any]:
        return {"date_range": {"start": f"{window.first}T00:00:00Z", "end": f"{window.last}T23:59:59Z"}}


class ConversationDetails(RecordCreditStream):
    """Conversations with their transcripts; one without insights is free, and asked for again while it is recent."""

    name = "conversation_details"
    endpoint = GET("conversations/{id}", scope="api/v1/conversations/show", oauth="conversations_show")
    price = Price(1, "conversation", free="a conversation without AI insights")

    @override
    def source(self) -> Conversations:
        return self.sibling(Conversations)

    @override
    def rows_of(self, reply: Any, batch: list[Wanted]) -> list[Record]:
        return [reply]

    @override
    def asked(self, batch: list[Wanted], rows: list[Record]) -> Iterable[str]:
        return [one.key for one, row in zip(batch, rows, strict=False) if has_insights(row)]

    @override
    def cost_of(self, reply: Any) -> int:
        return self.price.credits if has_insights(reply) else 0


class ConversationExports(CreditStream):
    """One export per window of whole days up to yesterday, each as large as the budget allows."""

    name = "conversation_exports"
    endpoint = POST("conversations/export", scope="api/v1/conversations/export", oauth="conversations_export")
    primary_keys = ("export_id",)
    price = Price(1, "conversation", batch=1000, free="a conversation without AI insights")

    remembers = {
        "pending": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["start_time", "end_time", "requested_at", "booked"],
                "properties": {"booked": {"type": "integer"}},
                "additionalProperties": {"type": "string"},
            },
        },
        "exported_until": {"type": "string"},
    }

    #: Seconds after which to ask whether an export is ready; after the last, the next run asks.
    patience: ClassVar[tuple[int, ...]] = (0, 1, 2, 4, 8, 15)

    #: Days after which an export that is not ready never will be.
    kept: ClassVar[int] = 7

    @override
    def purchases(self) -> Iterator[list[Record]]:
        """Fetch what was paid for, then pay for the next window, until yesterday is reached."""
        pending = self.stream_state.setdefault("pending", {})
        for export_id in list(pending):
            yield from self._fetched(export_id, pending)
        while (start := self._start()) < self._end():
            window_end, count = self._window(start, self._end())
            if count:
                self.left = f"conversations from {start:%Y-%m-%d} on"
                export_id = self._export(start, window_end, count)
                pending[export_id] = {
                    "start_time": start.isoformat(),
                    "end_time": window_end.isoformat(),
                    "requested_at": now(),
                    "booked": count,
                }
            self.stream_state["exported_until"] = window_end.isoformat()
            self.checkpoint()
            if count:
                yield from self._fetched(export_id, pending)

    @override
    def to_buy(self) -> tuple[int, bool]:
        return self._count(self._start(), self._end()), False

    def _end(self) -> datetime.datetime:
        """Return where the last window ends: yesterday is the last whole day."""
        return datetime.datetime.combine(self.today, datetime.time(), datetime.timezone.utc)

    def _start(self) -> datetime.datetime:
        """Return where the next window begins."""
        since = self.stream_state.get("exported_until") or self.config.get("start_date") or f"{FLOOR}"
        return datetime.datetime.fromisoformat(timestamp(since))

    def _window(self, start: datetime.datetime, end: datetime.datetime) -> tuple[datetime.datetime, int]:
        """Return the end of the next window and how many conversations are in it, at least a day, as many as fit.

        Raises:
            LimitReachedError: Not even a day fits.
        """
        day = datetime.timedelta(days=1)
        while count := self._count(start, end):
            self.left = f"conversations from {start:%Y-%m-%d} on"
            if count <= min(self.price.batch, self.allow(self.price.credits)):
                break
            if end - start <= day:
                self.allow(count * self.price.credits)
                break
            half = (end - start) / 2
            end = start + max(day, datetime.timedelta(days=half.days))
        return end, count

    def _count(self, start: datetime.datetime, end: datetime.datetime) -> int:
        """Return how many conversations a window holds, which is free to ask."""
        source = self.sibling(Conversations)
        with source.needed():
            span = {"start": _moment(start), "end": _moment(end - datetime.timedelta(seconds=1))}
            reply = source.ask({"date_range": span, "page": 1, "per_page": 1, "num_fetch_result": 1})
        return int(reply["pagination"]["total_entries"])

    def _export(self, start: datetime.datetime, end: datetime.datetime, count: int) -> str:
        """Order an export, and return its id."""
        notified = self.lookup(UserProfile)[0]["email"]  # Apollo asks for a member of the team
        body = {
            "start_time": _moment(start),
            "end_time": _moment(end - datetime.timedelta(seconds=1)),
            "email": notified,
        }
        return str(self.buy(body, worst=count * self.price.credits)["export_id"])

    def _fetched(self, export_id: str, pending: dict[str, Any]) -> Iterator[list[Record]]:
        """Yield the row of an export if it is ready."""
        order = pending[export_id]
        rows = self._download(export_id)
        if rows is None:
            age = self.today - datetime.date.fromisoformat(order["requested_at"][:10])
            if age.days > self.kept:
                del pending[export_id]
                text = "%s: the export %s, paid for on %s, was not ready after %d days and is given up: ask Apollo."
                self.logger.warning(text, self.name, export_id, order["requested_at"][:10], self.kept)
            else:
                self.logger.info("%s: the export %s is not ready; the next run asks again.", self.name, export_id)
            return
        yield [
            {
                "export_id": export_id,
                **{name: order[name] for name in ("start_time", "end_time", "requested_at")},
                "record_count": len(rows),
                "conversations": rows,
            }
        ]
        del pending[export_id]
        free = sum(not has_insights(row) for row in rows) if len(rows) == order["booked"] else 0
        ordered = datetime.datetime.fromisoformat(order["requested_at"])
        self.ledger.take_back(
            self.name,
            free * self.price.credits,
            booked=ordered.date(),
            of_this_run=ordered >= self.run.started,
        )

    def _download(self, export_id: str) -> list[Record] | None:
        """Return the rows of an export; None if it is not ready."""
        finder = self.sibling(FindExport)
        for seconds in self.patience:
            with self.run.baton.laid_down():
                time.sleep(seconds)
            try:
                address = finder.ask({}, export_id)["redirect_url"]
            except GoneError:
                continue
            with self.run.baton.laid_down():
                rows: list[Record] = self.run.client.retrying(self._get, self.name)(address)
                return rows
        return None

    def _get(self, address: str) -> list[Record]:
        """Download and unpack from the store that Apollo names, without the key."""
        response = requests.get(address, timeout=self.run.client.timeout)
        if response.status_code >= requests.codes.server_error:
            raise TransientError(f"the store of exports failed ({response.status_code})", response)
        if response.status_code != requests.codes.ok:
            raise RequestError(f"the store of exports refuses the download ({response.status_code}).")
        content = response.content
        try:  # a store that names gzip as the encoding has had it unpacked already
            rows: list[Record] = json.loads(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
        except (EOFError, OSError, ValueError, zlib.error) as error:
            raise TransientError(f"the export cannot be unpacked ({type(error).__name__})", response) from None
        return rows

    @override
    def cost_of(self, reply: Any) -> int:
        """Return the worst case: the reply does not tell, the rows will."""
        return self._worst


class FindExport(ApolloStream):
    """Where an export can be downloaded: a request of conversation_exports, no stream of its own."""

    name = ConversationExports.name
    endpoint = GET(
        "conversations/export/{id}", scope="api/v1/conversations/find_export", oauth="conversations_find_export"
    )


def _moment(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
