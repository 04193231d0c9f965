"""Windows of days halve until they fit; a run goes on in the one it was stopped in; what is too much is said."""

from __future__ import annotations

import datetime
import itertools
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_apollo.paging import (
    EVERYTHING,
    DateWindow,
    Outcome,
    Page,
    PageRequest,
    WindowedListing,
    WindowWalk,
)
from tap_apollo.paging.windows import FLOOR
from tap_apollo.singer.memory import WindowPlace
from tests.states import through_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_apollo.paging import WindowResumePoint

FIRST, LAST = datetime.date(2026, 1, 1), datetime.date(2026, 4, 10)
SPAN = DateWindow(FIRST, LAST)


def through_state(stop: WindowResumePoint) -> WindowResumePoint | None:
    """A stop as a later run reads it."""
    place = WindowPlace()
    place.note_resume_point(stop)
    read: WindowPlace = through_json(place, WindowPlace)
    return read.stopped()


class Mail:
    """E-mails by the day they are due, in sequences."""

    def __init__(self, per_day: dict[int, int], *, limit: int = 100, total: bool = True, sequences: int = 1) -> None:
        serial = itertools.count()
        self.rows: list[dict[str, Any]] = [
            {"id": f"m{(number := next(serial))}", "day": FIRST + datetime.timedelta(days=day), "s": number % sequences}
            for day, count in per_day.items()
            for _ in range(count)
        ]
        self.limit, self.total, self.sequences = limit, total, sequences
        self.requests: list[PageRequest] = []

    @property
    def listing(self) -> WindowedListing:
        return WindowedListing(
            window=lambda window: {"window": window},
            slices=lambda: [(f"s{number}", {"s": number}) for number in range(self.sequences)],
            per_page=10,
            display_limit=self.limit,
        )

    def answer(self, request: PageRequest) -> Page:
        assert request.number * request.per_page <= self.limit
        self.requests.append(request)
        window: DateWindow = request.parameters["window"]
        found = [
            row
            for row in self.rows
            if (window == EVERYTHING or (row["day"] and window.first <= row["day"] <= window.last))
            and request.parameters.get("s") in {None, row["s"]}
        ]
        rows = [dict(row) for row in found[request.first : request.first + request.per_page]]
        return Page(rows, len(found) if self.total else None)

    def run(self, walk: WindowWalk, seen: set[str], pages: int | None = None) -> Outcome | None:
        steps = walk.pages()
        try:
            request = next(steps)
            for _ in itertools.count() if pages is None else range(pages):
                page = self.answer(request)
                try:
                    request = steps.send(page)
                finally:
                    seen.update(row["id"] for row in page.records)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome
        return None

    @property
    def ids(self) -> set[str]:
        return {str(row["id"]) for row in self.rows}


@pytest.mark.parametrize("total", [True, False])
def test_a_window_that_fits_is_read_as_it_is(*, total: bool) -> None:
    mail, seen = Mail({0: 5, 50: 20, 99: 3}, total=total), set[str]()
    mail.run(WindowWalk(mail.listing, SPAN), seen)
    assert seen == mail.ids
    assert len(mail.requests) == 3


@pytest.mark.parametrize("total", [True, False])
def test_windows_halve_until_they_fit(*, total: bool) -> None:
    mail, seen = Mail(dict.fromkeys(range(100), 7), total=total), set[str]()
    outcome = mail.run(WindowWalk(mail.listing, SPAN, since=FIRST), seen)
    assert seen == mail.ids
    assert outcome == Outcome(700, 700 if total else None, whole=True, verified=total)


def test_without_a_total_one_look_at_the_last_page_tells_whether_it_fits() -> None:
    mail, seen = Mail({0: 100, 60: 450}, limit=500, total=False), set[str]()
    mail.run(WindowWalk(mail.listing, SPAN), seen)
    assert seen == mail.ids
    assert [request.number for request in mail.requests[:12]] == [*range(1, 11), 50, 1]
    assert len(mail.requests) < 80


