"""The companies a team has saved, and their stages."""

from __future__ import annotations

from tap_apollo.client import ApolloStream, PagedStream
from tap_apollo.streams.base import CustomFieldsMixin


class Accounts(CustomFieldsMixin, PagedStream):
    """Accounts, last updated first, so that what changes meanwhile comes twice rather than not at all."""

    name = "accounts"
    path = "/accounts/search"
    http_method = "POST"
    scope = "api/v1/accounts/search"
    oauth_scope = "accounts_search"
    records_key = "accounts"
    parameters = {"sort_by_field": "account_updated_at", "sort_ascending": False}
    modality = "account"


class AccountStages(ApolloStream):
    """The stages that accounts move through."""

    name = "account_stages"
    path = "/account_stages"
    scope = "api/v1/account_stages/index"
    oauth_scope = "account_stages_list"
    records_key = "account_stages"
