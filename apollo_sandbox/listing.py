"""How every list is read: filters, order, one page, and the figures about it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from apollo_sandbox import errors
from apollo_sandbox.collection import Identified, Order

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping, Sequence

    from apollo_sandbox.collection import Collection
    from apollo_sandbox.errors import ApiError
    from apollo_sandbox.ids import Dice
    from apollo_sandbox.params import Span
    from apollo_sandbox.services import Call

E = TypeVar("E", bound=Identified)
T = TypeVar("T")

_DEFAULT_PER_PAGE = 25
_MOST_PER_PAGE = 100


class Filters(Generic[T]):
    """The filters of a request that Apollo honours; all others it ignores without a word."""

    def __init__(self, call: Call) -> None:
        """Start with none."""
        self._call = call
        self._params = call.params
        self._predicates: list[Callable[[T], bool]] = []
        self._key: list[object] = []
        self.breadcrumbs: list[dict[str, str]] = []

    def any_of(
        self,
        name: str,
        label: str,
        values_of: Callable[[T], Container[str]],
        *,
        names: Mapping[str, str] | None = None,
        exclude: bool = False,
    ) -> None:
        """Keep rows that have any of the parameter's values, or none of them."""
        wanted = self._params.texts(name)
        if not wanted:
            return
        self._predicates.append(lambda row: any(one in values_of(row) for one in wanted) is not exclude)
        self._key.append((name, tuple(wanted)))
        for value in wanted:
            shown = value if names is None else names.get(value, f"[Deleted {label.rpartition(' ')[2]}]")
            self._crumb(label, name, value, shown)

    def text(self, name: str, label: str, text_of: Callable[[T], str]) -> None:
        """Keep rows whose text contains the parameter, in any case."""
        wanted = self._params.text(name)
        if wanted is None:
            return
        needle = wanted.lower()
        self._predicates.append(lambda row: needle in text_of(row).lower())
        self._key.append((name, wanted))
        self._crumb(label, name, wanted, wanted)

    def span(self, name: str, span: Span | None, moment_of: Callable[[T], int | None]) -> None:
        """Keep rows of a range of time."""
        if span is None:
            return
        for change, fault in self._call.deviating("span"):
            change(fault, span)
        self._predicates.append(lambda row: moment_of(row) in span)
        self._key.append((name, span.key))
        for text, side in ((span.low_text, "After"), (span.high_text, "Before")):
            if text:
                self._crumb("Date", name, text, f"{side} {text}")

    def custom(self, name: str, value: object, predicate: Callable[[T], bool]) -> None:
        """Keep rows by a rule of the endpoint's own."""
        self._predicates.append(predicate)
        self._key.append((name, value))
        self._crumb(name, name, str(value), str(value))

    @property
    def key(self) -> tuple[object, ...]:
        """Give what distinguishes these filters from others."""
        return tuple(self._key)

    @property
    def predicate(self) -> Callable[[T], bool] | None:
        """Give the test a row must pass; None if there is none."""
        if not self._predicates:
            return None
        return lambda row: all(one(row) for one in self._predicates)

    def _crumb(self, label: str, name: str, value: str, shown: str) -> None:
        self.breadcrumbs.append({"label": label, "signal_field_name": name, "value": value, "display_name": shown})


class Pager:
    """Which page of a list a request wants, and what the answer says about it.

    Attributes:
        page: The page, as the answer tells it.
        per_page: Its size, as the answer tells it.
        served: The page that is served.
        rows: How many rows it has at most.
    """

    _total: int | None = None

    def __init__(self, call: Call, *, default: int = _DEFAULT_PER_PAGE, most: int = _MOST_PER_PAGE) -> None:
        """Read the page, and refuse one Apollo would not give."""
        self._call = call
        self.page = max(1, call.params.whole("page", 1))
        self.per_page = call.params.whole("per_page", default)
        if self.per_page <= 0:
            raise errors.per_page_zero()
        if self.per_page > most:
            raise errors.per_page_not_supported(short=call.action == "tasks/search")
        # Shown for people, and documented for contacts, accounts, tasks and e-mails; taken for all searches.
        limit = call.services.settings.display_limit
        if call.action.endswith("search") and self.page * self.per_page > limit:
            raise errors.over_threshold(call.action)
        self._deviate()

    def _deviate(self) -> None:
        self.served, self.rows = self.page, self.per_page
        for change, fault in self._call.deviating("pager"):
            change(fault, self)

    @property
    def bounds(self) -> tuple[int, int]:
        """Give the position of the page's first row, and of the one after its last."""
        return (self.served - 1) * self.rows, self.served * self.rows

    def of(self, rows: Sequence[T]) -> list[T]:
        """Give the page's rows of a list whose order holds still."""
        first, after = self.bounds
        return list(rows[first:after])

    def total(self, total: int) -> int:
        """Give the total the answer reports, which is the true one unless a fault says else."""
        if self._total is None:
            for change, fault in self._call.deviating("total"):
                total = change(fault, self._call, total)
            self._total = total
        return self._total

    def pagination(self, total: int, *, echo: bool = False) -> dict[str, Any]:
        """Give the pagination object; some endpoints echo what was sent, as text."""
        total = self.total(total)
        figures: dict[str, Any] = {"page": self.page, "per_page": self.per_page}
        if echo:
            figures = {
                name: figure if self._call.params.get(name) is None else str(figure) for name, figure in figures.items()
            }
        figures["total_entries"] = total
        figures["total_pages"] = math.ceil(total / self.per_page)
        return figures


