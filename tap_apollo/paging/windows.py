"""The walk of a list by windows of days, which halve until Apollo can show them whole."""

from __future__ import annotations

import dataclasses
import datetime
from collections import deque
from typing import TYPE_CHECKING, Any

from tap_apollo.paging.pages import DISPLAY_LIMIT, PER_PAGE, Page, PageRequest
from tap_apollo.paging.reader import ListReader, Tally
from tap_apollo.paging.walks import KNOWN_IDS, REREADS, Filters, Outcome, none_to_cut_by

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Mapping

    from tap_apollo.paging.walks import Pages

#: No record is older: Apollo was founded in 2015.
FLOOR = datetime.date(2015, 1, 1)

#: Where no total is known: after how many full pages to look whether the window reaches past what Apollo shows.
PROBE_AFTER = 10

_DAY = datetime.timedelta(days=1)


@dataclasses.dataclass(frozen=True)
class DateWindow:
    """Whole days, the first and the last included."""

    first: datetime.date
    last: datetime.date

    def halves(self) -> list[DateWindow]:
        """Return the window cut in two; a single day cannot be cut."""
        if self.first == self.last:
            return []
        middle = self.first + (self.last - self.first) // 2
        return [DateWindow(self.first, middle), DateWindow(middle + _DAY, self.last)]


#: The list as it is, records without a date included.
EVERYTHING = DateWindow(datetime.date.min, datetime.date.max)


@dataclasses.dataclass(frozen=True)
class WindowedListing:
    """How one stream's list is asked for by windows.

    Attributes:
        window: The filters that select a window; none for ``EVERYTHING``.
        slices: Filters that cut a single day which is too long.
        per_page: Most rows to ask for on a page.
        display_limit: Rows beyond which Apollo refuses pages.
    """

    window: Callable[[DateWindow], Mapping[str, Any]]
    slices: Callable[[], Filters] = none_to_cut_by
    per_page: int = PER_PAGE
    display_limit: int = DISPLAY_LIMIT


@dataclasses.dataclass(frozen=True)
class WindowResumePoint:
    """Where a walk by windows was stopped.

    Attributes:
        windows: The windows still to be read, the one it was in first.
        position: How many rows of that one had been read.
        total: Rows in that one then, if it says.
        known_ids: Ids that it had read last there, by which the list is recognized; none before its first.
    """

    windows: tuple[DateWindow, ...]
    position: int = 0
    total: int | None = None
    known_ids: tuple[str, ...] = ()


