"""What a walk asks for, what it is given, and what it says at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Mapping
from typing import Any

Record = dict[str, Any]

#: Apollo refuses pages that reach past this many records of a list (422, "over threshold").
DISPLAY_LIMIT = 50_000


@dataclasses.dataclass(frozen=True, eq=False)
class PageRequest:
    """One page of a list: its number, from 1, and the filters that narrow the list."""

    number: int
    filters: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Page:
    """One page as it came.

    Attributes:
        records: The rows; a walk takes out those that need not be delivered.
        per_page: Rows on a full page.
        total: Rows in the whole (filtered) list, or None where the endpoint does not say.
    """

    records: list[Record]
    per_page: int
    total: int | None = None

    def is_last(self, number: int) -> bool:
        """Whether the list ends with this page: by the total, or where there is none by a page that is not full."""
        if self.total is None:
            return len(self.records) < self.per_page
        return not self.records or number * self.per_page >= self.total


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a walk ended.

    Attributes:
        complete: Whether all that the walk was to read was read.
        first: The first record of the first page: in a newest-first list, no later bookmark is safe.
        shortfall: What was not read and why, one line for the user; empty if the page limit ended the walk.
        pages: Pages read.
    """

    complete: bool
    pages: int
    first: Record | None = None
    shortfall: str = ""


Walk = Generator[PageRequest, Page, Outcome]
