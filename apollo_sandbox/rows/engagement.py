"""Sequences, the e-mails they send, calls and conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apollo_sandbox.clock import DAY, MINUTE, SECOND
from apollo_sandbox.ids import Dice, Kind
from apollo_sandbox.rows.deals import deal_name
from apollo_sandbox.rows.persons import (
    company_of,
    contact_email,
    contact_embedded,
    contact_name,
    email_account_id,
    step_id,
)
from apollo_sandbox.rows.stamps import Row, offset_stamp, short_stamp, stamp
from apollo_sandbox.vocabulary import SENTENCES, SUBJECTS, TOPICS

if TYPE_CHECKING:
    from apollo_sandbox.entities import (
        Contact,
        Conversation,
        Deal,
        Enrollment,
        OutreachEmail,
        PhoneCall,
        Sequence,
    )
    from apollo_sandbox.world import World

_COUNTERS = (
    "unique_scheduled",
    "unique_delivered",
    "unique_bounced",
    "unique_opened",
    "unique_hard_bounced",
    "unique_spam_blocked",
    "unique_replied",
    "unique_demoed",
    "unique_clicked",
    "unique_unsubscribed",
)
_RATES = (
    "bounce_rate",
    "hard_bounce_rate",
    "open_rate",
    "click_rate",
    "reply_rate",
    "spam_block_rate",
    "opt_out_rate",
    "demo_rate",
)
_REPLY_CLASSES = ("willing_to_meet", "follow_up_question", "not_interested", "out_of_office", None)
_PERCENT_BOUNCED, _PERCENT_OPENED = 4, 45
OPENED, CLICKED, REPLIED, BOUNCED, UNSUBSCRIBED = (
    "opened",
    "clicked",
    "replied",
    "bounced",
    "unsubscribed",
)


def sequence_listed(world: World, sequence: Sequence) -> Row:
    """Give a sequence; its statistics may be whole, broken, or still loading."""
    dice = world.ids.dice(Kind.SEQUENCE, sequence.serial)
    loading = dice.chance(0.1)
    catalog = world.catalog
    labels = catalog.label_numbers("emailer_campaigns")
    return {
        "id": sequence.id,
        "name": sequence.name,
        "archived": sequence.archived,
        "created_at": stamp(sequence.created),
        "emailer_schedule_id": dice.pick(catalog.schedules).id,
        "max_emails_per_day": dice.pick((None, 50, 200)),
        "user_id": sequence.owner.id,
        "same_account_reply_policy_cd": dice.pick((None, "mark_finished")),
        "excluded_account_stage_ids": [catalog.account_stages[-1].id],
        "excluded_contact_stage_ids": [stage.id for stage in catalog.contact_stages[-2:]],
        "contact_email_event_to_stage_mapping": {},
        "label_ids": [catalog.labels[dice.pick(labels)].id] if dice.chance(0.5) else [],
        "create_task_if_email_open": False,
        "email_open_trigger_task_threshold": 3,
        "mark_finished_if_click": False,
        "active": sequence.active,
        "days_to_wait_before_mark_as_response": 5,
        "starred_by_user_ids": [],
        "mark_finished_if_reply": True,
        "mark_finished_if_interested": True,
        "mark_paused_if_ooo": True,
        "sequence_by_exact_daytime": dice.pick((None, False)),
        "last_used_at": offset_stamp(dice.whole(sequence.created, world.start)) if dice.chance(0.8) else None,
        "sequence_ruleset_id": world.ids.make(Kind.RULESET, 0, world.founded),
        "folder_id": None,
        "same_account_reply_delay_days": 30,
        "is_performing_poorly": False,
        "num_contacts_email_status_extrapolated": 0,
        "remind_ab_test_results": False,
        "ab_test_step_ids": [],
        "prioritized_by_user": None,
        "creation_type": "new",
        "num_steps": sequence.steps,
        **{name: "loading" if loading else dice.whole(0, 400) for name in _COUNTERS},
        **{name: _rate(dice, loading=loading) for name in _RATES},
        "loaded_stats": not loading,
        "cc_emails": "",
        "bcc_emails": "",
        "underperforming_touches_count": 0,
        "sharing_permission": {
            "visibility": "everyone",
            "access_type": "can_view",
            "object_type": "EmailerCampaign",
            "object_id": sequence.id,
            "is_owner": sequence.owner.serial == 0,
            "owner_id": sequence.owner.id,
            "sharing_accesses": [],
        },
    }


def _rate(dice: Dice, *, loading: bool) -> object:
    if loading:
        return "loading"
    return 0 if dice.chance(0.4) else dice.whole(1, 99) / 100


def sequence_step(world: World, sequence: Sequence, position: int) -> Row:
    """Give a step of a sequence."""
    return {
        "id": step_id(world, sequence.serial, position),
        "emailer_campaign_id": sequence.id,
        "wait_time": 0 if position == 0 else 3,
        "wait_mode": "minute" if position == 0 else "day",
        "max_emails_per_day": None,
        "exact_datetime": None,
        "auto_skip_in_x_days": None,
        "position": position + 1,
    }


def sequence_shown(world: World, sequence: Sequence) -> Row:
    """Give all of `emailer_campaigns/{id}`: the sequence and the parts it is made of."""
    positions = range(sequence.steps)
    return {
        "emailer_campaign": {**sequence_listed(world, sequence), "contact_statuses": {}},
        "emailer_steps": [{**sequence_step(world, sequence, position), "type": "auto_email"} for position in positions],
        "emailer_touches": [
            {
                "id": _touch_id(world, sequence, position),
                "emailer_step_id": step_id(world, sequence.serial, position),
                "emailer_template_id": _template_id(world, sequence, position),
                "type": "new_thread" if position == 0 else "reply_to_thread",
                "status": "approved",
            }
            for position in positions
        ],
        "emailer_templates": [
            {
                "id": _template_id(world, sequence, position),
                "subject": SUBJECTS[position % len(SUBJECTS)],
                "body_text": " ".join(SENTENCES[:3]),
                "body_html": f"<div>{' '.join(SENTENCES[:3])}</div>",
                "created_at": stamp(sequence.created),
            }
            for position in positions
        ],
        "attachments": [],
    }


def _touch_id(world: World, sequence: Sequence, position: int) -> str:
    return world.ids.make(Kind.TOUCH, sequence.serial * 16 + position, sequence.created)


def _template_id(world: World, sequence: Sequence, position: int) -> str:
    return world.ids.make(Kind.TOUCH, sequence.serial * 16 + 8 + position, sequence.created)


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
        "id": email.id,
        "user_id": owner.id,
        "status": email.status,
        "time_zone": "America/Chicago",
        "provider_message_id": dice.digits(16) if sent else None,
        "to_name": to_name,
        "due_at": offset_stamp(email.due),
        "completed_at": offset_stamp(email.completed) if email.completed else None,
        "emailer_touch_id": _touch_id(world, sequence, email.step),
        "emailer_campaign_id": sequence.id,
        "emailer_step_id": step_id(world, sequence.serial, email.step),
        "failed_at": offset_stamp(email.due + 5 * MINUTE) if failed else None,
        "failure_reason": "The contact's stage is excluded from this sequence." if failed else None,
        "attachment_ids": [],
        "enable_tracking": True,
        "type": "outreach_automatic_email",
        "contact_id": contact.id,
        "provider_thread_id": dice.digits(16) if sent else None,
        "schedule_delayed_reason": None,
        "demoed": None,
        "email_account_id": mailbox,
        "due_at_manually_changed": False,
        "not_sent_reason": "contact_stage_safeguard" if failed else None,
        "bounce": BOUNCED in events if sent else None,
        "spam_blocked": False if sent else None,
        "tracking_disabled_reason": None,
        "created_at": stamp(email.created),
        "async_sending": not sent,
        "due_at_source": None,
        "crm_id": None,
        "replied": replied or None,
        "needs_dynamic_assemble": not sent,
        "personalized_opener": None,
        "reply_class": dice.pick(_REPLY_CLASSES) if replied else None,
        "schedule_delayed_limit_reason": None,
        "schedule_delayed_reason_details": None,
        "sensitive_info_redacted": None,
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
        "bcc_emails": [],
        "cc_emails": [],
        "send_from_info": f"{mailbox}***{owner.email}",
        "body_text": "\n".join((f"Hello from {company.place.city},", *sentences, from_name)),
        "body_html": f"<html><body><div>{'</div><div>'.join(sentences)}</div></body></html>",
        "body_html_loaded": True,
        "appendment_html": "",
        "appendment_html_loaded": True,
        "subject": email_subject(world, email),
        "campaign_name": sequence.name,
        "campaign_max_emails_per_day": None,
        "campaign_position": email.step + 1,
        "step_max_emails_per_day": None,
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


def call_listed(world: World, call: PhoneCall) -> Row:
    """Give a phone call; it carries no creation or update time of its own."""
    dice = world.ids.dice(Kind.CALL, call.serial)
    contact = call.contact if call.contact and call.contact in world.contacts else None
    account = world.account_of(contact) if contact else None
    ours, theirs = "+15550100", f"+1555{dice.whole(0, 9_999_999):07d}"
    row: Row = {
        "id": call.id,
        "user_id": call.user.id,
        "account_id": account.id if account else None,
        "contact_id": call.contact.id if call.contact else None,
        "voice_setting_id": world.ids.make(Kind.SETTING, call.user.serial, world.founded),
        "phone_call_outcome_id": None,
        "phone_call_purpose_id": None,
        "recording_url": None,
        "twilio_call_sid": f"CA{dice.digits(32)}",
        "call_identifier": None,
        "agent_call_sid": None,
        "inbound": call.inbound,
        "from_number": theirs if call.inbound else ours,
        "to_number": ours if call.inbound else theirs,
        "start_time": offset_stamp(call.start),
        "end_time": offset_stamp(call.start + call.seconds * SECOND),
        "transcription_too_long": None,
        "twilio_recording_sid": None,
        "need_recording_upload": False,
        "logged": dice.chance(0.5),
        "note": None,
        "status": "completed" if call.seconds else dice.pick(("no-answer", "busy")),
        "outreach_task_id": None,
        "salesforce_id": None,
        "hubspot_id": None,
        "conference_id": None,
        "opportunity_id": None,
        "voicemail_dropped": False,
        "parallel_dial_item_id": None,
        "transcribed": False,
        "transcribing": False,
        "transcription_progress": 0,
        "note_text": "",
        "duration": call.seconds,
        "conversation_id": None,
    }
    if contact is not None:
        row["contact"] = {
            "organization_logo_url": None,
            **contact_embedded(world, contact),
            "salesforce_record_url": None,
        }
    return row


def conversation_listed(world: World, conversation: Conversation) -> Row:
    """Give a conversation as the search lists it."""
    account, deal = conversation.account, conversation.deal
    host = conversation.host.name
    account_names = [world.people.company(account.serial).name] if account else []
    return {
        "id": conversation.id,
        "topic": _topic(conversation),
        "start_time": short_stamp(conversation.start),
        "duration": conversation.seconds,
        "state": "insights_generated" if conversation.insights else "failed",
        "host": host,
        "host_id": conversation.host.id,
        "is_private": False if conversation.insights else None,
        "conversation_type": _conversation_type(conversation),
        "can_access_conversation": True,
        "label_id_names": {},
        "participant_names": [
            host,
            *(contact_name(world, one) for one in conversation.contacts),
        ],
        "comment_count": conversation.serial % 4,
        "account_names": account_names,
        "account_ids": [account.id] if account else [],
        "participants_info": [],
        "thumbnail_url": f"https://pictures.harborline.test/{conversation.id}.jpg",
        "is_internal": False,
        "deals": [_deal_brief(world, deal)] if deal else [],
    }


def _deal_brief(world: World, deal: Deal) -> Row:
    stage = None if deal.stage is None else world.catalog.deal_stages[deal.stage]
    return {
        "id": deal.id,
        "account_name": world.people.company(deal.account.serial).name if deal.account else None,
        "name": deal_name(deal),
        "opportunity_stage_id": stage.id if stage else None,
    }


def conversation_shown(world: World, conversation: Conversation) -> Row:
    """Give a conversation in full; without insights it has other keys than with them."""
    account, deal, host = conversation.account, conversation.deal, conversation.host
    people: list[_Participant] = [(host.id, host.name, host.email, None)]
    people += [(one.id, contact_name(world, one), contact_email(world, one), one) for one in conversation.contacts]
    row: Row = {
        "id": conversation.id,
        "topic": _topic(conversation),
        "start_time": offset_stamp(conversation.start),
        "duration": conversation.seconds if conversation.insights else 0,
        "state": "insights_generated" if conversation.insights else "failed",
        "host": people[0][1],
        "host_id": host.id,
        "is_private": False if conversation.insights else None,
        "pushed_to_crm": False,
        "account_ids": [account.id] if account else [],
        "label_id_names": [],
        "is_shared_conversation": False,
        "opportunity_ids": [deal.id] if deal else [],
        "comment_count": conversation.serial % 4,
        "failure_code": None if conversation.insights else "no_video_url",
        "bot_call_ended_reason": "timeout_exceeded_everyone_left",
        "conversation_type": _conversation_type(conversation),
        "is_clip": False,
        "video_recording": {
            "type_cd": "video",
            "url": f"https://recordings.harborline.test/{conversation.id}.mp4" if conversation.insights else None,
            "state_cd": "created",
        },
        "transcript": _transcript(world, conversation, people) if conversation.insights else [],
        "participants": {"internal": [], "external": _others(people) if people else {}},
        "opportunities": [_deal_in_full(world, deal)] if deal else [],
        "playlist_clip_ids": None,
    }
    if not conversation.insights:
        row.update(
            recording_source="bot",
            timelines={"participant_timelines": [], "unknown_participants_timeline": []},
            key_topics={
                "tracker_insights": {"trackers_available": True, "trackers": None},
                "question_insights": [],
            },
            call_summary={
                "outcome": None,
                "pricing_discussion": None,
                "next_steps": [],
                "pain_points": [],
                "objections": [],
            },
            editable_call_summary={
                "outcome": None,
                "pricing_discussion": None,
                "pain_points": None,
                "objections": None,
            },
            crm_pushed_accounts=[],
            accounts=[],
            team_id=world.catalog.team_id,
            spritesheets=[],
            has_v1_shares=False,
            v2_share_id=None,
            auto_deal_field_updates_count=None,
        )
    return row


_Participant = tuple[str, str, "str | None", "Contact | None"]


def _others(people: list[_Participant]) -> Row:
    return {
        "others": [
            {
                "id": person_id,
                "name": name,
                "email": email,
                "account_id": None,
                "organization_id": None,
                "is_organization": True,
                "account_name": None,
                "contact_id": contact.id if contact else None,
                "title": None,
                "account_stage": None,
                "account_arr": None,
                "account_arr_printed": None,
            }
            for person_id, name, email, contact in people
        ]
    }


def _transcript(world: World, conversation: Conversation, people: list[_Participant]) -> list[Row]:
    first = conversation.serial
    return [
        {
            "id": world.ids.make(Kind.PARTICIPANT, conversation.serial * 16 + number, conversation.start),
            "start_time": number * 9000,
            "end_time": number * 9000 + 8000,
            "spoken_sentence": sentence,
            "words": [[word, number * 9000] for word in sentence.split()],
            "participant_id": people[number % len(people)][0],
            "participant_name": people[number % len(people)][1],
        }
        for number, sentence in enumerate(SENTENCES[(first + number) % len(SENTENCES)] for number in range(6))
    ]


def _deal_in_full(world: World, deal: Deal) -> Row:
    stage = None if deal.stage is None else world.catalog.deal_stages[deal.stage]
    return {
        "id": deal.id,
        "name": deal_name(deal),
        "amount": deal.amount,
        "closed_date": offset_stamp((deal.created + 60 * DAY) // DAY * DAY),
        "created_at": stamp(deal.created),
        "last_sync": None,
        "account": {
            "id": deal.account.id,
            "name": world.people.company(deal.account.serial).name,
        }
        if deal.account
        else None,
        "crm_record_url": None,
        "opportunity_crm_id": None,
        "opportunity_stage_id": stage.id if stage else None,
        "stage_name": stage.name if stage else None,
        "owner_id": deal.owner.id,
        "initial_opportunity_stage_id": None,
    }


def _topic(conversation: Conversation) -> str:
    return f"{TOPICS[conversation.serial % len(TOPICS)]} {conversation.serial}"


def _conversation_type(conversation: Conversation) -> str:
    return "phone_call" if conversation.serial % 3 == 0 else "video_conference"
