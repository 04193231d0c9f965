"""The companies a team has saved, and their stages."""

from __future__ import annotations

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.readers.lists import Cut, FrontierFirst
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.singer.custom_fields import FieldsByLabel
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.fields import CustomFields, Lists


class AccountStages(ApolloStream):
    """The stages that accounts move through."""

    name = "account_stages"
    endpoint = GET("account_stages", rows="account_stages", oauth="account_stages_list")


class Accounts(ApolloStream):
    """Accounts, by a last update that Apollo sorts by and does not show."""

    name = "accounts"
    endpoint = POST("accounts/search", rows="accounts", paged=by_number, oauth="accounts_search")
    reads = FrontierFirst(
        "account_updated_at",
        created="account_created_at",
        slices=Cut("account_stage_ids", AccountStages),
        labels=Cut("account_label_ids", Lists, modality="accounts"),
    )
    conform = FieldsByLabel(CustomFields, "account")


class AccountDetails(ApolloStream):
    """Accounts as their own endpoint shows them."""

    name = "account_details"
    endpoint = GET(
        "accounts/{id}",
        rows="account",
        oauth="account_read",
        gone={422: ("is not a valid id", "has been deleted")},  # the latter is measured
    )
    reads = PerRecord(Accounts)
    conform = FieldsByLabel(CustomFields, "account")
