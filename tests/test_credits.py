"""The ledger keeps to every limit, whatever the order of events; spending and purchases survive from run to run."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import datetime
import json
import math
import threading
import time
from typing import Any, ClassVar

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tap_apollo.credits import (
    Draw,
    Ledger,
    LimitReachedError,
    Limits,
    Meter,
    Pool,
    Price,
    Purchases,
    Spending,
    read_meter,
)
from tap_apollo.names import person_names
from tap_apollo.readers.purchase import Pages, Wanted
from tap_apollo.singer.memory import ByDay, Digests, Spent, StateError, decoded, encoded
from tap_apollo.streams.enrichment import paired
from tests.states import entries, spent

TODAY = datetime.date(2026, 3, 15)
DAY = datetime.timedelta(days=1)

small = st.integers(0, 30)


def meter_of(left: int, consumed: int = 0, **options: Any) -> Meter:
    return Meter(Pool(left, consumed), **options)


def spending(state: dict[str, Any] | None = None, today: datetime.date = TODAY, meter: Meter | None = None) -> Spending:
    return Spending(decoded(state or {}, Spent), "run", lambda: today, meter)


def ledger(budget: int, *, balance: int | None = None, user: int | None = None, **limits: int) -> Ledger:
    meter = None if balance is None else meter_of(balance, user=user)
    return Ledger(Limits(budget, **limits), spending(meter=meter), meter)


class AnyOrder(RuleBasedStateMachine):
    """Requests overlap, cost less than feared or the most, break, and are corrected later."""

    @initialize(
        budget=small,
        per_cycle=st.none() | small,
        per_month=st.none() | small,
        user=st.none() | small,
        reserve=small,
        balance=st.none() | small,
        before=small,
    )
    def open(
        self,
        *,
        budget: int,
        per_cycle: int | None,
        per_month: int | None,
        user: int | None,
        reserve: int,
        balance: int | None,
        before: int,
    ) -> None:
        self.meter = None if balance is None else meter_of(balance, user=user)
        self.not_shown = before  # no reading tells whether the meter shows it
        self.limits = Limits(budget, per_cycle, reserve, per_month)
        self.state = {"days": {f"{TODAY - DAY}": {"a": before}}} if before else {}
        self.before = before
        self.ledger = Ledger(self.limits, spending(self.state, meter=self.meter), self.meter)
        self.on_the_way: list[tuple[Any, Any, int]] = []
        self.booked = 0
        self.exhausted = False

    def room(self) -> int:
        used = self.booked + sum(worst for _, _, worst in self.on_the_way)
        rooms = [self.limits.budget - used]
        if self.limits.per_cycle is not None:
            rooms.append(self.limits.per_cycle - self.before - used)
        if self.limits.per_month is not None:
            rooms.append(self.limits.per_month - self.before - used)
        if self.meter is not None:
            rooms.append(self.meter.lead.left - self.not_shown - self.limits.reserve - used)
            rooms += [] if self.meter.user is None else [self.meter.user - used]
        return min(rooms)

    @rule(worst=st.integers(1, 20))
    def reserve(self, worst: int) -> None:
        request = self.ledger.reserved("stream", worst)
        if self.exhausted or worst > self.room():
            with pytest.raises(LimitReachedError):
                request.__enter__()
        else:
            self.on_the_way.append((request, request.__enter__(), worst))

    @rule()
    def send_what_cannot_cost_anything(self) -> None:
        with self.ledger.reserved("stream", 0) as receipt:
            assert receipt.credits == 0

    @rule(price=st.integers(1, 20))
    def ask_how_many(self, price: int) -> None:
        room = self.room()
        if self.exhausted or room < price:
            with pytest.raises(LimitReachedError):
                self.ledger.affordable(price)
        else:
            assert self.ledger.affordable(price) == room // price

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        request, receipt, worst = self.on_the_way.pop(data.draw(st.integers(0, len(self.on_the_way) - 1)))
        receipt.credits = data.draw(st.integers(0, worst))
        request.__exit__(None, None, None)
        self.booked += receipt.credits

    @precondition(lambda self: self.on_the_way)
    @rule(kind=st.sampled_from([OSError, ValueError, KeyboardInterrupt]))
    def lose_the_reply(self, kind: type[BaseException]) -> None:
        request, _, worst = self.on_the_way.pop()
        error = kind()
        with contextlib.suppress(kind):
            request.__exit__(kind, error, None)
        self.booked += worst

    @precondition(lambda self: self.booked)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        too_much = data.draw(st.integers(0, self.booked))
        self.ledger.take_back("stream", too_much, booked=TODAY, of_this_run=True)
        self.booked -= too_much

    @precondition(lambda self: self.before)
    @rule(data=st.data())
    def take_back_what_an_earlier_run_booked(self, data: st.DataObject) -> None:
        too_much = data.draw(st.integers(0, self.before))
        self.ledger.take_back("stream", too_much, booked=TODAY - DAY, of_this_run=False)
        self.before -= too_much
        self.not_shown = max(0, self.not_shown - too_much)

    @rule()
    def hear_that_there_are_no_credits(self) -> None:
        self.ledger.exhaust()
        self.exhausted = True

    @invariant()
    def every_limit_is_kept(self) -> None:
        if not hasattr(self, "ledger"):
            return
        assert self.ledger.total == self.booked
        worst = sum(worst for _, _, worst in self.on_the_way)
        assert self.ledger.in_cycle == self.before + self.booked
        state: Any = {}
        self.ledger.write_to(state)
        assert spent(state) == self.before + self.booked + worst
        if self.booked or self.on_the_way:
            assert self.room() >= 0


AnyOrder.TestCase.settings = hypothesis.settings(stateful_step_count=25)
TestAnyOrder = AnyOrder.TestCase


class SlowLimits(Limits):
    """Limits that let the other threads run between the look at a limit and what follows from it."""

    def __getattribute__(self, name: str) -> Any:
        time.sleep(0.0001)
        return super().__getattribute__(name)


@pytest.mark.real
@pytest.mark.parametrize("price", [1, 3])
@pytest.mark.parametrize("limits", [{"budget": 60}, {"budget": 999, "per_cycle": 60}, {"budget": 999, "balance": 60}])
def test_streams_at_the_same_time_keep_to_one_limit(limits: dict[str, Any], price: int) -> None:
    shared = ledger(**limits)
    shared.limits = SlowLimits(**dataclasses.asdict(shared.limits))
    start = threading.Barrier(8)
    sent: list[int] = []

    def stream(number: int) -> None:
        start.wait()
        with contextlib.suppress(LimitReachedError):
            while True:
                with shared.reserved(f"stream {number}", price) as receipt:
                    receipt.credits = price
                    sent.append(price)

    threads = [threading.Thread(target=stream, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sent) == shared.total == 60


def test_what_is_on_its_way_counts_as_spent_until_it_is_known() -> None:
    shared = ledger(10)
    with shared.reserved("a", 6) as receipt:
        assert shared.affordable(1) == 4
        with pytest.raises(LimitReachedError), shared.reserved("b", 5):
            pass
        receipt.credits = 1
    assert shared.affordable(1) == 9


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"budget": 0}, "`credit_budget` is 0: set it"),
        (
            {"budget": 99, "per_cycle": 8},
            "0 of 8 credits of `credit_budget_per_cycle` are spent, and the next",
        ),
        ({"budget": 99, "balance": 1_008, "reserve": 1_000}, "1,008 credits left, and `credit_reserve` is 1,000"),
        ({"budget": 99, "per_month": 8}, "0 of 8 credits of `credit_budget_per_month` are spent, and the next"),
        ({"budget": 99, "balance": 8}, "the team has 8 credits left, and"),
        ({"budget": 99, "balance": 99, "user": 8}, "the user of the key has 8 credits left, and the next"),
    ],
)
def test_the_message_names_the_limit_that_is_the_nearest(limits: dict[str, Any], named: str) -> None:
    with pytest.raises(LimitReachedError) as reached, ledger(**limits).reserved("a", 9):
        pass
    assert named in f"{reached.value}"


def test_the_summary_tells_what_was_spent_and_what_is_left() -> None:
    shared = ledger(1_500, per_cycle=3_000, balance=7_000)
    for stream, cost in (("people", 1_000), ("free", 0), ("organizations", 9)):
        with shared.reserved(stream, 1_000 if cost > 9 else 9) as receipt:
            receipt.credits = cost
    assert shared.summary() == (
        "Credits: 1,009 of 1,500 spent in this sync; 1,009 of 3,000 in this cycle; 5,991 left of the team's balance "
        "(people 1,000, organizations 9)."
    )
    assert ledger(5).summary() == ("Credits: 0 of 5 spent in this sync; the team's balance is unknown.")


@pytest.mark.parametrize(("credits_", "units"), [(Price(1, "person"), "people"), (Price(1, "page"), "pages")])
def test_units_have_a_plural(credits_: Price, units: str) -> None:
    assert credits_.units == units


class TestSpending:
    @hypothesis.given(
        runs=st.lists(st.tuples(st.integers(0, 20), st.lists(st.integers(0, 9), max_size=3)), max_size=8),
        known=st.booleans(),
    )
    def test_within_a_cycle_every_credit_counts(self, runs: list[tuple[int, list[int]]], *, known: bool) -> None:
        """Days pass between runs, cycles begin, and the state goes through JSON."""
        today = TODAY
        state: dict[str, Any] = {}
        costs_by_day: dict[datetime.date, int] = {}
        for days, costs in runs:
            today += days * DAY
            first = today.replace(day=1)
            last = (first + 31 * DAY).replace(day=1)
            state = json.loads(json.dumps(state))
            counted = spending(state, today, meter_of(99, start=first, end=last) if known else None)
            for cost in costs:
                counted.book(cost)
                costs_by_day[today] = costs_by_day.get(today, 0) + cost
            since = first if known else today - 366 * DAY
            assert counted.in_month == sum(cost for day, cost in costs_by_day.items() if day >= first)
            assert counted.in_cycle == sum(cost for day, cost in costs_by_day.items() if day >= since)
            state = counted.to_state()
            assert len(state.get("days", ())) <= 32

    def test_a_cycle_that_apollo_does_not_tell_any_more_counts_to_its_end(self) -> None:
        first = spending({}, TODAY, meter_of(9, start=TODAY - 40 * DAY, end=TODAY + 40 * DAY))
        first.book(7)
        state = first.to_state()
        assert spending(state, TODAY + 35 * DAY).in_cycle == 7
        assert spending(state, TODAY + 41 * DAY).in_month == 0

    def test_a_day_before_the_cycle_is_forgotten(self) -> None:
        first = TODAY.replace(day=1)
        state = {"days": {f"{first - DAY}": {"a": 5}, f"{first}": {"a": 2, "b": 1}}}
        counted = spending(state, TODAY, meter_of(9, start=first, end=TODAY + DAY))
        assert counted.in_cycle == 3
        assert counted.to_state()["days"] == {f"{first}": {"a": 2, "b": 1}}

    @hypothesis.given(
        runs=st.lists(st.tuples(st.integers(0, 40), st.lists(st.integers(1, 9), max_size=4)), max_size=12),
        per_month=st.none() | small,
        per_cycle=st.none() | small,
        months=st.sampled_from([1, 3, 12]),
    )
    def test_no_month_and_no_cycle_takes_more_than_its_limit(
        self, runs: list[tuple[int, list[int]]], per_month: int | None, per_cycle: int | None, months: int
    ) -> None:
        today, state = TODAY, dict[str, Any]()
        in_month, in_cycle = collections.Counter[Any](), collections.Counter[Any]()
        for days, costs in runs:
            today += days * DAY
            start = today.replace(month=(today.month - 1) // months * months + 1, day=1)
            end = (start + (31 * months - 1) * DAY).replace(day=1)
            meter = meter_of(10**6, start=start, end=end)
            book = Ledger(Limits(10**6, per_cycle, 0, per_month), spending(state, today, meter), meter)
            for cost in costs:
                with contextlib.suppress(LimitReachedError), book.reserved("stream", cost):
                    in_month[today.replace(day=1)] += cost
                    in_cycle[start] += cost
            assert max(in_month.values(), default=0) <= (math.inf if per_month is None else per_month)
            assert max(in_cycle.values(), default=0) <= (math.inf if per_cycle is None else per_cycle)
            kept: Any = {}
            book.write_to(kept)
            state = json.loads(json.dumps(kept["bookmarks"]["credit_spending"]))

    @pytest.mark.parametrize("known", [True, False])
    def test_a_month_counts_from_its_first_day_whatever_the_cycle(self, *, known: bool) -> None:
        days = [TODAY.replace(day=1) - DAY, TODAY.replace(day=1), TODAY]
        state = {"days": {f"{day}": {"a": 2**number} for number, day in enumerate(days)}}
        meter = meter_of(9, start=TODAY, end=TODAY + DAY) if known else None
        counted = spending(state, TODAY, meter)
        assert counted.in_month == 6
        assert counted.in_cycle == (4 if known else 7)
        assert [*counted.to_state()["days"]] == [f"{day}" for day in (days[1:] if known else days)]

    def test_a_day_of_an_unknown_cycle_is_kept_for_as_long_as_any_cycle_is(self) -> None:
        state = {"days": {f"{TODAY - 366 * DAY}": {"a": 5}, f"{TODAY - 367 * DAY}": {"a": 3}}}
        assert spending(state).in_cycle == 5

    @pytest.mark.parametrize("length", [28, 31, 92, 365, 366])
    def test_a_cycle_is_as_long_as_apollo_shows_it(self, length: int) -> None:
        start = TODAY - (length - 1) * DAY
        state = {"days": {f"{start}": {"a": 5}, f"{start - DAY}": {"a": 3}}}
        assert spending(state, TODAY, meter_of(9, start=start, end=TODAY + DAY)).in_cycle == 5

    def test_what_is_taken_back_comes_off_its_own_day_only_and_never_below_zero(self) -> None:
        counted = spending({"days": {f"{TODAY - DAY}": {"a": 5}}})
        counted.book(2)
        counted.take_back(9, TODAY - DAY)
        assert counted.in_cycle == 2
        counted.take_back(1, TODAY - 9 * DAY)
        assert counted.in_cycle == 2

    @pytest.mark.parametrize(
        "state",
        [
            {"days": None},
            {"days": []},
            {"days": {f"{TODAY}": 5}},
            {"days": {f"{TODAY}": {"a": "5"}}},
            {"days": {f"{TODAY}": {"a": None}}},
            {"days": {f"{TODAY}": None}},
            {"days": {"yesterday": {"a": 5}}},
            {"cycle": "march"},
            {"cycle": [1, 2]},
            {"cycle": ["2026-03-01"]},
        ],
    )
    def test_a_state_that_does_not_tell_is_refused(self, state: dict[str, Any]) -> None:
        with pytest.raises(StateError):
            spending(state)


class TestALaggingMeter:
    @hypothesis.given(
        runs=st.lists(
            st.tuples(st.integers(0, 30), st.lists(st.integers(0, 9), max_size=4), st.booleans()), max_size=12
        ),
        hours=st.integers(0, 23),
        reserve=st.integers(0, 40),
    )
    def test_the_reserve_holds_over_any_chain_of_runs(
        self, runs: list[tuple[int, list[int], bool]], hours: int, reserve: int
    ) -> None:
        """Runs follow within minutes or a day; what Apollo charges is in its meter hours later; only the tap spends."""
        now = datetime.datetime(2026, 3, 15, 12, tzinfo=datetime.timezone.utc)
        state: dict[str, Any] = {}
        charged: list[tuple[datetime.datetime, int]] = []
        for wait, wanted, readable in runs:
            now += datetime.timedelta(hours=wait, minutes=1)
            shown = sum(cost for moment, cost in charged if moment <= now - datetime.timedelta(hours=hours))
            meter = meter_of(100 - shown, shown, start=TODAY - DAY, end=TODAY + 99 * DAY) if readable else None
            spent_before = decoded(json.loads(json.dumps(state)), Spent)
            counted = Spending(spent_before, f"{now:%H%M%S}-a", now.date, meter)
            book = Ledger(Limits(1000, None, reserve), counted, meter)
            for cost in wanted if readable else ():
                with contextlib.suppress(LimitReachedError), book.reserved("stream", cost):
                    charged.append((now, cost))
            assert sum(cost for _, cost in charged) <= 100 - reserve
            kept: Any = {}
            book.write_to(kept)
            state = kept["bookmarks"]["credit_spending"]

    def test_what_it_shows_is_not_taken_off_again(self) -> None:
        state: dict[str, Any] = {}
        for number, run in enumerate(["010000-a", "130000-b", "230000-c"]):
            counted = Spending(decoded(state, Spent), run, lambda: TODAY, meter_of(100 - 10 * number, 10 * number))
            assert counted.not_shown == 0
            counted.book(10)
            state = counted.to_state()

    @pytest.mark.parametrize(("unified", "not_shown"), [(True, 10), (None, 10), (False, 0)])
    def test_what_two_kinds_may_both_show_rises_once(self, *, unified: bool | None, not_shown: int) -> None:
        """A credit for a conversation may be in both: it must not hide another that is in neither."""
        others = {"conversation_credit": Pool(100)}
        before = spending({}, TODAY, meter_of(100, others=others, unified=unified))
        before.book(20)
        others = {"conversation_credit": Pool(90, 10)}
        after = Spending(
            decoded(before.to_state(), Spent), "sun", lambda: TODAY, meter_of(90, 10, others=others, unified=unified)
        )
        assert after.not_shown == not_shown

    def test_after_two_days_it_shows_all(self) -> None:
        state = {"days": {f"{TODAY - 2 * DAY}": {"a": 7}}}
        assert spending(state, TODAY, meter_of(9)).not_shown == 0
        assert spending(state, TODAY - DAY, meter_of(9)).not_shown == 7

    def test_what_an_earlier_run_booked_too_high_it_will_never_show(self) -> None:
        meter = meter_of(20)
        counted = spending({"days": {f"{TODAY}": {"a": 7}}}, TODAY, meter)
        book = Ledger(Limits(99), counted, meter)
        assert book.balance == 13
        book.take_back("stream", 5, booked=TODAY, of_this_run=False)
        assert book.balance == 18


class TestPools:
    METER: ClassVar[dict[str, Any]] = {"others": {"conversation_credit": Pool(500), "direct_dial_credit": Pool(30)}}
    DRAWS = {
        "details": Draw(1, {"conversation_credit": 1}),
        "phones": Draw(9, {"lead_credit": 1, "direct_dial_credit": 8}),
    }

    def opened(self, lead: int, *, unified: bool | None, reserve: int = 0) -> Ledger:
        meter = meter_of(lead, unified=unified, **self.METER)
        return Ledger(Limits(1000, None, reserve), spending(meter=meter), meter, self.DRAWS)

    def test_conversations_draw_on_their_own(self) -> None:
        assert self.opened(0, unified=False).affordable(1, "details") == 500
        assert self.opened(0, unified=False, reserve=20).affordable(1, "details") == 480
        with pytest.raises(LimitReachedError, match="the team has 0 credits left, and the next"):
            self.opened(0, unified=False).affordable(1, "people")

    def test_unified_credits_are_one_pool(self) -> None:
        assert self.opened(7, unified=True).affordable(1, "details") == 7

    def test_where_apollo_does_not_say_both_have_to_bear_it(self) -> None:
        assert self.opened(7, unified=None).affordable(1, "details") == 7
        assert self.opened(999, unified=None).affordable(1, "details") == 500

    def test_a_mobile_number_draws_on_two(self) -> None:
        book = self.opened(100, unified=False)
        assert book.affordable(9, "phones") == 3
        with book.reserved("phones", 27) as receipt:
            with pytest.raises(LimitReachedError, match="6 credits of `direct_dial_credit` left, and the next"):
                book.affordable(9, "phones")
            assert book.affordable(1, "people") == 97
            receipt.credits = 18
        assert book.affordable(1, "people") == 97  # whose share of what it did cost nobody knows
        assert book.affordable(9, "phones") == 1

    def test_credits_that_are_used_up_stop_those_who_draw_on_them(self) -> None:
        book = self.opened(100, unified=False)
        book.exhaust("direct_dial_credit")
        assert book.affordable(1, "details")
        with pytest.raises(LimitReachedError, match="the team's credits of `direct_dial_credit` are used up"):
            book.affordable(9, "phones")
        book.exhaust()
        with pytest.raises(LimitReachedError, match="the team's credits are used up"):
            book.affordable(1, "details")

    def test_the_most_that_a_run_can_spend_is_that_of_all_its_pools(self) -> None:
        assert self.opened(7, unified=False).most == 537
        assert self.opened(7, unified=True).most == 7
        assert self.opened(7, unified=False, reserve=10).most == 510


class TestPurchases:
    @hypothesis.given(
        runs=st.lists(st.tuples(st.integers(0, 9), st.lists(st.sampled_from("abcdefgh"), max_size=6)), max_size=8),
        refresh=st.none() | st.integers(1, 12),
        up_to_yesterday=st.booleans(),
    )
    def test_they_are_remembered_as_by_a_mapping(
        self,
        runs: list[tuple[int, list[str]]],
        refresh: int | None,
        *,
        up_to_yesterday: bool,
    ) -> None:
        today = TODAY
        state: dict[str, Any] = {}
        model: dict[str, datetime.date] = {}
        for days, keys in runs:
            today += days * DAY
            state = json.loads(json.dumps(state))
            grown = decoded(state, ByDay[Digests])
            bought = Purchases(grown, f"{days}", today, refresh)
            if refresh is not None:
                model = {key: day for key, day in model.items() if (today - day).days < refresh}
            assert {key for key in "abcdefgh" if key in bought} == model.keys()
            day = today - DAY if up_to_yesterday else today
            bought.add(keys, day if up_to_yesterday else None)
            model.update(dict.fromkeys(keys, day))
            assert {key: bought.when(key) for key in "abcdefgh"} == {key: model.get(key) for key in "abcdefgh"}
            assert len(bought) == len(model)
            state = encoded(grown)
            again = Purchases(decoded(state, ByDay[Digests]), "later", today)
            assert {key: again.when(key) for key in "abcdefgh"} == {key: model.get(key) for key in "abcdefgh"}
            state = encoded(grown)

    def test_ten_thousand_take_eighty_kilobytes(self) -> None:
        grown: dict[datetime.date, dict[str, str]] = {}
        Purchases(grown, "run", TODAY).add(f"record {number}" for number in range(10_000))
        assert len(json.dumps(encoded(grown))) < 81_000
        assert len(Purchases(grown, "run", TODAY)) == 10_000

    def test_what_was_bought_on_two_days_is_of_the_later_and_kept_once(self) -> None:
        grown: dict[datetime.date, dict[str, str]] = {}
        Purchases(grown, "a", TODAY - DAY).add(["one", "two"])
        Purchases(grown, "b", TODAY).add(["one"])
        bought = Purchases(grown, "c", TODAY)
        assert (bought.when("one"), bought.when("two")) == (TODAY, TODAY - DAY)
        assert [len(text) for text in entries(encoded(grown))] == [8, 8]

    @pytest.mark.parametrize(
        "state",
        [
            None,
            [],
            "all",
            {f"{TODAY}": "AAAAAAAA"},
            {f"{TODAY}": {"a": "cut off"}},
            {f"{TODAY}": {"a": 8}},
            {f"{TODAY}": {"a": None}},
            {f"{TODAY}": {"a": [[1], 2, 3, 4, 5, 6, 7, 8]}},
            {"yesterday": {"a": "AAAAAAAA"}},
        ],
    )
    def test_a_state_that_does_not_tell_is_refused(self, state: Any) -> None:
        with pytest.raises(StateError):
            decoded(state, ByDay[Digests])


class TestMeter:
    REPLY: ClassVar[dict[str, Any]] = {
        "credit_usage_stats": {"lead_credit": {"limit": 100, "consumed": 40, "left_over": 60}},
        "current_credit_cycle": {"start_date": "2026-03-01T00:00:00.000+00:00", "end_date": "2026-04-01T00:00:00Z"},
    }

    def test_it_is_read(self) -> None:
        assert read_meter(self.REPLY) == meter_of(
            60, 40, unified=None, start=datetime.date(2026, 3, 1), end=datetime.date(2026, 4, 1)
        )

    @pytest.mark.parametrize(
        ("profile", "unified", "user"),
        [
            (None, None, None),
            ({}, None, None),
            ({"num_credits_remaining": 5, "total_unified_credits_used": 0}, True, 5),
            ({"num_credits_remaining": 5, "total_unified_credits_used": None}, False, 5),
            ({"num_credits_remaining": "loading"}, False, None),
        ],
    )
    def test_the_profile_adds_what_it_knows(
        self, profile: dict[str, Any] | None, *, unified: bool | None, user: int | None
    ) -> None:
        pools = {
            "direct_dial_credit": {"limit": 0, "left_over": 0},
            "conversation_credit": {"limit": 9, "left_over": 8},
        }
        reply = {"credit_usage_stats": {**self.REPLY["credit_usage_stats"], **pools}}
        assert read_meter(reply, profile) == meter_of(
            60, 40, others={"conversation_credit": Pool(8)}, unified=unified, user=user
        )

    @pytest.mark.parametrize("cycle", [None, {}, {"start_date": None, "end_date": ""}])
    def test_a_cycle_may_be_missing(self, cycle: dict[str, Any] | None) -> None:
        meter = read_meter({**self.REPLY, "current_credit_cycle": cycle})
        assert meter == meter_of(60, 40, unified=None)
        assert Ledger(Limits(1), spending(meter=meter), meter).balance == 60

    @pytest.mark.parametrize("path", [("credit_usage_stats",), ("credit_usage_stats", "lead_credit", "left_over")])
    @pytest.mark.parametrize("odd", [None, "many", [], {}])
    def test_one_of_an_unknown_form_is_refused(self, path: tuple[str, ...], odd: Any) -> None:
        reply = copy.deepcopy(self.REPLY)
        node: Any = reply
        for name in path[:-1]:
            node = node[name]
        node[path[-1]] = odd
        with pytest.raises((LookupError, TypeError, ValueError)):
            read_meter(reply)


class TestWhomARowIsFor:
    """Three persons are asked for: by id, by address, by name alone."""

    BATCH = (
        Wanted(("1",), {"id": "1"}),
        Wanted(("b",), {"email": "Bea@example.test"}),
        Wanted(("c",), {"name": "Cy", "organization_name": "Example"}),
    )
    ADA, BEA, CY = {"id": "1"}, {"id": "2", "email": "bea@example.test"}, {"id": "3"}

    def _keys(self, *rows: Any) -> list[tuple[Any, str | None]]:
        batch = [*self.BATCH]
        asked = {name: one for one in batch for name in person_names(one.value)}
        return [(row["id"], one.keys[0] if one else None) for row, one in paired([*rows], batch, asked, person_names)]

    def test_is_told_by_its_place(self) -> None:
        assert self._keys(self.ADA, {"id": "2"}, self.CY) == [("1", "1"), ("2", "b"), ("3", "c")]
        assert self._keys(None, {"id": "9"}, None) == [("9", "b")]

    def test_is_told_by_its_names_first(self) -> None:
        assert self._keys(self.BEA, self.ADA, self.CY) == [("2", "b"), ("1", "1"), ("3", "c")]
        assert self._keys(self.CY, self.BEA, self.ADA) == [("3", None), ("2", "b"), ("1", "1")]

    def test_is_not_told_by_its_place_if_too_few_came(self) -> None:
        assert self._keys(self.BEA, self.CY) == [("2", "b"), ("3", None)]
        assert self._keys(*[self.CY] * 4) == [("3", None)] * 4


class TestPages:
    """Which pages of a list are bought."""

    @staticmethod
    def _bought(*pages: tuple[int | None, int | None], per_page: int = 25) -> int:
        state = Pages(per_page, 1, None, 0)
        for number, page in enumerate(pages, start=1):
            if state.came(*page):
                return number
        pytest.fail("more are wanted")

    @pytest.mark.parametrize(
        ("pages", "bought"),
        [
            ([(25, 80), (25, 80), (25, 80), (5, 80)], 4),
            ([(24, 80), (24, 80), (24, 80), (8, 80)], 4),
            ([(25, 25)], 1),
            ([(0, 80)], 1),
            ([(24, 80), (0, 80)], 2),
            ([(25, None), (25, None), (3, None)], 3),
            ([(25, None), (0, None)], 2),
            ([(25, 3), (24, 3)], 2),
            ([(25, 10_000), (24, 10_000)], 2),
            ([(None, 80), (25, 80), (25, 80), (5, 80)], 4),
            ([(25, 80), (None, None), (25, None), (5, None)], 4),
            ([(None, None)], 1),
        ],
    )
    def test_are_those_that_are_known_to_be_missing(
        self, pages: list[tuple[int | None, int | None]], bought: int
    ) -> None:
        assert self._bought(*pages) == bought

    def test_go_no_further_than_apollo_shows(self) -> None:
        assert self._bought(*[(25_000, 90_000)] * 3, per_page=25_000) == 2
