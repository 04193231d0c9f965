"""How a list is read by windows of days."""

from __future__ import annotations

import datetime
import heapq
from typing import TYPE_CHECKING, Any, ClassVar, cast

from typing_extensions import override

from tap_apollo.paging import EVERYTHING, PER_PAGE, DateWindow, WindowedListing, WindowMemory, WindowWalk
from tap_apollo.paging.walks import WITNESSES
from tap_apollo.paging.windows import FLOOR
from tap_apollo.singer.conform import timestamp
from tap_apollo.streams.base import WALK, ResumableStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.paging import Outcome, Walk
    from tap_apollo.readers.prefetch import Outlook


class WindowedStream(ResumableStream):
    """A list read by windows of days, from ``lookback_days`` before the bookmark.

    Attributes:
        days_ahead: How far past today to read; the bookmark never passes the start of the run.
    """

    days_ahead: ClassVar[int] = 1

    @property
    @override
    def resumed(self) -> bool:
        return self._memory.stop is not None

    def window_parameters(self, window: DateWindow) -> Mapping[str, Any]:
        """Return the filters that select a window."""
        raise NotImplementedError

    def slices(self) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Return filters that cut a day with too many records."""
        return ()

    @override
    def new_walk(self, context: Context | None) -> Walk:
        self._memory = self.remembered(WindowMemory.from_state, WindowMemory())
        self._latest: list[tuple[str, str]] = [*self._memory.latest]  # of the runs that the walk was begun in, too
        heapq.heapify(self._latest)
        self._began = self._memory.began or timestamp(self.started.isoformat())
        since = self.config.get("start_date")
        start = FLOOR if since is None else _day(timestamp(since))
        first, witnesses = start, cast("tuple[str, ...]", ())
        bookmark = self.place.get("replication_key_value")
        if bookmark and not self.refresh_is_due(self._memory.walked_at):
            lookback = datetime.timedelta(days=self.config["lookback_days"])
            first, witnesses = max(start, _day(bookmark) - lookback), self._memory.witnesses
        last = self.started.date() + datetime.timedelta(days=self.days_ahead)
        span = DateWindow(min(first, last), last)
        listing = WindowedListing(
            window=lambda window: {} if window == EVERYTHING else self.window_parameters(window),
            slices=self.slices,
            display_limit=self.endpoint.display_limit,
        )
        self._walk = WindowWalk(listing, span, since=start, stop=self._memory.stop, witnesses=witnesses)
        return self._walk

    @override
    def page_delivered(self, rows: list[Record]) -> None:
        for row in rows:
            value = row.get(cast("str", self.replication_key))
            if value and (at := timestamp(value)) <= self._began and (at, row["id"]) not in self._latest:
                heapq.heappush(self._latest, (at, row["id"]))
                if len(self._latest) > WITNESSES:
                    heapq.heappop(self._latest)
        super().page_delivered(rows)

    @override
    def progress(self) -> dict[str, Any]:
        walk = cast("WindowWalk", self._walk)
        witnesses = () if walk.recognized else self._memory.witnesses
        latest = tuple(self._latest)
        return WindowMemory(walk.stop(), witnesses, self._memory.walked_at, latest, self._began).to_state()

    @override
    def remember(self, walk: Walk, outcome: Outcome) -> None:
        witnesses = tuple(record_id for _, record_id in self._latest)
        walked_at = self.started if outcome.whole else self._memory.walked_at
        self.place[WALK] = WindowMemory(None, witnesses, walked_at).to_state()
        if self._latest:
            latest = max(self._latest)[0]
            self.place["replication_key"] = self.replication_key
            self.place["replication_key_value"] = max(latest, self.place.get("replication_key_value", ""))

    @override
    def outlook(self) -> Outlook:
        page = self.fetch(next(self.new_walk(None).pages()))
        if page.total is None:
            return self.expected(len(page.records), at_least=len(page.records) == PER_PAGE)
        return self.expected(page.total)


def _day(moment: str) -> datetime.date:
    return datetime.date.fromisoformat(moment[:10])
