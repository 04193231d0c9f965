"""Contacts and their stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox import errors
from apollo_sandbox.listing import SEARCH_CONSTANTS, Filters, Pager, find, find_one, read_page
from apollo_sandbox.routing import Json, get, get_list, post
from apollo_sandbox.rows import deals, persons, workspace

if TYPE_CHECKING:
    from apollo_sandbox.entities import Contact
    from apollo_sandbox.services import Call
    from apollo_sandbox.world import World


@post(
    "contacts/search",
    rows={
        "contacts": lambda world: world.contacts,
        "contact_sequence_statuses": lambda world: [status for one in world.contacts for status in one.enrollments],
    },
)
def contacts_search(call: Call) -> Json:
    """Search by stage, list, sequence and words."""
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


@get("contacts/{id}")
def contacts_show(call: Call) -> Json:
    """Show what the search lists, and the lists a contact is in."""
    contact, world = _contact(call), call.world
    return {
        "contact": persons.contact_shown(world, contact),
        "labels": [workspace.label_of_contact(world, world.catalog.labels[number], 0) for number in contact.labels],
    }


@post("contacts/{id}/opportunities", oauth=False)
def contacts_opportunities(call: Call) -> Json:
    """List the deals that a contact has a role in."""
    contact = _contact(call)
    return {
        "opportunities": [
            deals.deal_of_contact(call.world, deal) for deal in call.world.deals if contact in deal.contacts
        ]
    }


def _contact(call: Call) -> Contact:
    return find_one(
        call,
        call.world.contacts,
        missing=errors.unprocessable("Oops! This contact does not exist in Apollo."),
        deleted=errors.unprocessable("This contact has been deleted."),
    )


@get_list("contact_stages", stream="contact_stages")
def contact_stages(world: World) -> list[Json]:
    """List the stages in their order."""
    return [workspace.contact_stage(world, stage, order) for order, stage in enumerate(world.catalog.contact_stages)]
