"""The walk of one run through one stream: down to covered ground, on from where walks were stopped, in slices.

``pages`` is a generator: it yields the page it wants, is sent the page that came, takes out of it what need not be
delivered, and returns the ``Outcome``. After each page ``resume_points`` says where a later run goes on.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tap_apollo.paging.marks import FRONTIER_SIZE
from tap_apollo.paging.pages import DISPLAY_LIMIT, PER_PAGE, Page, PageRequest, Record
from tap_apollo.paging.reader import ListReader, Tally

if TYPE_CHECKING:
    from tap_apollo.paging.marks import Mark
    from tap_apollo.paging.reader import Key

Pages = Generator[PageRequest, Page, "Outcome"]
Parts = Generator[PageRequest, Page, None]

#: Names of filters, and the parameters that each sends.
Filters = Iterable[tuple[str, Mapping[str, Any]]]

#: How often a list is read again whose distinct rows do not add up to its total.
REREADS = 3

#: How many interrupted walks to remember; below the last, ground is read again.
MOST_RESUME_POINTS = 3

#: How many rows a later run recognizes the list by: they may be changed or deleted meanwhile, but hardly all.
KNOWN_IDS = 5


class FilterIgnoredError(Exception):
    """The endpoint answered a filtered request with the whole list; the message names the filter."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a walk ended.

    Attributes:
        seen: Distinct rows seen, those of the runs it was begun in included.
        total: Rows in the list, if it says.
        whole: Whether the whole list was read, not just down to covered ground.
        verified: Whether all rows of the whole list were counted in this run.
        proves_deletions: Whether what did not come is not there, so that a target may drop it.
        missing: How many rows are known to be missing, at the least.
        shortfall: What could not be read and why, one line for the user; empty if nothing.
        capped: Whether what is missing stands past what Apollo shows, so that another walk would not find it either.
    """

    seen: int = 0
    total: int | None = None
    whole: bool = True
    verified: bool = False
    proves_deletions: bool = False
    missing: int = 0
    shortfall: str = ""
    capped: bool = False


@dataclasses.dataclass(frozen=True)
class ResumePoint:
    """Where a walk was stopped.

    Attributes:
        position: How many rows from the front of the list, or of a part of it, had been read.
        total: Rows in that list then.
        count: Distinct rows seen so far.
        mark: Where the walk had begun; None for a list in no order of update.
        part: The part of a sliced list; empty for the list itself.
        known_ids: Ids by which the list is recognized: the rows that the walk began with, or else those it had last.
        careful: Whether ties were seen to move.
    """

    position: int
    total: int | None
    count: int
    mark: Mark | None = None
    part: str = ""
    known_ids: tuple[str, ...] = ()
    careful: bool = False


def none_to_cut_by() -> Filters:
    """Return no filters: the list cannot be cut."""
    return ()


@dataclasses.dataclass(frozen=True)
class Listing:
    """How one stream's list is asked for.

    Attributes:
        parameters: What sorts it, most recently updated first where it can.
        key: The sort value of a row, if rows show it.
        new_mark: Makes a mark of the rows a walk began with and the mark before; None for a list in no order of update.
        slices: Filters of which each row fits exactly one; asked for only if the list is too long.
        newest: What sorts by creation, last first.
        oldest: What sorts by creation, first first.
        labels: Filters that cut a slice which is too long read from both ends.
        per_page: Most rows to ask for on a page.
        display_limit: Rows beyond which Apollo refuses pages.
    """

    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    key: Key | None = None
    new_mark: Callable[[list[Record], Any], Mark | None] | None = None
    slices: Callable[[], Filters] = none_to_cut_by
    newest: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    oldest: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    labels: Callable[[], Filters] = none_to_cut_by
    per_page: int = PER_PAGE
    display_limit: int = DISPLAY_LIMIT


class Walk(Protocol):
    """What reads a stream.

    Attributes:
        restarted: Why it read more than the state asked for, half a sentence; empty if it did not.
    """

    restarted: str

    def pages(self) -> Pages:
        """Yield the pages wanted, be sent those that came, return the outcome."""

    def ahead(self, count: int) -> list[PageRequest]:
        """Return pages likely to be wanted after the one just yielded; none if their order of service matters."""


class WholePages:
    """The walk through a number of pages, each whole by itself; one that could not be read has no total."""

    restarted = ""

    def __init__(self, count: int = 1) -> None:
        """Ask for so many pages: one of a list that comes whole."""
        self._count = count

    def pages(self) -> Pages:
        """Walk: see the module."""
        seen, complete = 0, True
        for number in range(1, self._count + 1):
            page = yield PageRequest(number)
            seen += len(page.records)
            complete = complete and page.total is not None
        return Outcome(seen, seen if complete else None, verified=complete, proves_deletions=complete and seen > 0)

    def ahead(self, count: int) -> list[PageRequest]:  # noqa: ARG002
        """Return nothing: there are few."""
        return []


class ListWalk:
    """The walk of one run.

    A count that comes out does not yet show what is gone: a row that was deleted after it came can make up for one that
    slipped by. Newest first, what is new comes to the front. If nothing new was met there, all rows that come were in
    the list at first; one that is missed leaves fewer than there were, so either the count falls short or the total
    fell. A list in no order is read twice: if the same rows come again, all of them were alive when the total was told.

    Attributes:
        restarted: Why the walk did not trust the state, half a sentence; empty if it did.
    """

    def __init__(
        self,
        listing: Listing,
        covered: Mark | None = None,
        resume_points: Iterable[ResumePoint] = (),
        known_ids: Iterable[str] = (),
        *,
        find_deletions: bool = False,
    ) -> None:
        """Prepare a walk.

        Args:
            listing: How the list is asked for.
            covered: The mark of the last walk that came to its end; None to read the whole list.
            resume_points: Where walks since then were stopped, the latest first.
            known_ids: Ids that the covered ground is recognized by: it is trusted once one of them is seen.
            find_deletions: Whether to read a list in no order twice, to know what is gone.
        """
        self._listing = listing
        self._find_deletions = find_deletions
        self._covered = covered
        self._resume_points = deque(resume_points)
        self._resumed = bool(self._resume_points)
        self._front: str | None = None
        self._front_is_new = False
        self._cuts: list[tuple[str, Mapping[str, Any]]] | None = None
        self._known_ids = tuple(known_ids)
        self._tally = Tally()
        self._reader = self._new_reader()
        self._part = ""
        self._head: list[Record] = []
        self._last: list[Record] = []
        self.restarted = ""

    # What later runs need

    @property
    def mark(self) -> Mark | None:
        """The mark of this walk: no later bookmark is safe."""
        return self._listing.new_mark(self._head, self._covered) if self._listing.new_mark else None

    @property
    def known_ids(self) -> tuple[str, ...]:
        """The ids by which a later run recognizes the covered ground."""
        return _ids(self._head[:KNOWN_IDS]) if self._knows(self._known_ids) else self._known_ids

    def resume_points(self) -> list[ResumePoint]:
        """Return the resume points that a later run has to know if this one ends now."""
        reader = self._reader
        read_again = reader.position - reader.resume_at
        count = max(0, len(self._tally) - read_again)
        known_ids = _ids(self._head[:KNOWN_IDS] if self._listing.new_mark else self._last[-KNOWN_IDS:])
        now = ResumePoint(reader.resume_at, reader.total, count, self.mark, self._part, known_ids, reader.careful)
        return [now, *self._resume_points][:MOST_RESUME_POINTS]

    # The walk

    def ahead(self, count: int) -> list[PageRequest]:
        """Return pages likely to be wanted: of a whole list that is read from its front, whose rows are counted."""
        if self._covered or self._resumed:
            return []
        return self._reader.ahead(count)

    def pages(self) -> Pages:
        """Walk: see the module."""
        if self._listing.new_mark:
            return (yield from self._from_the_head())
        return (yield from self._on_from_the_stop())

    def _from_the_head(self) -> Pages:
        """Read a newest-first list down to covered ground, skipping what stopped walks have read."""
        reader = self._reader
        while request := reader.next_request():
            page = yield request
            if request.first == 0 and page.records:
                front, self._front = self._front, page.records[0]["id"]
                self._front_is_new = self._front_is_new or front not in {None, self._front}
            reader.take(page)
            rows = page.records
            if len(self._head) < FRONTIER_SIZE:
                self._head.extend(rows)
            if self._too_long(page.total) and not self._covered and not self._resume_points and self._slices:
                return (yield from self._sliced(page.total))
            if reader.went_back:
                continue
            while self._resume_points and self._has_come_to(
                self._resume_points[0].mark, self._resume_points[0].known_ids, rows
            ):
                resume_point = self._go_on_from(self._resume_points.popleft(), page.total)
                if resume_point.part:
                    return (yield from self._sliced(page.total, resume_point))
            if self._covered and self._knows(self._known_ids):
                page.records = [row for row in page.records if not self._covered.covers(row)]
            if not self._resume_points and self._has_come_to(self._covered, self._known_ids, rows):
                return Outcome(len(self._tally), page.total, whole=False)
        if not self._knows(self._known_ids):
            self.restarted = "the list holds none of the records that the last run began with"
        if reader.out_of_reach:
            return (yield from self._sliced(reader.total))
        return (yield from self._counted())

    def _go_on_from(self, resume_point: ResumePoint, total: int | None) -> ResumePoint:
        """Skip what a stopped walk had read: unread rows have moved back by at least what the total grew."""
        self._tally.carried += resume_point.count
        grown = total - resume_point.total if total is not None and resume_point.total is not None else 0
        if not resume_point.part:
            self._reader.jump(resume_point.position + grown, careful=resume_point.careful)
        return resume_point

    def _on_from_the_stop(self) -> Pages:
        """Read a list in no order of update to its end, from where the last walk was stopped if it still looks so."""
        resume_point = self._resume_points.popleft() if self._resume_points else None
        if resume_point:
            self._tally.carried = resume_point.count
            self._reader = self._new_reader(
                position=resume_point.position, total=resume_point.total, careful=resume_point.careful
            )
        pages = 0
        while request := self._reader.next_request():
            page = yield request
            pages += 1
            self._last = page.records
            self._reader.take(page)
            if resume_point and not self._knows(resume_point.known_ids):
                self.restarted = "the records that the last run read last are not where it was stopped"
                self._tally.carried = 0
                self._reader = self._new_reader()
            resume_point = None
        if self._reader.out_of_reach:
            return self._short(self._reader.total)
        outcome = yield from self._counted()
        if outcome.proves_deletions and pages > 1:
            same = self._find_deletions and (yield from self._comes_again())
            return dataclasses.replace(outcome, seen=len(self._tally), proves_deletions=same)
        return outcome

    def _comes_again(self) -> Generator[PageRequest, Page, bool]:
        """Read the list once more, and return whether the same rows came, and no others."""
        again, new = Tally(), 0
        reader = self._new_reader(rows=again)
        while request := reader.next_request():
            page = yield request
            reader.take(page)
            page.records = self._tally.fresh(page.records)
            new += len(page.records)
        return new == 0 and len(again) == len(self._tally) == reader.total

    def _counted(self) -> Pages:
        """Read the list again, as often as need be, until its distinct rows add up to its total."""
        for _ in range(REREADS):
            total = self._reader.total
            if total is None or not self._tally.missing(total) or self._tally.carried:
                break
            self._front_is_new, self._tally.left_out = True, 0
            self._reader = self._new_reader(total=total, careful=True)
            while (request := self._reader.next_request()) and self._tally.missing(self._reader.total or total):
                page = yield request
                self._reader.take(page)
        return self._short(self._reader.total)

    def _short(self, total: int | None) -> Outcome:
        seen = len(self._tally)
        missing = self._tally.missing(total)
        if not missing:
            verified = total is not None and not self._tally.carried
            whole = verified and self._covered is None and not self._part  # else what is covered was left out
            known = self._listing.new_mark is None or not self._front_is_new
            proves_deletions = whole and known and seen == total and seen > 0 and not self._tally.fell
            return Outcome(seen, total, verified=verified, proves_deletions=proves_deletions)
        capped = self._reader.out_of_reach or bool(self._part)
        why = f"not read, as Apollo shows {self._listing.display_limit:,} of one list" if capped else "not found"
        shortfall = f"{missing:,} of {total:,} records were {why}"
        return Outcome(seen, total, missing=missing, shortfall=shortfall, capped=capped)

    # Slices, for a list that is longer than Apollo shows

    def _sliced(self, whole: int | None, resume_point: ResumePoint | None = None) -> Pages:
        """Read the list slice by slice.

        Args:
            whole: Rows in the unfiltered list.
            resume_point: Where an earlier walk was stopped; slices before it are not read again.
        """
        if resume_point and resume_point.part.split("/")[0] not in dict(self._slices):
            self.restarted = f"the slice {resume_point.part} that the last run was in is not there any more"
            resume_point, self._tally.carried = None, 0
        for name, filters in self._slices:
            if resume_point and resume_point.part.split("/")[0] != name:
                continue
            yield from self._slice(name, filters, whole, resume_point)
            resume_point = None
        return self._short(whole)

    def _slice(
        self, name: str, filters: Mapping[str, Any], whole: int | None, resume_point: ResumePoint | None
    ) -> Parts:
        """Read one slice: as it is if it fits, else from both ends by creation, else cut by labels."""
        rows = Tally()
        for part, parameters in self._parts(name, filters):
            if resume_point and resume_point.part != part:
                continue
            total = yield from self._read_part(part, parameters, rows, whole, resume_point)
            resume_point = None
            if len(rows) >= total or (part == name and total <= self._listing.display_limit):
                return

    def _parts(self, name: str, filters: Mapping[str, Any]) -> Filters:
        listing = self._listing
        yield name, {**listing.parameters, **filters}
        yield f"{name}/newest", {**filters, **listing.newest}
        yield f"{name}/oldest", {**filters, **listing.oldest}
        for label, narrower in listing.labels():
            yield f"{name}/{label}", {**listing.parameters, **filters, **narrower}

    def _read_part(
        self,
        part: str,
        parameters: Mapping[str, Any],
        rows: Tally,
        whole: int | None,
        resume_point: ResumePoint | None,
    ) -> Generator[PageRequest, Page, int]:
        """Read a part of a sliced list, and return how many rows it has; one that is too long is only looked at."""
        self._part = part
        for attempt in range(1 + REREADS):
            self._reader = ListReader(
                parameters,
                rows,
                key=self._listing.key if "/" not in part else None,
                position=resume_point.position if resume_point else 0,
                total=resume_point.total if resume_point else None,
                careful=attempt > 0 or bool(resume_point and resume_point.careful),
                per_page=self._listing.per_page,
                display_limit=self._listing.display_limit,
            )
            while request := self._reader.next_request():
                page = yield request
                if not page.filtered and whole and (page.total or 0) >= whole:
                    raise FilterIgnoredError(f"`{part.split('=', maxsplit=1)[0]}`, by which the list is cut")
                self._reader.take(page)
                page.records = self._tally.fresh(page.records)
                if len(rows) >= (page.total or 0) or (self._too_long(page.total) and "/" not in part):
                    return page.total or 0
            if resume_point or self._reader.out_of_reach:
                break
        return self._reader.total or 0

    # Small things

    def _new_reader(
        self,
        *,
        position: int = 0,
        total: int | None = None,
        careful: bool = False,
        rows: Tally | None = None,
    ) -> ListReader:
        return ListReader(
            self._listing.parameters,
            self._tally if rows is None else rows,
            key=self._listing.key,
            position=position,
            total=total,
            careful=careful,
            per_page=self._listing.per_page,
            display_limit=self._listing.display_limit,
        )

    def _too_long(self, total: int | None) -> bool:
        return total is not None and total > self._listing.display_limit

    @property
    def _slices(self) -> list[tuple[str, Mapping[str, Any]]]:
        if self._cuts is None:  # no cached_property: before Python 3.12 it holds a lock, and to ask may take long
            self._cuts = list(self._listing.slices())
        return self._cuts

    def _knows(self, known_ids: tuple[str, ...]) -> bool:
        """Whether the list is the one that the known_ids were seen in."""
        return not known_ids or any(known_id in self._tally.ids for known_id in known_ids)

    def _has_come_to(self, mark: Mark | None, known_ids: tuple[str, ...], rows: list[Record]) -> bool:
        return mark is not None and self._knows(known_ids) and mark.reached(rows)


def _ids(rows: Iterable[Record]) -> tuple[str, ...]:
    return tuple(row["id"] for row in rows)
