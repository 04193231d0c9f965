"""What each request costs, and the team's balance."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from apollo_sandbox.clock import SECOND
from apollo_sandbox.errors import no_credits, no_credits_for_conversations
from apollo_sandbox.rows.stamps import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apollo_sandbox.clock import Clock
    from apollo_sandbox.settings import Settings
    from apollo_sandbox.usage_log import UsageLog

PHONE_NUMBER_PRICE = 8

# Limits of what is not the shared pool of lead credits.
_OTHER_LIMITS = {
    "direct_dial_credit": 1000,
    "export_credit": 5000,
    "conversation_credit": 500,
    "ai_credit": 2000,
    "power_up_credit": 1000,
    "inbound_website_visitor_credit": 1000,
    "dialer": 500,
    "web_search_record_credit": 1000,
    "contact_website_visitor_credit": 1000,
}
CREDIT_TYPES = ("lead_credit", *_OTHER_LIMITS)
_MONTHS = 12


#: Pools that teams may have beside that of lead credits, and the setting that holds the size of each.
_POOLS = {"conversation_credit": "conversation_credits", "direct_dial_credit": "direct_dial_credits"}


class CreditMeter:
    """The team's credits in the current cycle: one pool for all, but for kinds that have one of their own."""

    def __init__(self, settings: Settings, clock: Clock, usage_log: UsageLog) -> None:
        """Start with the settings' balance."""
        own = {kind: getattr(settings, name) for kind, name in _POOLS.items()}
        self._own: dict[str, int] = {kind: limit for kind, limit in own.items() if limit is not None}
        self._limits = {"lead_credit": settings.credits, **_OTHER_LIMITS, **self._own}
        self._user = settings.user_credits
        self._error_style = settings.credit_error
        self._months = settings.credit_cycle
        self._lag = int(settings.meter_lag * SECOND)
        self._clock = clock
        self._usage_log = usage_log
        self._cycle = _cycle_of(clock.now(), self._months)
        self._consumed = Counter({"lead_credit": settings.credits_consumed})
        self._of_others = settings.credits_consumed
        self._late: list[tuple[int, Counter[str]]] = []

    @property
    def left_over(self) -> int:
        """Give the credits that are left of those for all."""
        self._turn()
        return self._left("lead_credit")

    def charge(self, action: str, amounts: Mapping[str, int], records: list[str]) -> None:
        """Take credits of some kinds, or refuse and take nothing.

        A kind draws on the pool for all, unless it has one of its own.
        """
        amounts = {kind: amount for kind, amount in amounts.items() if amount}
        self._turn()
        drawn: Counter[str] = Counter()
        for kind, amount in amounts.items():
            drawn[self._pool(kind)] += amount
        for pool, amount in drawn.items():
            left = self._left(pool)
            if amount > left:
                if action.startswith("conversations/"):
                    raise no_credits_for_conversations()
                raise no_credits(self._error_style, pool, left)
        if amounts:
            shown = Counter(amounts) | drawn
            self._consumed += shown
            if self._lag:
                self._late.append((self._clock.now(), shown))
            self._usage_log.charged(action, sum(amounts.values()), records, stamp(self._clock.now()))

    def report(self) -> dict[str, object]:
        """Give what `usage_stats/credit_usage_stats` shows."""
        self._turn()
        shown = self._shown()
        start, end = self._cycle
        return {
            "credit_usage_stats": {
                kind: {
                    "limit": limit,
                    "consumed": shown[kind],
                    "left_over": max(0, limit - shown[kind]),
                }
                for kind, limit in self._limits.items()
            },
            "current_credit_cycle": {"start_date": stamp(start), "end_date": stamp(end)},
        }

    def profile(self) -> dict[str, int]:
        """Give what `users/api_profile` adds when asked for credit usage."""
        self._turn()
        limits, used = self._limits, self._shown()
        most, of_the_user = limits["lead_credit"], used["lead_credit"]
        if self._user is not None:
            most, of_the_user = self._user, used["lead_credit"] - self._of_others
        unified = {} if self._own else {"total_unified_credits_used": of_the_user}
        return {
            "num_credits_remaining": max(0, most - of_the_user),
            "effective_num_lead_credits": most,
            "num_lead_credits_used": of_the_user,
            "effective_num_direct_dial_credits": limits["direct_dial_credit"],
            "num_direct_dial_credits_used": used["direct_dial_credit"],
            "effective_num_export_credits": limits["export_credit"],
            "num_export_credits_used": used["export_credit"],
            "effective_num_ai_credits": limits["ai_credit"],
            "num_ai_credits_used": used["ai_credit"],
            "effective_num_power_up_credits": limits["power_up_credit"],
            "num_power_up_credits_used": used["power_up_credit"],
            **unified,
        }

    def _pool(self, kind: str) -> str:
        return kind if kind in self._own else "lead_credit"

    def _left(self, pool: str) -> int:
        left = self._limits[pool] - self._consumed[pool]
        if pool == "lead_credit" and self._user is not None:
            left = min(left, self._user - self._consumed[pool] + self._of_others)
        return max(0, left)

    def _shown(self) -> Counter[str]:
        """Give what is consumed as far as the meter shows it yet."""
        since = self._clock.now() - self._lag
        self._late = [(at, amounts) for at, amounts in self._late if at > since]
        return self._consumed - sum((amounts for _, amounts in self._late), Counter[str]())

    def _turn(self) -> None:
        now = self._clock.now()
        if now >= self._cycle[1]:
            self._cycle = _cycle_of(now, self._months)
            self._consumed.clear()
            self._late.clear()
            self._of_others = 0


def _cycle_of(now_ms: int, months: int) -> tuple[int, int]:
    """Give the cycle of so many months, counted from January, that a moment is in."""
    today = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
    first = today.year * _MONTHS + (today.month - 1) // months * months
    start, end = (
        datetime(month // _MONTHS, month % _MONTHS + 1, 1, tzinfo=timezone.utc) for month in (first, first + months)
    )
    return int(start.timestamp() * 1000), int(end.timestamp() * 1000)
