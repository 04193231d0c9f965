"""What requests cost in Apollo credits, the ledger that holds a sync to its limits, and what was bought already.

A request is paid for in three steps: reserve the worst case, send, settle on what the reply shows. Nothing here sends
or writes anything.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import dataclasses
import datetime
import hashlib
import threading
from typing import TYPE_CHECKING, Any

from tap_apollo.singer.conform import timestamp
from tap_apollo.singer.memory import encoded, expire
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import TapState

    from tap_apollo.singer.memory import ByDay, Spent

#: What a revealed mobile number costs on top of its person (vendor's reference of people/bulk_match, measured).
PHONE_NUMBER = 8

#: After how many days spending is out of every billing cycle, where Apollo does not show the cycle.
LONGEST_CYCLE = 31


#: Where the state holds what was spent, beside the bookmarks of the streams.
SPENDING = "credit_spending"


class LimitReachedError(Exception):
    """A limit leaves no room for the next request; the message names the limit and where it stands."""


@dataclasses.dataclass(frozen=True)
class Price:
    """What a stream's requests cost at most.

    Attributes:
        credits: Credits per unit.
        unit: What is charged for, as users read it.
        batch: Most units in one request.
        free: What costs nothing.
        surcharge: Returns what comes on top of a unit, at most, by the settings.
        detail: What a unit is more exactly, as the docs go on after it.
        sure: How the price is known, as the docs say it.
    """

    credits: int
    unit: str
    batch: int = 1
    free: str = ""
    surcharge: Callable[[Mapping[str, Any]], int] | None = None
    detail: str = ""
    sure: str = "documented"

    def at_most(self, config: Mapping[str, Any]) -> int:
        """Return the most that a unit can cost by the settings."""
        return self.credits + (self.surcharge(config) if self.surcharge else 0)

    @property
    def units(self) -> str:
        """The unit's plural."""
        return "people" if self.unit == "person" else f"{self.unit}s"

    def counted(self, number: int) -> str:
        """Return a number of units, as users read it."""
        return counted(number, self.unit, self.units)


@dataclasses.dataclass(frozen=True)
class Meter:
    """What Apollo itself says of the team's credits.

    Attributes:
        balance: Credits left.
        consumed: Credits the whole team has used in the cycle.
        start: The day the billing cycle began; None if Apollo does not say.
        end: The day it ends.
    """

    balance: int
    consumed: int = 0
    start: datetime.date | None = None
    end: datetime.date | None = None


@dataclasses.dataclass(frozen=True)
class Limits:
    """What may be spent.

    Attributes:
        budget: Most credits in one sync.
        per_cycle: Most credits in one billing cycle.
        reserve: Credits of the team's balance that are not to be touched.
    """

    budget: int = 0
    per_cycle: int | None = None
    reserve: int = 0


class Spending:
    """Credits spent per day and run, kept in the state, and the billing cycle as Apollo last gave it."""

    def __init__(self, spent: Spent, run: str, today: Callable[[], datetime.date], meter: Meter | None = None) -> None:
        """Take up a state.

        Args:
            spent: What earlier runs left, which is changed in place.
            run: What tells this run from others.
            today: Tells the day on which to book, in UTC.
            meter: What Apollo says, if it does.
        """
        self._run = run
        self._today = today
        self._spent = spent
        if meter and meter.start and meter.end:
            spent.cycle = meter.start, meter.end
        expire(spent.days, self._first_day())

    def to_state(self, on_the_way: int = 0) -> dict[str, Any]:
        """Return what a later run takes up, as JSON, with credits that are not settled yet."""
        state = encoded(self._spent)
        if on_the_way:
            runs = state.setdefault("days", {}).setdefault(f"{self._today()}", {})
            runs[self._run] = runs.get(self._run, 0) + on_the_way
        return state

    def _first_day(self) -> datetime.date:
        """Return the first day that counts: of the cycle, or, of an unknown one, the earliest that it can have."""
        today = self._today()
        if self._spent.cycle is not None:
            start, end = self._spent.cycle
            if start <= today <= end:
                return start
        return today - datetime.timedelta(days=LONGEST_CYCLE)

    @property
    def total(self) -> int:
        """Credits spent in the cycle."""
        return sum(max(0, sum(runs.values())) for runs in self._spent.days.values())

    def book(self, credits_spent: int) -> None:
        """Add to what was spent today."""
        if credits_spent:
            self._add(self._today(), credits_spent)

    def take_back(self, credits_unspent: int, day: datetime.date) -> None:
        """Take what was booked too high off the day on which it was booked, if that still counts."""
        if day in self._spent.days and credits_unspent:
            self._add(day, -credits_unspent)

    def _add(self, day: datetime.date, credits_spent: int) -> None:
        runs = self._spent.days.setdefault(day, {})
        runs[self._run] = runs.get(self._run, 0) + credits_spent


