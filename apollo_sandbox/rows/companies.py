"""Accounts, and the companies of Apollo's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.clock import DAY
from apollo_sandbox.ids import Dice, Kind
from apollo_sandbox.rows.stamps import Row, constants, day, keyed, offset_stamp, stamp
from apollo_sandbox.vocabulary import INDUSTRIES, KEYWORDS, TECHNOLOGIES

if TYPE_CHECKING:
    from apollo_sandbox.entities import Account
    from apollo_sandbox.identities import Company
    from apollo_sandbox.world import World

_SOURCES = (
    ("api", "Created from API"),
    ("csv_import", "Uploaded from CSV"),
    ("salesforce", "Imported from Salesforce"),
    ("deployment", "Requested from Apollo"),
    ("chrome_extension_linkedin", "Added from LinkedIn"),
)
_DEPARTMENTS = (
    "engineering",
    "operations",
    "support",
    "marketing",
    "human_resources",
    "sales",
    "finance",
    "consulting",
    "legal",
    "product_management",
    "information_technology",
    "administrative",
    "accounting",
    "arts_and_design",
    "business_development",
    "data_science",
    "education",
    "entrepreneurship",
    "media_and_commmunication",  # spelt so by Apollo
)
_FUNDING_STAGES = ("Seed", "Series A", "Series B", "Series C")


def organization_brief(world: World, company: Company) -> Row:
    """Give a company as it is embedded in contacts, and as searches list it."""
    dice = world.ids.dice(Kind.ORGANIZATION, company.serial)
    slug = company.domain.removesuffix(".example")
    return {
        "id": company.organization_id,
        "name": company.name,
        "website_url": f"http://www.{company.domain}",
        "blog_url": None,
        "angellist_url": None,
        "linkedin_url": f"http://www.linkedin.test/company/{slug}",
        "twitter_url": f"https://twitter.test/{slug}" if dice.chance(0.5) else None,
        "facebook_url": f"https://facebook.test/{slug}" if dice.chance(0.4) else None,
        "primary_phone": {
            "number": company.phone,
            "source": "Scraped",
            "sanitized_number": company.phone,
        }
        if dice.chance(0.7)
        else {},
        "languages": ["English"] if dice.chance(0.4) else [],
        "alexa_ranking": dice.whole(1000, 900_000) if dice.chance(0.5) else None,
        "phone": company.phone,
        "linkedin_uid": str(dice.whole(1000, 99_999_999)),
        "founded_year": company.founded if dice.chance(0.9) else None,
        "publicly_traded_symbol": None,
        "publicly_traded_exchange": None,
        "logo_url": f"https://pictures.harborline.test/logos/{company.organization_id}",
        "crunchbase_url": None,
        "primary_domain": company.domain,
    }


def account_embedded(world: World, account: Account) -> Row:
    """Give an account as it is embedded in deals and tasks."""
    return account_with_brief(world, account)[0]


_ACCOUNT = constants(
    """
