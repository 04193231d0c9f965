"""Contacts, and the people of Apollo's database."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from apollo_sandbox.clock import SECOND
from apollo_sandbox.ids import Dice, Kind
from apollo_sandbox.rows.companies import account_embedded, account_with_brief, organization_details
from apollo_sandbox.rows.stamps import Row, constants, keyed, offset_stamp, short_stamp, stamp

if TYPE_CHECKING:
    from apollo_sandbox.entities import Contact, Enrollment
    from apollo_sandbox.identities import Company, Person
    from apollo_sandbox.world import World

LOCKED_EMAIL = "email_not_unlocked@domain.com"

_SOURCES = (
    ("search", "Added from search"),
    ("api", "Created from API"),
    ("crm", "Imported from CRM"),
    ("csv_import", "Uploaded from CSV"),
    ("chrome_extension_linkedin", "Added from LinkedIn"),
    ("salesforce_contact", "Imported from Salesforce"),
)
_NAMELESS = 0.03
_PERCENT_REVEALED, _PERCENT_LOCKED = 55, 7
_WITHOUT_PLACE = 0.11
_DIRECT_PHONE = ("Yes", "Maybe: please request direct dial via people/bulk_match")


def contact_name(world: World, contact: Contact) -> str:
    """Give a contact's full name; a few have none."""
    person = world.people.person(contact.serial)
    return "" if _nameless(world, contact) else person.name


def contact_email(world: World, contact: Contact) -> str | None:
    """Give a contact's address: its own, the placeholder for a locked one, or none."""
    share = (world.ids.bits(Kind.CONTACT, contact.serial) >> 32) % 100
    if contact.enrollments or share < _PERCENT_REVEALED:
        return world.people.email(world.people.person(contact.serial), company_of(world, contact))
    return LOCKED_EMAIL if share < _PERCENT_REVEALED + _PERCENT_LOCKED else None


def company_of(world: World, contact: Contact) -> Company:
    """Give the company a contact works for, saved as an account or not."""
    if contact.account is not None:
        return world.people.company(contact.account.serial)
    return world.people.company(world.people.company_serial_of(contact.serial))


def _nameless(world: World, contact: Contact) -> bool:
    return world.ids.bits(Kind.CONTACT, contact.serial) / 2**64 < _NAMELESS


_CONTACT = constants(
    """
null: photo_url salesforce_id salesforce_lead_id salesforce_contact_id salesforce_account_id direct_dial_status
null: direct_dial_enrichment_failed_at email_source merged_crm_ids suggested_from_rule_engine_config_id
null: email_unsubscribed person_deleted call_opted_out godmode_apollo_creator custom_field_errors crm_record_url
null: email_status_unavailable_reason twitter_url facebook_url account_phone_note
false: has_pending_email_arcgate_request has_email_arcgate_request show_intent free_domain is_likely_to_engage
false: email_domain_catchall
[]: contact_roles contact_rule_config_statuses
"full": existence_level
true: updated_email_true_status
"""
)


