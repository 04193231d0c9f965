"""A collection of living rows, with the orders a list can be asked for."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

_REMEMBERED_SELECTIONS = 16


class Identified(Protocol):
    """What a collection can hold: anything with an id."""

    @property
    def id(self) -> str:
        """Give the id."""


E = TypeVar("E", bound=Identified)


@dataclass(frozen=True)
class Order(Generic[E]):
    """Rows in ascending order of `key`; rows of equal key come in no particular order."""

    rows: list[E]
    key: Callable[[E], Any]

    def tie(self, row: E) -> tuple[int, int]:
        """Give the first position, and the one after the last, of the rows equal to `row`."""
        key = self.key(row)
        first = bisect_left(self.rows, key, key=self.key)
        return first, bisect_right(self.rows, key, lo=first, key=self.key)


class Collection(Generic[E]):
    """Living rows by id, kept sorted by every order that was ever asked for."""

    def __init__(self, orders: Mapping[str, Callable[[E], Any]]) -> None:
        """Start empty; `orders` maps the name of an order to its sort key."""
        self.first_rows: list[E] = []
        self._keys = dict(orders)
        self._living: dict[str, E] = {}
        self._deleted: set[str] = set()
        self._orders: dict[str, Order[E]] = {}
        self._selections: OrderedDict[Hashable, Order[E]] = OrderedDict()

    def __len__(self) -> int:
        """Count the living rows."""
        return len(self._living)

    def __iter__(self) -> Iterator[E]:
        """Iterate over the living rows, oldest member first."""
        return iter(list(self._living.values()))

    def __contains__(self, row: object) -> bool:
        """Tell whether a row lives."""
        return self._living.get(getattr(row, "id", "")) is row

    @property
    def ids(self) -> list[str]:
        """Give the ids of the living rows."""
        return list(self._living)

    def get(self, row_id: str) -> E | None:
        """Find a living row."""
        return self._living.get(row_id)

    def was_deleted(self, row_id: str) -> bool:
        """Tell whether this row once lived here."""
        return row_id in self._deleted

    def sorts_by(self, order: str) -> bool:
        """Tell whether an order of that name exists."""
        return order in self._keys

    def load(self, rows: list[E]) -> None:
        """Take in the team's first rows, before any order exists."""
        self.first_rows = rows
        self._living.update((row.id, row) for row in rows)

    def first(self, serial: int) -> E | None:
        """Give the first row of this number, if there is one and it still lives."""
        row = self.first_rows[serial] if serial < len(self.first_rows) else None
        return row if row in self else None

    def add(self, row: E) -> None:
        """Take in a new row."""
        self._living[row.id] = row
        self._file(row)

    def remove(self, row: E) -> None:
        """Delete a row."""
        self._unfile(row)
        del self._living[row.id]
        self._deleted.add(row.id)

    @contextmanager
    def changing(self, row: E) -> Iterator[E]:
        """Let the caller change a row, and put it where it then belongs."""
        self._unfile(row)
        try:
            yield row
        finally:
            self._file(row)

    def order(self, name: str) -> Order[E]:
        """Give all living rows in the order of that name."""
        order = self._orders.get(name)
        if order is None:
            key = self._keys[name]
            order = self._orders[name] = Order(sorted(self._living.values(), key=key), key)
        return order

    def select(self, name: str, filters: Hashable, predicate: Callable[[E], bool] | None) -> Order[E]:
        """Give the rows that satisfy the predicate; `filters` is what it stands for."""
        if predicate is None:
            return self.order(name)
        remembered = (name, filters)
        selection = self._selections.get(remembered)
        if selection is None:
            whole = self.order(name)
            selection = Order([row for row in whole.rows if predicate(row)], whole.key)
            self._selections[remembered] = selection
            if len(self._selections) > _REMEMBERED_SELECTIONS:
                self._selections.popitem(last=False)
        return selection

    def _file(self, row: E) -> None:
        self._selections.clear()
        for order in self._orders.values():
            order.rows.insert(bisect_right(order.rows, order.key(row), key=order.key), row)

    def _unfile(self, row: E) -> None:
        self._selections.clear()
        for order in self._orders.values():
            first, after = order.tie(row)
            del order.rows[order.rows.index(row, first, after)]
