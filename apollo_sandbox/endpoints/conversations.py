"""Phone calls and conversations."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

from apollo_sandbox import errors
from apollo_sandbox.clock import instant
from apollo_sandbox.errors import ApiError
from apollo_sandbox.listing import Filters, Pager, find, find_one, read_page
from apollo_sandbox.params import Span
from apollo_sandbox.routing import Json, get, post
from apollo_sandbox.rows import calls, conversations

if TYPE_CHECKING:
    from apollo_sandbox.entities import Conversation, PhoneCall
    from apollo_sandbox.services import Call, Services


@get("phone_calls/search", rows={"calls": lambda world: world.calls})
def phone_calls_search(call: Call) -> Json:
    """Search by day and user."""
    pager = Pager(call)
    filters: Filters[PhoneCall] = Filters(call)
    filters.span("date_range", call.params.span("date_range"), lambda one: one.start)
    filters.any_of("user_ids", "User", lambda one: (one.user.id,))
    found = find(call, call.world.calls, filters, sortable=False)
    total = pager.total(found.total)
    return {
        "pagination": pager.pagination(found.total, echo=True),
        "breadcrumbs": filters.breadcrumbs,
        "phone_calls": [calls.call_listed(call.world, one) for one in read_page(call, found, pager)],
        "faceting": {
            "phone_call_stats_facets": [
                {"value": "active", "display_name": "Active Calls", "count": 0},
                {"value": "other", "display_name": "No Disposition", "count": total},
            ]
        },
        "pipeline_total": total,
        "num_fetch_result": None,
    }


@post("conversations/search", rows={"conversations": lambda world: world.conversations})
def conversations_search(call: Call) -> Json:
    """Search by day and account."""
    pager = Pager(call)
    filters: Filters[Conversation] = Filters(call)
    span = call.params.span("date_range", "start", "end")
    filters.span("date_range", span, lambda one: one.start)
    filters.any_of("account_id", "Account", lambda one: (one.account.id,) if one.account else ())
    found = find(call, call.world.conversations, filters, sortable=False)
    rows = read_page(call, found, pager)
    return {
        "pagination": pager.pagination(found.total),
        "breadcrumbs": {},
        "num_fetch_result": len(rows),
        "playlist_clip_ids": [],
        "conversations": [conversations.conversation_listed(call.world, one) for one in rows],
    }


@get("conversations/{id}")
def conversations_show(call: Call) -> Json:
    """Show a conversation in full, for a credit if Apollo drew insights from it."""
    missing = ApiError(404, {"error": "Conversation not found or access denied."})
    conversation = find_one(call, call.world.conversations, missing=missing)
    call.charge(int(conversation.insights), [conversation.id], "conversation_credit")
    return conversations.conversation_shown(call.world, conversation)


@post("conversations/export")
def conversations_export(call: Call) -> Json:
    """Begin an export, for a credit for each conversation with insights."""
    moments = {}
    for name in ("start_time", "end_time"):
        moment = instant(call.params.text(name) or "")
        if moment is None:
            raise errors.unprocessable(f"{name} is not a valid ISO-8601 date.")
        moments[name] = moment
    if moments["start_time"] >= moments["end_time"]:
        raise errors.unprocessable("start_time must be less than end_time.")
    email = call.params.text("email")
    if email is not None and email not in {user.email for user in call.world.users}:
        raise ApiError(
            404,
            {
                "error": "Unable to find user to send notification email to. Please provide an "
                "address for a valid user using the email parameter."
            },
        )
    span = Span(call.params.text("start_time"), call.params.text("end_time"))
    for change, fault in call.deviating("span"):
        change(fault, span)
    chosen = tuple(one for one in call.world.conversations if one.start in span)
    if not chosen:
        raise ApiError(404, {"error": "Unable to find conversations within the given time range."})
    paid = [one.id for one in chosen if one.insights]
    call.charge(len(paid), paid, "conversation_credit")
    export_id = call.services.jobs.export(chosen)
    return {
        "export_url": f"{call.origin}/api/v1/conversations/export/{export_id}",
        "export_id": export_id,
    }


@get("conversations/export/{id}", action="conversations/show_export")
def conversations_show_export(call: Call) -> Json:
    """Tell where the file of an export is, once it is ready."""
    export_id = call.path["id"]
    job = call.services.jobs.exports.get(export_id)
    if job is None or call.services.clock.now() < job.done:
        raise ApiError(404, {"error": "Export not found or access denied."})
    return {"redirect_url": f"{call.origin}/_sandbox/exports/{export_id}.json.gz"}


def export_file(services: Services, export_id: str) -> bytes | None:
    """Give the file an export's redirect leads to: gzipped JSON."""
    job = services.jobs.exports.get(export_id)
    if job is None:
        return None
    rows = [conversations.conversation_shown(services.world, one) for one in job.subject]
    return gzip.compress(json.dumps(rows).encode(), mtime=0)
