"""Users, mailboxes, usage figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apollo_sandbox.listing import Filters, Pager, find, read_page
from apollo_sandbox.rows import workspace

if TYPE_CHECKING:
    from apollo_sandbox.entities import User
    from apollo_sandbox.services import Call

Json = dict[str, Any]


def auth_health(_: Call) -> Json:
    """GET auth/health: undocumented, and the probe of many connectors."""
    return {"healthy": True, "is_logged_in": True}


def users_search(call: Call) -> Json:
    """GET users/search."""
    pager = Pager(call)
    filters: Filters[User] = Filters(call)
    found = find(call, call.world.users, filters, sortable=False)
    return {
        "pagination": pager.pagination(found.total, echo=True),
        "users": [workspace.user_listed(call.world, one) for one in read_page(call, found, pager)],
        "num_fetch_result": None,
    }


def users_api_profile(call: Call) -> Json:
    """GET users/api_profile."""
    profile = workspace.user_profile(call.world, next(iter(call.world.users)))
    if call.params.flag("include_credit_usage"):
        profile.update(call.services.credits.profile())
    return profile


def email_accounts_index(call: Call) -> Json:
    """GET email_accounts."""
    world = call.world
    return {"email_accounts": [workspace.email_account(world, user) for user in world.users]}


def emailer_schedules_index(call: Call) -> Json:
    """GET emailer_schedules."""
    return {
        "emailer_schedules": [
            workspace.schedule(one, default=number == 0) for number, one in enumerate(call.world.catalog.schedules)
        ]
    }


def api_usage_stats(call: Call) -> Json:
    """POST usage_stats/api_usage_stats: keys are JSON arrays written as text."""
    return call.services.limiter.report()


def credit_usage_stats(call: Call) -> Json:
    """POST usage_stats/credit_usage_stats."""
    return call.services.credits.report()