null: domain linkedin_url organization_id salesforce_id parent_account_id suggested_from_rule_engine_config_id
null: godmode_apollo_creator crm_record_url intent_strength organization_headcount_six_month_growth
null: organization_headcount_twelve_month_growth organization_headcount_twenty_four_month_growth
[]: account_playbook_statuses contact_emailer_campaign_ids
"no_status": phone_status
"full": existence_level
{}: custom_field_errors
"account": modality
false: show_intent
"""
)


def account_with_brief(world: World, account: Account) -> tuple[Row, Row | None]:
    """Give an account, and in brief the organization it is linked to, as contacts embed both."""
    dice = world.ids.dice(Kind.ACCOUNT, account.serial)
    company = world.people.company(account.serial)
    organization = world.organization_of(account)
    brief = organization_brief(world, organization) if organization else None
    source, source_name = dice.pick(_SOURCES)
    phone = company.phone if account.revision == 0 else f"+1555{account.revision:07d}"
    from_crm = dice.chance(0.1)
    labels = world.catalog.labels
    row: Row = {
        **_ACCOUNT,
        "id": account.id,
        "name": company.name,
        **(brief or {}),
        "team_id": world.catalog.team_id,
        "account_stage_id": world.catalog.account_stages[account.stage].id,
        "source": source,
        "original_source": source,
        "creator_id": account.owner.id if account.owner and dice.chance(0.4) else None,
        "owner_id": account.owner.id if account.owner else None,
        "created_at": stamp(account.created),
        "phone": phone,
        "hubspot_id": str(dice.whole(1, 9999)) if from_crm else None,
        "crm_owner_id": str(dice.whole(1_000_000, 9_999_999)) if from_crm else None,
        "account_rule_config_statuses": [_rule_status(world, account)] if dice.chance(0.1) else [],
        "label_ids": [labels[number].id for number in account.labels],
        "typed_custom_fields": world.catalog.custom_values("account", dice),
        "source_display_name": source_name,
        "contact_campaign_status_tally": {"active": dice.whole(1, 9), "finished": 2} if dice.chance(0.2) else {},
        "num_contacts": account.contacts,
        "last_activity_date": offset_stamp(account.active) if account.active else None,
    }
    row["id"] = account.id
    if organization:
        row["organization_id"] = organization.organization_id
        row["domain"] = organization.domain
        row["market_cap"] = f"{dice.whole(10, 9999) / 10}B" if dice.chance(0.05) else None
        row["organization_headcount_six_month_growth"] = dice.whole(-200, 400) / 1000
        row["organization_headcount_twelve_month_growth"] = dice.whole(-200, 600) / 1000
        row["organization_headcount_twenty_four_month_growth"] = dice.pick((-2, 0, 3, 0.125, 1.75))
    else:
        row["twitter_url"] = row["facebook_url"] = None
    if dice.chance(0.8):
        row["sanitized_phone"] = phone
    return row, brief


def _rule_status(world: World, account: Account) -> Row:
    return keyed(
        {
            "created_at": None,
            "rule_action_config_id": world.ids.make(Kind.RULESET, 3, world.founded),
            "rule_config_id": world.ids.make(Kind.RULESET, 4, world.founded),
            "status_cd": "completed",
            "updated_at": None,
        },
        world.ids.make(Kind.RULESET, account.serial << 4 | 5, account.created),
    )


def account_of_task(world: World, account: Account) -> Row:
    """Give an account as tasks embed it."""
    row = account_embedded(world, account)
    row.update(has_intent_signal_account=False, intent_signal_account=None, account_queues=[])
    return row


def account_listed(world: World, account: Account) -> Row:
    """Give an account as the search lists it: with its address, where that is known."""
    row = account_embedded(world, account)
    row["has_intent_signal_account"] = False
    row["intent_signal_account"] = None
    organization = world.organization_of(account)
    if organization:
        row.update(_address(organization))
    return row


def account_shown(world: World, account: Account) -> Row:
    """Give an account as `accounts/{id}` shows it."""
    row = account_listed(world, account)
    organization = world.organization_of(account)
    if organization:
        own = {key: value for key, value in row.items() if value is not None}
        row = {**row, **organization_details(world, organization), **own}
        address = {f"organization_{key}": value for key, value in _address(organization).items()}
        row.update(address, suggest_location_enrichment=False)
    row["engagement_graph"] = [
        {"year": 2026, "month": month, "inbound": account.serial % 3, "outbound": month} for month in range(5, 9)
    ]
    row.update(salesforce_record_url=None, account_queues=[], disable_flag=False)
    return row


def _address(company: Company) -> Row:
    place = company.place
    return {
        "raw_address": f"{place.street}, {place.city}, {place.state}, {place.country}".lower(),
        "street_address": place.street,
        "city": place.city,
        "state": place.state,
        "country": place.country,
        "postal_code": place.postal_code,
    }


def organization_listed(world: World, company: Company) -> Row:
    """Give a company as `mixed_companies/search` lists it."""
    return {
        **organization_brief(world, company),
        "sanitized_phone": company.phone,
        "owned_by_organization_id": None,
        "show_intent": False,
        "has_intent_signal_account": False,
        "intent_signal_account": None,
    }


_ORGANIZATION = constants(
    """
