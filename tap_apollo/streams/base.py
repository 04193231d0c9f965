"""How a list of pages is read: whole, resumable, newest first, or down to rows that are as they were."""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import TYPE_CHECKING, Any, TypeVar, cast

from typing_extensions import override

from tap_apollo.paging import (
    PER_PAGE,
    Frontier,
    Listing,
    ListMemory,
    ListWalk,
    StateError,
    TimeMark,
    WindowMemory,
    digest,
)
from tap_apollo.readers.prefetch import Outlook
from tap_apollo.report import counted
from tap_apollo.singer.conform import timestamp
from tap_apollo.singer.stream import ApolloStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.paging import Mark, Outcome, Walk
    from tap_apollo.paging.memory import ReadMark

Memory = TypeVar("Memory", ListMemory, WindowMemory)

#: Where the walk's memory stands in the stream's state.
WALK = "walk"


class PagedStream(ApolloStream):
    """A list that comes in numbered pages; read whole."""

    @override
    def page_limit(self, context: Context | None) -> int | None:
        return self.max_pages

    @override
    def new_walk(self, context: Context | None) -> Walk:
        return ListWalk(Listing(display_limit=self.endpoint.display_limit))

    def expected(self, records: int, *, at_least: bool = False) -> Outlook:
        """Return the outlook on some records, as far as the page limit lets the stream go."""
        pages, limit = max(1, math.ceil(records / PER_PAGE)), self.page_limit(None)
        if limit is not None and pages > limit:
            return Outlook(limit * PER_PAGE, limit, note=f"`max_pages` allows {limit:,} of {pages:,} pages")
        return Outlook(records, pages, at_least=at_least)


class ResumableStream(PagedStream):
    """A paged stream whose walk a later run continues where this one was stopped.

    The SDK would move the bookmark with each record; here a walk knows what it has covered.
    """

    _walk: Walk
    _borrowed: dict[str, Any] | None = None
    _borrowed_for: int | None = None

    def borrow(self, state: dict[str, Any], refresh_days: int | None) -> None:
        """Keep the walk's place in a state of somebody else's, who reads the stream for his own ends.

        Args:
            state: That state, changed in place.
            refresh_days: After how many days he wants to read everything again; None: never.
        """
        self._borrowed, self._borrowed_for = state, refresh_days

    @property
    def resumed(self) -> bool:
        """Whether the walk goes on where another was stopped."""
        raise NotImplementedError

    @property
    def tells_changes(self) -> bool:
        """Whether a run reads only what is new or may have changed since the last."""
        return True

    @property
    def place(self) -> dict[str, Any]:
        """The state that holds the walk's place, changed in place."""
        return self.stream_state if self._borrowed is None else self._borrowed

    @property
    def keeps_its_place(self) -> bool:
        """Whether what is read is also written: not if it is read for the streams derived from it alone."""
        return self.selected or self._borrowed is not None

    def progress(self) -> dict[str, Any]:
        """Return the memory of the walk so far, as JSON."""
        raise NotImplementedError

    @override
    def page_delivered(self, rows: list[Record]) -> None:
        if not self.keeps_its_place:
            return
        self.place[WALK] = self.progress()
        self.write_state()

    @override
    def walk_ended(self, walk: Walk, outcome: Outcome | None) -> None:
        super().walk_ended(walk, outcome)
        if outcome and self.keeps_its_place:
            self.remember(walk, outcome)

    def remember(self, walk: Walk, outcome: Outcome) -> None:
        """Note in the state what a walk that came to its end has covered."""
        raise NotImplementedError

    def remembered(self, read: Callable[[Any], Memory], nothing: Memory) -> Memory:
        """Return the memory in the state; one that cannot be used is dropped with the bookmark, and said.

        Args:
            read: Reads a memory from JSON; raises StateError if it is none.
            nothing: The memory of a stream that was never read.
        """
        if WALK not in self.place and "replication_key_value" not in self.place:
            return nothing
        try:
            return read(self.place.get(WALK))
        except StateError as error:
            for key in (WALK, "replication_key", "replication_key_value"):
                self.place.pop(key, None)
            self.logger.warning("%s: the state cannot be used, as %s; reading everything.", self.name, error)
            return nothing

    @property
    def refresh_days(self) -> int | None:
        """After how many days to read everything again."""
        if self._borrowed is not None:
            return self._borrowed_for
        return self.full_refresh_days

    def refresh_is_due(self, walked_at: datetime.datetime | None) -> bool:
        """Whether the last whole walk is as long ago as the setting says."""
        if self.refresh_days is None:
            return False
        return walked_at is None or self.started - walked_at >= datetime.timedelta(days=self.refresh_days)

    @property
    def started(self) -> datetime.datetime:
        """When the run began."""
        return self.run.started


