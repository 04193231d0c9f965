"""Lists that are read by windows of days."""

from __future__ import annotations

import copy
import datetime
import heapq
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.paging import EVERYTHING, PER_PAGE, DateWindow, WindowedListing, WindowWalk
from tap_apollo.paging.walks import KNOWN_IDS
from tap_apollo.paging.windows import FLOOR
from tap_apollo.readers.lists import WalkReader, expected
from tap_apollo.singer.conform import moment
from tap_apollo.singer.memory import Moment, WindowPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tap_apollo.paging import Outcome, Record, Walk
    from tap_apollo.readers.io import StreamIO
    from tap_apollo.readers.lists import Cut
    from tap_apollo.readers.reader import Estimate


class Windows(WalkReader):
    """A list read by windows of days, from ``lookback_days`` before the bookmark."""

    takes_max_pages = True
    takes_full_refresh_days = True
    tells_changes = True
    place = WindowPlace

    def __init__(
        self, parameters: Callable[[DateWindow], Mapping[str, Any]], *, days_ahead: int = 1, slices: Cut | None = None
    ) -> None:
        """Declare the windows.

        Args:
            parameters: Returns the filters that select a window.
            days_ahead: How far past today to read; the bookmark never passes the start of the run.
            slices: What cuts a day with too many records.
        """
        self._parameters = parameters
        self._days_ahead = days_ahead
        self._slices = slices

    @override
    def start(self, io: StreamIO) -> WindowPass:
        return WindowPass(self, io)

    def listing(self, io: StreamIO) -> WindowedListing:
        """Return how the list is asked for."""
        return WindowedListing(
            window=lambda window: {} if window == EVERYTHING else self._parameters(window),
            slices=lambda: self._cuts(io),
            display_limit=io.endpoint.display_limit,
        )

    def _cuts(self, io: StreamIO) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return self._slices.filters(io) if self._slices else ()

    def last_day(self, io: StreamIO) -> datetime.date:
        """Return the last day to read."""
        return io.started.date() + datetime.timedelta(days=self._days_ahead)

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        walked = self.start(io)
        page = io.fetch(next(walked.walk.pages()))
        if page.total is None:
            return expected(io, len(page.records), at_least=len(page.records) == PER_PAGE)
        return expected(io, page.total, at_least=walked.resumed)  # of which other windows may be left


class WindowPass:
    """One run's walk through a list by windows.

    Attributes:
        walk: The walk.
        resumed: Whether it goes on where another was stopped.
    """

    resumed: bool

    def __init__(self, reader: Windows, io: StreamIO) -> None:
        """Begin where the place says."""
        self._io = io
        self._place: WindowPlace = io.place
        self._place.begin_walk(io.start, io.began)
        self._before = place = copy.copy(self._place)
        self._latest = [*place.latest]  # of the runs that the walk was begun in, too
        heapq.heapify(self._latest)
        self._began = place.began or io.began
        start = _day(io.start) if io.start else FLOOR
        first, known_ids = start, tuple[str, ...]()
        if place.bookmark and not io.refresh_is_due(place.walked_at):
            lookback = datetime.timedelta(days=io.config["lookback_days"])
            first, known_ids = max(start, _day(place.bookmark) - lookback), place.known_ids
        last = reader.last_day(io)
        span = DateWindow(min(first, last), last)
        resume_point = place.stopped()
        self.resumed = resume_point is not None
        self._walk = WindowWalk(reader.listing(io), span, since=start, resume_point=resume_point, known_ids=known_ids)

    @property
    def walk(self) -> Walk:
        """The walk."""
        return self._walk

    def progress(self, rows: list[Record]) -> None:
        """Note where the walk stands, and the latest rows that it has seen."""
        io = self._io
        for row in rows:
            at = moment(row.get(str(io.stream.replication_key)))
            if at and at <= self._began and (at, row["id"]) not in self._latest:
                heapq.heappush(self._latest, (Moment(at), row["id"]))
                if len(self._latest) > KNOWN_IDS:
                    heapq.heappop(self._latest)
        self._place.note_resume_point(self._walk.resume_point())
        self._place.known_ids = () if self._walk.recognized else self._before.known_ids
        self._place.latest, self._place.began = tuple(self._latest), self._began
        io.save()

    def finish(self, outcome: Outcome) -> None:
        """Note what the walk has covered."""
        known_ids = tuple(record_id for _, record_id in self._latest)
        walked_at = self._io.started if outcome.whole else self._before.walked_at
        bookmark = max((at for at, _ in (*self._latest, (self._before.bookmark, "")) if at), default=None)
        self._place.become(WindowPlace(None, known_ids, walked_at, bookmark=bookmark, since=self._before.since))
        self._io.keep()


def _day(moment: str) -> datetime.date:
    return datetime.date.fromisoformat(moment[:10])
