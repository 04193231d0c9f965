"""What a walk asks for and what it is given."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Record = dict[str, Any]

#: Most rows Apollo puts on a page (asking for more is a 422, not a clamp).
PER_PAGE = 100

#: Apollo refuses pages that reach past this many rows of a list (422, "over threshold").
DISPLAY_LIMIT = 50_000


@dataclasses.dataclass(frozen=True, eq=False)
class PageRequest:
    """One page of a list.

    Attributes:
        number: The page, counted from 1.
        per_page: Rows on a page.
        parameters: What selects and sorts the list.
    """

    number: int = 1
    per_page: int = PER_PAGE
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def is_like(self, other: PageRequest) -> bool:
        """Whether both ask for the same rows."""
        return (self.number, self.per_page) == (other.number, other.per_page) and self.parameters == other.parameters

    @property
    def first(self) -> int:
        """The position, counted from 0, of the page's first row in the list."""
        return (self.number - 1) * self.per_page


@dataclasses.dataclass
class Page:
    """One page as it came.

    Attributes:
        records: The rows; a walk takes out those that need not be delivered.
        total: Rows in the whole list, or None where the endpoint does not say.
        per_page: Rows on a full page as the endpoint says, or None.
        filtered: Whether the endpoint says that it honoured a filter, or None where it cannot say.
        left_out: How many rows came besides that cannot be rows.
    """

    records: list[Record]
    total: int | None = None
    per_page: int | None = None
    filtered: bool | None = None
    left_out: int = 0

    @property
    def places(self) -> int:
        """How many places of the list it shows: those of rows that are left out are among them."""
        return len(self.records) + self.left_out
