"""Sequences, and the steps they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.ids import Dice, Kind
from apollo_sandbox.rows.persons import step_id
from apollo_sandbox.rows.stamps import Row, constants, offset_stamp, stamp
from apollo_sandbox.vocabulary import SENTENCES, SUBJECTS

if TYPE_CHECKING:
    from apollo_sandbox.entities import Sequence
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


_SEQUENCE = constants(
    """
false: create_task_if_email_open mark_finished_if_click is_performing_poorly remind_ab_test_results
true: mark_finished_if_reply mark_finished_if_interested mark_paused_if_ooo
[]: starred_by_user_ids ab_test_step_ids
null: folder_id prioritized_by_user
0: num_contacts_email_status_extrapolated underperforming_touches_count
"": cc_emails bcc_emails
{}: contact_email_event_to_stage_mapping
3: email_open_trigger_task_threshold
5: days_to_wait_before_mark_as_response
30: same_account_reply_delay_days
"new": creation_type
"""
)


def sequence_listed(world: World, sequence: Sequence) -> Row:
    """Give a sequence; its statistics may be whole, broken, or still loading."""
    dice = world.ids.dice(Kind.SEQUENCE, sequence.serial)
    loading = dice.chance(0.1)
    catalog = world.catalog
    labels = catalog.label_numbers("emailer_campaigns")
    return {
        **_SEQUENCE,
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
        "label_ids": [catalog.labels[dice.pick(labels)].id] if dice.chance(0.5) else [],
        "active": sequence.active,
        "sequence_by_exact_daytime": dice.pick((None, False)),
        "last_used_at": offset_stamp(dice.whole(sequence.created, world.start)) if dice.chance(0.8) else None,
        "sequence_ruleset_id": world.ids.make(Kind.RULESET, 0, world.founded),
        "num_steps": sequence.steps,
        **{name: "loading" if loading else dice.whole(0, 400) for name in _COUNTERS},
        **{name: _rate(dice, loading=loading) for name in _RATES},
        "loaded_stats": not loading,
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
                "id": touch_id(world, sequence, position),
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


def touch_id(world: World, sequence: Sequence, position: int) -> str:
    """Give the id of the touch of a step."""
    return world.ids.make(Kind.TOUCH, sequence.serial * 16 + position, sequence.created)


def _template_id(world: World, sequence: Sequence, position: int) -> str:
    return world.ids.make(Kind.TOUCH, sequence.serial * 16 + 8 + position, sequence.created)
