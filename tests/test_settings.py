"""A bad setting is one line that names it and says what to do; none of them sends a request or tells a secret."""

from __future__ import annotations

import datetime
import json
import re
from typing import TYPE_CHECKING, Any, cast

import pytest
import requests

from tap_apollo.api.errors import SettingsError
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.singer.conform import timestamp
from tap_apollo.streams import REFRESHED, STREAMS
from tap_apollo.tap import TapApollo

if TYPE_CHECKING:
    from tap_apollo.singer.stream import ApolloStream

SECRET = "sk_live_do not print"  # noqa: S105
SEARCH = {"name": "a", "filters": {"person_titles": ["cto"]}}
COMPANIES = {"name": "a", "filters": {"q_organization_name": "a"}}
AN_ID = "5" * 24
A_MINUTE = datetime.timedelta(minutes=1)
ENRICHMENT = {"credit_streams": ["people_enrichment"]}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({}, "Setting `api_key` is missing: set it, or `access_token` or `refresh_token` for OAuth."),
        ({"api_key": None}, "Setting `api_key` is missing: set it, or `access_token` or `refresh_token` for OAuth."),
        ({"api_key": ""}, "Setting `api_key` must not be empty."),
        (
            {"api_key": SECRET},
            "`api_key` must be visible ASCII characters only, without a space or a line break: copy it",
        ),
        ({"api_key": "••••1234"}, "Setting `api_key` must be visible ASCII characters only"),
        ({"api_key": "k", "lookback_days": 10**6}, "Setting `lookback_days` must be 3,650 or less."),
        ({"api_key": "k", "request_timeout": 10**14}, "Setting `request_timeout` must be 3,600 or less."),
        ({"api_key": "k", "start_date": "0001-01-01T00:00:00+02:00"}, "Setting `start_date` must be an ISO 8601"),
        (
            {"api_key": "k", "api_url": "https://me:sk_live_do@host/v1"},
            "Setting `api_url` must be a URL",
        ),
        ({"api_key": "k", "full_refresh_days": {"account": 1}}, "names account, no stream that it applies to: did you"),
        ({"api_key": [SECRET]}, "Setting `api_key` must be text."),
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
        ({"refresh_token": SECRET, "client_id": "i", "client_secret": "s"}, "`refresh_token` must be visible ASCII"),
        ({"refresh_token": "t", "client_id": "i", "client_secret": SECRET}, "`client_secret` must be visible ASCII"),
        (
            {"api_key": "k", "oauth_token_file": "t.json"},
            "Setting `oauth_token_file` needs `refresh_token`: set that, or remove `oauth_token_file`.",
        ),
        ({"api_key": "k", "oauth_token_file": ""}, "Setting `oauth_token_file` must not be empty."),
        ({"api_key": "k", "max_concurrent_requests": 0}, "Setting `max_concurrent_requests` must be 1 or more."),
        ({"api_key": "k", "max_concurrent_requests": 101}, "Setting `max_concurrent_requests` must be 100 or less."),
        ({"api_key": "k", "max_concurrent_requests": "4"}, "Setting `max_concurrent_requests` must be a whole number."),
        ({"api_key": "k", "max_wait_seconds": -1}, "Setting `max_wait_seconds` must be 0 or more."),
        (
            {"api_key": "k", "stream_maps": {"contacts": 7}},
            "Setting `stream_maps.contacts` must be one of __NULL__, an object.",
        ),
        ({"api_key": "k", "faker_config": {"locale": 7}}, "Setting `faker_config.locale` must be one of text, a list."),
        ({"apikey": SECRET}, "Unknown setting `apikey`: did you mean `api_key`?"),
        ({"api_key": "k", "zebra": 1}, "Unknown setting `zebra`: remove it, or see `tap-apollo --about`"),
        ({"api_key": "k", "lookback_days": -1}, "Setting `lookback_days` must be 0 or more."),
        ({"api_key": "k", "lookback_days": "ten"}, "Setting `lookback_days` must be a whole number."),
        ({"api_key": "k", "request_timeout": 0}, "Setting `request_timeout` must be 1 or more."),
        ({"api_key": "k", "strict": "yes"}, "Setting `strict` must be true or false."),
        ({"api_key": "k", "custom_fields": "names"}, "Setting `custom_fields` must be one of labels, raw."),
        ({"api_key": "k", "api_url": "api.apollo.io"}, "Setting `api_url` must"),
        ({"api_key": "k", "user_agent": "a\nb"}, "Setting `user_agent` must be visible ASCII characters and spaces."),
        ({"api_key": "k", "start_date": "yesterday"}, "Setting `start_date` must be an ISO 8601 timestamp"),
        (
            {"api_key": "k", "max_pages": {"contact": 1}},
            "names contact, no stream that it applies to: did you mean contacts?",
        ),
        (
            {"api_key": "k", "max_pages": {"lists": 1}},
            "`max_pages` names lists, no stream that it applies to: remove it.",
        ),
        ({"api_key": "k", "max_pages": {"contacts": 0}}, "Setting `max_pages.contacts` must be 1 or more."),
        ({"api_key": "k", "people_searches": [{"name": "a"}]}, "Setting `people_searches.0` needs `filters`: add it."),
        (
            {"api_key": "k", "people_searches": [{"name": "a", "filters": {}}]},
            "`a` has no filters: add one, as without any it",
        ),
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


