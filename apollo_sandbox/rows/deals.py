"""Deals and their stages, notes about anything, tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.clock import DAY
from apollo_sandbox.ids import Kind
from apollo_sandbox.rows.companies import account_embedded, account_of_task
from apollo_sandbox.rows.persons import contact_name, contact_of_task
from apollo_sandbox.rows.stamps import Row, constants, offset_stamp, short_stamp, stamp

if TYPE_CHECKING:
    from apollo_sandbox.catalog import DealStage
    from apollo_sandbox.entities import Contact, Deal, Task
    from apollo_sandbox.world import World

TASK_TYPES = ("call", "action_item", "outreach_manual_email", "linkedin_step_connect")
_PRIORITIES = ("low", "medium", "high")
_NOTES_PER_OWNER = 4


def deal_name(deal: Deal) -> str:
    """Give the name of a deal."""
    return f"Contract {deal.serial}"


_DEAL = constants(
    """
null: salesforce_owner_id description salesforce_id next_step_date closed_lost_reason closed_won_reason
null: current_solutions deal_source manually_updated_probability manually_updated_forecast crm_id crm_record_url
null: crm_owner_id probability next_step_last_updated_at
"USD": exchange_rate_code
"full": existence_level
"""
)


def deal_listed(world: World, deal: Deal) -> Row:
    """Give a deal as the search lists it; it never shows when it was last updated."""
    dice = world.ids.dice(Kind.DEAL, deal.serial)
    stage = None if deal.stage is None else world.catalog.deal_stages[deal.stage]
    account = deal.account if deal.account and deal.account in world.accounts else None
    probability = stage.probability if stage else None
    closing = deal.created + dice.whole(10, 200) * DAY
    row: Row = {
        **_DEAL,
        "id": deal.id,
        "team_id": world.catalog.team_id,
        "owner_id": deal.owner.id,
        "amount": deal.amount,
        "closed_date": offset_stamp(closing // DAY * DAY) if dice.chance(0.8) else None,
        "account_id": account.id if account else None,
        "is_closed": stage.is_closed if stage else None,
        "is_won": stage.is_won if stage else None,
        "name": deal_name(deal),
        "stage_name": stage.name if stage and dice.chance(0.2) else None,
        "opportunity_stage_id": stage.id if stage else None,
        "source": "ui_form" if stage else "api",
        world.settings.deal_created_field: _created(world, deal),
        "actual_close_date": offset_stamp(min(closing, world.start)) if stage and stage.is_closed else None,
        "next_step": f"Step {deal.revision}" if deal.revision else None,
        "forecast_category": stage.forecast.lower() if stage else None,
        "deal_probability": probability,
        "created_by_id": deal.owner.id,
        "opportunity_pipeline_id": stage.pipeline_id if stage else None,
        "stage_updated_at": offset_stamp(deal.created),
        "exchange_rate_value": 1 if dice.chance(0.8) else 1.0825,
        "amount_in_team_currency": deal.amount,
        "forecasted_revenue": _forecast(deal.amount, probability),
        "last_activity_date": stamp(deal.created + DAY),
        "typed_custom_fields": world.catalog.custom_values("opportunity", dice),
        "opportunity_contact_roles": [_role(world, deal, one) for one in deal.contacts],
        "currency": {"name": "US Dollar", "iso_code": "USD", "symbol": "$"},
    }
    if world.settings.deal_created_field == "created_at":
        row["opportunity_rule_config_statuses"] = []
    if account:
        row["account"] = account_embedded(world, account)
    return row


def _forecast(amount: float | None, probability: int | None) -> float | None:
    if amount is None or probability is None:
        return None
    forecast = amount * probability / 100
    return int(forecast) if forecast == int(forecast) else forecast


def deal_shown(world: World, deal: Deal) -> Row:
    """Give a deal as `opportunities/{id}` shows it."""
    return {**deal_listed(world, deal), "num_contacts": len(deal.contacts)}


def deal_of_contact(world: World, deal: Deal) -> Row:
    """Give a deal as `contacts/{id}/opportunities` shows it: with roles of another shape."""
    row = deal_shown(world, deal)
    row["opportunity_contact_roles"] = [
        {
            "id": one.id,
            "role": "Decision Maker",
            "contact": {
                "id": one.id,
                "name": contact_name(world, one),
                "first_name": world.people.person(one.serial).first_name,
                "last_name": world.people.person(one.serial).last_name,
            },
        }
        for one in deal.contacts
    ]
    return row


def _created(world: World, deal: Deal) -> str:
    if world.settings.deal_created_field == "created_at":
        return stamp(deal.created)
    return offset_stamp(deal.created)


def _role(world: World, deal: Deal, contact: Contact) -> Row:
    return {
        "id": world.ids.make(Kind.CONTACT_ROLE, deal.serial * 4, deal.created),
        "contact_id": contact.id,
        "is_primary": True,
        "created_at": stamp(deal.created),
        "updated_at": stamp(deal.created),
        "role": [
            {
                "opportunity_contact_role_type_id": world.ids.make(Kind.CONTACT_ROLE, 1, world.founded),
                "crm_role_id": None,
                "is_primary": True,
                "crm_id": None,
            }
        ],
    }


def deal_stage(world: World, stage: DealStage) -> Row:
    """Give a stage of a pipeline."""
    return {
        "id": stage.id,
        "team_id": world.catalog.team_id,
        "name": stage.name,
        "display_order": stage.order,
        "forecast_category_cd": stage.forecast,
        "is_won": stage.is_won,
        "is_closed": stage.is_closed,
        "probability": stage.probability,
        "description": None,
        "salesforce_id": None,
        "is_meeting_set": None,
        "opportunity_pipeline_id": stage.pipeline_id,
        "is_editable": None,
        "type": "Closed/Won" if stage.is_won else "Closed/Lost" if stage.is_closed else "Open",
    }


def task_type(world: World, task: Task) -> str:
    """Give the kind of a task."""
    return TASK_TYPES[world.ids.bits(Kind.TASK, task.serial) % len(TASK_TYPES)]


_TASK = constants(
    """
