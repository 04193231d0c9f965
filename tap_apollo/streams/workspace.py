"""The team itself: users, mailboxes, and what it has used of its limits and credits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.readers.lists import Unordered
from tap_apollo.singer.conform import now
from tap_apollo.singer.stream import ApolloStream

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record


class Users(ApolloStream):
    """The team's users, deleted ones included."""

    name = "users"
    endpoint = GET("users/search", rows="users", paged=by_number, oauth="users_list")
    reads = Unordered()


class UserProfile(ApolloStream):
    """The user whose rights the key has, one row."""

    name = "user_profile"
    endpoint = GET(
        "users/api_profile",
        read=lambda reply: [reply],
        oauth="read_user_profile",
        parameters={"include_credit_usage": "true"},
    )


class EmailAccounts(ApolloStream):
    """The mailboxes that the team sends from."""

    name = "email_accounts"
    endpoint = GET("email_accounts", rows="email_accounts", oauth="email_accounts_list")


def unfolded(reply: Any) -> list[Record]:
    """Unfold a reply whose keys are JSON arrays written as text, ``["api/v1/contacts", "search"]``."""
    read_at = now()
    rows = []
    for key, windows in reply.items():
        row = {**_named(key), "read_at": read_at}
        for window, numbers in _mapping(windows).items():
            row.update({f"{window}_{name}": number for name, number in _mapping(numbers).items()})
        rows.append(row)
    return rows


def _named(key: str) -> dict[str, Any]:
    """Return what a key names; without that there is no row."""
    try:
        endpoint, action = json.loads(key)
    except (TypeError, ValueError):
        return {}
    return {"endpoint": endpoint, "action": action}


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


class ApiUsageStats(ApolloStream):
    """One row per endpoint action: its three rate windows at the moment of reading."""

    name = "api_usage_stats"
    primary_keys = ("endpoint", "action")
    endpoint = POST("usage_stats/api_usage_stats", read=unfolded, keys=primary_keys, oauth="api_usage_stats_read")


def by_type(reply: Any) -> list[Record]:
    """Return a row per kind of credit."""
    cycle = _mapping(reply.get("current_credit_cycle"))
    common = {"cycle_start": cycle.get("start_date"), "cycle_end": cycle.get("end_date"), "read_at": now()}
    return [
        {"credit_type": name, **_mapping(numbers), **common} for name, numbers in reply["credit_usage_stats"].items()
    ]


class CreditUsageStats(ApolloStream):
    """One row per kind of credit: limit and use in the current billing cycle."""

    name = "credit_usage_stats"
    primary_keys = ("credit_type",)
    endpoint = POST("usage_stats/credit_usage_stats", read=by_type, keys=primary_keys, oauth="credit_usage_stats_read")
