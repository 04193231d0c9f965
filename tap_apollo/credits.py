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
import math
import threading
from typing import TYPE_CHECKING, Any

from tap_apollo.singer.conform import timestamp
from tap_apollo.singer.memory import Reading, encoded, expire
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import TapState

    from tap_apollo.singer.memory import ByDay, Spent

#: What a revealed mobile number costs on top of its person (vendor's reference of people/bulk_match, measured).
PHONE_NUMBER = 8

#: After how many days spending is out of every billing cycle, where Apollo does not show the cycle.
LONGEST_CYCLE = 366

#: Kinds of credits, as Apollo's meter names them: what has no limit of its own draws on the first.
LEAD, CONVERSATION, DIRECT_DIAL = "lead_credit", "conversation_credit", "direct_dial_credit"


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
        kind: The kind of credits that it costs.
        shares: Returns the most of a unit per kind, by the settings, if it is more than one.
    """

    credits: int
    unit: str
    batch: int = 1
    free: str = ""
    surcharge: Callable[[Mapping[str, Any]], int] | None = None
    detail: str = ""
    sure: str = "documented"
    kind: str = LEAD
    shares: Callable[[Mapping[str, Any]], Mapping[str, int]] | None = None

    def draw(self, config: Mapping[str, Any]) -> Draw:
        """Return of which kinds the credits are that a unit costs, by the settings."""
        unit = self.at_most(config)
        return Draw(unit, self.shares(config) if self.shares else {self.kind: unit})

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
class Pool:
    """Credits of one kind.

    Attributes:
        left: How many are left.
        consumed: How many the whole team has used in the cycle.
    """

    left: int
    consumed: int = 0


@dataclasses.dataclass(frozen=True)
class Meter:
    """What Apollo itself says of the team's credits.

    Attributes:
        lead: The pool that everything draws on which has none of its own.
        others: The pools that have a limit of their own, by kind.
        unified: Whether all kinds share one pool all the same; None if Apollo does not say.
        user: What the key's user may still use of the team's; None if he may use all.
        start: The day the billing cycle began; None if Apollo does not say.
        end: The day it ends.
    """

    lead: Pool
    others: Mapping[str, Pool] = dataclasses.field(default_factory=dict)
    unified: bool | None = True
    user: int | None = None
    start: datetime.date | None = None
    end: datetime.date | None = None

    @property
    def cycle(self) -> tuple[datetime.date, datetime.date] | None:
        """The first and the last day of the billing cycle, if Apollo says both."""
        return (self.start, self.end) if self.start and self.end else None

    @property
    def pools(self) -> dict[str, Pool]:
        """All pools, by kind."""
        return {LEAD: self.lead, **({} if self.unified else self.others)}

    @property
    def consumed(self) -> dict[str, int]:
        """What the team has used, by kind, nothing counted twice: what one pool shows may be in the first, too."""
        return {kind: pool.consumed for kind, pool in self.pools.items() if kind == LEAD or self.unified is False}

    def pools_of(self, kind: str) -> tuple[str, ...]:
        """Return the pools on which credits of a kind may draw: where Apollo leaves it open, both have to bear it."""
        if kind not in self.pools:
            return (LEAD,)
        return (kind,) if self.unified is False else tuple(dict.fromkeys((LEAD, kind)))


@dataclasses.dataclass(frozen=True)
class Limits:
    """What may be spent.

    Attributes:
        budget: Most credits in one sync.
        per_cycle: Most credits in one billing cycle.
        reserve: Credits of the team's balance that are not to be touched.
        per_month: Most credits in one calendar month.
    """

    budget: int = 0
    per_cycle: int | None = None
    reserve: int = 0
    per_month: int | None = None

    @property
    def needing_the_meter(self) -> list[str]:
        """The settings that hold only if Apollo's meter can be read."""
        cycle = [] if self.per_cycle is None else ["credit_budget_per_cycle"]
        return [*cycle, *(["credit_reserve"] if self.reserve else [])]


@dataclasses.dataclass(frozen=True)
class Draw:
    """Of which kinds the credits are that a stream spends.

    Attributes:
        unit: What a unit costs at most.
        shares: How much of that may be of each kind.
    """

    unit: int
    shares: Mapping[str, int]


