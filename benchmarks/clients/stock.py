"""A tap as the SDK's template makes it: a RESTStream, a page number, a schema from a file, and the SDK's defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from singer_sdk import RESTStream, SchemaDirectory, StreamSchema, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.pagination import PageNumberPaginator
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk import Stream
    from singer_sdk.helpers.types import Context

#: Where the run has put the schema that this project's own tap has for contacts, as one file without references.
SCHEMAS = SchemaDirectory(Path.cwd())


class Contacts(RESTStream[int]):
    """POST contacts/search."""

    name = "contacts"
    path = "/contacts/search"
    http_method = "POST"
    records_jsonpath = "$.contacts[*]"
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)
    schema: ClassVar[StreamSchema[Any]] = StreamSchema(SCHEMAS)

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def authenticator(self) -> APIKeyAuthenticator:
        return APIKeyAuthenticator(key="x-api-key", value=self.config["api_key"], location="header")

    @override
    def get_new_paginator(self) -> PageNumberPaginator:
        return PageNumberPaginator(1)  # ends at the first page without rows: one request more

    @override
    def prepare_request_payload(self, context: Context | None, next_page_token: int | None) -> dict[str, Any]:
        sort = {"sort_by_field": "contact_updated_at", "sort_ascending": False}
        return {"page": next_page_token, "per_page": 100, **sort}


class StockTap(Tap):
    """A tap of one stream."""

    name = "tap-stock"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("api_url", th.StringType, required=True),
        th.Property("api_key", th.StringType, required=True, secret=True),
    ).to_dict()

    @override
    def discover_streams(self) -> list[Stream]:
        return [Contacts(self)]


if __name__ == "__main__":
    StockTap.cli()
