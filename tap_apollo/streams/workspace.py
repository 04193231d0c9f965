"""The team and its set-up: lists, fields, users, mailboxes, and what it has used of its limits and credits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.api.errors import ForbiddenError
from tap_apollo.api.rate_limits import WaitTooLongError
from tap_apollo.credits import read_meter
from tap_apollo.singer.conform import now
from tap_apollo.singer.stream import UNKNOWN_FORM, ApolloStream
from tap_apollo.streams.base import ListStream

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_apollo.credits import Meter


def unfolded_usage(reply: Any) -> list[Record]:
    """Unfold the reply, whose keys are JSON arrays written as text, ``["api/v1/contacts", "search"]``."""
    read_at = now()
    rows = []
    for key, windows in reply.items():
        endpoint, action = json.loads(key)
        row = {"endpoint": endpoint, "action": action, "read_at": read_at}
        for window, numbers in windows.items():
            row.update({f"{window}_{name}": number for name, number in (numbers or {}).items()})
        rows.append(row)
    return rows


def credits_by_type(reply: Any) -> list[Record]:
    """Return a row per kind of credit."""
    cycle = reply.get("current_credit_cycle") or {}
    common = {"cycle_start": cycle.get("start_date"), "cycle_end": cycle.get("end_date"), "read_at": now()}
    return [{"credit_type": name, **(numbers or {}), **common} for name, numbers in reply["credit_usage_stats"].items()]


class Lists(ApolloStream):
    """Lists of contacts, accounts or sequences, which the API calls labels."""

    name = "lists"
    endpoint = GET("labels", scope="api/v1/labels/index", oauth="tags_list")


class Fields(ApolloStream):
    """All fields of all records, Apollo's own and the team's."""

    name = "fields"
    endpoint = GET("fields", rows="fields", scope="api/v1/fields/index", oauth="custom_fields_list")


class CustomFields(ApolloStream):
    """The team's custom fields with the options of their picklists."""

    name = "custom_fields"
    endpoint = GET(
        "typed_custom_fields",
        rows="typed_custom_fields",
        scope="api/v1/typed_custom_fields/index",
        oauth="custom_fields_list",
    )


class Users(ListStream):
    """The team's users, deleted ones included."""

    name = "users"
    endpoint = GET("users/search", paged=by_number, rows="users", scope="api/v1/users/search", oauth="users_list")


class UserProfile(ApolloStream):
    """The user whose rights the key has, one row."""

    name = "user_profile"
    endpoint = GET(
        "users/api_profile",
        read=lambda reply: [reply],
        scope="api/v1/users/api_profile",
        oauth="read_user_profile",
        parameters={"include_credit_usage": "true"},
    )


class EmailAccounts(ApolloStream):
    """The mailboxes that the team sends from."""

    name = "email_accounts"
    endpoint = GET(
        "email_accounts", rows="email_accounts", scope="api/v1/email_accounts/index", oauth="email_accounts_list"
    )


class ApiUsageStats(ApolloStream):
    """One row per endpoint action: its three rate windows at the moment of reading."""

    name = "api_usage_stats"
    endpoint = POST(
        "usage_stats/api_usage_stats",
        read=unfolded_usage,
        scope="api/v1/usage_stats/api_usage_stats",
        oauth="api_usage_stats_read",
    )
    primary_keys = ("endpoint", "action")


class CreditUsageStats(ApolloStream):
    """One row per kind of credit: limit and use in the current billing cycle."""

    name = "credit_usage_stats"
    endpoint = POST(
        "usage_stats/credit_usage_stats",
        read=credits_by_type,
        scope="api/v1/usage_stats/credit_usage_stats",
        oauth="credit_usage_stats_read",
    )
    primary_keys = ("credit_type",)

    def meter(self) -> Meter | None:
        """Return the team's balance, or None where it may not be read, which is said.

        Raises:
            ApolloError: It cannot be read for another reason.
        """
        try:
            with self.needed():
                return read_meter(self.ask({}))
        except (ForbiddenError, WaitTooLongError, *UNKNOWN_FORM) as error:
            reason = self.why(error)
        kept = "`credit_reserve` cannot be kept, and " if self.config["credit_reserve"] else ""
        text = "Credits: the team's balance is unknown: %s Without it %sthe tap goes by its own limits."
        self.logger.warning(text, reason, kept)
        return None
