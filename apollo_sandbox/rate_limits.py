"""Three fixed windows per action, opened by the first request, as Apollo counts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from apollo_sandbox.clock import DAY, HOUR, MINUTE
from apollo_sandbox.errors import ApiError, too_many_calls
from apollo_sandbox.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apollo_sandbox.clock import Clock

Limits = tuple["int | None", "int | None", "int | None"]

_WINDOWS = (("minute", MINUTE), ("hour", HOUR), ("day", DAY))
_HEADER_NAMES = (
    ("x-rate-limit-minute", "x-minute-usage", "x-minute-requests-left"),
    ("x-rate-limit-hourly", "x-hourly-usage", "x-hourly-requests-left"),
    ("x-rate-limit-24-hour", "x-24-hour-usage", "x-24-hour-requests-left"),
)
_UNLIMITED: Limits = (None, None, None)
_DEFAULTS: dict[str, Limits] = {
    "free": (50, 200, 600),
    "basic": (200, 400, 2000),
    "professional": (200, 400, 2000),
    "organization": (200, 600, 6000),
    "unlimited": _UNLIMITED,
}
_ENRICHMENT: Limits = (1000, None, None)
_DATABASE_SEARCH: Limits = (200, 6000, 50_000)
_PAID = {
    "people/match": _ENRICHMENT,
    "people/show": _ENRICHMENT,
    "organizations/enrich": _ENRICHMENT,
    "organizations/show": _ENRICHMENT,
    "organizations/job_postings": _ENRICHMENT,
    "mixed_people/api_search": _DATABASE_SEARCH,
    "mixed_companies/search": _DATABASE_SEARCH,
    "news_articles/search": _DATABASE_SEARCH,
    "people/bulk_match": (20, 100, 6000),
    "contacts/bulk_match": (20, 100, 6000),
    "organizations/bulk_enrich": (20, 100, 600),
}
_FREE: dict[str, Limits] = {
    "people/bulk_match": (20, 100, 600),
    "contacts/bulk_match": (20, 100, 600),
    "organizations/bulk_enrich": (20, 100, 600),
}
_ANY_PLAN: dict[str, Limits] = {
    "conversations/export": (1, 20, 480),
    "conversation_shares/show": (10, 50, 300),
    "conversation_shares/external": (10, 50, 300),
    "conversations/ask_anything_v2_chat": (20, 200, 1000),
    "voice_settings/get_available_phone_numbers": (10, 50, 200),
    "mfa_config/create": (5, 20, 50),
}
_REPORTS_PER_HOUR = 5

# The actions the usage report lists. Some it lists exist nowhere else; some that exist, it
# leaves out: deals, notes and the search for calls among them.
_REPORTED = """
contacts: search intelligent_fuzzy_search create update match bulk_match
contact_stages: index
accounts: search
account_stages: index
people: search match bulk_match show
organizations: show show_with_context search enrich bulk_enrich job_postings employee_metrics
mixed_companies: search
mixed_people: add_to_my_prospects search organization_top_people
conversation_shares: create update show external
conversations: ask_anything_v2_chat export
voice_settings: get_available_phone_numbers
tasks: create search bulk_complete
reports: sync_report
mfa_config: create
phone_calls: create update
paging_events: create
crm: object_fields_mapping
emailer_campaigns: show search add_contact_ids remove_or_stop_contact_ids
emailer_messages: search activities
users: search
email_accounts: index
labels: index
typed_custom_fields: index
"""
REPORTED_ACTIONS = tuple(
    f"{controller}/{action}"
    for controller, _, actions in (line.partition(": ") for line in _REPORTED.strip().splitlines())
    for action in actions.split()
)


@dataclass(slots=True)
class _Window:
    limit: int | None
    length: int
    opened: int = 0
    used: int = 0

    def turn(self, now: int) -> None:
        """Close a window whose time is over."""
        if self.used and now >= self.opened + self.length:
            self.used = 0

    @property
    def full(self) -> bool:
        return self.limit is not None and self.used >= self.limit

    def count(self, now: int) -> None:
        if not self.used:
            self.opened = now
        self.used += 1


class TooManyRequestsError(ApiError):
    """A 429, with the real seconds to wait."""

    def __init__(self, refusal: ApiError, retry_after: int) -> None:
        """Add the wait to a refusal."""
        super().__init__(refusal.status, refusal.body)
        self.retry_after = retry_after


class RateLimiter:
    """Counts requests per action and refuses those over the plan's limits."""

    def __init__(self, plan: str, clock: Clock, overrides: Iterable[str] = ()) -> None:
        """Set the limits of a plan, and overrides like `contacts/search=50/200/600`."""
        self._plan = plan
        self._clock = clock
        self._overrides = dict(_override(text) for text in overrides)
        self._windows: dict[str, tuple[_Window, ...]] = {}

    def reset(self) -> None:
        """Forget all requests."""
        self._windows.clear()

    def limits(self, action: str) -> Limits:
        """Give the limits per minute, hour and day; None is unlimited."""
        if action in self._overrides:
            return self._overrides[action]
        minute, hour, day = _DEFAULTS[self._plan]
        if self._plan == "unlimited":
            return _UNLIMITED
        if action == "reports/sync_report":
            return minute, _REPORTS_PER_HOUR, day
        special = _ANY_PLAN | (_FREE if self._plan == "free" else _PAID)
        return special.get(action, (minute, hour, day))

    def admit(self, action: str) -> None:
        """Count a request, or refuse it; a refused request uses up nothing."""
        now = self._clock.now()
        windows = self._of(action)
        full = [number for number, window in enumerate(windows) if window.full]
        if full:
            # The longest wait is the one that helps: shorter windows are over by then.
            number = max(full, key=lambda one: windows[one].opened + windows[one].length)
            window = windows[number]
            wait = self._clock.real_seconds(window.opened + window.length - now)
            refusal = too_many_calls(action, window.limit or 0, _WINDOWS[number][0])
            raise TooManyRequestsError(refusal, wait)
        for window in windows:
            window.count(now)

    def headers(self, action: str) -> dict[str, str]:
        """Give the nine headers; an unlimited window has an empty limit and nothing else."""
        headers = {}
        for window, (limit, used, left) in zip(self._of(action), _HEADER_NAMES, strict=True):
            headers[limit] = "" if window.limit is None else str(window.limit)
            if window.limit is not None:
                headers[used] = str(window.used)
                headers[left] = str(window.limit - window.used)
        return headers

    def report(self) -> dict[str, dict[str, dict[str, int | None]]]:
        """Give what `usage_stats/api_usage_stats` shows."""
        return {
            '["api/v1/{}", "{}"]'.format(*action.split("/")): {
                name: {
                    "limit": window.limit,
                    "consumed": window.used,
                    "left_over": None if window.limit is None else window.limit - window.used,
                }
                for (name, _), window in reversed(list(zip(_WINDOWS, self._of(action), strict=True)))
            }
            for action in REPORTED_ACTIONS
        }

    def _of(self, action: str) -> tuple[_Window, ...]:
        windows = self._windows.get(action)
        if windows is None:
            windows = self._windows[action] = tuple(
                _Window(limit, length) for limit, (_, length) in zip(self.limits(action), _WINDOWS, strict=True)
            )
        now = self._clock.now()
        for window in windows:
            window.turn(now)
        return windows


def _override(text: str) -> tuple[str, Limits]:
    action, _, numbers = text.partition("=")
    try:
        minute, hour, day = (int(number) or None for number in numbers.split("/"))
    except ValueError:
        message = f"limit must look like contacts/search=50/200/600, not {text!r}"
        raise SettingsError(message) from None
    return action, (minute, hour, day)
