"""Every switch of the sandbox, in one place.

The command line is generated from these fields, so a switch exists once: here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from typing import Any

from apollo_sandbox.clock import SECOND, instant

MOST_PORT = 65_535
PLANS = ("free", "basic", "professional", "organization", "unlimited")
DEAL_DATE_STYLES = ("opportunity_created_at", "created_at")
CREDIT_ERROR_STYLES = ("new", "old")
CREDIT_CYCLES = (1, 3, 12)


class SettingsError(ValueError):
    """A setting has a value the sandbox cannot work with; the message is one clear line."""


def _switch(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Sizes:
    """How many rows of each kind the team starts with, all decided."""

    contacts: int
    accounts: int
    deals: int
    sequences: int
    users: int
    tasks: int
    outreach_emails: int
    calls: int
    conversations: int
    people: int
    organizations: int


@dataclass(frozen=True)
class Settings:
    """The switches of a sandbox. `None` in a size means: in proportion to the contacts."""

    host: str = _switch("127.0.0.1", "Address to listen on.")
    port: int = _switch(8321, "Port to listen on; 0 picks a free one.")
    seed: int = _switch(1, "The same seed gives the same team, byte for byte.")

    contacts: int = _switch(1000, "Contacts of the team.")
    accounts: int | None = _switch(None, "Accounts [contacts / 8].")
    deals: int | None = _switch(None, "Deals [contacts / 10].")
    sequences: int | None = _switch(None, "Sequences [contacts / 50, 3 to 60].")
    users: int | None = _switch(None, "Users [contacts / 100, 5 to 60].")
    tasks: int | None = _switch(None, "Tasks [contacts / 5].")
    outreach_emails: int | None = _switch(None, "Outreach e-mails [contacts / 2].")
    calls: int | None = _switch(None, "Phone calls [contacts / 10].")
    conversations: int | None = _switch(None, "Recorded conversations [contacts / 20].")
    people: int | None = _switch(None, "People in Apollo's database [contacts + 4,000].")
    organizations: int | None = _switch(None, "Companies in Apollo's database [accounts + 1,000].")
    tie_size: float = _switch(4.0, "Mean number of contacts that share one timestamp; 1 is none.")

    now: str = _switch("2026-09-30T12:00:00Z", "The sandbox's start instant, or `real`.")
    clock_speed: float = _switch(1.0, "Sandbox seconds per real second.")
    edits_per_request: float = _switch(0.0, "Edits colleagues make before each request.")

    api_key: str = _switch("sandbox-key", "The key that works; any other is refused.")
    forbid: tuple[str, ...] = _switch((), "Action outside the key's scope, like `tasks/search`.")
    paid_only: tuple[str, ...] = _switch((), "Action refused for want of a paid plan.")
    client_id: str = _switch("sandbox-client", "OAuth client id.")
    client_secret: str = _switch("sandbox-secret", "OAuth client secret.")
    access_token: str = _switch("sandbox-access-token", "The first OAuth access token.")
    refresh_token: str = _switch("sandbox-refresh-token", "The first OAuth refresh token.")
    token_lifetime: int = _switch(2_592_000, "Sandbox seconds an access token lives.")

    plan: str = _switch("professional", f"Plan the rate limits follow: {', '.join(PLANS)}.")
    limit: tuple[str, ...] = _switch(
        (), "Limits of one action in place of the plan's, like `contacts/search=50/200/600` (0 is unlimited)."
    )
    credits: int = _switch(10_000, "Credits the team has per cycle.")
    credits_consumed: int = _switch(0, "Credits already consumed when the sandbox starts.")
    conversation_credits: int | None = _switch(None, "Credits of a pool of their own for conversations [the team's].")
    direct_dial_credits: int | None = _switch(None, "Credits of a pool of their own for mobile numbers [the team's].")
    user_credits: int | None = _switch(None, "Credits that the key's user may use of the team's per cycle [all].")
    credit_cycle: int = _switch(1, "Months of a billing cycle: 1, 3 or 12.")
    meter_lag: float = _switch(0.0, "Sandbox seconds after which a charge is in the meter.")
    credit_error: str = _switch("new", "Shape of the no-credits error: new or old.")

    display_limit: int = _switch(50_000, "How deep a list can be paged.")
    deal_created_field: str = _switch("opportunity_created_at", "Where deals carry their creation time.")
    latency_ms: float = _switch(0.0, "Milliseconds every request takes at least.")
    enrichment_seconds: float = _switch(0.0, "Sandbox seconds a phone or waterfall result takes.")
    export_seconds: float = _switch(0.0, "Sandbox seconds a conversation export takes.")
    fault: tuple[str, ...] = _switch(
        (), "Fault to inject, like `kind=status,status=503,action=contacts/search,times=2`."
    )
    access_log: bool = _switch(False, "Log each request.")  # noqa: FBT003 - a default, not a call

    def __post_init__(self) -> None:
        """Refuse values that cannot work, each with one line."""
        for name in ("forbid", "paid_only", "limit", "fault"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._at_least(0, "port", *(one.name for one in fields(Sizes)), "credits", "credits_consumed", "latency_ms")
        self._at_least(0, "conversation_credits", "direct_dial_credits", "user_credits", "meter_lag")
        self._at_least(0, "edits_per_request", "enrichment_seconds", "export_seconds")
        self._at_least(1, "display_limit", "tie_size", "token_lifetime")
        if self.port > MOST_PORT:
            message = f"port must be at most {MOST_PORT}, not {self.port}"
            raise SettingsError(message)
        self._one_of("plan", PLANS)
        self._one_of("deal_created_field", DEAL_DATE_STYLES)
        self._one_of("credit_error", CREDIT_ERROR_STYLES)
        self._one_of("credit_cycle", CREDIT_CYCLES)
        if self.clock_speed <= 0:
            message = f"clock_speed must be above 0, not {self.clock_speed}"
            raise SettingsError(message)
        if self.users == 0:
            message = "users must be at least 1: somebody owns the API key"
            raise SettingsError(message)
        if not self.api_key:
            message = "api_key must not be empty"
            raise SettingsError(message)
        if self.now != "real" and instant(self.now) is None:
            message = f"now must be `real` or an ISO 8601 date and time, not {self.now!r}"
            raise SettingsError(message)

    def _at_least(self, least: int, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < least:
                message = f"{name} must be at least {least}, not {value}"
                raise SettingsError(message)

    def _one_of(self, name: str, choices: tuple[str, ...] | tuple[int, ...]) -> None:
        value = getattr(self, name)
        if value not in choices:
            message = f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}"
            raise SettingsError(message)

    @property
    def start_ms(self) -> int:
        """The start instant in milliseconds since 1970."""
        given = instant(self.now)  # none for `real`
        return int(time.time() * SECOND) if given is None else given

    @property
    def sizes(self) -> Sizes:
        """The sizes, with those not given derived from the number of contacts."""
        contacts = self.contacts
        accounts = _given(self.accounts, max(1, contacts // 8))
        return Sizes(
            contacts=contacts,
            accounts=accounts,
            deals=_given(self.deals, contacts // 10),
            sequences=_given(self.sequences, min(max(contacts // 50, 3), 60)),
            users=_given(self.users, min(max(contacts // 100, 5), 60)),
            tasks=_given(self.tasks, contacts // 5),
            outreach_emails=_given(self.outreach_emails, contacts // 2),
            calls=_given(self.calls, contacts // 10),
            conversations=_given(self.conversations, contacts // 20),
            people=max(contacts, _given(self.people, contacts + 4000)),
            organizations=max(accounts, _given(self.organizations, accounts + 1000)),
        )


def _given(value: int | None, default: int) -> int:
    return default if value is None else value