def test_a_day_that_is_too_long_is_cut_by_sequence() -> None:
    mail, seen = Mail({3: 250}, sequences=5), set[str]()
    outcome = mail.run(WindowWalk(mail.listing, SPAN), seen)
    assert seen == mail.ids
    assert outcome
    assert outcome.shortfall == ""


@pytest.mark.parametrize("total", [True, False])
def test_a_day_that_no_cut_makes_fit_is_named(*, total: bool) -> None:
    mail, seen = Mail({3: 250, 5: 20}, total=total), set[str]()
    outcome = mail.run(WindowWalk(mail.listing, SPAN), seen)
    assert outcome
    assert outcome.missing > 0
    assert "2026-01-04" in outcome.shortfall
    assert len(seen) == 120


@given(
    per_day=st.dictionaries(st.integers(0, 99), st.integers(1, 60), max_size=12),
    pages=st.integers(1, 9),
    total=st.booleans(),
    seed=st.integers(0, 99),
)
def test_killed_after_any_page_the_windows_are_finished_by_later_runs(
    per_day: dict[int, int],
    pages: int,
    seed: int,
    *,
    total: bool,
) -> None:
    mail, seen, random = Mail(per_day, total=total), set[str](), Random(seed)
    stop: WindowResumePoint | None = None
    ends = 0
    while ends == 0:
        span = DateWindow(FIRST, LAST + datetime.timedelta(days=random.randrange(2)))
        walk = WindowWalk(mail.listing, span, resume_point=stop)
        limit = pages + random.randrange(3)
        if mail.run(walk, seen, limit):
            ends += 1
        stop = through_state(walk.resume_point()) or stop
        assert len(mail.requests) < 2000
    assert seen == mail.ids


@pytest.mark.parametrize("pages", [1, 2])
def test_a_stop_in_another_account_is_not_gone_on_from(pages: int) -> None:
    mine, other, seen = Mail({0: 40, 50: 20, 99: 30}), Mail({0: 20, 49: 20, 60: 25}), set[str]()
    for row in other.rows:
        row["id"] = f"other-{row['id']}"
    first = WindowWalk(mine.listing, SPAN)
    mine.run(first, set(), pages)
    second = WindowWalk(other.listing, SPAN, resume_point=first.resume_point())
    other.run(second, seen)
    assert second.restarted
    assert seen == other.ids


def test_everything_is_asked_for_without_dates_and_halved_by_them() -> None:
    mail, seen = Mail({0: 60, 99: 70}), set[str]()
    mail.rows[0]["day"] = None
    walk = WindowWalk(mail.listing, DateWindow(FLOOR, LAST))
    while not mail.run(walk, seen, 2):
        last = LAST + datetime.timedelta(days=1)
        walk = WindowWalk(mail.listing, DateWindow(FLOOR, last), resume_point=through_state(walk.resume_point()))
    assert seen >= mail.ids - {"m0"}
    few, seen = Mail({0: 60}), set[str]()
    few.rows[0]["day"] = None
    few.run(WindowWalk(few.listing, DateWindow(FLOOR, LAST)), seen)
    assert seen == few.ids


def test_the_state_of_another_account_is_not_trusted() -> None:
    mail, seen = Mail({0: 5, 50: 20, 99: 3}), set[str]()
    lookback = DateWindow(datetime.date(2026, 3, 1), LAST)
    walk = WindowWalk(mail.listing, lookback, since=FIRST, known_ids=["of-another-account"])
    mail.run(walk, seen)
    assert seen == mail.ids
    assert walk.restarted
    mine = WindowWalk(mail.listing, lookback, since=FIRST, known_ids=["m27", "deleted"])
    before = len(mail.requests)
    mail.run(mine, set())
    assert not mine.restarted
    assert len(mail.requests) == before + 1


def test_halves_cover_each_day_once() -> None:
    def days(windows: Iterable[DateWindow]) -> list[datetime.date]:
        return [
            window.first + datetime.timedelta(days=number)
            for window in windows
            for number in range((window.last - window.first).days + 1)
        ]

    assert days(SPAN.halves()) == days([SPAN])
    assert DateWindow(FIRST, FIRST).halves() == []
    assert FIRST > FLOOR
