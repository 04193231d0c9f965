"""Sequences, and when they may send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox import errors
from apollo_sandbox.errors import ApiError
from apollo_sandbox.listing import Filters, Pager, find, find_one, read_page
from apollo_sandbox.routing import Json, get, get_list, get_or_post, post
from apollo_sandbox.rows import emails, sequences, workspace

if TYPE_CHECKING:
    from apollo_sandbox.entities import Sequence
    from apollo_sandbox.services import Call
    from apollo_sandbox.world import World

_MOST_EVENTS = 50


@get_or_post("emailer_campaigns/search", rows={"sequences": lambda world: world.sequences})
def emailer_campaigns_search(call: Call) -> Json:
    """Search by name."""
    pager = Pager(call)
    filters: Filters[Sequence] = Filters(call)
    filters.text("q_name", "Name", lambda one: one.name)
    found = find(call, call.world.sequences, filters, sortable=False)
    return {
        "pagination": pager.pagination(found.total),
        "breadcrumbs": filters.breadcrumbs,
        "emailer_campaigns": [sequences.sequence_listed(call.world, one) for one in read_page(call, found, pager)],
        "num_fetch_result": None,
    }


@get("emailer_campaigns/{id}")
def emailer_campaigns_show(call: Call) -> Json:
    """Show a sequence with its steps and templates, which nothing else does; undocumented."""
    sequence = find_one(call, call.world.sequences, missing=errors.not_found())
    return sequences.sequence_shown(call.world, sequence)


@post("emailer_campaigns/activity_feed")
def emailer_campaigns_activity_feed(call: Call) -> Json:
    """Tell what happened to a contact in its sequences, newest first."""
    contact_id = call.params.text("contact_id") or ""
    contact = call.world.contacts.get(contact_id)
    if contact is None:
        raise ApiError(404, {"error": "Contact not found"})
    sequence_id = call.params.text("sequence_id")
    sent = [one for one in call.world.outreach_emails if one.contact is contact]
    events = [
        event
        for enrollment in contact.enrollments
        if sequence_id in {None, enrollment.sequence.id}
        for event in emails.sequence_activity(
            call.world,
            enrollment,
            [one for one in sent if one.sequence is enrollment.sequence],
        )
    ]
    events.sort(key=lambda event: str(event["occurred_at"]), reverse=True)
    most = min(max(1, call.params.whole("per_page", _MOST_EVENTS)), _MOST_EVENTS)
    return {"contact_id": contact_id, "events": events[:most]}


@get_list("emailer_schedules", stream="email_schedules")
def emailer_schedules(world: World) -> list[Json]:
    """List when sequences may send."""
    return [workspace.schedule(one, default=number == 0) for number, one in enumerate(world.catalog.schedules)]