[]: secondary_industries suborganizations org_chart_root_people_ids
0: retail_location_count num_retail_locations num_suborganizations
true: snippets_loaded org_chart_show_department_filter
1: num_languages
"OrgChart::SectorHierarchy::Rules::IT": org_chart_sector
false: org_chart_removed
"""
)


def organization_details(world: World, company: Company) -> Row:
    """Give all that enrichment knows about a company, but for the team's own account."""
    dice = world.ids.dice(Kind.ORGANIZATION, company.serial, turn=1)
    technologies = [one for one in TECHNOLOGIES if dice.chance(0.6)]
    keywords = [one for one in KEYWORDS if dice.chance(0.7)]
    tag = world.ids.make(Kind.INDUSTRY, INDUSTRIES.index(company.industry), world.founded)
    revenue = company.employees * dice.whole(40, 400) * 1000
    funding = _funding(world, company, dice)
    return {
        **_ORGANIZATION,
        **organization_brief(world, company),
        "industry": company.industry,
        "keywords": keywords,
        "estimated_num_employees": company.employees,
        "industries": [company.industry],
        "industry_tag_id": tag,
        "industry_tag_hash": {company.industry: tag},
        **_address(company),
        **_parent(world, company, dice),
        "sanitized_phone": company.phone,
        "market_cap": f"{dice.whole(10, 9999) / 10}B" if dice.chance(0.05) else None,
        "seo_description": f"{company.name}: {', '.join(keywords[:4])}.",
        "short_description": (
            f"{company.name} of {company.place.city} works in {company.industry}. "
            + f"It offers {', '.join(keywords)}. " * 3
        ),
        "subsidiary_rollups": {
            "total_estimated_employee_count": 0,
            "countries": [],
            "industries": [],
        },
        "annual_revenue_printed": f"{revenue / 1_000_000:.1f}M",
        "annual_revenue": revenue if dice.chance(0.8) else revenue / 8,
        "total_funding": sum(one["_amount"] for one in funding) or None,
        "total_funding_printed": f"{sum(one['_amount'] for one in funding) / 1_000_000:.1f}M",
        "latest_funding_round_date": funding[0]["date"] if funding else None,
        "latest_funding_stage": funding[0]["type"] if funding else None,
        "funding_events": [{key: value for key, value in one.items() if key != "_amount"} for one in funding],
        "technology_names": technologies,
        "current_technologies": [
            {
                "uid": name.lower().replace(" ", "_"),
                "name": name,
                "category": name.split()[1],
            }
            for name in technologies
        ],
        "departmental_head_count": {name: dice.whole(0, company.employees // 4) for name in _DEPARTMENTS},
        "organization_headcount_six_month_growth": dice.whole(-200, 400) / 1000,
        "organization_headcount_twelve_month_growth": dice.whole(-200, 600) / 1000,
        "organization_headcount_twenty_four_month_growth": dice.pick((-2, 0, 3, 0.125, 1.75)),
    }


def _parent(world: World, company: Company, dice: Dice) -> Row:
    if company.serial == 0 or not dice.chance(0.1):
        return {"owned_by_organization_id": None}
    parent = world.people.company(company.serial // 2)
    brief = {
        "id": parent.organization_id,
        "name": parent.name,
        "website_url": f"http://www.{parent.domain}",
    }
    return {
        "owned_by_organization_id": parent.organization_id,
        "owned_by_organization": brief,
        "ultimate_parent_organization": brief,
        "owned_by_chain": [],
    }


def organization_shown(world: World, company: Company, account: Account | None) -> Row:
    """Give a company as `organizations/{id}` shows it."""
    dice = world.ids.dice(Kind.ORGANIZATION, company.serial, turn=2)
    return {
        **organization_enriched(world, company, account),
        "employee_metrics": [
            {
                "start_date": day(world.start - months * 30 * DAY),
                "departments": [
                    {
                        "functions": name,
                        "new": dice.whole(0, 9),
                        "retained": dice.whole(0, 200),
                        "churned": dice.whole(0, 9),
                    }
                    for name in (None, *_DEPARTMENTS)
                ],
            }
            for months in range(24)
        ],
        "generic_org_insights": None,
        "detail_view_loaded": True,
    }


def organization_enriched(world: World, company: Company, account: Account | None) -> Row:
    """Give a company as enrichment does: with the team's own account, if it has one."""
    row = organization_details(world, company)
    row.update(show_intent=False, has_intent_signal_account=False, intent_signal_account=None)
    if account is not None:
        row["account_id"] = account.id
        row["account"] = account_listed(world, account)
    return row


def _funding(world: World, company: Company, dice: Dice) -> list[Row]:
    events = []
    for number in range(dice.whole(0, 4)):
        amount = dice.whole(1, 90) * 1_000_000
        events.append(
            {
                "id": world.ids.make(Kind.FUNDING, company.serial * 8 + number, world.founded),
                "date": offset_stamp((world.start - number * 500 * DAY) // DAY * DAY),
                "news_url": None,
                "type": _FUNDING_STAGES[3 - number] if number < len(_FUNDING_STAGES) else "Other",
                "investors": "Quayside Partners, Lantern Fund",
                "amount": f"{amount // 1_000_000}M",
                "currency": "$",
                "_amount": amount,
            }
        )
    return events


def job_posting(world: World, company: Company, number: int) -> Row:
    """Give one open position of a company."""
    dice = world.ids.dice(Kind.JOB_POSTING, company.serial * 64 + number)
    posted = world.start - dice.whole(DAY, 60 * DAY)
    posting_id = world.ids.make(Kind.JOB_POSTING, company.serial * 64 + number, posted)
    title = dice.pick(("Warehouse Planner", "Field Engineer", "Payroll Clerk", "Data Analyst"))
    return {
        "id": posting_id,
        "title": title,
        "url": f"https://jobs.{company.domain}/{posting_id}",
        "city": company.place.city if dice.chance(0.6) else None,
        "state": company.place.state if dice.chance(0.6) else None,
        "country": company.place.country,
        "last_seen_at": offset_stamp(world.start - DAY),
        "posted_at": offset_stamp(posted),
    }


def job_postings_of(world: World, company: Company) -> int:
    """Tell how many open positions a company has; many have none."""
    dice = world.ids.dice(Kind.JOB_POSTING, company.serial)
    return 0 if dice.chance(0.35) else dice.whole(1, 40)


_NEWS_CATEGORIES = ("hires", "investment", "contract", "launches", "expands")


def news_article(world: World, company: Company, number: int) -> Row:
    """Give one article about a company."""
    dice = world.ids.dice(Kind.NEWS, company.serial * 64 + number)
    published = (world.start - dice.whole(0, 700) * DAY) // DAY * DAY
    article_id = world.ids.make(Kind.NEWS, company.serial * 64 + number, published)
    category = dice.pick(_NEWS_CATEGORIES)
    return {
        "id": article_id,
        "url": f"https://paper.example/{article_id}",
        "domain": "paper.example",
        "title": f"{company.name} {category}",
        "snippet": f"What {company.name} of {company.place.city} announced, in short.",
        "organization_ids": [company.organization_id],
        "published_at": offset_stamp(published),
        "event_categories": [category],
    }


def news_articles_of(world: World, company: Company) -> int:
    """Tell how many articles there are about a company; about a quarter have none."""
    dice = world.ids.dice(Kind.NEWS, company.serial)
    return 0 if dice.chance(0.25) else dice.whole(1, 30)
