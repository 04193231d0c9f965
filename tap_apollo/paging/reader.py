"""One list, read from its front to its end while people change it: the three rules, and nothing else.

*Shrink.* Rows that were inserted or deleted before the reading position have moved the unread ones by ``i - d``; the
total has changed by ``i - d - u``, ``u`` being the unread rows that were deleted. So unread rows never moved forward
by more than the total fell, and going back that far loses nothing.

*Ties.* Rows of one sort value may come in another order at every request, so that one can stand on two pages and
another on none. A row that comes twice across the edge of two pages gives this away. From then on each page begins
before the run of equal rows that the last one ended in, and one reply holds the run whole. A run that is longer than a
page is read again until as many distinct rows have come as it has places.

*Distinct.* A row is delivered once; how many distinct rows came, against the total, is the proof at the end.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from tap_apollo.paging.pages import DISPLAY_LIMIT, PER_PAGE, Page, PageRequest, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Key = Callable[[Record], str | None]

#: Which part of a page to read again at the edge of two where the sort value is not shown.
OVERLAP = 10

#: How often a run of equal rows is read that hides some of them.
MOST_TRIES = 20


class Ids:
    """A set of ids in 12 bytes each, where a set of text takes 110: what a walk of 100,000 rows remembers.

    Apollo's ids are 24 hexadecimal digits (recorded replies); others are kept as they are.
    """

    _SIZE = 12  # bytes
    _BUCKETS = 4096

    def __init__(self) -> None:
        """Begin with none."""
        self._packed: dict[int, bytearray] = {}
        self._others: set[str] = set()
        self._count = 0

    def __len__(self) -> int:
        """Return how many there are."""
        return self._count + len(self._others)

    def __contains__(self, record_id: str) -> bool:
        """Whether an id is among them."""
        packed = self._pack(record_id)
        if packed is None:
            return record_id in self._others
        bucket = self._packed.get(hash(packed) % self._BUCKETS, bytearray())
        found = bucket.find(packed)
        while found > 0 and found % self._SIZE:  # it stands across the edge of two others
            found = bucket.find(packed, found + 1)
        return found >= 0

    def add(self, record_id: str) -> None:
        """Add an id that is not among them."""
        packed = self._pack(record_id)
        if packed is None:
            self._others.add(record_id)
        else:
            self._packed.setdefault(hash(packed) % self._BUCKETS, bytearray()).extend(packed)
            self._count += 1

    def _pack(self, record_id: str) -> bytes | None:
        try:
            packed = bytes.fromhex(record_id)
        except ValueError:
            return None
        return packed if packed.hex() == record_id and len(packed) == self._SIZE else None


@dataclasses.dataclass
class Tally:
    """The distinct rows that a walk has seen.

    Attributes:
        ids: Those of this run.
        carried: How many the runs saw that the walk was begun in.
        fell: Whether the list's total fell meanwhile: rows that were seen may be gone.
        left_out: How many rows came that cannot be rows.
    """

    ids: Ids = dataclasses.field(default_factory=Ids)
    carried: int = 0
    fell: bool = False
    left_out: int = 0

    def __len__(self) -> int:
        """Return how many distinct rows the walk has seen, in this run and before."""
        return self.carried + len(self.ids)

    def missing(self, total: int | None) -> int:
        """Return how many rows of a list have not come; those that cannot be rows have."""
        return max(0, (total or 0) - len(self) - self.left_out)

    def fresh(self, records: list[Record]) -> list[Record]:
        """Return the records that have not come before, and remember them."""
        news = {record["id"]: record for record in records if record["id"] not in self.ids}
        for record_id in news:
            self.ids.add(record_id)
        return list(news.values())


@dataclasses.dataclass
class _Tie:
    """A run of rows of one sort value, from the page on which it begins to the one on which it ends."""

    key: str | None
    start: int
    ids: set[str] = dataclasses.field(default_factory=set)
    tries: int = 0


class ListReader:
    """Reads one list in one order.

    Call ``next_request``, fetch, and hand the page to ``take``, until ``next_request`` gives None.

    Attributes:
        position: How many rows from the front are read: what is still unread stands at or behind it.
        total: Rows in the list, as the last page said.
        done: Whether the end was reached.
        out_of_reach: Whether the position is past what Apollo shows of one list.
        went_back: Whether the last page showed that unread rows may stand before it.
        careful: Whether ties are known to move; then its position is put before ties, not between them.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        tally: Tally,
        *,
        key: Key | None = None,
        position: int = 0,
        total: int | None = None,
        careful: bool = False,
        per_page: int = PER_PAGE,
        display_limit: int = DISPLAY_LIMIT,
    ) -> None:
        """Prepare to read.

        Args:
            parameters: What selects and sorts the list.
            tally: Where distinct rows are counted.
            key: The sort value of a row, if rows show it.
            position: Where to begin.
            total: The total when an earlier run stopped there.
            careful: Whether ties are known to move.
            per_page: Most rows to ask for on a page.
            display_limit: Rows beyond which Apollo refuses pages.
        """
        self.position = position
        self.total = total
        self.done = False
        self.out_of_reach = False
        self.went_back = False
        self._parameters = parameters
        self._tally = tally
        self._key = key
        self.careful = careful
        self._display_limit = display_limit
        self._per_page = per_page
        self._any_size = True
        self._run = 0
        self._tie: _Tie | None = None
        self._request: PageRequest | None = None

    @property
    def resume_at(self) -> int:
        """Where a later run goes on: before the rows that may be tied with unread ones."""
        if self.careful:
            # Where a tie begins is not to be seen without a key, and what an earlier run saw is not known any more.
            return self.position if self._key else max(0, self.position - self._per_page)
        return max(0, self.position - self._run)

    def next_request(self) -> PageRequest | None:
        """Return the page to fetch next, or None at the end of the list or of what Apollo shows."""
        if self.done:
            return None
        self._request = self._reaching_farthest()
        self.out_of_reach = self._request is None
        return self._request

    def ahead(self, count: int) -> list[PageRequest]:
        """Return the pages that follow the one just asked for, if nothing unexpected is on it."""
        request = self._request
        if request is None or self.careful or self.total is None or request.first != self.position:
            return []
        end = min(self.total, self._display_limit)
        numbers = range(request.number + 1, request.number + 1 + count)
        following = [dataclasses.replace(request, number=number) for number in numbers]
        return [one for one in following if one.first < end and one.first + one.per_page <= self._display_limit]

    def take(self, page: Page) -> None:
        """Note a page, leave in it what has not come before, and move on."""
        if (request := self._request) is None:
            raise ValueError("there was no request")
        if page.per_page and page.per_page < request.per_page:
            self._per_page, self._any_size = page.per_page, False  # the endpoint has a page size of its own
            request = dataclasses.replace(request, per_page=page.per_page)
        unread_from = self.position
        if self.total is not None and page.total is not None:
            unread_from = max(0, self.position - max(0, self.total - page.total))
            self._tally.fell = self._tally.fell or page.total < self.total
        self.total = page.total
        rows, places = page.records, page.places
        end = request.first + places
        self._tally.left_out += page.left_out
        # Ties on the page may begin as far before the position as the total fell.
        known = any(row["id"] in self._tally.ids for row in rows[max(0, unread_from - request.first) :])
        page.records = self._tally.fresh(rows)
        tied = known and not self.careful and self._run > 0
        self.went_back = tied or request.first > unread_from
        if self.went_back:
            self.careful = self.careful or tied
            self._go_to(unread_from - self._run)
        else:
            short = places < request.per_page
            reached = short if page.total is None else end == page.total or (short and end > page.total)
            self.done = not places or reached or end <= self.position  # a total may be wrong either way
            self._run = self._last_run(rows)
            before_ties = end - self._run if self.careful and not self.done else end
            # A run of equal rows that fills the page cannot be held whole by any: the count must tell.
            self.position = before_ties if before_ties > unread_from else end
            if self.careful and self._hides(request.first, rows):
                self.went_back, self.done = True, False

    def jump(self, position: int, *, careful: bool) -> None:
        """Go on from a position farther on, up to which an earlier walk has read, careful if that was.

        Without a jump the position may be between tied rows: a careful reader would not see them move any more.
        """
        if position > self.position:
            self.done = False
            self.careful = self.careful or careful
            self._go_to(position)

    def _go_to(self, position: int) -> None:
        self.position, self._run = max(0, position), 0

    def _last_run(self, rows: list[Record]) -> int:
        """Return how many rows at the end of a page may be tied with the first of the next."""
        if not rows or self._key is None:
            return min(self._per_page // OVERLAP, len(rows))
        last = self._key(rows[-1])
        return next((count for count, row in enumerate(reversed(rows)) if self._key(row) != last), len(rows))

    def _hides(self, first: int, rows: list[Record]) -> bool:
        """Whether the run of equal rows that ends on a page has fewer rows than places; then go back to its start."""
        if not rows or self._key is None:
            return False
        keys = [self._key(row) for row in rows]
        tie = self._tie
        if tie and tie.key in keys:
            tie.ids.update(row["id"] for row, key in zip(rows, keys, strict=True) if key == tie.key)
            end = first + len(keys) - keys[::-1].index(tie.key)
            ended = tie.key != keys[-1] or self.done
            if ended and len(tie.ids) < end - tie.start and tie.tries < MOST_TRIES:
                tie.tries += 1
                self._go_to(tie.start)
                return True
        if not tie or tie.key != keys[-1]:
            start = keys.index(keys[-1])
            self._tie = _Tie(keys[-1], first + start, {row["id"] for row in rows[start:]})
        return False

    def _reaching_farthest(self) -> PageRequest | None:
        """Return the page that holds the position and, of all page sizes, reaches farthest behind it."""
        sizes = range(self._per_page, 0, -1) if self._any_size else (self._per_page,)
        best: PageRequest | None = None
        for size in sizes:
            if best and self.position + size <= best.first + best.per_page:
                break  # no smaller page can reach farther
            request = PageRequest(self.position // size + 1, size, self._parameters)
            reach = request.first + size
            if reach <= self._display_limit and (best is None or reach > best.first + best.per_page):
                best = request
        return best
