"""A bad setting is one line that names it and says what to do; none of them sends a request or tells a secret."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tap_apollo.errors import SettingsError
from tap_apollo.tap import TapApollo

SECRET = "sk_live_do not print"  # noqa: S105
SEARCH = {"name": "a", "filters": {"person_titles": ["cto"]}}
COMPANIES = {"name": "a", "filters": {"q_organization_name": "a"}}
AN_ID = "5" * 24
ENRICHMENT = {"credit_streams": ["people_enrichment"]}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "Setting `api_key` is missing: set it, or `access_token` or `refresh_token` for OAuth."),
        ({"api_key": None}, "Setting `api_key` is missing: set it, or `access_token` or `refresh_token` for OAuth."),
        ({"api_key": ""}, "Setting `api_key` must hold visible ASCII characters only, and one at least."),
        ({"api_key": SECRET}, "Setting `api_key` must hold visible ASCII characters only"),
        ({"api_key": "••••1234"}, "Setting `api_key` must hold visible ASCII characters only"),
        ({"api_key": "k", "lookback_days": 10**6}, "Setting `lookback_days` must be 3650 or less."),
        ({"api_key": "k", "request_timeout": 10**14}, "Setting `request_timeout` must be 3600 or less."),
        ({"api_key": "k", "start_date": "0001-01-01T00:00:00+02:00"}, "Setting `start_date` must be an ISO 8601"),
        (
            {"api_key": "k", "api_url": "https://me:sk_live_do@host/v1"},
            "Setting `api_url` must be a URL",
        ),
        ({"api_key": "k", "full_refresh_days": {"account": 1}}, "names `account`, no stream that reads pages: did you"),
        ({"api_key": [SECRET]}, "Setting `api_key` must be string."),
        (
            {"api_key": "k", "access_token": "t"},
            "Settings `api_key` and `access_token` exclude each other: remove one.",
        ),
        (
            {"api_key": "k", "refresh_token": "t", "client_id": "i", "client_secret": SECRET.partition(" ")[0]},
            "Settings `api_key` and `refresh_token` exclude each other: remove one.",
        ),
        (
            {"refresh_token": "t", "client_secret": "sk_live_do"},
            "Setting `refresh_token` needs `client_id`: set it.",
        ),
        ({"refresh_token": "t", "client_id": "i"}, "Setting `refresh_token` needs `client_secret`: set it."),
        ({"refresh_token": SECRET, "client_id": "i", "client_secret": "s"}, "`refresh_token` must hold visible ASCII"),
        ({"refresh_token": "t", "client_id": "i", "client_secret": SECRET}, "`client_secret` must hold visible ASCII"),
        ({"api_key": "k", "oauth_token_file": "t.json"}, "Setting `oauth_token_file` needs `refresh_token`: set it"),
        ({"api_key": "k", "oauth_token_file": ""}, "Setting `oauth_token_file` must not be empty."),
        ({"api_key": "k", "max_concurrent_requests": 0}, "Setting `max_concurrent_requests` must be 1 or more."),
        ({"api_key": "k", "max_concurrent_requests": 101}, "Setting `max_concurrent_requests` must be 100 or less."),
        ({"api_key": "k", "max_concurrent_requests": "4"}, "Setting `max_concurrent_requests` must be integer."),
        ({"api_key": "k", "max_wait_seconds": -1}, "Setting `max_wait_seconds` must be 0 or more."),
        ({"apikey": SECRET}, "Unknown setting `apikey`: did you mean `api_key`?"),
        ({"api_key": "k", "zebra": 1}, "Unknown setting `zebra`: remove it, or see `tap-apollo --about`"),
        ({"api_key": "k", "lookback_days": -1}, "Setting `lookback_days` must be 0 or more."),
        ({"api_key": "k", "lookback_days": "ten"}, "Setting `lookback_days` must be integer."),
        ({"api_key": "k", "request_timeout": 0}, "Setting `request_timeout` must be 1 or more."),
        ({"api_key": "k", "strict": "yes"}, "Setting `strict` must be boolean."),
        ({"api_key": "k", "custom_fields": "names"}, "Setting `custom_fields` must be one of labels, raw."),
        ({"api_key": "k", "api_url": "api.apollo.io"}, "Setting `api_url` must"),
        ({"api_key": "k", "user_agent": "a\nb"}, "Setting `user_agent` must"),
        ({"api_key": "k", "start_date": "yesterday"}, "Setting `start_date` must be an ISO 8601 timestamp"),
        (
            {"api_key": "k", "max_pages": {"contact": 1}},
            "names `contact`, no stream that reads pages: did you",
        ),
        ({"api_key": "k", "max_pages": {"lists": 1}}, "names `lists`, no stream that reads pages"),
        ({"api_key": "k", "max_pages": {"contacts": 0}}, "Setting `max_pages.contacts` must be 1 or more."),
        ({"api_key": "k", "people_searches": [{"name": "a"}]}, "Setting `people_searches.0` needs `filters`: add it."),
        ({"api_key": "k", "people_searches": [{"name": "a", "filters": {}}]}, "`a` needs at least one filter."),
        (
            {"api_key": "k", "people_searches": [{"name": "a", "filters": {"person_title[]": ["x"]}}]},
            "`person_titles`?",
        ),
        ({"api_key": "k", "people_searches": [SEARCH, SEARCH]}, "holds two searches named `a`"),
        ({"api_key": "k", "people_searches": [{**SEARCH, "pages": 1}]}, "Unknown setting `people_searches.0.pages`"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        TapApollo(config=settings)
    assert line in raised.value.message
    assert SECRET not in raised.value.message
    assert "sk_live_do" not in raised.value.message
    assert "\n" not in raised.value.message


def test_every_bad_setting_has_a_line_of_its_own() -> None:
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k", "strict": "yes", "lookback_days": -1, "budget": 1})
    assert len(raised.value.message.splitlines()) == 3


@pytest.mark.parametrize("credential", ["api_key", "access_token"])
def test_one_credential_is_enough(credential: str) -> None:
    tap = TapApollo(config={credential: "k", "start_date": "2026-01-31"})
    assert tap.config["lookback_days"] == 30


def test_a_refresh_token_is_enough_with_its_app() -> None:
    config = {"refresh_token": "t", "client_id": "i", "client_secret": "s", "oauth_token_file": "tokens.json"}
    assert TapApollo(config=config).run.credential == "refresh_token"
    assert TapApollo(config={**config, "access_token": "a"}).run.credential == "refresh_token"


def enrichment(**options: Any) -> dict[str, Any]:
    return {"credit_streams": ["people_enrichment"], "people_enrichment": {"from": "contacts", **options}}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"credit_streams": "organizations"}, "Setting `credit_streams` must be array."),
        ({"credit_streams": [7]}, "Setting `credit_streams.0` must be string."),
        ({"credit_streams": ["contacts"]}, "Setting `credit_streams` names `contacts`, no stream that costs credits"),
        ({"credit_streams": ["organisations"]}, "no stream that costs credits: did you mean `organizations`?"),
        ({"credit_streams": ["enrichment_results"]}, "names `enrichment_results`, no stream that costs credits"),
        (
            {"credit_streams": ["person_details", "person_details"], "person_ids": [AN_ID]},
            "Setting `credit_streams` names `person_details` twice: remove one.",
        ),
        ({"credit_streams": ["organizations"]}, "has nothing to ask for: set `organization_searches`."),
        ({"credit_streams": ["person_details"]}, "has nothing to ask for: set `person_ids` or `people_searches`."),
        ({"credit_streams": ["people_enrichment"]}, "has nothing to ask for: set `people_enrichment.from`."),
        ({**ENRICHMENT, "people_enrichment": {}}, "has nothing to ask for: set `people_enrichment.from`."),
        *(
            (
                {"credit_streams": [stream]},
                f"names `{stream}`, which has nothing to ask for: set `organization_ids`, or organizations in",
            )
            for stream in ("organization_details", "organization_job_postings", "news_articles")
        ),
        ({"credit_budget": -1}, "Setting `credit_budget` must be 0 or more."),
        ({"credit_budget": "10"}, "Setting `credit_budget` must be integer."),
        ({"credit_budget": 1.5}, "Setting `credit_budget` must be integer."),
        ({"credit_budget_per_cycle": -1}, "Setting `credit_budget_per_cycle` must be 0 or more."),
        ({"credit_budget_per_cycle": "10"}, "Setting `credit_budget_per_cycle` must be integer."),
        ({"credit_reserve": -1}, "Setting `credit_reserve` must be 0 or more."),
        ({"credit_reserve": True}, "Setting `credit_reserve` must be integer."),
        ({"credit_refresh_days": 0}, "Setting `credit_refresh_days` must be 1 or more."),
        ({"credit_refresh_days": "30"}, "Setting `credit_refresh_days` must be integer."),
        ({"credit_budgets": 5}, "Unknown setting `credit_budgets`: did you mean `credit_budget`?"),
        ({"max_pages": {"organizations": 0}}, "Setting `max_pages.organizations` must be 1 or more."),
        ({"max_pages": {"organisations": 1}}, "Setting `max_pages` names `organisations`, no stream that reads pages"),
        ({"full_refresh_days": {"person_detail": 1}}, "names `person_detail`, no stream that reads pages"),
        ({"organization_searches": [{"name": "a"}]}, "Setting `organization_searches.0` needs `filters`: add it."),
        ({"organization_searches": [{"filters": {"a": 1}}]}, "Setting `organization_searches.0` needs `name`: add it."),
        ({"organization_searches": [{**COMPANIES, "name": ""}]}, "`organization_searches.0.name` must not be empty."),
        ({"organization_searches": [{"name": "a", "filters": {}}]}, "the search `a` needs at least one filter."),
        ({"organization_searches": [COMPANIES, COMPANIES]}, "`organization_searches` holds two searches named `a`"),
        ({"organization_searches": [{**COMPANIES, "max_pages": 0}]}, "`organization_searches.0.max_pages` must be 1"),
        ({"organization_searches": [{**COMPANIES, "pages": 1}]}, "Unknown setting `organization_searches.0.pages`"),
        (
            {"organization_searches": [{"name": "a", "filters": {"organization_location[]": ["x"]}}]},
            "a filter `organization_location`, which Apollo would ignore: did you mean `organization_locations`?",
        ),
        ({"organization_ids": ["5"]}, "`organization_ids.0` must be ids of Apollo's, 24 hex digits each."),
        ({"organization_ids": [AN_ID[1:] + "G"]}, "`organization_ids.0` must be ids of Apollo's, 24 hex digits each."),
        ({"organization_ids": AN_ID}, "Setting `organization_ids` must be"),
        ({"person_ids": ["../users"]}, "`person_ids.0` must be ids of Apollo's, 24 hex digits each."),
        ({"domains": ["https://apollo.io/"]}, "`domains.0` must be domains such as apollo.io, without"),
        ({"domains": ["me@apollo.io"]}, "`domains.0` must be domains such as apollo.io, without"),
        ({"domains": ["apollo"]}, "`domains.0` must be domains such as apollo.io, without"),
        ({"news": {"category": ["hires"]}}, "Unknown setting `news.category`"),
        ({"news": {"categories": [""]}}, "Setting `news.categories.0` must not be empty."),
        (enrichment(**{"from": "leads"}), "Setting `people_enrichment.from` must be one of details, contacts, people."),
        (enrichment(reveal_phone=True), "Unknown setting `people_enrichment.reveal_phone`"),
        (enrichment(**{"from": "details"}), "is `from` details and has no `details`: add them."),
        (enrichment(**{"from": "details", "details": []}), "is `from` details and has no `details`: add them."),
        (enrichment(details=[{"email": "a@b.c"}]), "has `details`: set `from` to details to use them, or remove them."),
        (enrichment(**{"from": "details", "details": [{}]}), "holds a person without anything to know them by"),
        (
            enrichment(**{"from": "details", "details": [{"mail": "a@b.c"}]}),
            "Unknown setting `people_enrichment.details.0.mail`",
        ),
        (
            enrichment(**{"from": "details", "details": [{"email": ""}]}),
            "Setting `people_enrichment.details.0.email` must not be empty.",
        ),
        (enrichment(**{"from": "people"}), "is `from` people: set `people_searches`, which finds them."),
        (enrichment(reveal_phone_number="yes"), "Setting `people_enrichment.reveal_phone_number` must be boolean."),
        *(
            (enrichment(**{reveal: True, "max_waterfall_credits": 5}), "set `webhook_url`, without which Apollo")
            for reveal in ("reveal_phone_number", "run_waterfall_email", "run_waterfall_phone")
        ),
        *(
            (enrichment(**{run: True, "webhook_url": "https://a.test"}), "set `max_waterfall_credits`, the most per")
            for run in ("run_waterfall_email", "run_waterfall_phone")
        ),
        (enrichment(max_waterfall_credits=0), "Setting `people_enrichment.max_waterfall_credits` must be 1 or more."),
        (
            enrichment(webhook_url="http://sk_live_do.test"),
            "Setting `people_enrichment.webhook_url` must be a URL that begins with https://",
        ),
    ],
)
def test_a_bad_credit_setting_is_refused_before_any_request(
    settings: dict[str, Any],
    line: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a request was sent")

    monkeypatch.setattr(requests.Session, "send", refuse)
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k", **settings})
    assert line in raised.value.message
    assert len(raised.value.message.splitlines()) == 1
    assert "sk_live" not in raised.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"credit_streams": ["organizations", "organization_details"], "organization_searches": [COMPANIES]},
        {"credit_streams": ["news_articles"], "organization_ids": [AN_ID]},
        {"credit_streams": ["person_details"], "people_searches": [SEARCH]},
        {"credit_streams": ["organization_enrichment", "conversation_details", "conversation_exports"]},
        enrichment(reveal_phone_number=True, webhook_url="https://a.test"),
        enrichment(run_waterfall_email=True, webhook_url="https://a.test", max_waterfall_credits=5),
        {"max_pages": {"organizations": 1, "person_details": 1}},
        {"credit_budget": 0, "credit_budget_per_cycle": 0, "credit_reserve": 0, "credit_refresh_days": 1},
    ],
)
def test_a_good_credit_setting_is_taken(settings: dict[str, Any]) -> None:
    tap = TapApollo(config={"api_key": "k", **settings})
    assert {*settings.get("credit_streams", ())} <= tap.streams.keys()


def test_without_settings_nothing_may_be_spent() -> None:
    config = TapApollo(config={"api_key": "k"}).config
    assert (config["credit_streams"], config["credit_budget"]) == ([], 0)
