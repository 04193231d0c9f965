"""Apollo's own database of people, as far as searching it is free."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tap_apollo.client import PER_PAGE, PagedStream
from tap_apollo.paging import Page, nothing, whole_list

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.paging import Outcome, Walk


class People(PagedStream):
    """The people that each search in ``people_searches`` finds; without searches nothing is asked."""

    name = "people"
    path = "/mixed_people/api_search"
    http_method = "POST"
    scope = "api/v1/mixed_people/api_search"
    oauth_scope = "mixed_people_api_search"
    records_key = "people"
    primary_keys = ("search", "id")
    state_partitioning_keys = ()

    _pages_read = 0

    @property
    @override
    def partitions(self) -> list[dict[str, Any]]:
        return [{"search": name} for name in self._searches]

    @property
    def _searches(self) -> dict[str, dict[str, Any]]:
        return {search["name"]: search for search in self.config["people_searches"]}

    @override
    def new_walk(self, context: Context | None) -> Walk:
        if context is None:  # what the SDK passes when there are no partitions
            return nothing()
        search = self._searches[context["search"]]
        limits = [limit for limit in (search.get("max_pages"), self.max_pages) if limit is not None]
        return whole_list(nested(search["filters"]), max_pages=min(limits, default=None))

    @property
    @override
    def max_pages(self) -> int | None:
        """What the searches before have left of the page limit."""
        limit = super().max_pages
        return None if limit is None else limit - self._pages_read

    @override
    def walk_ended(self, outcome: Outcome, context: Context | None) -> None:
        super().walk_ended(outcome, context)
        self._pages_read += outcome.pages

    @override
    def read_page(self, reply: Any) -> Page:
        return Page(self.read_records(reply), per_page=PER_PAGE, total=reply.get("total_entries"))

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        record = super().post_process(row, context)
        if record and context:
            record["search"] = context["search"]
        return record


def nested(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters written as Apollo documents them for a query, ``titles[]``, ``range[min]``, as a JSON body."""
    body: dict[str, Any] = {}
    for name, value in filters.items():
        outer, _, inner = name.removesuffix("]").partition("[")
        if inner:
            body.setdefault(outer, {})[inner] = value
        else:
            body[outer] = value
    return body
