"""Phone calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.clock import SECOND
from apollo_sandbox.ids import Kind
from apollo_sandbox.rows.persons import contact_embedded
from apollo_sandbox.rows.stamps import Row, constants, offset_stamp

if TYPE_CHECKING:
    from apollo_sandbox.entities import PhoneCall
    from apollo_sandbox.world import World


_CALL = constants(
    """
null: phone_call_outcome_id phone_call_purpose_id recording_url call_identifier agent_call_sid transcription_too_long
null: twilio_recording_sid note outreach_task_id salesforce_id hubspot_id conference_id opportunity_id
null: parallel_dial_item_id conversation_id
false: need_recording_upload voicemail_dropped transcribed transcribing
0: transcription_progress
"": note_text
"""
)


def call_listed(world: World, call: PhoneCall) -> Row:
    """Give a phone call; it carries no creation or update time of its own."""
    dice = world.ids.dice(Kind.CALL, call.serial)
    contact = call.contact if call.contact and call.contact in world.contacts else None
    account = world.account_of(contact) if contact else None
    ours, theirs = "+15550100", f"+1555{dice.whole(0, 9_999_999):07d}"
    row: Row = {
        **_CALL,
        "id": call.id,
        "user_id": call.user.id,
        "account_id": account.id if account else None,
        "contact_id": call.contact.id if call.contact else None,
        "voice_setting_id": world.ids.make(Kind.SETTING, call.user.serial, world.founded),
        "twilio_call_sid": f"CA{dice.digits(32)}",
        "inbound": call.inbound,
        "from_number": theirs if call.inbound else ours,
        "to_number": ours if call.inbound else theirs,
        "start_time": offset_stamp(call.start),
        "end_time": offset_stamp(call.start + call.seconds * SECOND),
        "logged": dice.chance(0.5),
        "status": "completed" if call.seconds else dice.pick(("no-answer", "busy")),
        "duration": call.seconds,
    }
    if contact is not None:
        row["contact"] = {
            "organization_logo_url": None,
            **contact_embedded(world, contact),
            "salesforce_record_url": None,
        }
    return row
