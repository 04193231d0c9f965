"""The companies a team has saved, and their stages."""

from __future__ import annotations

from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.paging import Listing
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.base import FrontierStream, cut_by
from tap_apollo.streams.custom_fields import CustomFieldsMixin
from tap_apollo.streams.per_record import PerRecordStream
from tap_apollo.streams.workspace import Lists


class Accounts(CustomFieldsMixin, FrontierStream):
    """Accounts, by a last update that Apollo sorts by and does not show."""

    name = "accounts"
    endpoint = POST(
        "accounts/search", paged=by_number, rows="accounts", scope="api/v1/accounts/search", oauth="accounts_search"
    )
    modality = "account"

    @property
    @override
    def listing(self) -> Listing:
        return Listing(
            parameters={"sort_by_field": "account_updated_at", "sort_ascending": False},
            new_mark=self.new_mark,
            slices=lambda: cut_by("account_stage_ids", self.lookup(AccountStages)),
            newest={"sort_by_field": "account_created_at", "sort_ascending": False},
            oldest={"sort_by_field": "account_created_at", "sort_ascending": True},
            labels=lambda: cut_by("account_label_ids", self.lookup(Lists), modality="accounts"),
            display_limit=self.endpoint.display_limit,
        )


class AccountDetails(CustomFieldsMixin, PerRecordStream):
    """Accounts as their own endpoint shows them."""

    name = "account_details"
    endpoint = GET("accounts/{id}", rows="account", scope="api/v1/accounts/show", oauth="account_read")
    modality = "account"
    parents = (Accounts,)


class AccountStages(ApolloStream):
    """The stages that accounts move through."""

    name = "account_stages"
    endpoint = GET(
        "account_stages", rows="account_stages", scope="api/v1/account_stages/index", oauth="account_stages_list"
    )
