"""How a team sorts and describes its records: lists, fields, custom fields."""

from __future__ import annotations

from tap_apollo.api.endpoint import GET
from tap_apollo.singer.stream import ApolloStream


class Lists(ApolloStream):
    """Lists of contacts, accounts or sequences, which the API calls labels."""

    name = "lists"
    endpoint = GET("labels", oauth="tags_list")


class Fields(ApolloStream):
    """All fields of all records, Apollo's own and the team's."""

    name = "fields"
    endpoint = GET("fields", rows="fields", oauth="custom_fields_list")


class CustomFields(ApolloStream):
    """The team's custom fields with the options of their picklists."""

    name = "custom_fields"
    endpoint = GET("typed_custom_fields", rows="typed_custom_fields", oauth="custom_fields_list")