class Skipper(Pager):
    """The same of a list that is read by `skip` and `limit`: what comes first is its page 1, all else page 2."""

    def __init__(self, call: Call, *, default: int, most: int) -> None:
        """Read the place, and clamp the limit."""
        self._call = call
        self._skip = max(0, call.params.whole("skip", 0))
        self.page = 1 if self._skip == 0 else 2
        self.per_page = min(max(1, call.params.whole("limit", default)), most)
        self._deviate()

    @property
    def bounds(self) -> tuple[int, int]:
        """Give the position of the first row, and of the one after the last."""
        first = 0 if self.served == 1 else self._skip
        return first, first + self.rows


@dataclass(frozen=True)
class Found(Generic[E]):
    """The rows that a request asks for, in order, and whether it asks for them from the end."""

    order: Order[E]
    descending: bool

    @property
    def total(self) -> int:
        """Count the rows."""
        return len(self.order.rows)


def find(call: Call, collection: Collection[E], filters: Filters[E], *, sortable: bool = True) -> Found[E]:
    """Find the rows that a request asks for, in the order that it asks for."""
    name, descending = "default", True
    wanted = call.params.text("sort_by_field") if sortable else None
    if wanted is not None:
        if wanted == "default" or not collection.sorts_by(wanted):
            raise errors.invalid_sort()
        name, descending = wanted, not call.params.flag("sort_ascending")
    found = Found(collection.select(name, filters.key, filters.predicate), descending)
    for change, fault in call.deviating("found"):
        found = change(fault, found)
    return found


def find_one(call: Call, collection: Collection[E], *, missing: ApiError, deleted: ApiError | None = None) -> E:
    """Find the record that the path names, or refuse; some refuse in other words what was deleted."""
    row_id = call.path["id"]
    row = collection.get(row_id)
    if row is None:
        raise deleted if deleted is not None and collection.was_deleted(row_id) else missing
    return row


def read_page(call: Call, found: Found[E], pager: Pager) -> list[E]:
    """Give the rows of one page; rows that tie come in another order each time."""
    first, after = (min(bound, found.total) for bound in pager.bounds)
    if found.descending:
        first, after = found.total - after, found.total - first
    rows = shuffled_within_ties(found.order, first, after, call.luck)
    return rows[::-1] if found.descending else rows


def shuffled_within_ties(order: Order[E], first: int, after: int, luck: Dice) -> list[E]:
    """Give the rows at some positions, after permuting each tie that reaches among them.

    A tie is permuted by i -> (step * i + shift) mod size, so that a page out of a tie of a
    hundred thousand costs no more than any other.
    """
    rows: list[E] = []
    position = first
    while position < after:
        start, end = order.tie(order.rows[position])
        size = end - start
        step, shift = _step(size, luck), luck.whole(0, size - 1)
        stop = min(end, after)
        rows.extend(order.rows[start + (step * (index - start) + shift) % size] for index in range(position, stop))
        position = stop
    return rows


def _step(size: int, luck: Dice) -> int:
    while True:
        step = luck.whole(1, size)
        if math.gcd(step, size) == 1:
            return step


SEARCH_CONSTANTS: dict[str, Any] = {
    "partial_results_only": False,
    "has_join": False,
    "disable_eu_prospecting": False,
    "partial_results_limit": 10_000,
}
