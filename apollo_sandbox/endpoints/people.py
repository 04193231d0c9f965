"""People of Apollo's database: searching it, and paying for what it knows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from apollo_sandbox import errors
from apollo_sandbox.clock import DAY
from apollo_sandbox.credits import PHONE_NUMBER_PRICE
from apollo_sandbox.endpoints.organizations import company_described
from apollo_sandbox.errors import ApiError
from apollo_sandbox.ids import Kind, is_object_id
from apollo_sandbox.jobs import Enrichment
from apollo_sandbox.listing import Filters, Pager
from apollo_sandbox.routing import Json, get, post
from apollo_sandbox.rows import persons
from apollo_sandbox.rows.stamps import short_stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apollo_sandbox.identities import Company, Person
    from apollo_sandbox.params import Params
    from apollo_sandbox.services import Call

_MOST_DETAILS = 10
_RESULT_KEPT_MS = 30 * DAY


@post("mixed_people/api_search")
def people_api_search(call: Call) -> Json:
    """Search for people: free, and therefore without last names and addresses."""
    world = call.world
    pager = Pager(call)
    filters: Filters[Person] = Filters(call)
    titles = [title.lower() for title in call.params.texts("person_titles")]
    if titles:
        filters.custom(
            "person_titles",
            tuple(titles),
            lambda one: any(title in one.job.title.lower() for title in titles),
        )
    filters.any_of("person_seniorities", "Seniority", lambda one: (one.job.seniority,))
    filters.any_of("person_locations", "Location", lambda one: one.place.names)
    filters.any_of("organization_locations", "HQ", lambda one: _employer(call, one).place.names)
    filters.any_of("organization_ids", "Company", lambda one: (_employer(call, one).organization_id,))
    filters.any_of("q_organization_domains_list", "Domain", lambda one: (_employer(call, one).domain,))
    filters.text("q_keywords", "Keywords", lambda one: f"{one.name} {one.job.title}")
    found = world.directory.people(filters.key, filters.predicate)
    people = [world.people.person(number) for number in pager.of(found)]
    return {
        "total_entries": pager.total(len(found)),
        "people": [persons.person_listed(world, one, _employer(call, one)) for one in people],
    }


@post("mixed_people/search")
def people_search_deprecated(_: Call) -> Json:
    """Refuse: this one is no longer for callers of the API."""
    raise errors.unprocessable("This endpoint is deprecated for API callers, use mixed_people/api_search.")


@get("people/{id}")
def people_show(call: Call) -> Json:
    """Show a person, for a credit."""
    person_id = call.path["id"]
    if not is_object_id(person_id):
        raise errors.malformed_id("id")
    person = call.world.people.person_by_id(person_id)
    if person is None:
        raise errors.unprocessable("Person does not exist.")
    call.charge(1, [person_id])
    return {"person": persons.person_shown(call.world, person, _employer(call, person))}


@post("people/match")
def people_match(call: Call) -> Json:
    """Find a person, for a credit every time, or answer a hollow one."""
    clues = {name: call.params.get(name) for name in _PERSON_CLUES}
    person = _person_described(call, clues)
    request_id = call.services.jobs.next_request_id()
    answer: Json = {}
    if person is None:
        stub_id = call.world.ids.make(Kind.PERSON, call.world.sizes.people, call.world.start)
        answer["person"] = persons.person_stub(stub_id, call.params.text("email"))
    else:
        _pay_for(call, [person])
        answer["person"] = _enriched(call, person)
    _finish_later(call, request_id, [person] if person else [], answer)
    answer["request_id"] = request_id
    return answer


@post("people/bulk_match")
def people_bulk_match(call: Call) -> Json:
    """Find up to ten people; null stands for one who is not known."""
    details = call.params.get("details")
    if not isinstance(details, list) or not details:
        raise errors.bulk_failed(400, "INVALID_REQUEST", "invalid request, missing details")
    if len(details) > _MOST_DETAILS:
        raise errors.bulk_failed(400, "RECORD_LIMIT_EXCEEDED", "cannot enrich more than 10 in a single request")
    if not all(isinstance(one, dict) for one in details):
        raise errors.bulk_failed(422, "UNKNOWN_ERROR", "no implicit conversion of Symbol into Integer")
    found = [_person_described(call, one) for one in details]
    known = [one for one in found if one is not None]
    spent = _pay_for(call, known)
    answer: Json = {
        "status": "success",
        "error_code": None,
        "error_message": None,
        "total_requested_enrichments": len(details),
        "unique_enriched_records": len({one.serial for one in known}),
        "missing_records": len(found) - len(known),
        "credits_consumed": spent,
        "matches": [None if one is None else _enriched(call, one) for one in found],
    }
    if _asks_for_more(call.params):
        request_id = call.services.jobs.next_request_id()
        _finish_later(call, request_id, known, answer)
        answer["request_id"] = request_id
    return answer


_PERSON_CLUES = (
    "id",
    "email",
    "hashed_email",
    "linkedin_url",
    "name",
    "first_name",
    "last_name",
    "organization_name",
    "domain",
)


def _person_described(call: Call, clues: Mapping[str, Any]) -> Person | None:
    people = call.world.people
    if clues.get("id"):
        return people.person_by_id(str(clues["id"]))
    if clues.get("email"):
        slug, _, domain = str(clues["email"]).lower().partition("@")
        person = people.person_by_slug(slug)
        if person is None or _employer(call, person).domain != domain:
            return None
        return person
    if clues.get("linkedin_url"):
        url = str(clues["linkedin_url"]).rstrip("/")
        return people.person_by_slug(url.rsplit("/", maxsplit=1)[-1])
    if clues.get("hashed_email"):
        return _person_by_hash(call, str(clues["hashed_email"]).lower())
    name = clues.get("name") or f"{clues.get('first_name', '')} {clues.get('last_name', '')}"
    company = company_described(call, {"domain": clues.get("domain"), "name": clues.get("organization_name")})
    return None if company is None else _colleague(call, company, str(name).strip().lower())


def _colleague(call: Call, company: Company, name: str) -> Person | None:
    world = call.world
    account = world.account_of_company(company)
    numbers = [one.serial for one in world.contacts if one.account is account and account]
    for number in (*numbers, *world.people.employees_of(company.serial)):
        person = world.people.person(number)
        if person.name.lower() == name:
            return person
    return None


def _person_by_hash(call: Call, digest: str) -> Person | None:
    people = call.world.people

    def has_it(person: Person) -> bool:
        octets = people.email(person, _employer(call, person)).encode()
        return digest in {
            hashlib.md5(octets, usedforsecurity=False).hexdigest(),
            hashlib.sha256(octets).hexdigest(),
        }

    numbers = call.world.directory.people(("hashed", digest), has_it)
    return people.person(numbers[0]) if numbers else None


def _employer(call: Call, person: Person) -> Company:
    people = call.world.people
    return people.company(people.company_serial_of(person.serial))


def _enriched(call: Call, person: Person) -> Json:
    world = call.world
    contact = world.contact_of_person(person)
    return persons.person_enriched(world, person, _employer(call, person), contact)


def _asks_for_more(params: Params) -> bool:
    return any(params.flag(name) for name in ("reveal_phone_number", "run_waterfall_email", "run_waterfall_phone"))


def _pay_for(call: Call, people: list[Person]) -> int:
    """Charge each match, whether or not the team paid for the same person before."""
    phones = PHONE_NUMBER_PRICE * len(people) if call.params.flag("reveal_phone_number") else 0
    call.charge(len(people), [one.person_id for one in people], direct_dial_credit=phones)
    return len(people) + phones


def _finish_later(call: Call, request_id: int, people: list[Person], answer: Json) -> None:
    if not _asks_for_more(call.params):
        return
    waterfall = call.params.flag("run_waterfall_email") or call.params.flag("run_waterfall_phone")
    if waterfall:
        answer["waterfall"] = {
            "status": "accepted",
            "message": "Results will follow under the request id.",
        }
    kind = "waterfall" if waterfall else "phone"
    paid = PHONE_NUMBER_PRICE * len(people) if call.params.flag("reveal_phone_number") else 0
    call.services.jobs.enrich(request_id, Enrichment(kind, tuple(people), paid))


@get("webhook_result/{id}")
def webhook_result_show(call: Call) -> Json:
    """Give what an enrichment found later, by the id of its request."""
    try:
        request_id = int(call.path["id"])
    except ValueError:
        raise ApiError(400, {"error_code": "invalid_request_id"}) from None
    job = call.services.jobs.enrichments.get(request_id)
    if job is None:
        raise ApiError(404, {"error_code": "request_id_unknown"})
    clock = call.services.clock
    now = clock.now()
    if now < job.done:
        wait = clock.real_seconds(job.done - now)
        raise ApiError(404, {"error_code": "result_pending", "retry_after_seconds": wait})
    if now > job.done + _RESULT_KEPT_MS:
        raise ApiError(410, {"error_code": "request_id_expired"})
    enrichment = job.subject
    result: Json = {
        "status": "success",
        "total_requested_enrichments": len(enrichment.people),
        "credits_consumed": enrichment.credits,
        "people": [
            persons.person_followed_up(call.world, one, _employer(call, one), enrichment.kind)
            for one in enrichment.people
        ],
    }
    if enrichment.kind == "waterfall":
        result.update(
            target_fields=["emails", "phone_numbers"],
            records_enriched=len(enrichment.people),
            email_records_enriched=len(enrichment.people),
            mobile_records_enriched=len(enrichment.people),
            enrichment_not_found=0,
            email_records_not_found=0,
            mobile_records_not_found=0,
            request_id=str(request_id),
            request_initiated=short_stamp(job.asked),
            request_completed=short_stamp(job.done),
        )
    else:
        result.update(unique_enriched_records=len(enrichment.people), missing_records=0)
    return {
        "request_id": str(request_id),
        "webhook_status": "success",
        "request_type": enrichment.kind,
        "last_dispatched_at": short_stamp(job.done),
        "failure_reason": None,
        "webhook_result": result,
    }
