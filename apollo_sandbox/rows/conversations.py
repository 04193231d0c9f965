"""Recorded conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.clock import DAY
from apollo_sandbox.ids import Kind
from apollo_sandbox.rows.deals import deal_name
from apollo_sandbox.rows.persons import contact_email, contact_name
from apollo_sandbox.rows.stamps import Row, offset_stamp, short_stamp, stamp
from apollo_sandbox.vocabulary import SENTENCES, TOPICS

if TYPE_CHECKING:
    from apollo_sandbox.entities import Contact, Conversation, Deal
    from apollo_sandbox.world import World

_Participant = tuple[str, str, "str | None", "Contact | None"]


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