def contact_embedded(world: World, contact: Contact) -> Row:
    """Give a contact as calls, tasks and e-mails embed it: without its company."""
    dice = world.ids.dice(Kind.CONTACT, contact.serial)
    person = world.people.person(contact.serial)
    company = company_of(world, contact)
    account = world.account_of(contact)
    place = person.place
    from_database = contact.serial < world.sizes.people and dice.chance(0.9)
    nameless = _nameless(world, contact)
    email = contact_email(world, contact)
    revealed = email is not None and email != LOCKED_EMAIL
    source, source_name = dice.pick(_SOURCES)
    job = person.job.title if contact.revision == 0 else f"{person.job.title} ({contact.revision})"
    from_crm = dice.chance(0.07)
    crm_id = str(dice.whole(1, 99_999)) if from_crm else None
    phone = f"+1555{dice.whole(0, 9_999_999):07d}" if dice.chance(0.89) else None
    status = "verified" if revealed else dice.pick(("unavailable", "unavailable", "extrapolated"))
    catalog = world.catalog
    row: Row = {
        **_CONTACT,
        "id": contact.id,
        "first_name": None if nameless else person.first_name,
        "last_name": None if nameless else person.last_name,
        "name": "" if nameless else person.name,
        "linkedin_url": f"http://www.linkedin.test/in/{person.slug}" if from_database else None,
        "title": job,
        "contact_stage_id": catalog.contact_stages[contact.stage].id,
        "owner_id": contact.owner.id if contact.owner else None,
        "creator_id": contact.owner.id if contact.owner else None,
        "person_id": person.person_id if from_database else None,
        "email_needs_tickling": dice.chance(0.2) if dice.chance(0.87) else None,
        "organization_name": company.name,
        "source": source,
        "original_source": source,
        "organization_id": company.organization_id if from_database else None,
        "headline": f"{job} at {company.name}" if from_database else None,
        "present_raw_address": f"{place.city}, {place.state}, {place.country}",
        "linkedin_uid": str(dice.whole(1000, 99_999_999)) if dice.chance(0.24) else None,
        "extrapolated_email_confidence": _confidence(dice),
        "crm_owner_id": str(dice.whole(1_000_000, 9_999_999)) if from_crm else None,
        "created_at": stamp(contact.created),
        "emailer_campaign_ids": [one.sequence.id for one in contact.enrollments],
        "email_status": status if dice.chance(0.92) else None,
        "account_id": account.id if account else None,
        "last_activity_date": offset_stamp(contact.active) if contact.active else None,
        "hubspot_vid": crm_id,
        "hubspot_company_id": str(company.serial) if from_crm else None,
        "crm_id": crm_id,
        "sanitized_phone": phone,
        "updated_at": stamp(contact.updated),
        "queued_for_crm_push": dice.chance(0.1) if dice.chance(0.85) else None,
        "label_ids": [catalog.labels[number].id for number in contact.labels],
        "typed_custom_fields": catalog.custom_values("contact", dice),
        "email": email,
        "email_from_customer": dice.chance(0.3) if dice.chance(0.9) else None,
        "email_true_status": "Verified" if revealed else "Unavailable",
        "source_display_name": source_name,
        "contact_emails": [_contact_email(email)] if revealed and email else [],
        "phone_numbers": [_phone_number(phone, dice.pick(("work_hq", "mobile", "other")))] if phone else [],
    }
    if not dice.chance(_WITHOUT_PLACE):
        known = dice.chance(0.9)
        row["city"] = place.city if known else None
        row["state"] = place.state if known else None
        row["country"] = place.country
        row["time_zone"] = place.time_zone if known else None
        row["street_address"] = None
        row["postal_code"] = place.postal_code if known else None
        row["formatted_address"] = row["present_raw_address"]
    if dice.chance(0.12):
        row["restricted"] = True
    if from_crm:
        row["hubspot_record_url"] = f"https://crm.harborline.test/contact/{crm_id}"
    return row


def contact_of_task(world: World, contact: Contact) -> Row:
    """Give a contact as tasks embed it: with where it worked."""
    row = contact_embedded(world, contact)
    person, company = world.people.person(contact.serial), company_of(world, contact)
    row["employment_history"] = [_employment(world, person, company)]
    return row


def contact_listed(world: World, contact: Contact) -> Row:
    """Give a contact as the search lists it: with sequences, account and organization."""
    row = contact_embedded(world, contact)
    row["custom_field_errors"] = {}
    row["contact_campaign_statuses"] = [campaign_status(world, contact, one) for one in contact.enrollments]
    row["contact_job_change_event"] = None
    account = world.account_of(contact)
    if account is not None:
        row["account"], brief = account_with_brief(world, account)
        if brief is not None:
            row["organization"] = brief
    return row


def contact_shown(world: World, contact: Contact) -> Row:
    """Give a contact as `contacts/{id}` shows it."""
    row = contact_listed(world, contact)
    row["next_contact_id"] = None
    return row


