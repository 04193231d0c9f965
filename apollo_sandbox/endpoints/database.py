"""Apollo's database of people and companies: searching it, and paying for what it knows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from apollo_sandbox import errors
from apollo_sandbox.clock import DAY, SECOND, instant
from apollo_sandbox.credits import PHONE_NUMBER_PRICE
from apollo_sandbox.errors import ApiError
from apollo_sandbox.ids import IdFactory, Kind, is_object_id
from apollo_sandbox.jobs import Enrichment
from apollo_sandbox.listing import SEARCH_CONSTANTS, Filters, Pager
from apollo_sandbox.rows import companies, persons
from apollo_sandbox.rows.stamps import keyed, offset_stamp, short_stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apollo_sandbox.identities import Company, Person
    from apollo_sandbox.params import Params
    from apollo_sandbox.services import Call
    from apollo_sandbox.vocabulary import Place

Json = dict[str, Any]

_MOST_DETAILS = 10
_MOST_NEWS = 25
_MOST_POSTINGS = 10_000
_RESULT_KEPT_MS = 30 * DAY


def people_api_search(call: Call) -> Json:
    """POST mixed_people/api_search: free, and therefore coy."""
    world = call.world
    pager = Pager(call)
    filters: Filters[Person] = Filters(call)

    def employer(person: Person) -> Company:
        return world.people.company(world.people.company_serial_of(person.serial))

    titles = [title.lower() for title in call.params.texts("person_titles")]
    if titles:
        filters.custom(
            "person_titles",
            tuple(titles),
            lambda one: any(title in one.job.title.lower() for title in titles),
        )
    filters.any_of("person_seniorities", "Seniority", lambda one: (one.job.seniority,))
    filters.any_of("person_locations", "Location", lambda one: _places(one.place))
    filters.any_of("organization_locations", "HQ", lambda one: _places(employer(one).place))
    filters.any_of("organization_ids", "Company", lambda one: (employer(one).organization_id,))
    filters.any_of("q_organization_domains_list", "Domain", lambda one: (employer(one).domain,))
    filters.text("q_keywords", "Keywords", lambda one: f"{one.name} {one.job.title}")
    found = world.directory.people(filters.key, filters.predicate)
    people = [world.people.person(number) for number in pager.of(found)]
    return {
        "total_entries": pager.total(len(found)),
        "people": [persons.person_listed(world, one, employer(one)) for one in people],
    }


def people_search_deprecated(_: Call) -> Json:
    """POST mixed_people/search: no longer for callers of the API."""
    raise errors.unprocessable("This endpoint is deprecated for API callers, use mixed_people/api_search.")


def companies_search(call: Call) -> Json:
    """POST mixed_companies/search: a credit for every page that shows anything."""
    world = call.world
    pager = Pager(call)
    filters: Filters[Company] = Filters(call)
    filters.text("q_organization_name", "Company Name", lambda one: one.name)
    filters.any_of("organization_ids", "Company", lambda one: (one.organization_id,))
    filters.any_of("q_organization_domains_list", "Domain", lambda one: (one.domain,))
    filters.any_of("organization_locations", "Company Locations", lambda one: _places(one.place))
    filters.any_of(
        "organization_not_locations",
        "Not in",
        lambda one: _places(one.place),
        exclude=True,
    )
    ranges = call.params.texts("organization_num_employees_ranges")
    if ranges:
        bounds = [_whole_range(text) for text in ranges]
        filters.custom(
            "organization_num_employees_ranges",
            tuple(ranges),
            lambda one: any(low <= one.employees <= high for low, high in bounds),
        )
    found = world.directory.companies(filters.key, filters.predicate)
    page = [world.people.company(number) for number in pager.of(found)]
    call.services.credits.charge(call.action, 1 if page else 0, [one.organization_id for one in page])
    accounts, organizations = [], []
    for company in page:
        account = world.account_of_company(company)
        if account is None:
            organizations.append(companies.organization_listed(world, company))
        else:
            accounts.append(companies.account_listed(world, account))
    return {
        "breadcrumbs": filters.breadcrumbs,
        **SEARCH_CONSTANTS,
        "pagination": pager.pagination(len(found)),
        "accounts": accounts,
        "organizations": organizations,
        "model_ids": [row["id"] for row in accounts + organizations],
        "num_fetch_result": None,
        "derived_params": {},
    }


def _places(place: Place) -> tuple[str, ...]:
    return place.city, place.state, place.country


def _whole_range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(",")
    return (
        float(low) if low.strip().isdigit() else 0.0,
        float(high) if high.strip().isdigit() else float("inf"),
    )


def organizations_show(call: Call) -> Json:
    """GET organizations/{id}: a credit for each company there is."""
    company = _company(call)
    if company is None:
        raise errors.unprocessable("Organization does not exist.")
    call.services.credits.charge(call.action, 1, [company.organization_id])
    account = call.world.account_of_company(company)
    return {"organization": companies.organization_shown(call.world, company, account)}


def organizations_job_postings(call: Call) -> Json:
    """GET organizations/{id}/job_postings: a credit for every page that shows any."""
    company = _company(call)
    pager = Pager(call, most=_MOST_POSTINGS)
    numbers = range(companies.job_postings_of(call.world, company) if company else 0)
    rows = [companies.job_posting(call.world, company, number) for number in pager.of(numbers)] if company else []
    call.services.credits.charge(call.action, 1 if rows else 0, [call.path["id"]])
    return {"organization_job_postings": rows}


def _company(call: Call) -> Company | None:
    company_id = call.path["id"]
    if not is_object_id(company_id):
        postings = call.action == "organizations/job_postings"
        raise errors.malformed_id("organization_id" if postings else "id")
    return call.world.people.company_by_id(company_id)


def organizations_enrich(call: Call) -> Json:
    """GET organizations/enrich: a credit for a company it knows, `{}` for one it does not."""
    company = _company_described(call, {name: call.params.text(name) for name in _COMPANY_CLUES})
    if company is None:
        return {}
    call.services.credits.charge(call.action, 1, [company.organization_id])
    account = call.world.account_of_company(company)
    return {"organization": companies.organization_enriched(call.world, company, account)}


_COMPANY_CLUES = ("domain", "website", "linkedin_url", "name")


def _company_described(call: Call, clues: Mapping[str, Any]) -> Company | None:
    people = call.world.people
    for name in ("domain", "website"):
        address = str(clues.get(name) or "")
        domain = address.rsplit("://", maxsplit=1)[-1].split("/", maxsplit=1)[0]
        if domain:
            return people.company_by_domain(domain)
    slug = str(clues.get("linkedin_url") or "").rstrip("/").rsplit("/", maxsplit=1)[-1]
    if slug:
        return people.company_by_domain(f"{slug}.example")
    name = str(clues.get("name") or "").lower()
    if not name:
        return None
    numbers = call.world.directory.companies(("named", name), lambda company: company.name.lower() == name)
    return people.company(numbers[0]) if numbers else None


def organizations_bulk_enrich(call: Call) -> Json:
    """POST organizations/bulk_enrich: a credit for each company it knows."""
    details = call.params.get("details")
    if not isinstance(details, list) or not details:
        details = [{"domain": domain} for domain in call.params.texts("domains")]
    if not details:
        raise _failed(400, "INVALID_REQUEST", "invalid request, missing domains")
    if len(details) > _MOST_DETAILS:
        raise _failed(400, "RECORD_LIMIT_EXCEEDED", "domain count cannot be more than 10")
    found = [_company_described(call, one if isinstance(one, dict) else {"domain": one}) for one in details]
    known = [one for one in found if one is not None]
    call.services.credits.charge(call.action, len(known), [one.organization_id for one in known])
    world = call.world
    return {
        "status": "success",
        "error_code": None,
        "error_message": None,
        "total_requested_records": None,
        "total_requested_domains": len(details),
        "unique_domains": len({str(one) for one in details}),
        "unique_records": None,
        "unique_enriched_records": len({one.serial for one in known}),
        "missing_records": len(found) - len(known),
        "organizations": [
            None if one is None else companies.organization_enriched(world, one, world.account_of_company(one))
            for one in found
        ],
    }


def _failed(status: int, code: str, text: str) -> ApiError:
    return ApiError(status, {"status": "failed", "error_code": code, "error_message": text})


def people_show(call: Call) -> Json:
    """GET people/{id}: a credit for each person there is."""
    person_id = call.path["id"]
    if not is_object_id(person_id):
        raise errors.malformed_id("id")
    person = call.world.people.person_by_id(person_id)
    if person is None:
        raise errors.unprocessable("Person does not exist.")
    call.services.credits.charge(call.action, 1, [person_id])
    return {"person": persons.person_shown(call.world, person, _employer(call, person))}


def people_match(call: Call) -> Json:
    """POST people/match: a credit per match, every time; a hollow person for no match."""
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


def people_bulk_match(call: Call) -> Json:
    """POST people/bulk_match: up to ten at once, null for whom it does not know."""
    details = call.params.get("details")
    if not isinstance(details, list) or not details:
        raise _failed(400, "INVALID_REQUEST", "invalid request, missing details")
    if len(details) > _MOST_DETAILS:
        raise _failed(400, "RECORD_LIMIT_EXCEEDED", "cannot enrich more than 10 in a single request")
    if not all(isinstance(one, dict) for one in details):
        raise _failed(422, "UNKNOWN_ERROR", "no implicit conversion of Symbol into Integer")
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
    company = _company_described(call, {"domain": clues.get("domain"), "name": clues.get("organization_name")})
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
    phones = call.params.flag("reveal_phone_number")
    price = 1 + (PHONE_NUMBER_PRICE if phones else 0)
    amount = price * len(people)
    kind = "direct_dial_credit" if phones else ""
    call.services.credits.charge(call.action, amount, [one.person_id for one in people], kind)
    return amount


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


def webhook_result_show(call: Call) -> Json:
    """GET webhook_result/{request_id}."""
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
        "people": [_followed_up(call, one, enrichment.kind) for one in enrichment.people],
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


def _followed_up(call: Call, person: Person, kind: str) -> Json:
    ids: IdFactory = call.world.ids
    number = f"+1555{person.serial % 10_000_000:07d}"
    found: Json = {
        "id": person.person_id,
        "status": "success",
        "phone_numbers": [
            keyed(
                {
                    "confidence_cd": "high",
                    "created_at": None,
                    "direct_dial_source_cd": "contact_trusted",
                    "dnc_other_info": {},
                    "dnc_status_cd": "not_found",
                    "dnc_status_updated_at": offset_stamp(call.world.start),
                    "position": 0,
                    "raw_number": number,
                    "sanitized_number": number,
                    "status_cd": "valid_number",
                    "type_cd": "mobile",
                    "updated_at": None,
                },
                ids.make(Kind.PHONE_NUMBER, person.serial, call.world.founded),
            )
        ],
    }
    if kind == "waterfall":
        email = call.world.people.email(person, _employer(call, person))
        found["waterfall"] = {"emails": [{"vendors": []}], "phone_numbers": [{"vendors": []}]}
        found["emails"] = [
            {
                "email": email,
                "email_source_cd": None,
                "position": 0,
                "email_status_cd": "Verified",
                "extrapolated_email_confidence": None,
                "third_party_data_provider_id": "quayside_finder",
                "waterfall_enriched_at": short_stamp(call.world.start + SECOND),
                "vendor_validation_statuses": [],
            }
        ]
    return found


def news_articles_search(call: Call) -> Json:
    """POST news_articles/search: a credit for every page that shows anything."""
    wanted = call.params.texts("organization_ids")
    if not wanted:
        raise errors.unprocessable("organization_ids is required")
    pager = Pager(call, most=_MOST_NEWS)
    world = call.world
    span = call.params.span("published_at")
    categories = set(call.params.texts("categories"))
    articles = [
        article
        for company in map(world.people.company_by_id, dict.fromkeys(wanted))
        if company is not None
        for article in (
            companies.news_article(world, company, number)
            for number in range(companies.news_articles_of(world, company))
        )
        if (span is None or instant(article["published_at"]) in span)
        and (not categories or categories & set(article["event_categories"]))
    ]
    articles.sort(key=lambda article: str(article["published_at"]), reverse=True)
    page = pager.of(articles)
    call.services.credits.charge(call.action, 1 if page else 0, [one["id"] for one in page])
    return {"pagination": pager.pagination(len(articles)), "news_articles": page}
