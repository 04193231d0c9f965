"""The e-mails that sequences send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox import errors
from apollo_sandbox.listing import Filters, Pager, find, find_one, read_page
from apollo_sandbox.routing import Json, get, get_or_post, post
from apollo_sandbox.rows import emails, sequences
from apollo_sandbox.rows.persons import contact_name

if TYPE_CHECKING:
    from apollo_sandbox.entities import OutreachEmail
    from apollo_sandbox.services import Call

_MOST_CONTENTS = 10
_EMAIL_STATISTICS = {
    "opened": emails.OPENED,
    "clicked": emails.CLICKED,
    "replied": emails.REPLIED,
    "bounced": emails.BOUNCED,
    "unsubscribed": emails.UNSUBSCRIBED,
}


@get_or_post("emailer_messages/search", rows={"outreach_emails": lambda world: world.outreach_emails})
def emailer_messages_search(call: Call) -> Json:
    """Search by time, sequence, user and what became of them; it says nothing of pages or totals."""
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
        "emailer_messages": [emails.email_listed(world, one) for one in rows],
        "emailer_steps": [
            sequences.sequence_step(world, sequence, step)
            for sequence, step in sorted(steps, key=lambda pair: (pair[0].serial, pair[1]))
        ],
        "num_fetch_result": None,
    }


def _is_statistic(name: str) -> bool:
    return name in _EMAIL_STATISTICS or name in {"scheduled", "delivered", "failed"}


def _statistics_of(call: Call, email: OutreachEmail) -> set[str]:
    events = emails.email_events(call.world, email)
    names = {name for name, event in _EMAIL_STATISTICS.items() if event in events}
    if email.status == "completed" and emails.BOUNCED not in events:
        names.add("delivered")
    return names | {email.status}


@get("emailer_messages/{id}/activities", oauth=False)
def emailer_messages_activities(call: Call) -> Json:
    """Show an e-mail, and what became of it."""
    email = find_one(call, call.world.outreach_emails, missing=errors.unprocessable("Could not find message."))
    return emails.email_activities(call.world, email)


@post("emailer_messages/get_content")
def emailer_messages_get_content(call: Call) -> Json:
    """Give the texts of those that were sent, and nothing about the others."""
    ids = call.params.texts("ids")
    if not ids:
        raise errors.unprocessable("Missing required parameter: ids")
    if len(ids) > _MOST_CONTENTS:
        raise errors.unprocessable(f"ids cannot be more than {_MOST_CONTENTS}")
    body_format = "html" if call.params.text("body_format") == "html" else "plain"
    found = [call.world.outreach_emails.get(one) for one in dict.fromkeys(ids)]
    return {
        "emailer_messages": [
            emails.email_content(call.world, email, body_format)
            for email in found
            if email is not None and email.status == "completed"
        ]
    }