def campaign_status(world: World, contact: Contact, enrollment: Enrollment) -> Row:
    """Give a contact's standing in a sequence; contacts of one sequence share few ids."""
    sequence = enrollment.sequence
    finished = enrollment.status == "finished"
    owner = sequence.owner
    return {
        "added_at": offset_stamp(enrollment.added),
        "added_by_user_id": owner.id,
        "auto_unpause_at": None,
        "bcc_emails": None,
        "cc_emails": None,
        "current_step_id": step_id(world, enrollment.sequence.serial, 0),
        "emailer_campaign_id": sequence.id,
        "failure_reason": "Address refused" if enrollment.status == "failed" else None,
        "finished_at": offset_stamp(enrollment.added) if finished else None,
        "id": world.ids.make(Kind.CAMPAIGN_STATUS, sequence.serial * 2 + contact.serial % 2, sequence.created),
        "in_response_to_emailer_message_id": None,
        "inactive_reason": "Finished all steps" if finished else None,
        "manually_set_unpause": None,
        "paused_at": offset_stamp(enrollment.added) if enrollment.status == "paused" else None,
        "send_email_from_email_address": owner.email,
        "send_email_from_email_account_id": email_account_id(world, owner.serial),
        "send_email_from_user_id": owner.id,
        "status": enrollment.status,
        "to_emails": None,
    }


def step_id(world: World, sequence: int, position: int) -> str:
    """Give the id of a step of a sequence."""
    return world.ids.make(Kind.STEP, sequence * 8 + position, world.founded)


def email_account_id(world: World, user: int) -> str:
    """Give the id of a user's mailbox."""
    return world.ids.make(Kind.EMAIL_ACCOUNT, user, world.founded)


def _confidence(dice: Dice) -> float | None:
    if dice.chance(0.8):
        return None
    return dice.pick((0, 1, 0.25, 0.63, 0.9))


_CONTACT_EMAIL = constants(
    """
null: email_source email_from_customer email_status_unavailable_reason extrapolated_email_confidence
null: third_party_vendor_name is_likely_to_engage email_last_engaged_at
false: free_domain email_needs_tickling
"verified": email_status
0: position
"Apollo": source
"Verified": email_true_status
[]: vendor_validation_statuses
"""
)


def _contact_email(email: str) -> Row:
    octets = email.encode()
    return {
        **_CONTACT_EMAIL,
        "email": email,
        "email_md5": hashlib.md5(octets, usedforsecurity=False).hexdigest(),
        "email_sha256": hashlib.sha256(octets).hexdigest(),
    }


def _phone_number(number: str, kind: str) -> Row:
    return {
        "raw_number": number,
        "sanitized_number": number,
        "type": kind,
        "position": 0,
        "status": "no_status",
        "dnc_status": None,
        "dnc_other_info": None,
        "dialer_flags": {
            "country_name": "United States",
            "country_enabled": True,
            "high_risk_calling_enabled": True,
            "potential_high_risk_number": False,
        },
        "source_name": "Apollo",
        "vendor_validation_statuses": [],
        "third_party_vendor_name": None,
    }


def person_listed(world: World, person: Person, company: Company) -> Row:
    """Give a person as the free search lists it: without last name or address."""
    dice = world.ids.dice(Kind.PERSON, person.serial)
    last = person.last_name
    return {
        "id": person.person_id,
        "first_name": person.first_name,
        "last_name_obfuscated": f"{last[:2]}***{last[-1]}",
        "title": person.job.title,
        "last_refreshed_at": offset_stamp(world.start - dice.whole(0, 90) * 86_400_000),
        "has_email": dice.chance(0.8),
        "has_city": True,
        "has_state": True,
        "has_country": True,
        "has_direct_phone": dice.pick(_DIRECT_PHONE),
        "organization": {
            "name": company.name,
            "has_industry": True,
            "has_phone": dice.chance(0.8),
            "has_city": True,
            "has_state": True,
            "has_country": True,
            "has_zip_code": dice.chance(0.7),
            "has_revenue": dice.chance(0.6),
            "has_employee_count": True,
        },
    }