class Ledger:
    """Keeps all streams of a run within the limits. Safe to use from several threads."""

    def __init__(self, limits: Limits, spending: Spending, meter: Meter | None = None) -> None:
        """Open the ledger.

        Args:
            limits: What may be spent.
            spending: What was spent before.
            meter: The team's balance; None if it cannot be read, and is then no limit.
        """
        self.limits = limits
        self.meter = meter
        self.spent: collections.Counter[str] = collections.Counter()
        self._spending = spending
        self._reserved = 0
        self._exhausted = False
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """Credits spent in this run."""
        return self.spent.total()

    @property
    def in_cycle(self) -> int:
        """Credits spent in this billing cycle, by this run and those before."""
        return self._spending.total

    @property
    def balance(self) -> int | None:
        """The team's balance by our own count."""
        return None if self.meter is None else self.meter.balance - self.total

    def summary(self) -> str:
        """Return one line on what was spent, for the log."""
        limits = self.limits
        cycle = f" of {limits.per_cycle:,}" if limits.per_cycle is not None else ""
        parts = [
            f"{self.total:,} of {limits.budget:,} spent in this sync",
            f"{self.in_cycle:,}{cycle} in this cycle",
            "the team's balance is unknown" if self.balance is None else f"{self.balance:,} left of the team's balance",
        ]
        by_stream = ", ".join(f"{name} {spent:,}" for name, spent in self.spent.most_common() if spent)
        return f"Credits: {'; '.join(parts)}{f' ({by_stream})' if by_stream else ''}."

    def allowance(self) -> str:
        """Return one line on what may be spent, for the plan."""
        limits = self.limits
        parts = [f"`credit_budget` is {limits.budget:,}"]
        if limits.per_cycle is not None:
            parts.append(
                f"{max(0, limits.per_cycle - self.in_cycle):,} of {limits.per_cycle:,} credits of "
                "`credit_budget_per_cycle` are left"
            )
        if self.balance is None:
            parts.append("the team's balance is unknown")
        else:
            parts.append(self._left_of_the_balance)
        return f"{'; '.join(parts)}."

    def write_to(self, state: TapState) -> None:
        """Note in a Singer state what was spent: what is not settled yet counts at its worst.

        Args:
            state: The state of the tap, changed in place.
        """
        with self._lock:
            spent = self._spending.to_state(self._reserved)
        state.setdefault("bookmarks", {})[SPENDING] = spent

    def exhaust(self) -> None:
        """Note that Apollo refused a request for want of credits."""
        self._exhausted = True

    def affordable(self, price: int) -> int:
        """Return how many units of a price may be bought now.

        Raises:
            LimitReachedError: Not one.
        """
        with self._lock:
            return self._room(price) // price

    @contextlib.contextmanager
    def reserved(self, stream: str, worst: int) -> Iterator[Receipt]:
        """Set the worst case of a request aside while it is on its way, then book what the receipt says.

        A receipt that is left open, as by an error, is booked at the worst case.

        Raises:
            LimitReachedError: The worst case does not fit; nothing may be sent.
        """
        with self._lock:
            if worst:
                self._room(worst)
            self._reserved += worst
        receipt = Receipt(worst)
        try:
            yield receipt
        finally:
            with self._lock:
                self._reserved -= worst
                self._book(stream, receipt.credits)

    def take_back(self, stream: str, credits_unspent: int, *, booked: datetime.date, of_this_run: bool) -> None:
        """Correct what was booked too high, once it is known.

        Args:
            stream: The stream for which it was booked.
            credits_unspent: How much too high.
            booked: The day on which it was booked, in UTC.
            of_this_run: Whether this run booked it; what an earlier one booked gives this one no more to spend.
        """
        with self._lock:
            if of_this_run:
                self.spent[stream] -= credits_unspent
            self._spending.take_back(credits_unspent, booked)

    def _book(self, stream: str, credits_spent: int) -> None:
        self.spent[stream] += credits_spent
        self._spending.book(credits_spent)

    def _room(self, price: int) -> int:
        """Return the credits that all limits leave, which is enough for a price.

        Raises:
            LimitReachedError: It is not.
        """
        if self._exhausted:
            raise LimitReachedError("Apollo says that the team's credits are used up")
        if not self.limits.budget:
            raise LimitReachedError("`credit_budget` is 0: set it to the most credits that a sync may spend")
        rooms = self._rooms()
        limit = min(rooms, key=lambda name: (rooms[name], name))
        room = rooms[limit] - self._reserved
        if room < price:
            raise LimitReachedError(f"{self._standing(limit)}, and the next request may cost {price:,}")
        return room

    def _rooms(self) -> dict[str, int]:
        """Return the credits that each limit leaves, what is on its way not counted."""
        limits, balance = self.limits, self.balance
        rooms = {"credit_budget": limits.budget - self.total}
        if limits.per_cycle is not None:
            rooms["credit_budget_per_cycle"] = limits.per_cycle - self._spending.total
        if balance is not None:
            rooms["credit_reserve"] = balance - limits.reserve
        return rooms

    def _standing(self, limit: str) -> str:
        """Say where a limit stands."""
        if limit == "credit_reserve":
            return self._left_of_the_balance
        per_cycle = limit == "credit_budget_per_cycle"
        spent, most = (self._spending.total, self.limits.per_cycle) if per_cycle else (self.total, self.limits.budget)
        return f"{spent:,} of {counted(most or 0, 'credit')} of `{limit}` are spent"

    @property
    def _left_of_the_balance(self) -> str:
        kept = f", and `credit_reserve` is {self.limits.reserve:,}" if self.limits.reserve else ""
        return f"the team has {counted(self.balance or 0, 'credit')} left{kept}"


