"""Accounts and their stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox import errors
from apollo_sandbox.listing import SEARCH_CONSTANTS, Filters, Pager, find, find_one, read_page
from apollo_sandbox.routing import Json, get, get_list, post
from apollo_sandbox.rows import companies, workspace

if TYPE_CHECKING:
    from apollo_sandbox.entities import Account
    from apollo_sandbox.services import Call
    from apollo_sandbox.world import World


@post("accounts/search", rows={"accounts": lambda world: world.accounts})
def accounts_search(call: Call) -> Json:
    """Search by name, stage and list."""
    world, catalog = call.world, call.world.catalog
    pager = Pager(call)
    stages = {stage.id: stage.name for stage in catalog.account_stages}
    if not stages.keys() >= set(call.params.texts("account_stage_ids")):
        raise errors.bad_filter()
    filters: Filters[Account] = Filters(call)
    filters.text(
        "q_organization_name",
        "Company Name",
        lambda one: world.people.company(one.serial).name,
    )
    filters.any_of(
        "account_stage_ids",
        "Account Stage",
        lambda one: (catalog.account_stages[one.stage].id,),
        names=stages,
    )
    filters.any_of(
        "account_label_ids",
        "List",
        lambda one: [catalog.labels[number].id for number in one.labels],
        names={label.id: label.name for label in catalog.labels},
    )
    found = find(call, world.accounts, filters)
    return {
        "breadcrumbs": filters.breadcrumbs,
        **SEARCH_CONSTANTS,
        "pagination": pager.pagination(found.total),
        "accounts": [companies.account_listed(world, one) for one in read_page(call, found, pager)],
        "num_fetch_result": None,
    }


@get("accounts/{id}")
def accounts_show(call: Call) -> Json:
    """Show what the search lists, and what is known about the company."""
    account = find_one(
        call,
        call.world.accounts,
        missing=errors.malformed_id("id"),
        deleted=errors.unprocessable("This account has been deleted!"),
    )
    return {
        "account": companies.account_shown(call.world, account),
        "salesforce_users": [],
        "hubspot_owners": [],
    }


@get_list("account_stages", stream="account_stages")
def account_stages(world: World) -> list[Json]:
    """List the stages in their order."""
    return [workspace.account_stage(world, stage, order) for order, stage in enumerate(world.catalog.account_stages)]
