"""The walks, against a list in memory."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tap_apollo.paging import (
    DateWindow,
    Outcome,
    Page,
    PageRequest,
    Walk,
    date_windows,
    nothing,
    one_page,
    whole_list,
    windowed,
)
from tap_apollo.paging.walks import REREADS

Rows = Sequence[dict[str, Any]]


def run(walk: Walk, rows: Callable[[PageRequest], Rows], per_page: int = 10, *, total: bool = True) -> Result:
    """Drive a walk over a list that the request may filter."""
    requests: list[PageRequest] = []
    delivered: list[dict[str, Any]] = []
    try:
        request = next(walk)
        while True:
            requests.append(request)
            found = rows(request)
            start = (request.number - 1) * per_page
            page = Page(list(found[start : start + per_page]), per_page, len(found) if total else None)
            try:
                request = walk.send(page)
            finally:
                delivered += page.records
    except StopIteration as end:
        return Result(end.value, requests, delivered)


class Result:
    def __init__(self, outcome: Outcome, requests: list[PageRequest], delivered: list[dict[str, Any]]) -> None:
        self.outcome, self.requests, self.delivered = outcome, requests, delivered

    @property
    def ids(self) -> list[int]:
        return [row["id"] for row in self.delivered]


def listing(length: int) -> Rows:
    """Rows with falling ids, so that the newest comes first."""
    return [{"id": number} for number in range(length, 0, -1)]


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 20, 95])
def test_a_whole_list_takes_no_request_too_many(length: int) -> None:
    result = run(whole_list(), lambda _: listing(length))
    assert result.ids == [row["id"] for row in listing(length)]
    assert len(result.requests) == max(1, -(-length // 10))
    assert result.outcome.complete


@pytest.mark.parametrize(("length", "requests"), [(0, 1), (9, 1), (10, 2), (11, 2), (20, 3)])
def test_without_a_total_a_page_that_is_not_full_is_the_last(length: int, requests: int) -> None:
    result = run(whole_list(), lambda _: listing(length), total=False)
    assert len(result.ids) == length
    assert len(result.requests) == requests


def test_an_empty_page_ends_a_list_whose_total_lies() -> None:
    walk = whole_list(max_pages=1)
    next(walk)
    with pytest.raises(StopIteration):
        while True:
            walk.send(Page([], per_page=10, total=1000))


def test_a_page_limit_is_no_complete_walk_and_no_shortfall() -> None:
    outcome = run(whole_list(max_pages=2), lambda _: listing(30)).outcome
    assert (outcome.complete, outcome.pages, outcome.shortfall) == (False, 2, "")
    assert run(whole_list(max_pages=3), lambda _: listing(30)).outcome.complete


def test_what_lies_past_the_display_limit_is_said() -> None:
    result = run(whole_list(display_limit=50), lambda _: listing(51))
    assert len(result.ids) == 50
    assert not result.outcome.complete
    assert "first 50 of 51 records" in result.outcome.shortfall
    assert run(whole_list(display_limit=50), lambda _: listing(50)).outcome.complete


@pytest.mark.parametrize(("since", "requests"), [(95, 1), (87, 1), (86, 2), (1, 10), (0, 10)])
def test_a_newest_first_list_ends_below_the_bookmark(since: int, requests: int) -> None:
    result = run(whole_list(below=lambda row: row["id"] < since), lambda _: listing(95))
    assert result.ids == [row["id"] for row in listing(95) if row["id"] >= since]
    assert len(result.requests) == requests
    assert result.outcome == Outcome(complete=True, pages=requests, first={"id": 95})


def test_the_first_record_is_that_of_the_first_page_and_not_a_later_change() -> None:
    rows = [*listing(30)]

    def change_behind_the_reader(request: PageRequest) -> Rows:
        if request.number == 2:
            rows.insert(0, {"id": 99})
        return rows

    assert run(whole_list(), change_behind_the_reader).outcome.first == {"id": 30}


def test_a_list_whose_ties_hide_a_record_is_read_again() -> None:
    """A tie across a page edge comes in another order at every request."""
    calls = 0

    def swap_at_the_edge(_: PageRequest) -> Rows:
        nonlocal calls
        calls += 1
        rows = [*listing(20)]
        if calls == 2:
            rows[9], rows[10] = rows[10], rows[9]
        return rows

    result = run(whole_list(), swap_at_the_edge)
    assert sorted(result.ids) == list(range(1, 21))
    assert len(result.ids) == len(set(result.ids))
    assert len(result.requests) == 4
    assert result.outcome.complete


def test_a_total_that_is_never_met_is_said_after_some_tries() -> None:
    walk = whole_list()
    next(walk)
    with pytest.raises(StopIteration) as end:
        while True:
            walk.send(Page([{"id": "1"}], per_page=10, total=2))
    outcome: Outcome = end.value.value
    assert not outcome.complete
    assert outcome.pages == 1 + REREADS
    assert outcome.shortfall == "found 1 of 2 records"


def test_windows_share_the_page_limit_and_add_up_their_shortfalls() -> None:
    windows = [{"length": 15}, {"length": 60}, {"length": 5}]

    def rows(request: PageRequest) -> Rows:
        return listing(request.filters["length"])

    whole = run(windowed(windows), rows)
    assert (whole.outcome, len(whole.ids)) == (Outcome(complete=True, pages=9), 80)
    limited = run(windowed(windows, max_pages=4), rows)
    assert (limited.outcome, len(limited.ids)) == (Outcome(complete=False, pages=4), 35)
    exact = run(windowed(windows, max_pages=8), rows)
    assert (exact.outcome, len(exact.ids)) == (Outcome(complete=False, pages=8), 75)
    short = run(windowed(windows, display_limit=50), rows)
    assert not short.outcome.complete
    assert "first 50 of 60" in short.outcome.shortfall
    assert len(short.ids) == 70


def test_windows_cover_each_day_once() -> None:
    first, last = datetime.date(2026, 1, 1), datetime.date(2026, 3, 1)
    windows = list(date_windows(first, last, 30))
    days = [
        window.first + datetime.timedelta(days=number)
        for window in windows
        for number in range((window.last - window.first).days + 1)
    ]
    assert days == [first + datetime.timedelta(days=number) for number in range(60)]
    assert list(date_windows(last, first, 30)) == []
    assert list(date_windows(first, first, 30)) == [DateWindow(first, first)]


def test_no_walk_asks_nothing_and_a_list_that_comes_whole_is_asked_once() -> None:
    none = run(nothing(), lambda _: listing(5))
    assert (none.requests, none.outcome) == ([], Outcome(complete=True, pages=0))
    one = run(one_page(), lambda _: listing(5))
    assert (len(one.requests), one.ids, one.outcome) == (1, [5, 4, 3, 2, 1], Outcome(complete=True, pages=1))