@dataclasses.dataclass
class Receipt:
    """What one request has cost: the worst case until somebody knows better."""

    credits: int


class Purchases:
    """What was bought and when, in eight characters each: digests of 48 bits, one string per day and run.

    Among 100,000 purchases the chance that a record is taken for another and not bought is below 1 in 10,000.
    """

    _WIDTH = 8  # characters of base64 for six bytes

    def __init__(self, bought: ByDay[str], run: str, today: datetime.date, refresh_days: int | None = None) -> None:
        """Take up a state; what is older than the refresh age is forgotten.

        Of what was bought twice, the latest day counts, and the others are left out.

        Args:
            bought: What earlier runs left, which is changed in place.
            run: What tells this run from others.
            today: The day of new purchases, in UTC.
            refresh_days: After how many days a record may be bought again; None: never.
        """
        self._bought = bought
        self._run = run
        self._today = today
        if refresh_days is not None:
            expire(bought, today - datetime.timedelta(days=refresh_days - 1))
        self._when: dict[str, datetime.date] = {}
        for day in sorted(bought, reverse=True):
            for name, digests in [*bought[day].items()]:
                new = [one for one in dict.fromkeys(self._cut(digests)) if one not in self._when]
                self._when.update(dict.fromkeys(new, day))
                bought[day][name] = "".join(new)
                if not new:
                    del bought[day][name]
            if not bought[day]:
                del bought[day]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._when)

    def __contains__(self, key: str) -> bool:
        """Whether a record was bought, and not too long ago."""
        return _digest(key) in self._when

    def when(self, key: str) -> datetime.date | None:
        """Return the day that a record was bought; None: it was not."""
        return self._when.get(_digest(key))

    def add(self, keys: Iterable[str], day: datetime.date | None = None) -> None:
        """Note what was bought today, or is bought up to a day."""
        day = day or self._today
        new = [one for one in dict.fromkeys(map(_digest, keys)) if self._when.get(one) != day]
        if new:
            self._when.update(dict.fromkeys(new, day))
            runs = self._bought.setdefault(day, {})
            runs[self._run] = runs.get(self._run, "") + "".join(new)

    def _cut(self, digests: str) -> list[str]:
        return [digests[start : start + self._WIDTH] for start in range(0, len(digests), self._WIDTH)]


def _digest(key: str) -> str:
    return base64.b64encode(hashlib.blake2b(key.encode(), digest_size=6).digest()).decode()


def read_meter(reply: Mapping[str, Any]) -> Meter:
    """Read the reply of ``usage_stats/credit_usage_stats``.

    ``lead_credit`` is the pool that all requests draw on; on unified plans what is left of it is net of the other
    kinds (vendor's reference).

    Raises:
        LookupError, TypeError, ValueError: It is of an unknown form.
    """
    pool = reply["credit_usage_stats"]["lead_credit"]
    cycle = reply.get("current_credit_cycle") or {}
    return Meter(
        balance=int(pool["left_over"]),
        consumed=int(pool.get("consumed") or 0),
        start=_day(cycle.get("start_date")),
        end=_day(cycle.get("end_date")),
    )


def _day(moment: str | None) -> datetime.date | None:
    return None if not moment else datetime.date.fromisoformat(timestamp(moment)[:10])
