"""The team and its set-up: lists, fields, users, mailboxes, and what it has used of its limits and credits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.api.errors import ForbiddenError
from tap_apollo.api.rate_limits import WaitTooLongError
from tap_apollo.credits import read_meter
from tap_apollo.singer.conform import now
from tap_apollo.singer.stream import UNKNOWN_FORM, ApolloStream
from tap_apollo.streams.base import ListStream

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_apollo.credits import Meter


class Lists(ApolloStream):
    """Lists of contacts, accounts or sequences, which the API calls labels."""

    name = "lists"
    path = "/labels"
    scope = "api/v1/labels/index"
    oauth_scope = "tags_list"


class Fields(ApolloStream):
    """All fields of all records, Apollo's own and the team's."""

    name = "fields"
    path = "/fields"
    scope = "api/v1/fields/index"
    oauth_scope = "custom_fields_list"
    records_key = "fields"


class CustomFields(ApolloStream):
    """The team's custom fields with the options of their picklists."""

    name = "custom_fields"
    path = "/typed_custom_fields"
    scope = "api/v1/typed_custom_fields/index"
    oauth_scope = "custom_fields_list"
    records_key = "typed_custom_fields"


class Users(ListStream):
    """The team's users, deleted ones included."""

    name = "users"
    path = "/users/search"
    scope = "api/v1/users/search"
    oauth_scope = "users_list"
    records_key = "users"


class UserProfile(ApolloStream):
    """The user whose rights the key has, one row."""

    name = "user_profile"
    path = "/users/api_profile"
    scope = "api/v1/users/api_profile"
    oauth_scope = "read_user_profile"
    parameters = {"include_credit_usage": "true"}

    @override
    def read_records(self, reply: Any) -> list[Record]:
        return [reply]


class EmailAccounts(ApolloStream):
    """The mailboxes that the team sends from."""

    name = "email_accounts"
    path = "/email_accounts"
    scope = "api/v1/email_accounts/index"
    oauth_scope = "email_accounts_list"
    records_key = "email_accounts"


class ApiUsageStats(ApolloStream):
    """One row per endpoint action: its three rate windows at the moment of reading."""

    name = "api_usage_stats"
    path = "/usage_stats/api_usage_stats"
    http_method = "POST"
    scope = "api/v1/usage_stats/api_usage_stats"
    oauth_scope = "api_usage_stats_read"
    primary_keys = ("endpoint", "action")

    @override
    def read_records(self, reply: Any) -> list[Record]:
        """Unfold the reply: its keys are JSON arrays written as text, ``["api/v1/contacts", "search"]``."""
        read_at = now()
        rows = []
        for key, windows in reply.items():
            endpoint, action = json.loads(key)
            row = {"endpoint": endpoint, "action": action, "read_at": read_at}
            for window, numbers in windows.items():
                row.update({f"{window}_{name}": number for name, number in (numbers or {}).items()})
            rows.append(row)
        return rows


class CreditUsageStats(ApolloStream):
    """One row per kind of credit: limit and use in the current billing cycle."""

    name = "credit_usage_stats"
    path = "/usage_stats/credit_usage_stats"
    http_method = "POST"
    scope = "api/v1/usage_stats/credit_usage_stats"
    oauth_scope = "credit_usage_stats_read"
    primary_keys = ("credit_type",)

    @override
    def read_records(self, reply: Any) -> list[Record]:
        cycle = reply.get("current_credit_cycle") or {}
        common = {"cycle_start": cycle.get("start_date"), "cycle_end": cycle.get("end_date"), "read_at": now()}
        return [
            {"credit_type": name, **(numbers or {}), **common} for name, numbers in reply["credit_usage_stats"].items()
        ]

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
