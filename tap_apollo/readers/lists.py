"""Lists: those that come whole, and those that come in pages, in no order or most recently updated first."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import math
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_apollo.paging import (
    PER_PAGE,
    Frontier,
    Listing,
    ListWalk,
    TimeMark,
    WholePages,
    digest,
)
from tap_apollo.readers.cursor import Cursor, Fleeting
from tap_apollo.readers.reader import Estimate, Reader
from tap_apollo.singer.conform import moment_of
from tap_apollo.singer.memory import ListPlace, Moment
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tap_apollo.paging import Mark, Outcome, Record, Walk
    from tap_apollo.readers.cursor import Pass
    from tap_apollo.readers.io import StreamIO
    from tap_apollo.singer.stream import ApolloStream


class WalkReader(Reader):
    """A stream that one walk reads."""

    finds_deletions = True

    #: Whether a run reads only what is new or may have changed since the last.
    tells_changes: ClassVar[bool] = False

    def start(self, io: StreamIO) -> Pass:
        """Return the walk of this run, from where the place says."""
        raise NotImplementedError

    def cursor(self, io: StreamIO, walked: Pass, **options: Any) -> Cursor:
        """Return what drives the walk of this run; where a small list is looked up, no page limit holds.

        Args:
            io: What to read with.
            walked: What ``start`` gave.
            **options: As ``Cursor`` takes them.
        """
        return Cursor(io, walked, io.max_pages if self.takes_max_pages and not io.looks_up else None, **options)

    def cursors(self, io: StreamIO, **options: Any) -> Iterator[Cursor]:
        """Yield what drives the walks that read the stream, one after another."""
        yield self.cursor(io, self.start(io), **options)

    @override
    def rows(self, io: StreamIO) -> Iterator[list[Record]]:
        for cursor in self.cursors(io, ahead=None if io.needed_by else io.look_ahead()):
            io.cursor = cursor
            yield from cursor

    @override
    def summary(self, io: StreamIO) -> tuple[str, ...]:
        cursor = io.cursor
        if cursor is None:
            return ()
        if cursor.limited:
            io.stopped(io.max_pages_told, "the rest of the list")
        came = cursor.came()
        return (came, counted(cursor.pages, "request")) if came else ()


def as_walked(io: StreamIO) -> WalkReader:
    """Return how a stream is read that is a parent or a source: by walks."""
    reader = io.stream.reads
    if not isinstance(reader, WalkReader):
        raise TypeError(f"{io.name} is not read by a walk, and can be neither parent nor source")
    return reader


class Whole(WalkReader):
    """A list that comes in one reply."""

    @override
    def start(self, io: StreamIO) -> Pass:
        return Fleeting(WholePages())

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        first = next(self.start(io).walk.pages())
        return Estimate(len(io.fetch(first).records), requests=1)


def expected(io: StreamIO, records: int, *, at_least: bool = False) -> Estimate:
    """Return the estimate of some records in pages, as far as the page limit lets the stream go."""
    pages, note = io.within_max_pages(max(1, math.ceil(records / PER_PAGE)), "pages")
    return Estimate(pages * PER_PAGE, pages, note=note) if note else Estimate(records, pages, at_least=at_least)


@dataclasses.dataclass(frozen=True)
class Cut:
    """What a list that is too long can be cut by: a parameter that takes ids.

    Attributes:
        parameter: The filter's name.
        stream: The small stream whose rows have the ids: stages, labels, sequences.
        modality: The kind of record that a label must be for; None for any.
    """

    parameter: str
    stream: type[ApolloStream]
    modality: str | None = None

    def filters(self, io: StreamIO) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """Return the filters, each with a name."""
        rows = io.lookup(self.stream)
        with self.stream.endpoint.parsing():
            ids = [row["id"] for row in rows if self.modality in {None, row.get("modality")}]
        return [(f"{self.parameter}={one}", {self.parameter: [one]}) for one in ids]


class PagedList(WalkReader):
    """A list that comes in pages: by default in no order of update."""

    takes_max_pages = True
    place: Any = ListPlace[None]

    @override
    def start(self, io: StreamIO) -> ListPass:
        return ListPass(self, io)

    # What the lists in an order of update say of themselves

    def listing(self, io: StreamIO) -> Listing:
        """Return how the list is asked for."""
        return Listing(display_limit=io.endpoint.display_limit)

    def begin(self, io: StreamIO, place: ListPlace[Any]) -> None:
        """Give up what a place holds if it is not true of this run."""

    def mark(self, io: StreamIO, value: Any) -> Mark:
        """Return the mark of which a place holds the value; without an order of update there is none."""
        raise NotImplementedError

    def covered(self, io: StreamIO, mark: Mark | None) -> tuple[Mark | None, tuple[str, ...]]:  # noqa: ARG002
        """Return the mark down to which to read, and what it is recognized by.

        Args:
            io: What to read with.
            mark: That of the last walk that came to its end.
        """
        return None, ()

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        walked = self.start(io)
        first, covered = next(walked.walk.pages()), walked.covered
        page = io.fetch(first if covered else dataclasses.replace(first, per_page=1))
        total, is_known = page.total or len(page.records), page.total is not None
        below = max(0, total - walked.stopped_at) if walked.resumed else 0  # what a stopped walk has left
        if covered is None:
            return expected(io, below or total, at_least=not is_known)
        new = sum(not covered.covers(row) for row in page.records)
        look = expected(io, new + below, at_least=new == len(page.records) < total)
        most = expected(io, total)
        if not look.at_least or most.note:
            return look
        return dataclasses.replace(look, note=f"at most {total:,} records in {counted(most.requests, 'request')}")


class ListPass:
    """One run's walk through a list.

    Attributes:
        walk: The walk.
        covered: The mark down to which it reads; None if it reads everything.
        resumed: Whether it goes on where another was stopped.
    """

    def __init__(self, reader: PagedList, io: StreamIO) -> None:
        """Begin where the place says."""
        self._io = io
        self._place: ListPlace[Any] = io.place
        reader.begin(io, self._place)
        self._before = copy.copy(self._place)
        place = self._before
        self._mark = None if place.covered is None else reader.mark(io, place.covered)
        self.covered, known_ids = reader.covered(io, self._mark)
        self._whole = self.covered is None or self.covered is not self._mark
        self.resumed = bool(place.resume_points)
        resume_points = place.stopped(lambda value: reader.mark(io, value))
        find_deletions = io.config["detect_deletes"] and io.needed_by is None
        self._walk = ListWalk(reader.listing(io), self.covered, resume_points, known_ids, find_deletions=find_deletions)

    @property
    def walk(self) -> Walk:
        """The walk."""
        return self._walk

    @property
    def stopped_at(self) -> int:
        """How many rows the last run had read."""
        return int(self._before.resume_points[0].position)

    def progress(self, rows: list[Record]) -> None:  # noqa: ARG002
        """Note where the walk stands."""
        self._place.known_ids = self._before.known_ids if self._whole else self._walk.known_ids
        self._place.note_resume_point(self._walk.resume_points())
        self._io.save()

    def finish(self, outcome: Outcome) -> None:
        """Note what the walk has covered."""
        mark = self._walk.mark or self._mark
        if outcome.missing and not outcome.capped:  # the next run looks for it, from where this one began
            self._place.become(self._before)
        elif mark is None:
            self._place.become(ListPlace())
        else:
            walked_at = self._io.started if self._whole or outcome.whole else self._before.walked_at
            since = self._before.since
            self._place.become(ListPlace(mark.value, (), self._walk.known_ids, walked_at, since))
        self._io.keep()


class Unordered(PagedList):
    """A list in no order of update: every run reads all of it, from where one was stopped."""


class _MostRecentFirst(PagedList):
    """A list in descending order of last update, which can be cut and sorted by creation where it is too long."""

    takes_full_refresh_days = True
    tells_changes = True

    def __init__(self, updated: str, *, created: str, slices: Cut, labels: Cut) -> None:
        """Declare how the list is sorted and cut.

        Args:
            updated: What sorts it by last update.
            created: What sorts it by creation.
            slices: What cuts it into parts of which each row is in exactly one.
            labels: What cuts a part that is too long read from both ends.
        """
        self._updated = updated
        self._created = created
        self._slices = slices
        self._labels = labels

    @override
    def listing(self, io: StreamIO) -> Listing:
        return Listing(
            parameters={"sort_by_field": self._updated, "sort_ascending": False},
            key=self.key(io),
            new_mark=lambda head, before: self.new_mark(io, head, before),
            slices=lambda: self._slices.filters(io),
            newest={"sort_by_field": self._created, "sort_ascending": False},
            oldest={"sort_by_field": self._created, "sort_ascending": True},
            labels=lambda: self._labels.filters(io),
            display_limit=io.endpoint.display_limit,
        )

    def key(self, io: StreamIO) -> Callable[[Record], str | None] | None:
        """Return what gives the sort value of a row, if rows show it."""
        raise NotImplementedError

    def new_mark(self, io: StreamIO, head: list[Record], before: Mark | None) -> Mark | None:
        """Return the mark of a walk that began with some rows."""
        raise NotImplementedError


class NewestFirst(_MostRecentFirst):
    """A list in descending order of its replication key, read down to the bookmark."""

    place = ListPlace[Moment]

    @override
    def key(self, io: StreamIO) -> Callable[[Record], str | None]:
        return moment_of(str(io.stream.replication_key))

    @override
    def new_mark(self, io: StreamIO, head: list[Record], before: Mark | None) -> Mark | None:
        """Return the replication value of the walk's first record, or the run's start if that is earlier."""
        key = self.key(io)
        first = next(filter(None, map(key, head)), None)
        return None if first is None else TimeMark(min(first, io.began), key)

    @override
    def begin(self, io: StreamIO, place: ListPlace[Any]) -> None:
        place.begin_walk(io.start, io.began)

    @override
    def mark(self, io: StreamIO, value: str) -> TimeMark:
        return TimeMark(value, self.key(io))

    @override
    def covered(self, io: StreamIO, mark: Mark | None) -> tuple[Mark | None, tuple[str, ...]]:
        start, due = io.start, io.refresh_is_due(io.place.walked_at)
        if start and (due or not isinstance(mark, TimeMark) or start > mark.at):
            return TimeMark(start, self.key(io), margin=datetime.timedelta()), ()
        return (None, ()) if due or mark is None else (mark, io.place.known_ids)


class FrontierFirst(_MostRecentFirst):
    """A list in descending order of an update time that it does not show, read down to rows that are as they were."""

    place = ListPlace[list[str]]

    @override
    def key(self, io: StreamIO) -> None:
        return None

    @override
    def new_mark(self, io: StreamIO, head: list[Record], before: Mark | None) -> Mark | None:
        """Return what the walk began with, and what is left of the mark before."""
        return Frontier([*map(digest, head), *(before.digests if isinstance(before, Frontier) else ())])

    @override
    def mark(self, io: StreamIO, value: list[str]) -> Frontier:
        return Frontier(value)

    @override
    def covered(self, io: StreamIO, mark: Mark | None) -> tuple[Mark | None, tuple[str, ...]]:
        return (None, ()) if io.refresh_is_due(io.place.walked_at) else (mark, io.place.known_ids)


def nested(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters written as Apollo documents them for a query, ``titles[]``, ``range[min]``, as a JSON body."""
    body: dict[str, Any] = {}
    for name, value in filters.items():
        outer, _, inner = name.removesuffix("]").partition("[")
        if inner:
            body[outer] = {**body.get(outer, {}), inner: value}
        else:
            body[outer] = value
    return body


