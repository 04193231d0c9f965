"""Users, mailboxes, and who the key belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.listing import Filters, Pager, find, read_page
from apollo_sandbox.routing import Json, get, get_list
from apollo_sandbox.rows import workspace

if TYPE_CHECKING:
    from apollo_sandbox.entities import User
    from apollo_sandbox.services import Call
    from apollo_sandbox.world import World


@get("users/search", rows={"users": lambda world: world.users})
def users_search(call: Call) -> Json:
    """List the users, with the page and its size as they were sent."""
    pager = Pager(call)
    filters: Filters[User] = Filters(call)
    found = find(call, call.world.users, filters, sortable=False)
    return {
        "pagination": pager.pagination(found.total, echo=True),
        "users": [workspace.user_listed(call.world, one) for one in read_page(call, found, pager)],
        "num_fetch_result": None,
    }


@get("users/api_profile", rows={"user_profile": lambda world: world.users.first_rows[:1]})
def users_api_profile(call: Call) -> Json:
    """Show the user the key belongs to, and the credits if asked."""
    profile = workspace.user_profile(call.world, next(iter(call.world.users)))
    if call.params.flag("include_credit_usage"):
        profile.update(call.services.credits.profile())
    return profile


@get_list("email_accounts", stream="email_accounts")
def email_accounts(world: World) -> list[Json]:
    """List the mailboxes, one of each user."""
    return [workspace.email_account(world, user) for user in world.users]


@get("auth/health")
def auth_health(_: Call) -> Json:
    """Say that the key works, as many connectors ask; undocumented."""
    return {"healthy": True, "is_logged_in": True}