def test_every_unknown_setting_has_a_line_of_its_own() -> None:
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k", "start_dat": 1, "zebra": 2, "emit_activate_version_messages": True})
    assert raised.value.message.splitlines() == [
        "Unknown setting `emit_activate_version_messages`: remove it, or see `tap-apollo --about` for the settings.",
        "Unknown setting `start_dat`: did you mean `start_date`?",
        "Unknown setting `zebra`: remove it, or see `tap-apollo --about` for the settings.",
    ]


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("lookback_days", "sk_live", "a whole number"),
        ("max_pages", "sk_live", "an object, written as JSON"),
        ("people_searches", "{sk_live", "a list, written as JSON"),
        ("people_enrichment", "{sk_live", "an object, written as JSON"),
    ],
)
def test_a_variable_that_cannot_be_read_is_named(
    name: str, value: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"TAP_APOLLO_{name.upper()}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k"}, parse_env_config=True)
    assert raised.value.message == f"Setting `{name}` in the environment ({variable}) must be {kind}."


@pytest.mark.parametrize("setting", ["api_key", "access_token", "user_agent", "api_url", "organization_ids", "domains"])
def test_a_line_break_at_the_end_is_seen(setting: str) -> None:
    """As a key that was read from a file has it: it would be refused where it is sent."""
    good: dict[str, Any] = {"organization_ids": [AN_ID], "domains": ["apollo.io"], "api_url": "https://a.io/api/v1"}
    value = good.get(setting, "a")
    config = {**({} if "token" in setting else {"api_key": "k"}), setting: value}
    TapApollo(config=config)
    with pytest.raises(SettingsError, match=f"`{setting}") as raised:
        TapApollo(config={**config, setting: [f"{value[0]}\n"] if isinstance(value, list) else f"{value}\n"})
    assert raised.value.message.count("\n") == 0


