"""The e-mails that sequences send, and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apollo_sandbox.clock import MINUTE
from apollo_sandbox.ids import Kind
from apollo_sandbox.rows.persons import (
    company_of,
    contact_email,
    contact_embedded,
    contact_name,
    email_account_id,
    step_id,
)
from apollo_sandbox.rows.sequences import touch_id
from apollo_sandbox.rows.stamps import Row, constants, offset_stamp, short_stamp, stamp
from apollo_sandbox.vocabulary import SENTENCES, SUBJECTS

if TYPE_CHECKING:
    from apollo_sandbox.entities import Enrollment, OutreachEmail
    from apollo_sandbox.world import World

_REPLY_CLASSES = ("willing_to_meet", "follow_up_question", "not_interested", "out_of_office", None)
_PERCENT_BOUNCED, _PERCENT_OPENED = 4, 45
OPENED, CLICKED, REPLIED, BOUNCED, UNSUBSCRIBED = (
    "opened",
    "clicked",
    "replied",
    "bounced",
    "unsubscribed",
)


def email_events(world: World, email: OutreachEmail) -> set[str]:
    """Tell what became of a sent e-mail."""
    if email.status != "completed":
        return set()
    bits = world.ids.bits(Kind.OUTREACH_EMAIL, email.serial)
    if bits % 100 < _PERCENT_BOUNCED:
        return {BOUNCED}
    events = set()
    if bits % 100 < _PERCENT_OPENED:
        events.add(OPENED)
        if (bits >> 8) % 5 == 0:
            events.add(CLICKED)
        if (bits >> 16) % 7 == 0:
            events.add(REPLIED)
        if (bits >> 24) % 40 == 0:
            events.add(UNSUBSCRIBED)
    return events


def email_subject(world: World, email: OutreachEmail) -> str:
    """Give an e-mail's subject line."""
    return SUBJECTS[email.step % len(SUBJECTS)].format(
        company=company_of(world, email.contact).name,
        first_name=world.people.person(email.contact.serial).first_name,
    )


def email_sentences(world: World, email: OutreachEmail) -> list[str]:
    """Give an e-mail's body, sentence by sentence."""
    first = world.ids.bits(Kind.OUTREACH_EMAIL, email.serial) % len(SENTENCES)
    return [SENTENCES[(first + number) % len(SENTENCES)] for number in range(3)]


_EMAIL = constants(
    """
null: schedule_delayed_reason demoed tracking_disabled_reason due_at_source crm_id personalized_opener
null: schedule_delayed_limit_reason schedule_delayed_reason_details sensitive_info_redacted
null: campaign_max_emails_per_day step_max_emails_per_day
[]: attachment_ids bcc_emails cc_emails
true: enable_tracking body_html_loaded appendment_html_loaded
"America/Chicago": time_zone
"outreach_automatic_email": type
false: due_at_manually_changed
"": appendment_html
"""
)


