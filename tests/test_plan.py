"""``--plan``: what a sync would do, told by free requests, and true when the sync is run."""

from __future__ import annotations

import json
import math
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api import client
from tap_apollo.api.errors import ApolloError, decode
from tap_apollo.api.rate_limits import DAY, HOUR, MINUTE, WindowState, read_windows, seconds_for
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tap_apollo.tap import TapApollo
from tests.conftest import BUYING, SEARCHES
from tests.singer import config_for, sync
from tests.test_cli import last_line, tap
from tests.test_credit_streams import PAYS_AT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def own() -> Iterator[Sandbox]:
    with Sandbox(Settings(contacts=850, now="real", forbid=("tasks/search", "people/show"))).serve() as running:
        yield running


BY_DEFAULT = {name for name, stream in STREAMS.items() if stream.selected_by_default}


def planned(sandbox: Sandbox, state: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    made = TapApollo(config=config_for(sandbox, **settings), state=state).plan()
    content: dict[str, Any] = json.loads(made.to_json())
    content["streams"] = {one["stream"]: one for one in content["streams"]}
    return content


def test_a_plan_covers_every_stream_by_two_free_requests_each_at_most(own: Sandbox) -> None:
    plan = planned(own, **BUYING, credit_budget=100)
    assert plan["streams"].keys() == BY_DEFAULT
    ledger = own.ledger.as_dict()
    assert ledger["credits_spent"] == 0
    assert ledger["requests_total"] <= 2 * len(STREAMS)


def test_the_plan_names_the_missing_scope_of_free_streams_and_of_those_that_cost(own: Sandbox) -> None:
    streams = planned(own, **BUYING, credit_budget=1)["streams"]
    assert {name for name, one in streams.items() if one["readable"] is False} == {"tasks", "person_details"}
    assert "api/v1/tasks/search" in streams["tasks"]["problem"]
    assert "api/v1/people/show" in streams["person_details"]["problem"]


def test_a_stream_whose_reply_is_of_an_unknown_form_hides_no_other(
    own: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "decode", lambda response: {} if "users/search" in response.url else decode(response))
    streams = planned(own)["streams"]
    assert streams["users"]["problem"] == "users/search gave a reply of an unknown form (KeyError)."
    assert streams["contacts"]["records"] == 850


@pytest.mark.parametrize("streams", [("contacts",), ("accounts",), ("deals",), ("calls",), ("users",), ("people",)])
def test_a_sync_takes_what_the_plan_says(streams: tuple[str, ...]) -> None:
    with Sandbox(Settings(contacts=850, now="real", tie_size=1)).serve() as sandbox:
        plan = planned(sandbox, people_searches=SEARCHES)["streams"][streams[0]]
        sandbox.reset()
        run = sync(sandbox, *streams, people_searches=SEARCHES, custom_fields="raw")
        assert len(run.records[streams[0]]) == plan["records"]
        again = streams[0] == "accounts"  # whose order shows no ties: the edge of two pages may be read twice
        assert plan["requests"] <= sandbox.ledger.requests_total <= plan["requests"] + again


def test_with_a_state_only_what_is_new_is_planned(own: Sandbox) -> None:
    state = sync(own, "contacts").state
    own.edit(30)
    plan = planned(own, state=state)["streams"]
    assert plan["contacts"]["records"] < 100
    assert plan["contacts"]["requests"] == 1
    assert plan["accounts"]["requests"] > 1


def test_a_stopped_walk_is_planned_from_where_it_stopped(own: Sandbox) -> None:
    state = sync(own, "contacts", max_pages={"contacts": 4}).state
    assert 450 <= planned(own, state=state)["streams"]["contacts"]["records"] < 850 - 200


def test_the_page_limit_is_planned(own: Sandbox) -> None:
    plan = planned(own, max_pages={"contacts": 3})["streams"]["contacts"]
    assert (plan["requests"], plan["note"]) == (3, "`max_pages` allows 3 of 9 pages")


def test_credits_are_planned_at_their_worst_within_the_limits(own: Sandbox) -> None:
    domains = [f"company{number}.example" for number in range(25)]
    buying: dict[str, Any] = {"credit_streams": ["organization_enrichment"], "domains": domains}
    plan = planned(own, **buying, credit_budget=100)
    assert plan["streams"]["organization_enrichment"]["credits"] == 25
    assert plan["streams"]["organization_enrichment"]["requests"] == 3
    assert plan["credits"] == 25
    small = planned(own, **buying, credit_budget=7)
    assert small["credits"] == 7
    assert small["streams"]["organization_enrichment"]["requests"] == 1
    assert small["streams"]["organization_enrichment"]["note"] == "credits for 7 of 25 organizations"
    assert planned(own, **buying, credit_budget=100, credit_budget_per_cycle=9)["credits"] == 9
    assert planned(own, **buying, credit_budget=100, credit_reserve=9_999)["credits"] == 1
    assert planned(own, **buying)["credits"] == 0
    limits = planned(own, **buying, credit_budget=7, credit_budget_per_cycle=9)["credit_limits"]
    assert limits == {
        "credit_budget": 7,
        "credit_budget_per_cycle": 9,
        "spent_in_cycle": 0,
        "credit_budget_per_month": None,
        "spent_in_month": 0,
        "balance": 10_000,
        "credit_reserve": 0,
    }


def test_phone_numbers_are_planned_at_nine_credits_each(own: Sandbox) -> None:
    options = {"from": "details", "details": [{"email": "a@b.example"}, {"id": "5" * 24}]}
    phone = {"reveal_phone_number": True, "webhook_url": "https://hooks.example/apollo"}
    plan = planned(own, credit_streams=["people_enrichment"], people_enrichment={**options, **phone}, credit_budget=50)
    assert plan["credits"] == 18


def test_what_was_bought_is_not_planned_again(own: Sandbox) -> None:
    people = own.world.people
    domains = [people.company(number).domain for number in range(20)]
    buying: dict[str, Any] = {
        "credit_streams": ["organization_enrichment"],
        "domains": domains,
        "credit_budget": 10,
    }
    state = sync(own, "organization_enrichment", state=None, **buying).state
    assert planned(own, state=state, **buying)["streams"]["organization_enrichment"]["credits"] == 10


#: The sandbox's names of the endpoints that charge, and filters that find everything.
CHARGED = {*PAYS_AT.values()}
EVERYTHING = {"filters": {"organization_num_employees_ranges": ["1,1000000"]}}


def test_nothing_that_could_be_charged_is_asked_without_a_budget(own: Sandbox) -> None:
    streams = planned(own, **BUYING)["streams"]
    assert {streams[name]["readable"] for name in CREDIT_STREAMS} == {None}
    assert sum(own.ledger.as_dict()["requests"].get(action, 0) for action in CHARGED) == 0


def test_with_a_budget_only_what_apollo_refuses_by_its_reference(own: Sandbox) -> None:
    streams = planned(own, **BUYING, credit_budget=9)["streams"]
    assert {name for name in CREDIT_STREAMS if streams[name]["readable"] is None} == {"organizations"}
    asked = own.ledger.as_dict()["requests"]
    assert {action for action in CHARGED if action in asked} == CHARGED - {"mixed_companies/search"}
    assert own.ledger.credits_spent == 0


def test_a_stream_that_was_not_asked_is_said_to_be(own: Sandbox) -> None:
    made = TapApollo(config=config_for(own, **BUYING)).plan()
    (line,) = [line for line in made.to_table().splitlines() if line.startswith("organizations ")]
    assert line.split()[1:3] == ["not", "asked"]


def test_what_follows_from_a_purchase_is_planned(own: Sandbox) -> None:
    searches = [{"name": "a", **EVERYTHING, "max_pages": 2}]
    buying: dict[str, Any] = {"credit_streams": ["organizations", "organization_details"], "credit_budget": 1_000}
    plan = planned(own, **buying, organization_searches=searches)
    assert plan["credits"] == 202
    assert plan["streams"]["organization_details"]["credits"] == 200
    run = sync(own, *buying["credit_streams"], **buying, organization_searches=searches)
    assert own.ledger.credits_spent == 202
    again = planned(own, **buying, organization_searches=searches, state=run.state)
    assert again["credits"] == 202


def test_what_is_not_known_is_planned_as_the_limits_allow(own: Sandbox) -> None:
    searches = [{"name": "a", **EVERYTHING}]
    buying: dict[str, Any] = {"credit_streams": ["organizations"], "credit_budget": 1_000}
    made = TapApollo(config=config_for(own, **buying, organization_searches=searches)).plan()
    assert made.credits == 1_000
    assert "At most 1,000 credits, the limits', as it is not known" in made.to_table()
    limited = {**buying, "max_pages": {"organizations": 7}}
    assert planned(own, **limited, organization_searches=searches)["credits"] == 7
    assert planned(own, **{**buying, "credit_budget": 0}, organization_searches=searches)["credits"] == 0


def test_a_limit_that_cannot_be_checked_is_said_and_the_rest_planned() -> None:
    with Sandbox(Settings(contacts=10, now="real", forbid=("usage_stats/credit_usage_stats",))).serve() as team:
        made = TapApollo(config=config_for(team, **BUYING, credit_budget=9, credit_reserve=5)).plan()
    content = json.loads(made.to_json())
    assert content["credits"] == 0
    assert "credit_limits" not in content
    streams = {one["stream"]: one for one in content["streams"]}
    assert streams["contacts"]["records"] == 10
    assert "`credit_reserve` cannot be checked" in streams["person_details"]["problem"]
    assert "At most 0 credits: nothing is bought, as `credit_reserve` cannot be checked" in made.to_table()


@pytest.fixture(scope="module")
def team() -> Iterator[Sandbox]:
    sizes: dict[str, Any] = {"contacts": 30, "accounts": 20, "conversations": 15, "people": 60, "organizations": 230}
    with Sandbox(Settings(**sizes, now="real", credits=10**9, plan="unlimited")).serve() as running:
        yield running


few = st.none() | st.integers(1, 4)


@hypothesis.settings(
    max_examples=70 if os.environ.get("HYPOTHESIS_PROFILE") == "explore" else 5,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    streams=st.lists(st.sampled_from([*CREDIT_STREAMS]), min_size=1, max_size=4, unique=True),
    pages=st.lists(few, min_size=1, max_size=3),
    ids=st.integers(0, 3),
    source=st.sampled_from(["contacts", "people"]),
    limits=st.dictionaries(st.sampled_from([*CREDIT_STREAMS]), st.integers(1, 4), max_size=3),
    budgets=st.lists(st.integers(0, 60) | st.just(5_000), min_size=1, max_size=3),
    phones=st.booleans(),
)
def test_no_run_spends_more_than_was_planned(
    team: Sandbox,
    *,
    streams: list[str],
    pages: list[int | None],
    ids: int,
    source: str,
    limits: dict[str, int],
    budgets: list[int],
    phones: bool,
) -> None:
    searches = [
        {"name": f"{number}", **EVERYTHING, **({} if limit is None else {"max_pages": limit})}
        for number, limit in enumerate(pages)
    ]
    phone = {"reveal_phone_number": True, "webhook_url": "https://hooks.example.test/a"}
    buying: dict[str, Any] = {
        "credit_streams": streams,
        "organization_searches": searches,
        "organization_ids": [team.world.people.company(serial).organization_id for serial in range(ids)],
        "people_searches": [{"name": "all", "filters": {"person_titles": ["e"]}}],
        "people_enrichment": {"from": source, **(phone if phones else {})},
        "max_pages": limits,
    }
    if not ids and {"organization_details", "organization_job_postings", "news_articles"} & {*streams}:
        buying["credit_streams"] = [*streams, *({"organizations"} - {*streams})]
    state = None
    for budget in budgets:
        state = json.loads(json.dumps(state))
        plan = planned(team, **buying, credit_budget=budget, state=state)
        team.ledger.reset()
        run = sync(team, *buying["credit_streams"], **buying, credit_budget=budget, state=state)
        assert run.error is None
        assert team.ledger.credits_spent <= plan["credits"] <= budget
        by_stream = sum(one["credits"] for one in plan["streams"].values())
        assert plan["at_least"] or plan["credits"] <= by_stream
        state = run.states[-1] if run.states else state


def test_the_minutes_follow_from_what_the_windows_have_left() -> None:
    limit = ("contacts/search=10/20/0",)
    with Sandbox(Settings(contacts=4_000, now="real", limit=limit)).serve() as sandbox:
        plan = planned(sandbox)["streams"]["contacts"]
    assert plan["requests"] == 40
    assert plan["windows"] == {"minute": {"limit": 10, "left": 9}, "hour": {"limit": 20, "left": 19}}
    assert plan["minutes"] == 120  # 19 now, 20 after an hour, the last after two


@pytest.mark.parametrize(
    ("count", "seconds"),
    [(0, 0), (9, 0), (10, 60), (19, 60), (20, 3600), (39, 3600), (40, 7200)],
)
def test_requests_beyond_what_is_left_wait_for_the_next_window(count: int, seconds: int) -> None:
    assert seconds_for(count, [WindowState(MINUTE, 10, 9), WindowState(HOUR, 20, 19)]) == seconds


def test_an_unlimited_window_has_empty_headers() -> None:
    headers = {"x-rate-limit-minute": "1000", "x-minute-requests-left": "999", "x-rate-limit-hourly": ""}
    assert read_windows(headers) == [WindowState(MINUTE, 1000, 999)]
    assert read_windows({"x-rate-limit-24-hour": "50", "x-24-hour-requests-left": "-"}) == []
    assert read_windows({"x-rate-limit-24-hour": "50", "x-24-hour-requests-left": "7"}) == [WindowState(DAY, 50, 7)]


def test_the_command_prints_a_table_that_ends_with_the_sums(tmp_path: Path, own: Sandbox) -> None:
    settings = {**BUYING, "credit_budget": 40, "credit_budget_per_cycle": 300, "credit_reserve": 100}
    done = tap("--plan", config=config_for(own, **settings), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    table, _, sums = done.stdout.partition("\n\n")
    assert [line.split()[0] for line in table.splitlines()[1:]] == [
        *sorted({*BY_DEFAULT} - {*CREDIT_STREAMS, "enrichment_results", "credit_usage_stats"}),
        *CREDIT_STREAMS,
        "enrichment_results",
        "credit_usage_stats",
    ]
    contacts = next(line for line in table.splitlines() if line.startswith("contacts "))
    assert contacts.split()[1:6] == ["yes", "850", "9", "<1", "0"]
    assert sums.splitlines()[1] == (
        "At most 40 credits, the limits', as it is not known how much there is to buy. "
        "`credit_budget` is 40; 300 of 300 credits of `credit_budget_per_cycle` are left; "
        "the team has 10,000 credits left, and `credit_reserve` is 100."
    )
    assert "METRIC" not in done.stderr


def test_the_command_prints_json_for_machines_and_takes_a_state_as_meltano_prints_it(
    tmp_path: Path, own: Sandbox
) -> None:
    state = {"singer_state": sync(own, "contacts").state}
    (tmp_path / "state.json").write_text(json.dumps(state), encoding="utf-8")
    done = tap("--plan", "--format=json", "--state=state.json", config=config_for(own), folder=tmp_path)
    streams = {one["stream"]: one for one in json.loads(done.stdout)["streams"]}
    assert streams["contacts"]["requests"] == 1
    assert streams["deals"]["requests"] == math.ceil(streams["deals"]["records"] / 100)


def test_a_wrong_key_is_one_line(tmp_path: Path, own: Sandbox) -> None:
    done = tap("--plan", config={**config_for(own), "api_key": "wrong-key-of-mine"}, folder=tmp_path)
    assert done.returncode == 1
    assert last_line(done).startswith("Error: Apollo does not accept the credentials (401)")


def test_an_apollo_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))
    url = "http://127.0.0.1:9/api/v1"
    with pytest.raises(ApolloError) as raised:
        TapApollo(config={"api_key": "k", "api_url": url}).plan()
    assert raised.value.message == f"Apollo cannot be reached at {url}: check `api_url` and the network."
