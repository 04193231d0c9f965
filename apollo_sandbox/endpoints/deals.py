"""Deals and their stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox import errors
from apollo_sandbox.ids import is_object_id
from apollo_sandbox.listing import SEARCH_CONSTANTS, Filters, Pager, find, find_one, read_page
from apollo_sandbox.routing import Json, get, get_list
from apollo_sandbox.rows import deals

if TYPE_CHECKING:
    from apollo_sandbox.entities import Deal
    from apollo_sandbox.services import Call
    from apollo_sandbox.world import World


@get("opportunities/search", rows={"deals": lambda world: world.deals})
def opportunities_search(call: Call) -> Json:
    """List all deals: Apollo filters them by nothing."""
    pager = Pager(call)
    filters: Filters[Deal] = Filters(call)
    found = find(call, call.world.deals, filters)
    return {
        "breadcrumbs": filters.breadcrumbs,
        "opportunities": [deals.deal_listed(call.world, one) for one in read_page(call, found, pager)],
        "group_by_field_facets": None,
        "salesforce_users": [],
        **SEARCH_CONSTANTS,
        "pagination": pager.pagination(found.total),
        "num_fetch_result": None,
    }


@get("opportunities/{id}")
def opportunities_show(call: Call) -> Json:
    """Show what the search lists, and how many contacts have a role."""
    unknown = errors.not_found() if is_object_id(call.path["id"]) else errors.malformed_id("opportunity_id")
    deal = find_one(call, call.world.deals, missing=unknown)
    return {"opportunity": deals.deal_shown(call.world, deal)}


@get_list("opportunity_stages", stream="deal_stages")
def opportunity_stages(world: World) -> list[Json]:
    """List the stages of all pipelines."""
    return [deals.deal_stage(world, stage) for stage in world.catalog.deal_stages]