def email_listed(world: World, email: OutreachEmail) -> Row:
    """Give an outreach e-mail as the search lists it."""
    dice = world.ids.dice(Kind.OUTREACH_EMAIL, email.serial)
    contact, sequence, owner = email.contact, email.sequence, email.sequence.owner
    events = email_events(world, email)
    sent, failed = email.status == "completed", email.status == "failed"
    replied = REPLIED in events
    to_email = contact_email(world, contact)
    to_name = contact_name(world, contact)
    from_name = owner.name
    mailbox = email_account_id(world, owner.serial)
    company = company_of(world, contact)
    account = world.account_of(contact)
    sentences = email_sentences(world, email)
    return {
        **_EMAIL,
        "id": email.id,
        "user_id": owner.id,
        "status": email.status,
        "provider_message_id": dice.digits(16) if sent else None,
        "to_name": to_name,
        "due_at": offset_stamp(email.due),
        "completed_at": offset_stamp(email.completed) if email.completed else None,
        "emailer_touch_id": touch_id(world, sequence, email.step),
        "emailer_campaign_id": sequence.id,
        "emailer_step_id": step_id(world, sequence.serial, email.step),
        "failed_at": offset_stamp(email.due + 5 * MINUTE) if failed else None,
        "failure_reason": "The contact's stage is excluded from this sequence." if failed else None,
        "contact_id": contact.id,
        "provider_thread_id": dice.digits(16) if sent else None,
        "email_account_id": mailbox,
        "not_sent_reason": "contact_stage_safeguard" if failed else None,
        "bounce": BOUNCED in events if sent else None,
        "spam_blocked": False if sent else None,
        "created_at": stamp(email.created),
        "async_sending": not sent,
        "replied": replied or None,
        "needs_dynamic_assemble": not sent,
        "reply_class": dice.pick(_REPLY_CLASSES) if replied else None,
        "account_id": account.id if account else None,
        "recipients": [
            {
                "email": to_email,
                "raw_name": to_name,
                "recipient_type_cd": "to",
                "contact_id": contact.id,
                "user_id": None,
            }
        ],
        "send_from": {
            "email": owner.email,
            "raw_name": from_name,
            "recipient_type_cd": None,
            "contact_id": None,
            "user_id": None,
        },
        "from_email": owner.email,
        "to_email": to_email,
        "from_name": from_name,
        "send_from_info": f"{mailbox}***{owner.email}",
        "body_text": "\n".join((f"Hello from {company.place.city},", *sentences, from_name)),
        "body_html": f"<html><body><div>{'</div><div>'.join(sentences)}</div></body></html>",
        "subject": email_subject(world, email),
        "campaign_name": sequence.name,
        "campaign_position": email.step + 1,
    }


def email_activities(world: World, email: OutreachEmail) -> Row:
    """Give `emailer_messages/{id}/activities`."""
    events = email_events(world, email)
    when = email.completed or email.due
    message = {
        **email_listed(world, email),
        "emailer_message_events": [
            {
                "id": world.ids.make(Kind.OUTREACH_EMAIL, email.serial << 8 | number, when),
                "type": name,
                "created_at": stamp(when + (number + 1) * 7 * MINUTE),
                "emailer_message_id": email.id,
            }
            for number, name in enumerate(sorted(events))
        ],
        "num_opens": 1 if OPENED in events else 0,
        "num_clicks": 1 if CLICKED in events else 0,
    }
    shown = dict(message)
    if email.contact in world.contacts:
        shown["contact"] = contact_embedded(world, email.contact)
    return {
        "activities": [
            {
                "id": email.id,
                "type": "emailer_message",
                "emailer_message_id": email.id,
                "emailer_message": message,
            }
        ],
        "emailer_message": shown,
    }


def email_content(world: World, email: OutreachEmail, body_format: str) -> Row:
    """Give a sent e-mail's text as `emailer_messages/get_content` does."""
    sentences = email_sentences(world, email)
    plain = " ".join(sentences)
    return {
        "id": email.id,
        "subject": email_subject(world, email),
        "body": f"<div>{plain}</div>" if body_format == "html" else plain,
        "body_format": body_format,
        "status": email.status,
        "sent_at": offset_stamp(email.completed or email.due)[:19] + "+00:00",
        "recipients": [{"email": contact_email(world, email.contact), "type": "to"}],
    }


def sequence_activity(world: World, enrollment: Enrollment, emails: list[OutreachEmail]) -> list[Row]:
    """Give what happened to one contact in one sequence, newest first."""
    sequence = enrollment.sequence
    common = {"sequence_id": sequence.id, "sequence_name": sequence.name}

    def event(kind: str, when: int, **rest: Any) -> Row:
        return {"type": kind, "occurred_at": short_stamp(when), **common, **rest}

    events = [event("enrolled", enrollment.added, step_position=1)]
    last = enrollment.added
    for email in emails:
        if email.completed:
            last = max(last, email.completed)
        for name in sorted(email_events(world, email) & {OPENED, CLICKED, REPLIED, BOUNCED}):
            moment = min((email.completed or email.due) + 9 * MINUTE, world.start)
            events.append(event(name, moment, emailer_message_id=email.id))
    if enrollment.status == "paused":
        events.append(event("paused", last, reason="paused by a user"))
    if enrollment.status == "finished":
        events.append(event("completed", last))
    return sorted(events, key=lambda one: str(one["occurred_at"]), reverse=True)