@pytest.mark.parametrize(
    ("maps", "line"),
    [
        ({"contract": {"id": "id"}}, "names contract, which is no stream: did you mean `contacts`?"),
        ({"zebra": None}, "names zebra, which is no stream: remove it."),
        ({"callers": {"__source__": "call"}}, "names call, which is no stream: did you mean `calls`?"),
        ({"contacts": {"emial": None}}, "removes `emial`, which is no column of contacts: did you mean `email`?"),
        ({"contacts": {"emial": "__NULL__"}}, "removes `emial`, which is no column of contacts: did you mean `email`?"),
        ({"contacts": {"id": None}}, "cannot be used for contacts: its key must stay (id)."),
        ({"contacts": {"__else__": None}}, "cannot be used for contacts: its key must stay (id)."),
        (
            {"contacts": {"email": "sha256('pepper' + email"}},
            "cannot be used for contacts: an expression is malformed.",
        ),
    ],
)
def test_a_stream_map_that_cannot_work_is_one_line(maps: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k", "stream_maps": maps})
    assert raised.value.message == f"Setting `stream_maps` {line}"


@pytest.mark.parametrize(
    "maps", [{"*": {"name": None}}, {"notes": {"content": None}}, {"people_enrichment": {"email": None}}]
)
def test_a_stream_map_may_be_for_a_stream_that_is_not_selected(maps: dict[str, Any]) -> None:
    tap = TapApollo(config={"api_key": "k", "stream_maps": maps})
    assert not any(stream.selected for name, stream in tap.streams.items() if name in maps)


def test_variables_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: dict[str, Any] = {"api_key": "k", "lookback_days": 7, "strict": True, "max_pages": {"contacts": 2}}
    for name, value in wanted.items():
        monkeypatch.setenv(f"TAP_APOLLO_{name.upper()}", value if isinstance(value, str) else json.dumps(value))
    config = TapApollo(parse_env_config=True).config
    assert {name: config[name] for name in wanted} == wanted


def from_now(**time: float) -> str:
    return (datetime.datetime.now(tz=datetime.timezone.utc) + datetime.timedelta(**time)).isoformat()


@pytest.mark.parametrize("start", ["2062-01-01", "2099-12-31T23:59:59.999-12:00", 24.1])
def test_a_start_that_is_yet_to_come_is_refused_with_the_time_that_the_machine_has(start: str | float) -> None:
    start = start if isinstance(start, str) else from_now(hours=start)
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k", "start_date": start})
    found = re.fullmatch(
        r"Setting `start_date` is (\S+)Z, more than a day ahead of this machine's clock \((\S+)Z\): correct the one "
        r"that is wrong\.",
        raised.value.message,
    )
    assert found
    assert found[1] == timestamp(start)[:19]
    assert abs(datetime.datetime.fromisoformat(found[2]) - datetime.datetime.fromisoformat(from_now()[:19])) < A_MINUTE


@pytest.mark.parametrize("hours", [-1, 0, 23])
def test_a_start_of_today_is_taken_wherever_the_day_begins(hours: int) -> None:
    start = from_now(hours=hours)
    assert TapApollo(config={"api_key": "k", "start_date": start}).config["start_date"] == start


class TestFullRefreshDays:
    @pytest.mark.parametrize(
        ("given", "days"),
        [
            (None, {"accounts": 1}),
            ({}, {"accounts": 1}),
            ({"contacts": 7}, {"accounts": 1, "contacts": 7}),
            ({"accounts": 30}, {"accounts": 30}),
            ({"accounts": 0, "notes": None}, {"accounts": 0}),
            ({"accounts": None}, {}),
            ({"accounts": None, "deal_details": 7}, {"deal_details": 7}),
        ],
    )
    @pytest.mark.parametrize("source", ["file", "environment"])
    def test_what_is_set_is_added_to_the_default(
        self, given: dict[str, int | None] | None, days: dict[str, int], source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TAP_APOLLO_API_KEY", "k")
        config = {"full_refresh_days": given} if source == "file" else {}
        if source == "environment" and given is not None:
            monkeypatch.setenv("TAP_APOLLO_FULL_REFRESH_DAYS", json.dumps(given))
        tap = TapApollo(config=config, parse_env_config=True)
        held = {name: cast("ApolloStream", stream).io().refresh_days for name, stream in tap.streams.items()}
        assert {name: after for name, after in held.items() if after is not None} == days

    def test_it_is_for_streams_that_read_only_what_is_new(self) -> None:
        lists = {"contacts", "accounts", "outreach_emails", "calls", "conversations"}
        about_each = {name for name, stream in STREAMS.items() if isinstance(stream.reads, PerRecord)}
        assert {*REFRESHED} == lists | about_each

    @pytest.mark.parametrize("stream", sorted(STREAMS.keys() - {*REFRESHED}))
    @pytest.mark.parametrize("days", [7, None])
    def test_elsewhere_it_is_refused_as_it_would_do_nothing(self, stream: str, days: int | None) -> None:
        with pytest.raises(SettingsError) as raised:
            TapApollo(config={"api_key": "k", "full_refresh_days": {stream: days}})
        said = f"Setting `full_refresh_days` names {stream}, no stream that it applies to"
        assert raised.value.message.startswith(said)

    @pytest.mark.parametrize("days", ["7", 1.5, True, [7]])
    def test_it_is_a_whole_number_or_null(self, days: Any) -> None:
        with pytest.raises(SettingsError) as raised:
            TapApollo(config={"api_key": "k", "full_refresh_days": {"contacts": days}})
        assert raised.value.message == "Setting `full_refresh_days.contacts` must be a whole number or null."


@pytest.mark.parametrize("credential", ["api_key", "access_token"])
def test_one_credential_is_enough(credential: str) -> None:
    tap = TapApollo(config={credential: "k", "start_date": "2026-01-31"})
    assert tap.config["lookback_days"] == 30


def test_a_refresh_token_is_enough_with_its_app() -> None:
    config = {"refresh_token": "t", "client_id": "i", "client_secret": "s", "oauth_token_file": "tokens.json"}
    assert TapApollo(config=config).services.credential == "refresh_token"
    assert TapApollo(config={**config, "access_token": "a"}).services.credential == "refresh_token"


def enrichment(**options: Any) -> dict[str, Any]:
    return {"credit_streams": ["people_enrichment"], "people_enrichment": {"from": "contacts", **options}}


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"credit_streams": "organizations"}, "Setting `credit_streams` must be a list."),
        ({"credit_streams": [7]}, "Setting `credit_streams.0` must be text."),
        ({"credit_streams": ["contacts"]}, "names contacts, no stream that costs credits: remove it. Those that do:"),
        ({"credit_streams": ["organisations"]}, "no stream that costs credits: did you mean organizations?"),
        ({"credit_streams": ["enrichment_results"]}, "names enrichment_results, no stream that costs credits"),
        (
            {"credit_streams": ["person_details", "person_details"], "person_ids": [AN_ID]},
            "Setting `credit_streams` names person_details twice: remove one.",
        ),
        ({"credit_streams": ["organizations"]}, "has nothing to ask for: set `organization_searches`."),
        ({"credit_streams": ["person_details"]}, "has nothing to ask for: set `person_ids` or `people_searches`."),
        ({"credit_streams": ["people_enrichment"]}, "has nothing to ask for: set `people_enrichment.from`."),
        ({**ENRICHMENT, "people_enrichment": {}}, "has nothing to ask for: set `people_enrichment.from`."),
        *(
            (
                {"credit_streams": [stream]},
                f"names {stream}, which has nothing to ask for: set `organization_ids`, or add organizations to",
            )
            for stream in ("organization_details", "organization_job_postings", "news_articles")
        ),
        ({"credit_budget": -1}, "Setting `credit_budget` must be 0 or more."),
        ({"credit_budget": "10"}, "Setting `credit_budget` must be a whole number."),
        ({"credit_budget": 1.5}, "Setting `credit_budget` must be a whole number."),
        ({"credit_budget_per_cycle": -1}, "Setting `credit_budget_per_cycle` must be 0 or more."),
        ({"credit_budget_per_cycle": "10"}, "Setting `credit_budget_per_cycle` must be a whole number."),
        ({"credit_reserve": -1}, "Setting `credit_reserve` must be 0 or more."),
        ({"credit_reserve": True}, "Setting `credit_reserve` must be a whole number."),
        ({"credit_refresh_days": 0}, "Setting `credit_refresh_days` must be 1 or more."),
        ({"credit_refresh_days": "30"}, "Setting `credit_refresh_days` must be a whole number."),
        ({"credit_budgets": 5}, "Unknown setting `credit_budgets`: did you mean `credit_budget`?"),
        ({"max_pages": {"organizations": 0}}, "Setting `max_pages.organizations` must be 1 or more."),
        ({"max_pages": {"organisations": 1}}, "Setting `max_pages` names organisations, no stream that it applies"),
        ({"full_refresh_days": {"person_detail": 1}}, "names person_detail, no stream that it applies to"),
        ({"organization_searches": [{"name": "a"}]}, "Setting `organization_searches.0` needs `filters`: add it."),
        ({"organization_searches": [{"filters": {"a": 1}}]}, "Setting `organization_searches.0` needs `name`: add it."),
        ({"organization_searches": [{**COMPANIES, "name": ""}]}, "`organization_searches.0.name` must not be empty."),
        ({"organization_searches": [{"name": "a", "filters": {}}]}, "the search `a` has no filters: add one, as"),
        ({"organization_searches": [COMPANIES, COMPANIES]}, "`organization_searches` holds two searches named `a`"),
        ({"organization_searches": [{**COMPANIES, "max_pages": 0}]}, "`organization_searches.0.max_pages` must be 1"),
        ({"organization_searches": [{**COMPANIES, "pages": 1}]}, "Unknown setting `organization_searches.0.pages`"),
        (
            {"organization_searches": [{"name": "a", "filters": {"organization_location[]": ["x"]}}]},
            "a filter `organization_location`, which Apollo would ignore: did you mean `organization_locations`?",
        ),
        ({"organization_ids": ["5"]}, "`organization_ids.0` must be an id of Apollo's, 24 hex digits."),
        ({"organization_ids": [AN_ID[1:] + "G"]}, "`organization_ids.0` must be an id of Apollo's, 24 hex digits."),
        ({"organization_ids": AN_ID}, "Setting `organization_ids` must be a list."),
        ({"person_ids": ["../users"]}, "`person_ids.0` must be an id of Apollo's, 24 hex digits."),
        ({"domains": ["https://me@apollo.io/"]}, "`domains.0` must be a domain such as apollo.io, without"),
        ({"domains": ["me@apollo.io"]}, "`domains.0` must be a domain such as apollo.io, without"),
        ({"domains": ["apollo"]}, "`domains.0` must be a domain such as apollo.io, without"),
        ({"news": {"category": ["hires"]}}, "Unknown setting `news.category`"),
        ({"news": {"categories": [""]}}, "Setting `news.categories.0` must not be empty."),
        (enrichment(**{"from": "leads"}), "Setting `people_enrichment.from` must be one of details, contacts, people."),
        (enrichment(reveal_phone=True), "Unknown setting `people_enrichment.reveal_phone`"),
        (
            enrichment(**{"from": "details"}),
            "`people_enrichment.from` is details: list the persons in `people_enrichment.details`.",
        ),
        (
            enrichment(**{"from": "details", "details": []}),
            "`people_enrichment.from` is details: list the persons in `people_enrichment.details`.",
        ),
        (
            enrichment(details=[{"email": "a@b.c"}]),
            "Setting `people_enrichment.details` is not used: set `people_enrichment.from` to",
        ),
        (enrichment(**{"from": "details", "details": [{}]}), "`people_enrichment.details` has an empty entry: fill or"),
        (
            enrichment(**{"from": "details", "details": [{"mail": "a@b.c"}]}),
            "Unknown setting `people_enrichment.details.0.mail`",
        ),
        (
            enrichment(**{"from": "details", "details": [{"email": ""}]}),
            "Setting `people_enrichment.details.0.email` must not be empty.",
        ),
        (
            enrichment(**{"from": "people"}),
            "`people_enrichment.from` is people: set `people_searches`, which finds them.",
        ),
        (
            enrichment(reveal_phone_number="yes"),
            "Setting `people_enrichment.reveal_phone_number` must be true or false.",
        ),
        *(
            (
                enrichment(**{reveal: True, "max_waterfall_credits": 5}),
                "`people_enrichment.webhook_url` is missing: Apollo wants",
            )
            for reveal in ("reveal_phone_number", "run_waterfall_email", "run_waterfall_phone")
        ),
        *(
            (
                enrichment(**{run: True, "webhook_url": "https://a.test"}),
                "`people_enrichment.max_waterfall_credits` is missing:",
            )
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
        enrichment(details=None, webhook_url=None),  # as Meltano gives what is not set
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
