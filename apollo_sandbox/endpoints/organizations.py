"""Companies of Apollo's database: searching it, and paying for what it knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apollo_sandbox import errors
from apollo_sandbox.clock import instant
from apollo_sandbox.ids import is_object_id
from apollo_sandbox.listing import SEARCH_CONSTANTS, Filters, Pager
from apollo_sandbox.routing import Json, get, post
from apollo_sandbox.rows import companies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apollo_sandbox.identities import Company
    from apollo_sandbox.services import Call

_MOST_DETAILS = 10
_MOST_NEWS = 25
_MOST_POSTINGS = 10_000


@post("mixed_companies/search")
def companies_search(call: Call) -> Json:
    """Search for companies, for a credit for every page that shows any."""
    world = call.world
    pager = Pager(call)
    filters: Filters[Company] = Filters(call)
    filters.text("q_organization_name", "Company Name", lambda one: one.name)
    filters.any_of("organization_ids", "Company", lambda one: (one.organization_id,))
    filters.any_of("q_organization_domains_list", "Domain", lambda one: (one.domain,))
    filters.any_of("organization_locations", "Company Locations", lambda one: one.place.names)
    filters.any_of(
        "organization_not_locations",
        "Not in",
        lambda one: one.place.names,
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
    call.charge(1 if page else 0, [one.organization_id for one in page])
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


def _whole_range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(",")
    return (
        float(low) if low.strip().isdigit() else 0.0,
        float(high) if high.strip().isdigit() else float("inf"),
    )


@get("organizations/{id}")
def organizations_show(call: Call) -> Json:
    """Show a company, for a credit."""
    company = _company(call)
    if company is None:
        raise errors.unprocessable("Organization does not exist.")
    call.charge(1, [company.organization_id])
    account = call.world.account_of_company(company)
    return {"organization": companies.organization_shown(call.world, company, account)}


@get("organizations/{id}/job_postings")
def organizations_job_postings(call: Call) -> Json:
    """List the open positions of a company, for a credit for every page that shows any."""
    company = _company(call)
    pager = Pager(call, most=_MOST_POSTINGS)
    numbers = range(companies.job_postings_of(call.world, company) if company else 0)
    rows = [companies.job_posting(call.world, company, number) for number in pager.of(numbers)] if company else []
    call.charge(1 if rows else 0, [call.path["id"]])
    return {"organization_job_postings": rows}


def _company(call: Call) -> Company | None:
    company_id = call.path["id"]
    if not is_object_id(company_id):
        postings = call.action == "organizations/job_postings"
        raise errors.malformed_id("organization_id" if postings else "id")
    return call.world.people.company_by_id(company_id)


@get("organizations/enrich")
def organizations_enrich(call: Call) -> Json:
    """Find a company for a credit, or answer `{}`."""
    company = company_described(call, {name: call.params.text(name) for name in _COMPANY_CLUES})
    if company is None:
        return {}
    call.charge(1, [company.organization_id])
    account = call.world.account_of_company(company)
    return {"organization": companies.organization_enriched(call.world, company, account)}


_COMPANY_CLUES = ("domain", "website", "linkedin_url", "name")


def company_described(call: Call, clues: Mapping[str, Any]) -> Company | None:
    """Find the company that has this domain, website, profile or name: the first that is given decides."""
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


@post("organizations/bulk_enrich")
def organizations_bulk_enrich(call: Call) -> Json:
    """Find several companies, for a credit for each that is known."""
    details = call.params.get("details")
    if not isinstance(details, list) or not details:
        details = [{"domain": domain} for domain in call.params.texts("domains")]
    if not details:
        raise errors.bulk_failed(400, "INVALID_REQUEST", "invalid request, missing domains")
    if len(details) > _MOST_DETAILS:
        raise errors.bulk_failed(400, "RECORD_LIMIT_EXCEEDED", "domain count cannot be more than 10")
    found = [company_described(call, one if isinstance(one, dict) else {"domain": one}) for one in details]
    known = [one for one in found if one is not None]
    call.charge(len(known), [one.organization_id for one in known])
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


@post("news_articles/search")
def news_articles_search(call: Call) -> Json:
    """List articles about some companies, for a credit for every page that shows any."""
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
    call.charge(1 if page else 0, [one["id"] for one in page])
    return {"pagination": pager.pagination(len(articles)), "news_articles": page}