def person_enriched(world: World, person: Person, company: Company, contact: Contact | None) -> Row:
    """Give a person as enrichment does, e-mail address and all."""
    row = {
        **_person_core(world, person, company),
        "email_status": "verified",
        "email": world.people.email(person, company),
        "organization": organization_details(world, company),
        "is_likely_to_engage": person.serial % 3 == 0,
        "show_intent": False,
        "revealed_for_current_team": True,
        "departments": [person.job.department],
        "subdepartments": [person.job.department],
        "functions": [person.job.department],
        "seniority": person.job.seniority,
    }
    if contact is not None:
        row["contact_id"] = contact.id
        row["contact"] = contact_embedded(world, contact)
        account = world.account_of(contact)
        if account is not None:
            row["account_id"] = account.id
            row["account"] = account_embedded(world, account)
    return row


def person_shown(world: World, person: Person, company: Company) -> Row:
    """Give a person as `people/{id}` shows it: everything but the address itself."""
    place = person.place
    return {
        **_person_core(world, person, company),
        "street_address": place.street,
        "postal_code": place.postal_code,
        "formatted_address": f"{place.street}, {place.city}, {place.state}, {place.country}",
        "time_zone": place.time_zone,
        "email": LOCKED_EMAIL,
        "email_status": "verified",
    }


_NOBODY = constants(
    """
null: first_name last_name linkedin_url title email_status photo_url twitter_url github_url facebook_url
null: extrapolated_email_confidence headline organization_id state city country is_likely_to_engage seniority
[]: employment_history departments subdepartments functions
"": name
true: revealed_for_current_team
"none": match_confidence
"""
)


def person_stub(person_id: str, email: str | None) -> Row:
    """Give the hollow person that Apollo answers when it knows nobody of the kind."""
    return {
        **_NOBODY,
        "id": person_id,
        "email": email,
    }


_FOUND_PHONE = constants(
    """
null: created_at updated_at
"high": confidence_cd
"contact_trusted": direct_dial_source_cd
{}: dnc_other_info
"not_found": dnc_status_cd
0: position
"valid_number": status_cd
"mobile": type_cd
"""
)


def person_followed_up(world: World, person: Person, company: Company, kind: str) -> Row:
    """Give what an enrichment found later: a phone number, and of a waterfall an address as well."""
    number = f"+1555{person.serial % 10_000_000:07d}"
    phone = {
        **_FOUND_PHONE,
        "dnc_status_updated_at": offset_stamp(world.start),
        "raw_number": number,
        "sanitized_number": number,
    }
    found: Row = {
        "id": person.person_id,
        "status": "success",
        "phone_numbers": [keyed(phone, world.ids.make(Kind.PHONE_NUMBER, person.serial, world.founded))],
    }
    if kind == "waterfall":
        found["waterfall"] = {"emails": [{"vendors": []}], "phone_numbers": [{"vendors": []}]}
        found["emails"] = [
            {
                "email": world.people.email(person, company),
                "email_source_cd": None,
                "position": 0,
                "email_status_cd": "Verified",
                "extrapolated_email_confidence": None,
                "third_party_data_provider_id": "quayside_finder",
                "waterfall_enriched_at": short_stamp(world.start + SECOND),
                "vendor_validation_statuses": [],
            }
        ]
    return found


def _person_core(world: World, person: Person, company: Company) -> Row:
    place = person.place
    return {
        "id": person.person_id,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "name": person.name,
        "linkedin_url": f"http://www.linkedin.test/in/{person.slug}",
        "title": person.job.title,
        "photo_url": f"https://pictures.harborline.test/{person.person_id}.jpg",
        "twitter_url": None,
        "github_url": None,
        "facebook_url": None,
        "extrapolated_email_confidence": None,
        "headline": f"{person.job.title} at {company.name}",
        "organization_id": company.organization_id,
        "employment_history": [_employment(world, person, company)],
        "state": place.state,
        "city": place.city,
        "country": place.country,
    }


_EMPLOYMENT = constants(
    """
null: created_at degree description emails end_date grade_level kind major raw_address updated_at
true: current
"""
)


def _employment(world: World, person: Person, company: Company) -> Row:
    return keyed(
        {
            **_EMPLOYMENT,
            "organization_id": company.organization_id,
            "organization_name": company.name,
            "start_date": f"{2005 + person.serial % 20}-01-01",
            "title": person.job.title,
        },
        world.ids.make(Kind.EMPLOYMENT, person.serial, world.founded),
    )
