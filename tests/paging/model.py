"""A list as Apollo serves it, in memory: sorted, tied, changing between requests; and runs of a walk over it."""

from __future__ import annotations

import dataclasses
import datetime
import json
from random import Random
from typing import TYPE_CHECKING, Any

from tap_apollo.paging import (
    Frontier,
    Listing,
    ListWalk,
    Outcome,
    Page,
    PageRequest,
    TimeMark,
    digest,
)
from tap_apollo.singer.memory import ListPlace, Moment, decoded, encoded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_apollo.paging import Mark, Record

BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def moment(minutes: int) -> str:
    return (BEGIN + datetime.timedelta(minutes=minutes)).isoformat(timespec="microseconds")


class Server:
    """Rows with an update time that several may share, in stages; ties come in another order at every request."""

    def __init__(self, *, tie: int = 3, stages: int = 1, display_limit: int = 10**9, stable: bool = False) -> None:
        self.rows: dict[str, Record] = {}
        self.tie, self.stages, self.display_limit, self.stable = tie, stages, display_limit, stable
        self.requests: list[PageRequest] = []
        self.ignores_filters = self.hides_times = False
        self.lies_by = 0
        self._now = self._same = self._serial = 0

    def tick(self, minutes: int) -> None:
        if minutes:
            self._now, self._same = self._now + minutes, 0

    def _stamp(self) -> str:
        self._same += 1
        if self._same > self.tie:
            self.tick(1)
            self._same = 1
        return moment(self._now)

    def insert(self) -> str:
        self._serial += 1
        row_id, at = f"r{self._serial:04}", self._stamp()
        stage = f"s{self._serial % self.stages}"
        self.rows[row_id] = {"id": row_id, "at": at, "created_at": at, "value": 0, "stage": stage}
        return row_id

    def update(self, row_id: str, *, at: str | None = None) -> None:
        row = self.rows[row_id]
        self.rows[row_id] = {**row, "at": at or self._stamp(), "value": row["value"] + 1}

    def touch(self, row_id: str) -> None:
        """Move a row to the front without a change that a reader of hidden times sees."""
        self.rows[row_id] = {**self.rows[row_id], "at": self._stamp()}

    def shown(self, row: Record) -> Record:
        return {name: value for name, value in row.items() if name != "at" or not self.hides_times}

    def delete(self, row_id: str) -> None:
        del self.rows[row_id]

    def fill(self, count: int, *, apart: int = 0) -> Server:
        for _ in range(count):
            self.tick(apart)
            self.insert()
        self.tick(30)
        return self

    def answer(self, request: PageRequest, random: Random) -> Page:
        assert request.number * request.per_page <= self.display_limit, "Apollo answers 422 here"
        self.requests.append(request)
        parameters: Mapping[str, Any] = request.parameters
        stage = None if self.ignores_filters else parameters.get("stage")
        rows = [row for row in self.rows.values() if stage in {None, row["stage"]}]
        if not self.stable:
            random.shuffle(rows)
        if sort := parameters.get("sort"):
            rows.sort(key=lambda row: str(row[sort]), reverse=not parameters.get("ascending"))
        else:
            rows.sort(key=lambda row: str(row["id"]))
        found = [self.shown(row) for row in rows[request.first : request.first + request.per_page]]
        return Page(found, len(rows) + self.lies_by, request.per_page, filtered=stage is not None)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of stream: newest first with its update time shown, or hidden, or in no order of update."""

    shown: bool = True
    ordered: bool = True

    def listing(self, server: Server, per_page: int) -> Listing:
        return Listing(
            parameters={"sort": "at"} if self.ordered else {},
            key=_at if self.shown and self.ordered else None,
            new_mark=(_time_mark if self.shown else _frontier) if self.ordered else None,
            slices=lambda: [(f"s{stage}", {"stage": f"s{stage}"}) for stage in range(server.stages)],
            newest={"sort": "created_at"},
            oldest={"sort": "created_at", "ascending": True},
            per_page=per_page,
            display_limit=server.display_limit,
        )

    @property
    def place(self) -> Any:
        if not self.ordered:
            return ListPlace[None]
        return ListPlace[Moment] if self.shown else ListPlace[list[str]]

    def mark(self, value: Any) -> Mark:
        return TimeMark(value, _at) if self.shown else Frontier(value)


CONTACTS, ACCOUNTS, DEALS = Kind(), Kind(shown=False), Kind(ordered=False)


class Reader:
    """What the tap does with a walk: loads the place, walks, writes rows, keeps the place after each page."""

    def __init__(self, server: Server, kind: Kind = CONTACTS, per_page: int = 10) -> None:
        self.server, self.kind, self.per_page = server, kind, per_page
        server.hides_times = not kind.shown
        self.warehouse: dict[str, Record] = {}
        self.state: str | None = None
        self.walk: ListWalk | None = None
        self.outcome: Outcome | None = None
        self.delivered = 0

    def start(self) -> None:
        place = self._place = decoded(json.loads(self.state or "{}"), self.kind.place)
        self._covered = None if place.covered is None else self.kind.mark(place.covered)
        listing = self.kind.listing(self.server, self.per_page)
        self.walk = ListWalk(listing, self._covered, place.stopped(self.kind.mark), place.known_ids)
        self._pages = self.walk.pages()
        self._request = next(self._pages)
        self.outcome = None

    def page(self, random: Random) -> None:
        """Read one page; at the end of a walk, remember what it covered."""
        assert self.walk
        page = self.server.answer(self._request, random)
        try:
            self._request = self._pages.send(page)
        except StopIteration as end:
            self.outcome = end.value
        self.warehouse.update((row["id"], row) for row in page.records)
        self.delivered += len(page.records)
        place: ListPlace[Any] = ListPlace()
        if self.outcome is None:
            place = ListPlace(self._place.covered, (), self.walk.known_ids)
            place.note_resume_point(self.walk.resume_points())
        elif self.kind.ordered:
            mark = self.walk.mark or self._covered
            place = ListPlace(mark and mark.value, (), self.walk.known_ids)
        self.state = json.dumps(encoded(place))
        if self.outcome is not None:
            self.walk = None

    def kill(self) -> None:
        self.walk = None

    def run(self, random: Random | None = None, pages: int | None = None) -> int:
        """Run to the end, or for so many pages; return how many there were."""
        before = len(self.server.requests)
        self.start()
        while self.walk and (pages is None or len(self.server.requests) - before < pages):
            self.page(random or Random(0))
        self.kill()
        return len(self.server.requests) - before

    def assert_complete(self) -> None:
        for row_id, row in self.server.rows.items():
            assert self.warehouse.get(row_id) == self.server.shown(row)


def _at(row: Record) -> str:
    return str(row["at"])


def _time_mark(head: list[Record], _: Mark | None) -> Mark | None:
    return TimeMark(_at(head[0]), _at) if head else None


def _frontier(head: list[Record], before: Mark | None) -> Mark:
    return Frontier([*map(digest, head), *(before.digests if isinstance(before, Frontier) else ())])
