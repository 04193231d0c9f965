"""Rows that cannot be rows are left out of a page, and hold their places on it all the same."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_apollo.paging import DateWindow, Listing, ListWalk, Outcome, Page, PageRequest, WindowedListing, WindowWalk

if TYPE_CHECKING:
    from collections.abc import Container

    from tap_apollo.paging import Walk

ROWS = [{"id": f"{number:04}"} for number in range(35)]
SPAN = DateWindow(datetime.date(2026, 1, 1), datetime.date(2026, 1, 1))


def read(walk: Walk, odd: Container[int], *, total: bool) -> tuple[set[str], Outcome, int]:
    """Read the rows with some of them left out, and return those that came, how it ended, and the requests."""
    seen, requests, steps = set[str](), 0, walk.pages()
    request: PageRequest = next(steps)
    while True:
        requests += 1
        places = range(request.first, min(request.first + request.per_page, len(ROWS)))
        records = [ROWS[place] for place in places if place not in odd]
        page = Page(records, len(ROWS) if total else None, left_out=len(places) - len(records))
        try:
            request = steps.send(page)
        except StopIteration as end:
            return seen | {row["id"] for row in page.records}, end.value, requests
        seen |= {row["id"] for row in page.records}


def list_walk() -> Walk:
    return ListWalk(Listing(per_page=10))


def window_walk() -> Walk:
    return WindowWalk(WindowedListing(lambda window: {"window": window}, per_page=10), SPAN, since=SPAN.first)


@pytest.mark.parametrize("walk", [list_walk, window_walk])
@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("odd", [{0}, {9}, {10, 11}, {34}, {*range(10, 20)}])
def test_those_behind_them_come_and_none_is_said_to_be_missing(walk: Any, odd: set[int], *, total: bool) -> None:
    seen, outcome, requests = read(walk(), odd, total=total)
    assert seen == {row["id"] for place, row in enumerate(ROWS) if place not in odd}
    assert outcome.missing == 0
    assert requests == 4
    assert not outcome.proves_deletions