class ListStream(ResumableStream):
    """A list in no order of update: read whole by every run."""

    _memory = ListMemory()
    _whole = True

    @property
    @override
    def resumed(self) -> bool:
        return bool(self._memory.stops)

    @property
    @override
    def tells_changes(self) -> bool:
        return self.listing.new_mark is not None

    @property
    def listing(self) -> Listing:
        """How the list is asked for."""
        return Listing(display_limit=self.endpoint.display_limit)

    @property
    def read_mark(self) -> ReadMark | None:
        """What reads the marks of the stream's walks; None without an order of update."""
        return None

    def covered(self) -> tuple[Mark | None, tuple[str, ...]]:
        """Return the mark down to which to read, and what it is recognized by."""
        return None, ()

    @override
    def new_walk(self, context: Context | None) -> Walk:
        self._memory = self.remembered(self._read_memory, ListMemory())
        covered, witnesses = self.covered()
        self._whole = covered is None or covered is not self._memory.covered
        settle = self.config["detect_deletes"] and self._borrowed is None
        self._walk = ListWalk(self.listing, covered, self._memory.stops, witnesses, settle=settle)
        return self._walk

    def _read_memory(self, state: Any) -> ListMemory:
        memory = ListMemory.from_state(state, self.read_mark)
        self.check(memory)
        return memory

    def check(self, memory: ListMemory) -> None:
        """Hold a memory against the rest of the state.

        Raises:
            StateError: They do not agree.
        """

    @override
    def progress(self) -> dict[str, Any]:
        walk = cast("ListWalk", self._walk)
        witnesses = self._memory.witnesses if self._whole else walk.witnesses
        return ListMemory(self._memory.covered, tuple(walk.stops()), witnesses, self._memory.walked_at).to_state()

    @override
    def remember(self, walk: Walk, outcome: Outcome) -> None:
        if outcome.missing and not outcome.capped:  # the next run looks for it, from where this one began
            self.place[WALK] = self._memory.to_state()
            return
        mark = cast("ListWalk", walk).mark or self._memory.covered
        if mark is None:
            self.place[WALK] = ListMemory().to_state()
            return
        walked_at = self.started if self._whole or outcome.whole else self._memory.walked_at
        witnesses = cast("ListWalk", walk).witnesses
        self.place[WALK] = ListMemory(mark, (), witnesses, walked_at).to_state()
        self.bookmark(mark)

    def bookmark(self, mark: Mark) -> None:
        """Write the bookmark that stands for a mark, if the stream has one."""

    @override
    def outlook(self) -> Outlook:
        first = next(self.new_walk(None).pages())
        covered, _ = self.covered()
        page = self.fetch(first if covered else dataclasses.replace(first, per_page=1))
        total = page.total or len(page.records)
        below = 0  # what a stopped walk has left
        if self._memory.stops:
            below = max(0, total - self._memory.stops[0].position)
        if covered is None:
            return self.expected(below or total)
        new = sum(not covered.covers(row) for row in page.records)
        look = self.expected(new + below, at_least=new == len(page.records) < total)
        most = self.expected(total)
        if not look.at_least or most.note:
            return look
        return dataclasses.replace(look, note=f"at most {total:,} records in {counted(most.requests, 'request')}")


class NewestFirstStream(ListStream):
    """A list in descending order of its replication key, read down to the bookmark."""

    def key(self, record: Record) -> str | None:
        """Return the replication value of a row, in the form that compares as text."""
        value = record.get(cast("str", self.replication_key))
        return None if value is None else timestamp(value)

    def new_mark(self, head: list[Record], _: Mark | None) -> Mark | None:
        """Return the mark of a walk: the replication value of its first record."""
        first = next(filter(None, map(self.key, head)), None)
        return None if first is None else TimeMark(first, self.key)

    @property
    @override
    def read_mark(self) -> ReadMark:
        return lambda state: TimeMark(timestamp(state["at"]), self.key)

    @override
    def check(self, memory: ListMemory) -> None:
        value = self.place.get("replication_key_value")
        if (memory.covered and cast("TimeMark", memory.covered).at) != value:
            raise StateError("its bookmark was edited")

    @override
    def covered(self) -> tuple[Mark | None, tuple[str, ...]]:
        mark, start = cast("TimeMark | None", self._memory.covered), self.config.get("start_date")
        due = mark is None or self.refresh_is_due(self._memory.walked_at)
        if start and (due or mark is None or timestamp(start) > mark.at):
            return TimeMark(timestamp(start), self.key, margin=datetime.timedelta()), ()
        return (None, ()) if due else (mark, self._memory.witnesses)

    @override
    def bookmark(self, mark: Mark) -> None:
        self.place["replication_key"] = self.replication_key
        self.place["replication_key_value"] = cast("TimeMark", mark).at


class FrontierStream(ListStream):
    """A list in descending order of an update time that it does not show, read down to rows that are as they were."""

    def new_mark(self, head: list[Record], before: Mark | None) -> Mark | None:
        """Return the mark of a walk: what it began with, and what is left of the mark before."""
        return Frontier([*map(digest, head), *(before.digests if isinstance(before, Frontier) else ())])

    @property
    @override
    def read_mark(self) -> ReadMark:
        return lambda state: Frontier(state["digests"])

    @override
    def covered(self) -> tuple[Mark | None, tuple[str, ...]]:
        due = self.refresh_is_due(self._memory.walked_at)
        return (None, ()) if due else (self._memory.covered, self._memory.witnesses)


def cut_by(
    parameter: str,
    rows: Iterable[Record],
    modality: str | None = None,
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return filters that cut a list by a parameter that takes ids: of stages, of labels, of sequences.

    Args:
        parameter: The filter's name.
        rows: The stages, labels or sequences.
        modality: The kind of record that a label must be for.
    """
    for row in rows:
        if modality in {None, row.get("modality")}:
            yield f"{parameter}={row['id']}", {parameter: [row["id"]]}
