"""Apollo's own database of people, as far as searching it is free."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tap_apollo.client import PagedStream
from tap_apollo.paging import Listing, ListWalk, OnePage, Page

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
            return OnePage(pages=0)
        filters = nested(self._searches[context["search"]]["filters"])
        return ListWalk(Listing(filters, display_limit=self.display_limit))

    @override
    def page_limit(self, context: Context | None) -> int | None:
        """The limit of the search, or what the searches before have left of the stream's."""
        stream = super().page_limit(context)
        left = None if stream is None else max(0, stream - self._pages_read)
        search = self._searches[context["search"]].get("max_pages") if context else None
        return min((limit for limit in (left, search) if limit is not None), default=None)

    @override
    def walk_ended(self, walk: Walk, outcome: Outcome | None) -> None:
        super().walk_ended(walk, outcome)
        self._pages_read += self._reading.pages

    @override
    def read_page(self, reply: Any) -> Page:
        return Page(self.read_records(reply), total=reply.get("total_entries"))

    @override
    def shaped(self, row: Record, context: Context | None) -> Record:
        return {**super().shaped(row, context), "search": (context or {})["search"]}


def nested(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters written as Apollo documents them for a query, ``titles[]``, ``range[min]``, as a JSON body."""
    body: dict[str, Any] = {}
    for name, value in filters.items():
        outer, _, inner = name.removesuffix("]").partition("[")
        if inner:
            body[outer] = {**body.get(outer, {}), inner: value}
        else:
            body[outer] = value
    return body
