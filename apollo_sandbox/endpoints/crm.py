"""Contacts, accounts, deals, tasks, notes, and how they are staged, listed and extended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from apollo_sandbox import errors
from apollo_sandbox.clock import instant
from apollo_sandbox.errors import ApiError
from apollo_sandbox.ids import Kind, is_object_id
from apollo_sandbox.listing import SEARCH_CONSTANTS, Filters, Pager, find, read_page
from apollo_sandbox.rows import companies, deals, persons, workspace

if TYPE_CHECKING:
    from apollo_sandbox.entities import Account, Contact, Deal, Task
    from apollo_sandbox.services import Call

Json = dict[str, Any]

_TASKS_PER_PAGE = 10
_NOTES_PER_PAGE = 25
_MOST_NOTES = 100


def contacts_search(call: Call) -> Json:
    """POST contacts/search."""
    world, catalog = call.world, call.world.catalog
    pager = Pager(call)
    filters: Filters[Contact] = Filters(call)
    filters.any_of(
        "contact_stage_ids",
        "Contact Stage",
        lambda one: (catalog.contact_stages[one.stage].id,),
        names={stage.id: stage.name for stage in catalog.contact_stages},
    )
    filters.any_of(
        "contact_label_ids",
        "List",
        lambda one: [catalog.labels[number].id for number in one.labels],
        names={label.id: label.name for label in catalog.labels},
    )
    filters.any_of(
        "emailer_campaign_ids",
        "Sequence",
        lambda one: [enrollment.sequence.id for enrollment in one.enrollments],
    )
    filters.text("q_keywords", "Contains Keywords", lambda one: _contact_text(call, one))
    found = find(call, world.contacts, filters)
    return {
        "contacts": [persons.contact_listed(world, one) for one in read_page(call, found, pager)],
        "breadcrumbs": filters.breadcrumbs,
        **SEARCH_CONSTANTS,
        "pagination": pager.pagination(found.total),
        "num_fetch_result": None,
    }


def _contact_text(call: Call, contact: Contact) -> str:
    world = call.world
    return " ".join(
        (
            persons.contact_name(world, contact),
            persons.contact_email(world, contact) or "",
            persons.company_of(world, contact).name,
            world.people.person(contact.serial).job.title,
        )
    )


def contacts_show(call: Call) -> Json:
    """GET contacts/{id}."""
    contact = _contact(call)
    world = call.world
    return {
        "contact": persons.contact_shown(world, contact),
        "labels": [workspace.label_of_contact(world, world.catalog.labels[number], 0) for number in contact.labels],
    }


def contacts_opportunities(call: Call) -> Json:
    """POST contacts/{id}/opportunities."""
    contact = _contact(call)
    return {
        "opportunities": [
            deals.deal_of_contact(call.world, deal) for deal in call.world.deals if contact in deal.contacts
        ]
    }


def _contact(call: Call) -> Contact:
    contacts, contact_id = call.world.contacts, call.path["id"]
    contact = contacts.get(contact_id)
    if contact is None:
        deleted = contacts.was_deleted(contact_id)
        raise errors.unprocessable(
            "This contact has been deleted." if deleted else "Oops! This contact does not exist in Apollo."
        )
    return contact


def accounts_search(call: Call) -> Json:
    """POST accounts/search."""
    world, catalog = call.world, call.world.catalog
    pager = Pager(call)
    stages = {stage.id: stage.name for stage in catalog.account_stages}
    if not stages.keys() >= set(call.params.texts("account_stage_ids")):
        raise errors.bad_filter()
    filters: Filters[Account] = Filters(call)
    filters.text(
        "q_organization_name",
        "Company Name",
        lambda one: world.people.company(one.serial).name,
    )
    filters.any_of(
        "account_stage_ids",
        "Account Stage",
        lambda one: (catalog.account_stages[one.stage].id,),
        names=stages,
    )
    filters.any_of(
        "account_label_ids",
        "List",
        lambda one: [catalog.labels[number].id for number in one.labels],
        names={label.id: label.name for label in catalog.labels},
    )
    found = find(call, world.accounts, filters)
    return {
        "breadcrumbs": filters.breadcrumbs,
        **SEARCH_CONSTANTS,
        "pagination": pager.pagination(found.total),
        "accounts": [companies.account_listed(world, one) for one in read_page(call, found, pager)],
        "num_fetch_result": None,
    }


def accounts_show(call: Call) -> Json:
    """GET accounts/{id}."""
    accounts, account_id = call.world.accounts, call.path["id"]
    account = accounts.get(account_id)
    if account is None:
        if accounts.was_deleted(account_id):
            raise errors.unprocessable("This account has been deleted!")
        raise errors.malformed_id("id")
    return {
        "account": companies.account_shown(call.world, account),
        "salesforce_users": [],
        "hubspot_owners": [],
    }


def opportunities_search(call: Call) -> Json:
    """GET opportunities/search."""
    pager = Pager(call)
    filters: Filters[Deal] = Filters(call)
    found = find(call, call.world.deals, filters)
    return {
        "breadcrumbs": filters.breadcrumbs,
        "opportunities": [deals.deal_listed(call.world, one) for one in read_page(call, found, pager)],
        "group_by_field_facets": None,
        "salesforce_users": [],
        **SEARCH_CONSTANTS,
        "pagination": pager.pagination(found.total),
        "num_fetch_result": None,
    }


def opportunities_show(call: Call) -> Json:
    """GET opportunities/{id}."""
    deal_id = call.path["id"]
    deal = call.world.deals.get(deal_id)
    if deal is None:
        if not is_object_id(deal_id):
            raise errors.malformed_id("opportunity_id")
        raise errors.not_found()
    return {"opportunity": deals.deal_shown(call.world, deal)}


_EMPTY_FACETS = """
playbook_step person_function person_seniority normalized_person_title organization_ids
organization_ids_in_query person_persona organization_keywords linkedin_industry num_employees revenues
currently_using_any_of_technology_uids currently_using_all_of_technology_uids
currently_not_using_any_of_technology_uids added_technology_uids dropped_technology_uids latest_funding_stage
organization_trading_status person_city person_state person_country organization_hq_city organization_hq_state
organization_hq_country organization_intent_scoring forecast_category intent_topic_count contact_stage
"""


def tasks_search(call: Call) -> Json:
    """POST or GET tasks/search."""
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


def tasks_show(call: Call) -> Json:
    """GET tasks/{id}."""
    task = call.world.tasks.get(call.path["id"])
    if task is None:
        raise errors.unprocessable("This task or emailer message has been deleted. Please refresh your page.")
    return {"task": deals.task_shown(call.world, task)}


def notes_index(call: Call) -> Json:
    """GET notes: by what they are about, with skip and limit instead of pages."""
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
    skip = max(0, params.whole("skip", 0))
    limit = min(max(1, params.whole("limit", _NOTES_PER_PAGE)), _MOST_NOTES)
    return {"notes": notes[skip : skip + limit]}


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


def contact_stages_index(call: Call) -> Json:
    """GET contact_stages."""
    world = call.world
    return {
        "contact_stages": [
            workspace.contact_stage(world, stage, order) for order, stage in enumerate(world.catalog.contact_stages)
        ]
    }


def account_stages_index(call: Call) -> Json:
    """GET account_stages."""
    world = call.world
    return {
        "account_stages": [
            workspace.account_stage(world, stage, order) for order, stage in enumerate(world.catalog.account_stages)
        ]
    }


def opportunity_stages_index(call: Call) -> Json:
    """GET opportunity_stages."""
    world = call.world
    return {"opportunity_stages": [deals.deal_stage(world, stage) for stage in world.catalog.deal_stages]}


def labels_index(call: Call) -> list[Json]:
    """GET labels: the one endpoint that answers with a bare array."""
    world = call.world
    return [workspace.label(world, one, world.label_counts[number]) for number, one in enumerate(world.catalog.labels)]


def fields_index(call: Call) -> Json:
    """GET fields."""
    source = call.params.text("source")
    if source == "crm_synced":
        raise errors.unprocessable("This team has no CRM connected.")
    rows = workspace.fields(call.world)
    return {"fields": [row for row in rows if source in {None, row["source"]}]}


def typed_custom_fields_index(call: Call) -> Json:
    """GET typed_custom_fields."""
    return {"typed_custom_fields": [workspace.custom_field(one) for one in call.world.catalog.custom_fields]}
