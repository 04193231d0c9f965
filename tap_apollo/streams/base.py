"""How a stream is read, where that is more than one page: resumable lists, newest first, by windows, from a parent."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import heapq
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from typing_extensions import override

from tap_apollo.client import ApolloStream, PagedStream
from tap_apollo.custom_fields import CustomFieldLabels
from tap_apollo.errors import ForbiddenError
from tap_apollo.paging import (
    EVERYTHING,
    PER_PAGE,
    DateWindow,
    Frontier,
    Listing,
    ListMemory,
    ListWalk,
    StateError,
    TimeMark,
    WindowedListing,
    WindowMemory,
    WindowWalk,
    digest,
)
from tap_apollo.paging.walks import WITNESSES
from tap_apollo.paging.windows import FLOOR
from tap_apollo.reading import Outlook
from tap_apollo.records import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.paging import Mark, Outcome, Walk
    from tap_apollo.paging.memory import ReadMark

Memory = TypeVar("Memory", ListMemory, WindowMemory)

#: Where the walk's memory stands in the stream's state.
WALK = "walk"


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
        self._tap.state_writer.write_state(self.tap_state)

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
        return self._tap.started


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
        return Listing(display_limit=self.display_limit)

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

    def _read_memory(self, state: Any) -> ListMemory:  # noqa: ANN401
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
            self.place.pop(WALK, None)
            if self._memory != ListMemory():
                self.place[WALK] = self._memory.to_state()
            return
        mark = cast("ListWalk", walk).mark or self._memory.covered
        if mark is None:
            self.place.pop(WALK, None)
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
        return self.expected(new + below, at_least=new == len(page.records) < total)


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
            display_limit=self.display_limit,
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


class CustomFieldsMixin(ApolloStream):
    """A stream whose records carry custom fields: adds them by label, and describes them in its schema.

    Attributes:
        modality: What Apollo calls this kind of record in the definitions of custom fields.
    """

    modality: ClassVar[str]

    #: Once read, the names of the custom fields, or None where they may not be read.
    _labels: tuple[CustomFieldLabels | None, ...] = ()

    @override
    def learn(self) -> None:
        labels = self._known_labels() if self._names_fields else None
        if labels:
            self.extend_schema({"custom_fields": labels.properties})

    @functools.cached_property
    def _names_fields(self) -> bool:
        """Whether the column is asked for, by the setting and by the catalog."""
        wanted = self.config["custom_fields"] == "labels"
        return wanted and self.selected and self.mask["properties", "custom_fields"]

    @override
    def shaped(self, row: Record, context: Context | None) -> Record:
        record = super().shaped(row, context)
        values = record.get("typed_custom_fields")
        if values is not None and self._names_fields:
            labels = self._known_labels()
            record["custom_fields"] = labels.resolve(values) if labels else None
            if labels and (news := labels.news()):
                self.tell(news)
        return record

    def _known_labels(self) -> CustomFieldLabels | None:
        """Return the names of the custom fields, or None where they may not be read, which is said."""
        if not self._labels:
            self._labels = (self._read_labels(),)
        return self._labels[0]

    def _read_labels(self) -> CustomFieldLabels | None:
        try:
            return CustomFieldLabels(self._tap.lookup("custom_fields"), self.modality)
        except ForbiddenError as error:
            hint = "set `custom_fields` to raw to do without"
            self.logger.warning("%s: custom_fields stay null: %s Or %s.", self.name, error.message, hint)
            return None


class DerivedStream(ApolloStream):
    """A stream whose rows come out of the records of another, without requests of its own.

    Its parent hands each record over before it writes it, so that no STATE covers a record whose rows are not out.
    """

    path = ""
    state_partitioning_keys = ()  # one bookmark, not one per parent record

    _written = 0

    def derive(self, record: Record) -> Iterable[Record]:
        """Return the rows that a record of the parent holds."""
        raise NotImplementedError

    @override
    def outlook(self) -> Outlook:
        return Outlook(None, requests=0, note="comes with its parent")

    def open(self) -> None:
        """Announce the stream; to be called before the first record."""
        self.number_version()
        self._write_schema_message()

    def feed(self, record: Record) -> None:
        """Write the rows that a record of the parent holds."""
        for row in self.derive(record):
            self._write_record_message(self.shaped(row, None))
            self._written += 1

    def close(self) -> None:
        """Sum up; to be called after the last record."""
        self.logger.info("%s: %s records, with their parents", self.name, f"{self._written:,}")


def _day(moment: str) -> datetime.date:
    return datetime.date.fromisoformat(moment[:10])