#: Searches that an estimate asks about.
MOST_LOOKS = 2


class FreeSearches(WalkReader):
    """The searches that a setting names, each a list read whole; without searches nothing is asked.

    Attributes:
        setting: The setting.
    """

    takes_max_pages = True
    finds_deletions = False  # each is one list of several

    def __init__(self, setting: str) -> None:
        """Take the setting's name."""
        self.setting = setting

    @override
    def cursors(self, io: StreamIO, **options: Any) -> Iterator[Cursor]:
        for search in io.config[self.setting]:
            yield Cursor(io, Fleeting(self._walk(io, search)), self._limit(io, search), **options)

    @override
    def rows(self, io: StreamIO) -> Iterator[list[Record]]:
        names = [search["name"] for search in io.config[self.setting]]
        for name, cursor in zip(names, self.cursors(io, ahead=io.look_ahead()), strict=True):
            io.cursor = cursor
            with io.report.containing(io.name):  # one that Apollo refuses does not keep the others from being read
                for rows in cursor:
                    yield [{**row, "search": name} for row in rows]
            io.unfinished += cursor.outcome is None

    @override
    def summary(self, io: StreamIO) -> tuple[str, ...]:
        """Report what came, and the stream's limit; that of a search is what is wanted of it."""
        if io.pages == io.max_pages and io.cursor and io.cursor.limited:
            io.stopped(io.max_pages_told, "", "The next run reads the same pages.")
        searches = io.config[self.setting]
        if io.cursor is None or not io.pages:
            return ()
        left = ", not read to the end" if io.unfinished else ""
        records = io.cursor.came() if len(searches) == 1 else f"{counted(io.delivered, 'record')}{left}"
        return records, counted(io.pages, "request")

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        """Ask what the first two searches find; of more, at least as much is to come."""
        searches = io.config[self.setting]
        if not searches:
            return Estimate(0, requests=0, note=f"`{self.setting}` names none")
        looks, known = [], len(searches) <= MOST_LOOKS
        for search in searches[:MOST_LOOKS]:
            first = next(self._walk(io, search).pages())
            found = io.fetch(dataclasses.replace(first, per_page=1)).total
            known, total = known and found is not None, found or 0
            pages, limit = math.ceil(total / PER_PAGE), self._limit(io, search)
            looks.append((total, pages) if limit is None or pages <= limit else (limit * PER_PAGE, limit))
        records, requests = (sum(numbers) for numbers in zip(*looks, strict=True))
        return Estimate(records, requests, at_least=not known)

    def _walk(self, io: StreamIO, search: Mapping[str, Any]) -> ListWalk:
        return ListWalk(Listing(nested(search["filters"]), display_limit=io.endpoint.display_limit))

    def _limit(self, io: StreamIO, search: Mapping[str, Any]) -> int | None:
        """Return the limit of a search, or what the searches before have left of the stream's."""
        left = None if io.max_pages is None else max(0, io.max_pages - io.pages)
        return min((limit for limit in (left, search.get("max_pages")) if limit is not None), default=None)