_LEADS = Draw(1, {LEAD: 1})


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
        if meter and meter.cycle:
            spent.cycle = meter.cycle
        since = self.cycle_start or self._today() - datetime.timedelta(days=LONGEST_CYCLE)
        expire(spent.days, min(since, self._today().replace(day=1)))
        self.not_shown = self._read(meter) if meter else 0

    def to_state(self, on_the_way: int = 0) -> dict[str, Any]:
        """Return what a later run takes up, as JSON, with credits that are not settled yet."""
        state = encoded(self._spent)
        if on_the_way:
            runs = state.setdefault("days", {}).setdefault(f"{self._today()}", {})
            runs[self._run] = runs.get(self._run, 0) + on_the_way
        return state

    def _read(self, meter: Meter) -> int:
        """Return the credits that are spent and that the meter may not show yet, and note what it shows.

        That is what was booked since an earlier reading and what that one did not show, less the rise since; at most
        what was booked since yesterday.
        """
        spent, today = self._spent, self._today()
        booked = [(day, run, number) for day, runs in spent.days.items() for run, number in runs.items()]
        recent = sum(number for day, _, number in booked if day >= today - datetime.timedelta(days=1))
        expire(spent.readings, max(self.cycle_start or today, today - datetime.timedelta(days=2)))
        missing = [
            reading.not_shown
            + sum(number for day, run, number in booked if (day, run) >= (read_on, reader))
            - sum(now - reading.consumed.get(kind, now) for kind, now in meter.consumed.items())
            for read_on, readings in spent.readings.items()
            for reader, reading in readings.items()
        ]
        not_shown = max(0, min(recent, max(missing, default=recent)))
        spent.readings.setdefault(today, {})[self._run] = Reading(meter.consumed, not_shown)
        return not_shown

    @property
    def cycle_start(self) -> datetime.date | None:
        """The first day of the billing cycle; None if Apollo has not shown it."""
        if self._spent.cycle is None:
            return None
        start, end = self._spent.cycle
        return start if start <= self._today() <= end else None

    @property
    def in_cycle(self) -> int:
        """Credits spent in the billing cycle; if it is not known, all that are remembered."""
        return self._since(self.cycle_start or datetime.date.min)

    @property
    def in_month(self) -> int:
        """Credits spent in the calendar month."""
        return self._since(self._today().replace(day=1))

    def _since(self, first: datetime.date) -> int:
        return sum(max(0, sum(runs.values())) for day, runs in self._spent.days.items() if day >= first)

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

    def __init__(
        self,
        limits: Limits,
        spending: Spending,
        meter: Meter | None = None,
        draws: Mapping[str, Draw] | None = None,
    ) -> None:
        """Open the ledger.

        Args:
            limits: What may be spent.
            spending: What was spent before.
            meter: What Apollo says; None if it cannot be read, and is then no limit.
            draws: Of which kinds the credits are that each stream spends; by default lead credits.
        """
        self.limits = limits
        self.meter = meter
        self.spent: collections.Counter[str] = collections.Counter()
        self._spending = spending
        self._draws = draws or {}
        self._not_shown = spending.not_shown
        self._reserved = 0
        self._drawn: collections.Counter[str] = collections.Counter()  # of each pool, with what is reserved
        self._exhausted: set[str | None] = set()
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """Credits spent in this run."""
        return self.spent.total()

    @property
    def in_cycle(self) -> int:
        """Credits spent in this billing cycle, by this run and those before."""
        return self._spending.in_cycle

    @property
    def in_month(self) -> int:
        """Credits spent in this calendar month, by this run and those before."""
        return self._spending.in_month

    @property
    def balance(self) -> int | None:
        """The team's balance by our own count."""
        return None if self.meter is None else self._left(LEAD)

    @property
    def most(self) -> int:
        """The most credits that this run can still spend."""
        rooms = [self.limits.budget - self.total]
        if self.limits.per_cycle is not None:
            rooms.append(self.limits.per_cycle - self.in_cycle)
        if self.limits.per_month is not None:
            rooms.append(self.limits.per_month - self.in_month)
        if self.meter is not None:
            rooms.append(sum(max(0, self._left(pool) - self.limits.reserve) for pool in self._pools))
        return max(0, min(rooms))

    def summary(self) -> str:
        """Return one line on what was spent, for the log."""
        limits = self.limits
        parts = [f"{self.total:,} of {limits.budget:,} spent in this sync"]
        if self._spending.cycle_start or limits.per_cycle is not None:
            parts.append(f"{self.in_cycle:,}{_of(limits.per_cycle)} in this cycle")
        if limits.per_month is not None:
            parts.append(f"{self.in_month:,}{_of(limits.per_month)} in this month")
        if self.meter is None:
            parts.append("the team's balance is unknown")
        for pool in self._pools if self.meter else ():
            kind = "" if pool == LEAD else f" of `{pool}`"
            parts.append(f"{self._left(pool):,} left of the team's balance{kind}")
        by_stream = ", ".join(f"{name} {spent:,}" for name, spent in self.spent.most_common() if spent)
        return f"Credits: {'; '.join(parts)}{f' ({by_stream})' if by_stream else ''}."

    def allowance(self) -> str:
        """Return one line on what may be spent, for the plan."""
        limits = self.limits
        parts = [f"`credit_budget` is {limits.budget:,}"]
        for name, most, spent in (
            ("credit_budget_per_cycle", limits.per_cycle, self.in_cycle),
            ("credit_budget_per_month", limits.per_month, self.in_month),
        ):
            if most is not None:
                parts.append(f"{max(0, most - spent):,} of {most:,} credits of `{name}` are left")
        if self.meter is None:
            parts.append("the team's balance is unknown")
        else:
            parts += map(self._said_left, self._pools)
        return f"{'; '.join(parts)}."

    def write_to(self, state: TapState) -> None:
        """Note in a Singer state what was spent: what is not settled yet counts at its worst.

        Args:
            state: The state of the tap, changed in place.
        """
        with self._lock:
            spent = self._spending.to_state(self._reserved)
        state.setdefault("bookmarks", {})[SPENDING] = spent

    def exhaust(self, kind: str | None = None) -> None:
        """Note that Apollo refused a request for want of credits, of a kind or, if it names none, of all."""
        self._exhausted.add(kind)

    def affordable(self, price: int, stream: str = "") -> int:
        """Return how many units of a price a stream may buy now.

        Raises:
            LimitReachedError: Not one.
        """
        with self._lock:
            return self._units(stream, price)

    @contextlib.contextmanager
    def reserved(self, stream: str, worst: int) -> Iterator[Receipt]:
        """Set the worst case of a request aside while it is on its way, then book what the receipt says.

        A receipt that is left open, as by an error, is booked at the worst case. Of each pool, it is booked at no less
        than it can have cost there.

        Raises:
            LimitReachedError: The worst case does not fit; nothing may be sent.
        """
        with self._lock:
            if worst:
                self._units(stream, worst)
            drawn = self._drawn_by(stream, worst)
            self._reserved += worst
            self._drawn += drawn
        receipt = Receipt(worst)
        try:
            yield receipt
        finally:
            with self._lock:
                self._reserved -= worst
                more = max(0, receipt.credits - worst)
                for pool, most in drawn.items():
                    self._drawn[pool] += min(receipt.credits, most + more) - most
                self.spent[stream] += receipt.credits
                self._spending.book(receipt.credits)

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
                for pool, most in self._drawn_by(stream, credits_unspent).items():
                    self._drawn[pool] -= most
            else:  # the meter will never show it
                self._not_shown = max(0, self._not_shown - credits_unspent)
            self._spending.take_back(credits_unspent, booked)

    @property
    def _pools(self) -> list[str]:
        """The pools on which the streams draw."""
        kinds = [kind for draw in self._draws.values() for kind in draw.shares] or [LEAD]
        return [*dict.fromkeys(pool for kind in kinds for pool in (self.meter.pools_of(kind) if self.meter else ()))]

    def _drawn_by(self, stream: str, price: int) -> collections.Counter[str]:
        """Return what a price takes from each pool at most."""
        draw = self._draws.get(stream, _LEADS)
        drawn: collections.Counter[str] = collections.Counter()
        for kind, share in draw.shares.items():
            for pool in self.meter.pools_of(kind) if self.meter else ():
                drawn[pool] = min(price, drawn[pool] + math.ceil(price * share / draw.unit))
        return drawn

    def _left(self, pool: str) -> int:
        """Return what is left of a pool by our own count."""
        if self.meter is None:
            raise TypeError("without a meter nothing is known to be left")
        return self.meter.pools[pool].left - self._not_shown - self._drawn[pool]

    def _units(self, stream: str, price: int) -> int:
        """Return how many units of a price fit all limits.

        Raises:
            LimitReachedError: Not one.
        """
        if out := self._exhausted & {None, *self._draws.get(stream, _LEADS).shares}:
            of = next((f" of `{kind}`" for kind in out if kind), "")
            raise LimitReachedError(f"Apollo says that the team's credits{of} are used up")
        if not self.limits.budget:
            raise LimitReachedError("`credit_budget` is 0: set it to the most credits that a sync may spend")
        rooms = self._rooms(stream, price)
        limit, (room, part) = min(rooms.items(), key=lambda one: (one[1][0] // one[1][1], one[1][0], one[0]))
        if room < part:
            raise LimitReachedError(f"{self._standing(limit)}, and the next request may cost {price:,}")
        return room // part

    def _rooms(self, stream: str, price: int) -> dict[str, tuple[int, int]]:
        """Return the credits that each limit leaves, and how many of them a unit of a price takes."""
        limits, reserved = self.limits, self._reserved
        rooms = {"credit_budget": (limits.budget - self.total - reserved, price)}
        if limits.per_cycle is not None:
            rooms["credit_budget_per_cycle"] = limits.per_cycle - self.in_cycle - reserved, price
        if limits.per_month is not None:
            rooms["credit_budget_per_month"] = limits.per_month - self.in_month - reserved, price
        if self.meter is None:
            return rooms
        for pool, part in self._drawn_by(stream, price).items():
            if part:
                rooms[pool] = self._left(pool) - limits.reserve, part
            if part and pool == LEAD and self.meter.user is not None:
                rooms["user"] = self.meter.user - self._drawn[LEAD], part
        return rooms

    def _standing(self, limit: str) -> str:
        """Say where a limit stands."""
        limits = self.limits
        if limit == "user":
            return f"the user of the key has {counted(self._rooms('', 1)[limit][0], 'credit')} left"
        if self.meter and limit in self.meter.pools:
            return self._said_left(limit)
        spent, most = {
            "credit_budget": (self.total, limits.budget),
            "credit_budget_per_cycle": (self.in_cycle, limits.per_cycle),
            "credit_budget_per_month": (self.in_month, limits.per_month),
        }[limit]
        return f"{spent:,} of {counted(most or 0, 'credit')} of `{limit}` are spent"

    def _said_left(self, pool: str) -> str:
        kind = "" if pool == LEAD else f" of `{pool}`"
        kept = f", and `credit_reserve` is {self.limits.reserve:,}" if self.limits.reserve else ""
        late = f", {self._not_shown:,} that Apollo's meter may not show yet taken off" if self._not_shown else ""
        return f"the team has {counted(self._left(pool), 'credit')}{kind} left{late}{kept}"


def _of(limit: int | None) -> str:
    return "" if limit is None else f" of {limit:,}"


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


def read_meter(reply: Mapping[str, Any], profile: Mapping[str, Any] | None = None) -> Meter:
    """Read the reply of ``usage_stats/credit_usage_stats``, and what the profile of the key's user adds.

    A kind with a limit above 0 is a pool of its own, unless the team's credits are unified: then what is left of
    ``lead_credit`` is net of the others, and the profile has their sum (vendor's reference of both).

    Args:
        reply: The meter.
        profile: ``users/api_profile`` with ``include_credit_usage``; None if it cannot be read.

    Raises:
        LookupError, TypeError, ValueError: The meter is of an unknown form.
    """
    pools = reply["credit_usage_stats"]
    lead = _pool(pools[LEAD])
    cycle = reply.get("current_credit_cycle") or {}
    others = {kind: pools[kind] for kind in (CONVERSATION, DIRECT_DIAL) if (pools.get(kind) or {}).get("limit")}
    user = (profile or {}).get("num_credits_remaining")
    return Meter(
        lead=lead,
        others={kind: _pool(pool) for kind, pool in others.items()},
        unified=None if not profile else profile.get("total_unified_credits_used") is not None,
        user=int(user) if isinstance(user, (int, float)) else None,
        start=_day(cycle.get("start_date")),
        end=_day(cycle.get("end_date")),
    )


def _pool(pool: Mapping[str, Any]) -> Pool:
    return Pool(int(pool["left_over"]), int(pool.get("consumed") or 0))


def _day(moment: str | None) -> datetime.date | None:
    return None if not moment else datetime.date.fromisoformat(timestamp(moment)[:10])
