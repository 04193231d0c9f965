"""Sequences and the e-mails they send, calls, conversations."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

from apollo_sandbox import errors
from apollo_sandbox.clock import instant
from apollo_sandbox.errors import ApiError
from apollo_sandbox.listing import Filters, Pager, find, read_page
from apollo_sandbox.params import Span
from apollo_sandbox.rows import engagement
from apollo_sandbox.rows.persons import contact_name

if TYPE_CHECKING:
    from apollo_sandbox.entities import Conversation, OutreachEmail, PhoneCall, Sequence
    from apollo_sandbox.services import Call, Services

Json = dict[str, Any]

_MOST_EVENTS = 50
_MOST_CONTENTS = 10
_EMAIL_STATISTICS = {
    "opened": engagement.OPENED,
    "clicked": engagement.CLICKED,
    "replied": engagement.REPLIED,
    "bounced": engagement.BOUNCED,
    "unsubscribed": engagement.UNSUBSCRIBED,
}


def emailer_campaigns_search(call: Call) -> Json:
    """POST or GET emailer_campaigns/search."""
    pager = Pager(call)
    filters: Filters[Sequence] = Filters(call)
    filters.text("q_name", "Name", lambda one: one.name)
    found = find(call, call.world.sequences, filters, sortable=False)
    return {
        "pagination": pager.pagination(found.total),
        "breadcrumbs": filters.breadcrumbs,
        "emailer_campaigns": [engagement.sequence_listed(call.world, one) for one in read_page(call, found, pager)],
        "num_fetch_result": None,
    }


def emailer_campaigns_show(call: Call) -> Json:
    """GET emailer_campaigns/{id}: undocumented, and the only place for steps and templates."""
    sequence = call.world.sequences.get(call.path["id"])
    if sequence is None:
        raise errors.not_found()
    return engagement.sequence_shown(call.world, sequence)


def emailer_campaigns_activity_feed(call: Call) -> Json:
    """POST emailer_campaigns/activity_feed."""
    contact_id = call.params.text("contact_id") or ""
    contact = call.world.contacts.get(contact_id)
    if contact is None:
        raise ApiError(404, {"error": "Contact not found"})
    sequence_id = call.params.text("sequence_id")
    emails = [one for one in call.world.outreach_emails if one.contact is contact]
    events = [
        event
        for enrollment in contact.enrollments
        if sequence_id in {None, enrollment.sequence.id}
        for event in engagement.sequence_activity(
            call.world,
            enrollment,
            [one for one in emails if one.sequence is enrollment.sequence],
        )
    ]
    events.sort(key=lambda event: str(event["occurred_at"]), reverse=True)
    most = min(max(1, call.params.whole("per_page", _MOST_EVENTS)), _MOST_EVENTS)
    return {"contact_id": contact_id, "events": events[:most]}


def emailer_messages_search(call: Call) -> Json:
    """GET or POST emailer_messages/search: it says nothing of pages or totals."""
    world = call.world
    pager = Pager(call)
    filters: Filters[OutreachEmail] = Filters(call)
    span = call.params.span("emailer_message_date_range")
    completed = call.params.text("emailer_message_date_range_mode") == "completed_at"
    filters.span(
        "emailer_message_date_range",
        span,
        lambda one: one.completed if completed else one.due,
    )
    if span is not None:
        filters.custom(
            "emailer_message_date_range_mode",
            "completed_at" if completed else "due_at",
            lambda _: True,
        )
    filters.any_of("emailer_campaign_ids", "Sequence", lambda one: (one.sequence.id,))
    filters.any_of("not_emailer_campaign_ids", "Not in sequence", lambda one: (one.sequence.id,), exclude=True)
    filters.any_of("user_ids", "User", lambda one: (one.sequence.owner.id,))
    known = [one for one in call.params.texts("emailer_message_stats") if _is_statistic(one)]
    if known:
        filters.any_of("emailer_message_stats", "Stats", lambda one: _statistics_of(call, one))
    filters.text("q_keywords", "Contains Keywords", lambda one: contact_name(world, one.contact))
    found = find(call, world.outreach_emails, filters, sortable=False)
    rows = read_page(call, found, pager)
    steps = {(one.sequence, one.step) for one in rows}
    return {
        "breadcrumbs": filters.breadcrumbs,
        "emailer_messages": [engagement.email_listed(world, one) for one in rows],
        "emailer_steps": [
            engagement.sequence_step(world, sequence, step)
            for sequence, step in sorted(steps, key=lambda pair: (pair[0].serial, pair[1]))
        ],
        "num_fetch_result": None,
    }


def _is_statistic(name: str) -> bool:
    return name in _EMAIL_STATISTICS or name in {"scheduled", "delivered", "failed"}


def _statistics_of(call: Call, email: OutreachEmail) -> set[str]:
    events = engagement.email_events(call.world, email)
    names = {name for name, event in _EMAIL_STATISTICS.items() if event in events}
    if email.status == "completed" and engagement.BOUNCED not in events:
        names.add("delivered")
    return names | {email.status}


def emailer_messages_activities(call: Call) -> Json:
    """GET emailer_messages/{id}/activities."""
    email = call.world.outreach_emails.get(call.path["id"])
    if email is None:
        raise errors.unprocessable("Could not find message.")
    return engagement.email_activities(call.world, email)


def emailer_messages_get_content(call: Call) -> Json:
    """POST emailer_messages/get_content: sent e-mails only, and silence about all others."""
    ids = call.params.texts("ids")
    if not ids:
        raise errors.unprocessable("Missing required parameter: ids")
    if len(ids) > _MOST_CONTENTS:
        raise errors.unprocessable(f"ids cannot be more than {_MOST_CONTENTS}")
    body_format = "html" if call.params.text("body_format") == "html" else "plain"
    found = [call.world.outreach_emails.get(one) for one in dict.fromkeys(ids)]
    return {
        "emailer_messages": [
            engagement.email_content(call.world, email, body_format)
            for email in found
            if email is not None and email.status == "completed"
        ]
    }


def phone_calls_search(call: Call) -> Json:
    """GET phone_calls/search."""
    pager = Pager(call)
    filters: Filters[PhoneCall] = Filters(call)
    filters.span("date_range", call.params.span("date_range"), lambda one: one.start)
    filters.any_of("user_ids", "User", lambda one: (one.user.id,))
    found = find(call, call.world.calls, filters, sortable=False)
    total = pager.total(found.total)
    return {
        "pagination": pager.pagination(found.total, echo=True),
        "breadcrumbs": filters.breadcrumbs,
        "phone_calls": [engagement.call_listed(call.world, one) for one in read_page(call, found, pager)],
        "faceting": {
            "phone_call_stats_facets": [
                {"value": "active", "display_name": "Active Calls", "count": 0},
                {"value": "other", "display_name": "No Disposition", "count": total},
            ]
        },
        "pipeline_total": total,
        "num_fetch_result": None,
    }


def conversations_search(call: Call) -> Json:
    """POST conversations/search."""
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
        "conversations": [engagement.conversation_listed(call.world, one) for one in rows],
    }


def conversations_show(call: Call) -> Json:
    """GET conversations/{id}: a credit, if Apollo drew insights from it."""
    conversation = call.world.conversations.get(call.path["id"])
    if conversation is None:
        raise ApiError(404, {"error": "Conversation not found or access denied."})
    call.services.credits.charge(call.action, int(conversation.insights), [conversation.id], "conversation_credit")
    return engagement.conversation_shown(call.world, conversation)


def conversations_export(call: Call) -> Json:
    """POST conversations/export: a credit for each conversation with insights."""
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
    chosen = tuple(one for one in call.world.conversations if one.start in span)
    if not chosen:
        raise ApiError(404, {"error": "Unable to find conversations within the given time range."})
    paid = [one.id for one in chosen if one.insights]
    call.services.credits.charge(call.action, len(paid), paid, "conversation_credit")
    export_id = call.services.jobs.export(chosen)
    return {
        "export_url": f"{call.origin}/api/v1/conversations/export/{export_id}",
        "export_id": export_id,
    }


def conversations_show_export(call: Call) -> Json:
    """GET conversations/export/{id}."""
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
    rows = [engagement.conversation_shown(services.world, one) for one in job.subject]
    return gzip.compress(json.dumps(rows).encode(), mtime=0)
