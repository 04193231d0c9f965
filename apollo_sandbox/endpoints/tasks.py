"""Tasks, and notes about anything."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from apollo_sandbox import errors
from apollo_sandbox.clock import instant
from apollo_sandbox.errors import ApiError
from apollo_sandbox.ids import Kind
from apollo_sandbox.listing import Filters, Pager, Skipper, find, find_one, read_page
from apollo_sandbox.routing import Json, get, get_or_post
from apollo_sandbox.rows import deals

if TYPE_CHECKING:
    from apollo_sandbox.entities import Task
    from apollo_sandbox.services import Call

_TASKS_PER_PAGE = 10
_NOTES_PER_PAGE = 25
_MOST_NOTES = 100
_EMPTY_FACETS = """
playbook_step person_function person_seniority normalized_person_title organization_ids
organization_ids_in_query person_persona organization_keywords linkedin_industry num_employees revenues
currently_using_any_of_technology_uids currently_using_all_of_technology_uids
currently_not_using_any_of_technology_uids added_technology_uids dropped_technology_uids latest_funding_stage
organization_trading_status person_city person_state person_country organization_hq_city organization_hq_state
organization_hq_country organization_intent_scoring forecast_category intent_topic_count contact_stage
"""


@get_or_post("tasks/search", rows={"tasks": lambda world: world.tasks})
def tasks_search(call: Call) -> Json:
    """List all tasks, with figures that are nearly all empty."""
    pager = Pager(call, default=_TASKS_PER_PAGE)
    filters: Filters[Task] = Filters(call)
    found = find(call, call.world.tasks, filters)
    total = pager.total(found.total)
    facets: Json = {f"{name}_facets": [] for name in _EMPTY_FACETS.split()}
    facets["task_types"] = _task_types(call) if "task_types" in call.params.texts("open_factor_names") else []
    facets["total_facets"] = [{"value": "pipeline_total", "display_name": "Total", "count": total}]
    facets["linkedin_task"] = []
    return {
        "tasks": [deals.task_listed(call.world, one) for one in read_page(call, found, pager)],
        "breadcrumbs": filters.breadcrumbs,
        "pagination": pager.pagination(found.total),
        "faceting": facets,
        "pipeline_total": 0,
        "num_fetch_result": None,
    }


def _task_types(call: Call) -> list[Json]:
    counts = Counter(deals.task_type(call.world, task) for task in call.world.tasks)
    return [
        {"value": kind, "display_name": kind.replace("_", " ").capitalize(), "count": counts[kind]}
        for kind in deals.TASK_TYPES
    ]


@get("tasks/{id}")
def tasks_show(call: Call) -> Json:
    """Show what the search lists, and more about a call."""
    gone = errors.unprocessable("This task or emailer message has been deleted. Please refresh your page.")
    task = find_one(call, call.world.tasks, missing=gone)
    return {"task": deals.task_shown(call.world, task)}


@get("notes")
def notes_index(call: Call) -> Json:
    """List the notes about some records, with skip and limit instead of pages."""
    params = call.params
    direction = params.text("sort_direction") or "desc"
    field = params.text("sort_by_field") or "created_at"
    if direction not in {"asc", "desc"}:
        raise ApiError(400, {"error": 'sort_direction must be "asc" or "desc"'})
    if field not in {"created_at", "updated_at"}:
        raise ApiError(400, {"error": "sort_by_field must be one of: created_at, updated_at"})
    notes = _related_notes(call)
    since = instant(params.text("start_date") or "")
    if since is not None:
        notes = [note for note in notes if (instant(note["created_at"]) or 0) >= since]
    notes.sort(key=lambda note: instant(note[field]) or 0, reverse=direction == "desc")
    return {"notes": Skipper(call, default=_NOTES_PER_PAGE, most=_MOST_NOTES).of(notes)}


def _related_notes(call: Call) -> list[Json]:
    world, params = call.world, call.params
    relations = (
        ("contact", Kind.CONTACT, world.contacts),
        ("account", Kind.ACCOUNT, world.accounts),
        ("opportunity", Kind.DEAL, world.deals),
        ("conversation", Kind.CONVERSATION, world.conversations),
    )
    asked = params.texts("calendar_event_id")
    notes: list[Json] = []
    for name, kind, collection in relations:
        ids = params.texts(f"{name}_id") + params.texts(f"{name}_ids")
        asked += ids
        for row_id in dict.fromkeys(ids):
            row = collection.get(row_id)
            if row is not None:
                notes += deals.notes_about(world, kind, row.serial, {name: row_id})
    if not asked:
        raise ApiError(400, {"error": "At least one argument is required"})
    return notes