null: emailer_campaign_id skipped_at answered person_id organization_id subject created_from salesforce_type
null: playbook_id needs_playbook_autoprospecting salesforce_id hubspot_id rule_config_id
[]: persona_ids playbook_step_ids starred_by_user_ids
"""
)


def task_listed(world: World, task: Task) -> Row:
    """Give a task as the search lists it, with everything it is about embedded."""
    dice = world.ids.dice(Kind.TASK, task.serial)
    contact = task.contact if task.contact and task.contact in world.contacts else None
    account = task.account if task.account and task.account in world.accounts else None
    kind = task_type(world, task)
    done = task.due < world.start and dice.chance(0.7)
    row: Row = {
        **_TASK,
        "id": task.id,
        "user_id": task.user.id,
        "created_at": stamp(task.created),
        "completed_at": offset_stamp(task.due) if done else None,
        "note": f"Postponed {task.revision} times" if task.revision else None,
        "due_at": offset_stamp(task.due),
        "type": kind,
        "priority": _PRIORITIES[task.priority],
        "status": "completed" if done else "scheduled",
        "contact_id": task.contact.id if task.contact else None,
        "account_id": task.account.id if task.account else None,
        "opportunity_id": task.deal.id if task.deal else None,
        "title": f"Reminder {task.serial}",
        "creator_id": task.user.id,
    }
    if contact is not None:
        row["contact"] = contact_of_task(world, contact)
        if contact.enrollments and kind != "action_item":
            sequence = contact.enrollments[0].sequence
            row.update(emailer_campaign_id=sequence.id, campaign_name=sequence.name, campaign_position=1)
    if account is not None:
        row["account"] = account_of_task(world, account)
    if kind == "linkedin_step_connect":
        template_id = world.ids.make(Kind.TOUCH, 1 << 30, world.founded)
        row["linkedin_emailer_template"] = {"id": template_id, "body_text": "Shall we connect?"}
    if task.deal is not None and task.deal in world.deals:
        row["opportunity"] = deal_listed(world, task.deal)
    return row


def task_shown(world: World, task: Task) -> Row:
    """Give a task as `tasks/{id}` shows it."""
    row = task_listed(world, task)
    row.update(
        completed_by_user_id=row["user_id"] if row["completed_at"] else None,
        call_script=None,
        relevant_fields=None,
        pending_send=False,
        ai_variables_status=None,
        recommended=False,
        recommendation_reasons=[],
        note_text=row["note"] or "",
        phone_call=_phone_call(task) if row["type"] == "call" and row["completed_at"] else None,
        relevant_field_values={},
    )
    if "account" in row and task.account is not None:
        company = world.people.company(task.account.serial)
        row["account"].update(industry=company.industry, estimated_num_employees=company.employees)
    return row


def _phone_call(task: Task) -> Row:
    return {
        "id": task.id,
        "answered": True,
        "created_at": stamp(task.due),
        "phone_call_outcome_id": None,
        "phone_call_purpose_id": None,
        "to_number": "+1 (555) 555-****",
    }


def notes_about(world: World, kind: Kind, serial: int, owner: dict[str, str]) -> list[Row]:
    """Give the notes about one contact, account, deal or conversation, newest first.

    `owner` maps the relation's name to the id of what the notes are about.
    """
    base = kind << 40 | serial * _NOTES_PER_OWNER
    dice = world.ids.dice(Kind.NOTE, base)
    notes = []
    author = list(world.users)[serial % len(world.users)]
    for number in range(dice.pick((0, 0, 1, 2, _NOTES_PER_OWNER))):
        created = dice.whole(world.founded, world.start)
        updated = dice.whole(created, world.start) if dice.chance(0.3) else created
        write = stamp if dice.chance(0.9) else short_stamp
        notes.append(
            {
                "id": world.ids.make(Kind.NOTE, base + number, created),
                "user_id": author.id,
                "content": f"Note {number + 1}: asked for figures, will call back.",
                "updated_at": write(updated),
                "created_at": write(created),
                "contact_id": owner.get("contact"),
                "conversation_id": owner.get("conversation"),
                "account_id": owner.get("account"),
                "pinned_to_top": False,
                "system": False,
                "opportunity_id": owner.get("opportunity"),
                "account_ids": [owner["account"]] if "account" in owner else [],
                "contact_ids": [owner["contact"]] if "contact" in owner else [],
                "opportunity_ids": [owner["opportunity"]] if "opportunity" in owner else [],
                "calendar_event_ids": [],
                "conversation_ids": [owner["conversation"]] if "conversation" in owner else [],
                "is_org_chart_note": False,
                "crm_notes": [],
            }
        )
    return notes
