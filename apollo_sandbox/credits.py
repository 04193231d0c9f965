"""What each request costs, and the team's balance."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from apollo_sandbox.errors import no_credits, no_credits_for_conversations
from apollo_sandbox.rows.stamps import stamp

if TYPE_CHECKING:
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


class CreditMeter:
    """The team's credits in the current cycle, a calendar month of sandbox time."""

    def __init__(self, settings: Settings, clock: Clock, usage_log: UsageLog) -> None:
        """Start with the settings' balance."""
        self._limit = settings.credits
        self._error_style = settings.credit_error
        self._clock = clock
        self._usage_log = usage_log
        self._cycle = _cycle_of(clock.now())
        self._consumed = dict.fromkeys(CREDIT_TYPES, 0)
        self._consumed["lead_credit"] = settings.credits_consumed

    @property
    def left_over(self) -> int:
        """Give the credits that are left."""
        self._turn()
        return max(0, self._limit - self._consumed["lead_credit"])

    def charge(self, action: str, amount: int, records: list[str], kind: str = "") -> None:
        """Take `amount` credits, or refuse and take nothing.

        Every charge draws on the shared pool; `kind` says under which name it is shown besides.
        """
        if amount == 0:
            return
        if amount > self.left_over:
            if action.startswith("conversations/"):
                raise no_credits_for_conversations()
            raise no_credits(self._error_style)
        self._consumed["lead_credit"] += amount
        if kind:
            self._consumed[kind] += amount
        self._usage_log.charged(action, amount, records, stamp(self._clock.now()))

    def report(self) -> dict[str, object]:
        """Give what `usage_stats/credit_usage_stats` shows."""
        self._turn()
        limits = {"lead_credit": self._limit, **_OTHER_LIMITS}
        start, end = self._cycle
        return {
            "credit_usage_stats": {
                kind: {
                    "limit": limit,
                    "consumed": self._consumed[kind],
                    "left_over": max(0, limit - self._consumed[kind]),
                }
                for kind, limit in limits.items()
            },
            "current_credit_cycle": {"start_date": stamp(start), "end_date": stamp(end)},
        }

    def profile(self) -> dict[str, int]:
        """Give what `users/api_profile` adds when asked for credit usage."""
        self._turn()
        used = self._consumed
        return {
            "num_credits_remaining": self.left_over,
            "effective_num_lead_credits": self._limit,
            "num_lead_credits_used": used["lead_credit"],
            "effective_num_direct_dial_credits": _OTHER_LIMITS["direct_dial_credit"],
            "num_direct_dial_credits_used": used["direct_dial_credit"],
            "effective_num_export_credits": _OTHER_LIMITS["export_credit"],
            "num_export_credits_used": used["export_credit"],
            "effective_num_ai_credits": _OTHER_LIMITS["ai_credit"],
            "num_ai_credits_used": used["ai_credit"],
            "effective_num_power_up_credits": _OTHER_LIMITS["power_up_credit"],
            "num_power_up_credits_used": used["power_up_credit"],
            "total_unified_credits_used": used["lead_credit"],
        }

    def _turn(self) -> None:
        now = self._clock.now()
        if now >= self._cycle[1]:
            self._cycle = _cycle_of(now)
            self._consumed = dict.fromkeys(CREDIT_TYPES, 0)


def _cycle_of(now_ms: int) -> tuple[int, int]:
    today = datetime.fromtimestamp(now_ms / 1000, timezone.utc)
    start = datetime(today.year, today.month, 1, tzinfo=timezone.utc)
    end = datetime(today.year + today.month // _MONTHS, today.month % _MONTHS + 1, 1, tzinfo=timezone.utc)
    return int(start.timestamp() * 1000), int(end.timestamp() * 1000)