class WindowWalk:
    """The walk of one run.

    Attributes:
        recognized: Whether the list is the one that the state was written for.
        restarted: Why the walk read more than the state asked for, one line; empty if it did not.
    """

    def __init__(
        self,
        listing: WindowedListing,
        span: DateWindow,
        *,
        since: datetime.date | None = None,
        resume_point: WindowResumePoint | None = None,
        known_ids: Iterable[str] = (),
    ) -> None:
        """Prepare a walk.

        Args:
            listing: How the list is asked for.
            span: The days to read; from ``FLOOR`` on, it is everything.
            since: The first day to read if the state turns out to belong to another list.
            resume_point: Where the last walk was stopped.
            known_ids: Ids among which the list is recognized.
        """
        self._listing = listing
        self._span = span
        self._since = since or FLOOR
        self._whole = EVERYTHING if span.first == FLOOR else span
        self._todo = deque(resume_point.windows if resume_point else [self._whole])
        self._last: tuple[str, ...] = ()
        self._cut = False  # whether it reads a part of a day, within which no run can go on
        if resume_point and resume_point.windows[-1].last < span.last:
            self._todo.append(DateWindow(resume_point.windows[-1].last + _DAY, span.last))
        self._resume_point = resume_point
        self._known_ids = frozenset(known_ids)
        self._tally = Tally()
        self._shortfalls: list[str] = []
        self._missing = 0
        self._total: int | None = None if resume_point else 0
        self._reader = self._new_reader({}, self._tally)
        self.recognized = not self._known_ids
        self.restarted = ""

    def resume_point(self) -> WindowResumePoint:
        """Return what a later run has to know if this one ends now."""
        known_ids = self._last if self._reader.position else ()
        return WindowResumePoint(tuple(self._todo), self._reader.resume_at, self._reader.total, known_ids)

    def ahead(self, count: int) -> list[PageRequest]:
        """Return pages likely to be wanted: of a list that is read from its front, whose rows are counted."""
        return [] if self._total is None else self._reader.ahead(count)

    def pages(self) -> Pages:
        """Walk: see the module on walks."""
        yield from self._all_windows()
        if not self.recognized and self._since < self._span.first:
            self.restarted = "the list holds none of the records that the last run ended with"
            self._todo.append(DateWindow(self._since, self._span.first - _DAY))
            yield from self._all_windows()
        seen = len(self._tally)
        verified = self._total is not None and seen >= self._total
        return Outcome(
            seen,
            self._total,
            whole=self._span.first <= self._since,
            verified=verified,
            missing=self._missing,
            shortfall="; ".join(self._shortfalls),
        )

    def _all_windows(self) -> Generator[PageRequest, Page, None]:
        while self._todo:
            window = self._todo[0]
            fits = yield from self._fits(self._listing.window(window))
            if fits:
                self._count(self._reader.total)
                self._todo.popleft()
            elif halves := (self._span if window == EVERYTHING else window).halves():
                self._todo.popleft()
                self._todo.extendleft(reversed(halves))
            else:
                yield from self._day(window)
                self._todo.popleft()

    def _day(self, window: DateWindow) -> Generator[PageRequest, Page, None]:
        """Read a day that is too long by itself, cut by whatever the list can be cut by."""
        total, rows = self._reader.total, Tally()
        self._count(total)
        cuts = [filters for _, filters in self._listing.slices()]
        whole = bool(cuts)
        for filters in cuts:
            fits = yield from self._fits({**self._listing.window(window), **filters}, rows)
            whole = whole and fits
        if not whole or (total is not None and len(rows) < total):
            yield from self._as_far_as_it_goes(self._listing.window(window), rows)
            self._missing += max(1, (total or 0) - len(rows))
            limit = f"{self._listing.display_limit:,}"
            self._shortfalls.append(f"{window.first} has more records than the {limit} that Apollo shows of one list")

    def _fits(self, parameters: Mapping[str, Any], rows: Tally | None = None) -> Generator[PageRequest, Page, bool]:
        """Read a window, or a cut of one, if Apollo can show all of it, and return whether it can.

        If its rows do not add up to its total, it is read again, as a list is.

        Args:
            parameters: The filters that select it.
            rows: What is seen of the day that it is a cut of; None for a window.
        """
        self._cut, rows = rows is not None, Tally() if rows is None else rows
        before, left_out = len(rows), rows.left_out
        resume_point, self._resume_point = self._resume_point, None
        for attempt in range(1 + REREADS):
            rows.left_out = left_out
            self._reader = self._new_reader(parameters, rows, resume_point=resume_point, careful=attempt > 0)
            fits = yield from self._read(parameters, resume_point)
            if not fits:
                return False
            missing = rows.missing((self._reader.total or 0) + before + left_out)
            if resume_point or not missing:
                return True
        self._missing += missing
        window = self._todo[0]
        days = "" if window == EVERYTHING else f" from {window.first} to {window.last}"
        self._shortfalls.append(f"{missing:,} of {self._reader.total:,} records{days} were not found")
        return True

    def _read(
        self, parameters: Mapping[str, Any], resume_point: WindowResumePoint | None
    ) -> Generator[PageRequest, Page, bool]:
        """Read on to the end, unless there is more than Apollo can show, and return whether it can show all."""
        pages = 0
        while request := self._reader.next_request():
            page = yield request
            pages += 1
            seen_before = (
                resume_point is None
                or pages > 1
                or not resume_point.known_ids
                or self._holds_any(page, resume_point.known_ids)
            )
            self._take(page)
            if not seen_before:
                self.restarted = "the records that the last run read last are not where it was stopped"
                self._todo = deque([self._todo[0], self._whole])  # the first is taken off as done
                return True
            if page.total is not None and page.total > self._listing.display_limit:
                return False
            if page.total is None and pages == PROBE_AFTER and not self._reader.done:
                past_the_limit = yield from self._probe(parameters)
                if past_the_limit:
                    return False
        return not self._reader.out_of_reach

    def _probe(self, parameters: Mapping[str, Any]) -> Generator[PageRequest, Page, bool]:
        """Look whether a window that tells no total reaches as far as the last page that Apollo shows."""
        per_page = self._listing.per_page
        page = yield PageRequest(self._listing.display_limit // per_page, per_page, parameters)
        reaches = bool(page.records)
        self._deliver(page)
        return reaches

    def _as_far_as_it_goes(self, parameters: Mapping[str, Any], rows: Tally) -> Generator[PageRequest, Page, None]:
        """Read what Apollo shows of a window that is too long."""
        self._cut = True
        self._reader = self._new_reader(parameters, rows)
        while request := self._reader.next_request():
            page = yield request
            self._take(page)

    def _take(self, page: Page) -> None:
        """Take up a page that the reader asked for, and deliver what is new."""
        self._last = () if self._cut else tuple(row["id"] for row in page.records[-KNOWN_IDS:])
        self._reader.take(page)
        self._deliver(page)

    def _count(self, total: int | None) -> None:
        """Add a window to the total, which is known only if every window's is."""
        self._total = None if total is None or self._total is None else self._total + total

    def _deliver(self, page: Page) -> None:
        """Leave on a page only what was not delivered before."""
        self.recognized = self.recognized or self._holds_any(page, self._known_ids)
        page.records = self._tally.fresh(page.records)

    @staticmethod
    def _holds_any(page: Page, ids: Collection[str]) -> bool:
        return any(row["id"] in ids for row in page.records)

    def _new_reader(
        self,
        parameters: Mapping[str, Any],
        rows: Tally,
        *,
        resume_point: WindowResumePoint | None = None,
        careful: bool = False,
    ) -> ListReader:
        return ListReader(
            parameters,
            rows,
            position=resume_point.position if resume_point else 0,
            total=resume_point.total if resume_point else None,
            careful=careful,
            per_page=self._listing.per_page,
            display_limit=self._listing.display_limit,
        )
