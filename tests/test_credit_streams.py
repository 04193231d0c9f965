"""What costs credits: no limit is ever passed, nothing is paid for twice, and in the end everything is there."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import json
import os
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api import client
from tap_apollo.api.errors import ApolloError, SyncError, decode
from tap_apollo.readers.purchase import Purchase, Records
from tap_apollo.readers.tolerance import MOST_FAILURES
from tap_apollo.services import Services
from tap_apollo.singer.conform import Conformed
from tap_apollo.streams import CREDIT_STREAMS, exports
from tap_apollo.streams.exports import Exports
from tap_apollo.tap import TapApollo
from tests.singer import Sync, _Keep, config_for, sync
from tests.states import bookmark, entries, place, placed
from tests.states import spent as spent_in
from tests.test_resume import Seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.singerlib import Message

    from tap_apollo.credits import Price

#: The endpoint at which each stream pays.
PAYS_AT = {
    "organizations": "mixed_companies/search",
    "organization_details": "organizations/show",
    "organization_job_postings": "organizations/job_postings",
    "news_articles": "news_articles/search",
    "organization_enrichment": "organizations/bulk_enrich",
    "person_details": "people/show",
    "people_enrichment": "people/bulk_match",
    "conversation_details": "conversations/show",
    "conversation_exports": "conversations/export",
}
METER = "usage_stats/credit_usage_stats"
NOBODY = "0" * 24
SMALL: dict[str, Any] = {
    "contacts": 12,
    "accounts": 8,
    "conversations": 10,
    "people": 30,
    "organizations": 230,
    "now": "real",
    "plan": "unlimited",
}
UNREADABLE_METER: list[dict[str, Any]] = [
    {"kind": "status", "status": 404},
    {"kind": "cloudflare"},
    {"kind": "hollow"},
]
PHONES = {"reveal_phone_number": True, "webhook_url": "https://hooks.example.test/a"}


@contextlib.contextmanager
def apollo(seconds: Callable[[], float] | None = None, **settings: Any) -> Iterator[Sandbox]:
    more = {} if seconds is None else {"monotonic": seconds}
    with Sandbox(Settings(**{**SMALL, **settings}), **more).serve() as running:
        yield running


@pytest.fixture(scope="module")
def _team() -> Iterator[Sandbox]:
    with apollo(credits=1_000_000) as running:
        yield running


@pytest.fixture
def own(_team: Sandbox) -> Sandbox:
    """A team with credits enough, of which nothing is spent yet as far as its ledger knows."""
    _team.faults.clear()
    _team.reset()
    return _team


def price_of(stream: str) -> Price:
    reads = CREDIT_STREAMS[stream].reads
    assert isinstance(reads, Purchase)
    return reads.price


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries, and exports that are not ready, are waited for in production."""
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(Exports, "patience", (0,))


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")


def companies(sandbox: Sandbox, count: int = 6) -> list[str]:
    return [sandbox.world.people.company(serial).organization_id for serial in range(count)]


def people(sandbox: Sandbox) -> list[str]:
    return [sandbox.world.people.person(serial).person_id for serial in range(sandbox.world.sizes.people)]


def shopping(sandbox: Sandbox, *streams: str, **settings: Any) -> dict[str, Any]:
    """Settings that let streams buy something of everything."""
    return {
        "credit_streams": list(streams),
        "credit_budget": 1000,
        "organization_searches": [{"name": "all", "filters": {"organization_num_employees_ranges": ["1,1000000"]}}],
        "organization_ids": companies(sandbox),
        "people_searches": [{"name": "all", "filters": {"person_titles": ["e"]}}],
        "people_enrichment": {"from": "contacts"},
        **settings,
    }


def buy(sandbox: Sandbox, *streams: str, state: dict[str, Any] | None = None, **settings: Any) -> Sync:
    """Sync streams that cost credits; the state goes through JSON, as a target would keep it."""
    state = json.loads(json.dumps(state))
    return sync(sandbox, *streams, state=state, **shopping(sandbox, *streams, **settings))


def charged(sandbox: Sandbox) -> collections.Counter[tuple[str, str]]:
    """How often each record was paid for at each endpoint."""
    return collections.Counter(
        (charge["endpoint"], record) for charge in sandbox.ledger.charges for record in charge["records"]
    )


def requests(sandbox: Sandbox, stream: str) -> int:
    return int(sandbox.ledger.as_dict()["requests"].get(PAYS_AT.get(stream, stream), 0))


def booked(state: dict[str, Any] | None) -> int:
    """What the state says was spent."""
    return spent_in(state)


def days_ago(days: int) -> datetime.date:
    return datetime.datetime.now(tz=datetime.timezone.utc).date() - datetime.timedelta(days=days)


def limits_said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if "stopped at a limit" in record.getMessage()]


def keys(stream: str, runs: list[Sync]) -> set[Any]:
    """The primary keys of what the runs wrote; of exports, the conversations in them."""
    rows = [row for run in runs for row in run.records[stream]]
    if stream == "conversation_exports":
        return {one["id"] for row in rows for one in row["conversations"]}
    return {tuple(row[key] for key in CREDIT_STREAMS[stream].primary_keys) for row in rows}


def test_these_are_the_streams_that_cost_credits() -> None:
    assert CREDIT_STREAMS.keys() == PAYS_AT.keys()


class TestWithoutBeingNamed:
    def test_they_are_not_in_the_catalog(self) -> None:
        tap = TapApollo(config={"api_key": "k", "credit_streams": ["person_details"], "person_ids": [NOBODY]})
        assert tap.streams.keys() & CREDIT_STREAMS.keys() == {"person_details"}
        assert not TapApollo(config={"api_key": "k"}).streams.keys() & CREDIT_STREAMS.keys()

    def test_a_catalog_that_selects_them_buys_nothing(self, own: Sandbox) -> None:
        catalog = TapApollo(config=config_for(own, **shopping(own, *PAYS_AT))).catalog_dict
        for entry in catalog["streams"]:
            wanted = entry["tap_stream_id"] in {*PAYS_AT, "users"}
            entry["metadata"].append({"breadcrumb": [], "metadata": {"selected": wanted}})
        config = config_for(own, **{**shopping(own), "credit_streams": []})
        writer = _Keep()
        tap = TapApollo(config=config, catalog=json.loads(json.dumps(catalog)), message_writer=writer)
        tap.sync_all()
        tap.services.session.close()
        assert Sync(writer.messages, None).records.keys() <= {"users"}
        assert own.ledger.credits_spent == 0

    def test_without_a_budget_nothing_is_bought(self, own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        run = buy(own, *PAYS_AT, credit_budget=0)
        assert run.error is None
        assert not any(run.records.values())
        assert own.ledger.credits_spent == 0
        assert not sum(requests(own, stream) for stream in PAYS_AT)
        assert len(limits_said(caplog)) == len(PAYS_AT)

    def test_a_test_of_the_connection_buys_nothing(self, own: Sandbox) -> None:
        details = {"from": "contacts", **PHONES, "run_waterfall_email": True, "max_waterfall_credits": 9}
        tap = TapApollo(config=config_for(own, **shopping(own, *PAYS_AT, people_enrichment=details)))
        assert tap.run_connection_test()
        tap.services.session.close()
        assert own.ledger.credits_spent == 0
        assert not sum(requests(own, stream) for stream in PAYS_AT)


@pytest.mark.parametrize("stream", PAYS_AT)
def test_each_stream_pays_once_for_what_it_writes(
    own: Sandbox,
    stream: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = buy(own, stream)
    assert run.error is None
    assert run.records[stream]
    assert {charge["endpoint"] for charge in own.ledger.charges} == {PAYS_AT[stream]}
    assert own.ledger.credits_spent == booked(run.state)
    assert max(charged(own).values()) == 1
    assert len(keys(stream, [run])) >= len(run.records[stream])
    assert not limits_said(caplog)
    assert any(line.startswith(f"Credits: {own.ledger.credits_spent:,} of 1,000 spent") for line in caplog.messages)

    before = own.ledger.credits_spent
    again = buy(own, stream, state=run.state)
    assert again.error is None
    assert own.ledger.credits_spent == before
    assert booked(again.state) == before
    assert not {row["id"] for row in again.records[stream] if row.get("state") != "failed"}


EXPECTED = {
    "organizations": (230, 3),
    "organization_details": (6, 6),
    "organization_enrichment": (8, 8),
    "person_details": (30, 30),
    "people_enrichment": (12, 12),
}


@pytest.mark.parametrize("stream", EXPECTED)
def test_this_is_what_there_is_and_what_it_costs(own: Sandbox, stream: str) -> None:
    run = buy(own, stream)
    assert (len(run.records[stream]), own.ledger.credits_spent) == EXPECTED[stream]


def test_a_purchase_tells_its_moment(own: Sandbox) -> None:
    rows = buy(own, "person_details").records["person_details"]
    assert all(row["purchased_at"][:10] <= f"{datetime.datetime.now(tz=datetime.timezone.utc):%F}" for row in rows)


def chain(
    sandbox: Sandbox,
    stream: str,
    caplog: pytest.LogCaptureFixture,
    *,
    limit: str,
    most: int,
    **settings: Any,
) -> list[Sync]:
    """Run after run, until one is not stopped by a limit."""
    runs: list[Sync] = []
    for _ in range(40):
        caplog.clear()
        before = sandbox.ledger.credits_spent
        runs.append(buy(sandbox, stream, state=runs[-1].state if runs else None, **settings))
        assert runs[-1].error is None
        assert sandbox.ledger.credits_spent - before <= most
        if not limits_said(caplog):
            return runs
        (line,) = limits_said(caplog)
        assert line.startswith(f"{stream} stopped at a limit: ")
        assert limit in line
        assert "Left for the next run: " in line
        assert any(message.startswith("Credits: ") for message in caplog.messages)
    pytest.fail("no end")


@pytest.mark.matrix
@pytest.mark.parametrize("stream", PAYS_AT)
@pytest.mark.parametrize("limit", ["credit_budget", "max_pages"])
def test_stopped_again_and_again_it_buys_everything_once(
    own: Sandbox,
    stream: str,
    limit: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if limit == "credit_budget":
        budget = 7 if stream == "person_details" else 3 if stream == "people_enrichment" else 2
        runs = chain(
            own,
            stream,
            caplog,
            limit=f"{budget} of {budget} credits of `credit_budget` are spent",
            most=budget,
            credit_budget=budget,
        )
    else:
        pages = 7 if stream == "person_details" else 1 if stream == "people_enrichment" else 2
        named = f"`max_pages.{stream}` is {pages}"
        runs = chain(own, stream, caplog, limit=named, most=20, max_pages={stream: pages})
    assert max(charged(own).values()) == 1
    assert booked(runs[-1].state) == own.ledger.credits_spent
    own.ledger.reset()
    whole = buy(own, stream)
    assert keys(stream, runs) == keys(stream, [whole])


def test_the_cycle_limit_holds_over_runs(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    state = None
    for _ in range(4):
        run = buy(own, "person_details", state=state, credit_budget=3, credit_budget_per_cycle=8)
        assert run.error is None
        state = run.state
    assert own.ledger.credits_spent == 8
    assert "8 of 8 credits of `credit_budget_per_cycle` are spent" in limits_said(caplog)[-1]
    assert "27 people and the records of people that are not read yet" in limits_said(caplog)[0]
    assert "Left for the next run: the records of people that are not read yet." in limits_said(caplog)[-1]
    later = buy(own, "person_details", state=state, credit_budget_per_cycle=10)
    assert len(later.records["person_details"]) == 2


def test_spending_of_a_cycle_before_does_not_count(own: Sandbox) -> None:
    state = buy(own, "person_details", credit_budget=5).state
    spending = state["bookmarks"]["credit_spending"]
    spending["days"] = {f"{days_ago(40)}": {"run": 5}}
    buy(own, "person_details", state=state, credit_budget_per_cycle=5)
    assert own.ledger.credits_spent == 10


def test_the_reserve_is_not_touched(caplog: pytest.LogCaptureFixture) -> None:
    with apollo(credits=100, credits_consumed=50) as team:
        run = buy(team, "person_details", credit_reserve=43)
        assert run.error is None
        assert team.ledger.credits_spent == 7
        assert "the team has 43 credits left, and `credit_reserve` is 43" in limits_said(caplog)[-1]
        assert "23 people" in limits_said(caplog)[-1]
        assert len(buy(team, "person_details", state=run.state, credit_reserve=41).records["person_details"]) == 2
        assert team.ledger.credits_spent == 9


def test_the_streams_share_the_budget_in_the_order_in_which_they_are_named(own: Sandbox) -> None:
    first = buy(own, "person_details", "organization_details", credit_budget=31)
    assert (len(first.records["person_details"]), len(first.records["organization_details"])) == (30, 1)
    other = buy(own, "organization_details", "person_details", credit_budget=31)
    assert (len(other.records["person_details"]), len(other.records["organization_details"])) == (25, 6)


def test_a_search_has_its_own_page_limit_and_the_next_search_goes_on(
    own: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    filters = {"organization_num_employees_ranges": ["1,1000000"]}
    searches = [
        {"name": "a", "filters": filters, "max_pages": 1},
        {"name": "b", "filters": filters},
    ]
    run = buy(own, "organizations", organization_searches=searches)
    rows = collections.Counter(row["search"] for row in run.records["organizations"])
    assert rows == {"a": 100, "b": 230}
    assert "`max_pages` of the search `a` is 1. Left for the next run: the search `a` from page 2" in caplog.text
    again = buy(own, "organizations", organization_searches=searches, state=run.state)
    assert len(again.records["organizations"]) == 100
    assert not {row["id"] for row in again.records["organizations"]} & {
        row["id"] for row in run.records["organizations"] if row["search"] == "a"
    }


def test_a_search_with_new_filters_begins_anew(own: Sandbox) -> None:
    def search(low: int) -> list[dict[str, Any]]:
        return [{"name": "a", "filters": {"organization_num_employees_ranges": [f"{low},1000000"]}}]

    first = buy(own, "organizations", organization_searches=search(1))
    same = buy(own, "organizations", organization_searches=search(1), state=first.state)
    assert not same.records["organizations"]
    changed = buy(own, "organizations", organization_searches=search(2), state=same.state)
    assert len(changed.records["organizations"]) == 230


def test_a_search_whose_filters_apollo_ignores_stops_after_the_page_that_showed_it(
    own: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The page is paid for, so it is written; more is not bought of it, nor about it. The next search goes on."""
    filters = {"organization_ids": companies(own, 3)}
    searches = [{"name": "a", "filters": {"zzz": 1}}, {"name": "b", "filters": filters}]
    streams, settings = ("organizations", "organization_details"), {"organization_ids": list[str]()}
    state, written = None, []
    for _ in range(3):
        run = buy(own, *streams, organization_searches=searches, state=state, **settings)
        assert isinstance(run.error, SyncError)
        written += [row["search"] for row in run.records["organizations"]]
        state = run.state
    assert collections.Counter(written) == {"a": 100, "b": 3}
    assert requests(own, "organizations") == 2
    assert requests(own, "organization_details") == 3
    assert caplog.text.count("Apollo ignores the filters of the search `a`") == 3
    searches[0]["filters"] = {"q_organization_name": "no such name"}
    assert buy(own, *streams, organization_searches=searches, state=state, **settings).error is None


def test_companies_that_a_search_found_are_bought_in_full(own: Sandbox) -> None:
    streams = ("organizations", "organization_details", "organization_job_postings")
    filters = {"organization_ids": companies(own, 3)}
    settings: dict[str, Any] = {"organization_ids": [], "organization_searches": [{"name": "a", "filters": filters}]}
    first = buy(own, *streams, **settings, credit_budget=2)
    assert len(first.records["organization_details"]) == 1
    second = buy(own, *streams, **settings, state=first.state)
    assert not second.records["organizations"]
    assert {row["id"] for run in (first, second) for row in run.records["organization_details"]} == {*companies(own, 3)}
    assert max(charged(own).values()) == 1


def test_a_long_source_is_read_on_where_the_budget_ended() -> None:
    with apollo(contacts=230) as team:
        whole = buy(team, "people_enrichment").ids("people_enrichment")
        team.ledger.reset()
        seen: list[str] = []
        state = None
        for _ in range(4):
            run = buy(team, "people_enrichment", state=state, credit_budget=70)
            state = run.state
            seen += run.ids("people_enrichment")
        assert sorted(seen) == sorted({*whole})
        assert max(charged(team).values()) == 1
        before = requests(team, "contacts/search")
        buy(team, "people_enrichment", state=state)
        assert requests(team, "contacts/search") == before + 1


def test_reading_for_a_purchase_leaves_the_bookmark_of_the_stream_alone(own: Sandbox) -> None:
    state = buy(own, "people_enrichment").state
    assert not state["bookmarks"].get("contacts")
    assert len(sync(own, "contacts", state=state).records["contacts"]) == 12


class TestGoneAndUnknown:
    def test_ids_that_apollo_does_not_have_are_counted_and_not_asked_for_again(
        self,
        own: Sandbox,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        settings: dict[str, Any] = {"organization_ids": [NOBODY, *companies(own, 1)], "person_ids": [NOBODY]}
        run = buy(own, "organization_details", "person_details", **settings)
        assert run.error is None
        assert own.ledger.credits_spent == booked(run.state) == 1
        for stream in ("organization_details", "person_details"):
            units = price_of(stream).units
            assert f"{stream}: Apollo does not know 1 of the {units} that were asked for." in caplog.messages
        again = buy(own, "organization_details", "person_details", **settings, state=run.state)
        assert again.error is None
        assert requests(own, "organization_details") == 2
        assert requests(own, "person_details") == 1

    def test_one_that_apollo_refuses_keeps_no_other_from_being_bought(
        self, own: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        own.faults.add("status", status=422, action=PAYS_AT["organization_details"], after=2, times=1)
        first = buy(own, "organization_details")
        assert isinstance(first.error, SyncError)
        assert len(first.ids("organization_details")) == own.ledger.credits_spent == booked(first.state) == 5
        line = "Stream organization_details failed: 1 organization could not be bought: Apollo refuses the request to "
        assert any(message.startswith(line) for message in caplog.messages)
        second = buy(own, "organization_details", state=first.state)
        assert second.error is None
        bought = [*first.ids("organization_details"), *second.ids("organization_details")]
        assert sorted(bought) == sorted(companies(own))
        assert max(charged(own).values()) == 1

    def test_a_batch_that_apollo_refuses_is_bought_one_by_one(self, own: Sandbox) -> None:
        domains = [own.world.people.company(serial).domain for serial in range(6)]
        own.faults.add("status", status=422, action=PAYS_AT["organization_enrichment"], times=2)
        first = buy(own, "organization_enrichment", domains=domains)
        assert isinstance(first.error, SyncError)
        assert own.ledger.credits_spent == booked(first.state) == len(first.records["organization_enrichment"])
        second = buy(own, "organization_enrichment", domains=domains, state=first.state)
        assert second.error is None
        assert len(second.records["organization_enrichment"]) == 1
        assert max(charged(own).values()) == 1

    @pytest.mark.parametrize("stream", ["people_enrichment", "organization_enrichment", "conversation_details"])
    def test_one_that_another_stream_names_is_asked_for_again(self, own: Sandbox, stream: str) -> None:
        """The place in that stream must not pass it."""
        whole = buy(own, stream)
        own.reset()
        own.faults.add("status", status=422, action=PAYS_AT[stream], times=2 if price_of(stream).batch > 1 else 1)
        first = buy(own, stream)
        assert isinstance(first.error, SyncError)
        second = buy(own, stream, state=first.state)
        assert second.error is None
        assert len({*first.ids(stream)}) == len({*whole.ids(stream)}) - 1
        assert {*first.ids(stream), *second.ids(stream)} == {*whole.ids(stream)}
        assert max(charged(own).values()) == 1

    def test_a_refused_batch_that_a_limit_keeps_from_being_taken_apart_is_said(
        self, own: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        own.faults.add("status", status=422, action=PAYS_AT["organization_enrichment"])
        run = buy(own, "organization_enrichment", max_pages={"organization_enrichment": 1})
        assert isinstance(run.error, SyncError)
        assert any(line.startswith("Stream organization_enrichment failed: Apollo refuses") for line in caplog.messages)

    def test_what_is_left_of_a_batch_that_was_taken_apart_is_said_right(
        self, own: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        domains = [own.world.people.company(serial).domain for serial in range(6)]
        own.faults.add("status", status=422, action=PAYS_AT["organization_enrichment"], times=1)
        limit = {"organization_enrichment": 4}
        run = buy(own, "organization_enrichment", domains=domains, max_pages=limit)
        assert run.error is None
        assert len(run.records["organization_enrichment"]) == 3
        assert "Left for the next run: 3 organizations." in limits_said(caplog)[0]

    @pytest.mark.parametrize("stream", ["organization_details", "organization_enrichment", "person_details"])
    def test_where_apollo_refuses_all_it_is_soon_given_up(self, own: Sandbox, stream: str) -> None:
        own.faults.add("status", status=422, action=PAYS_AT[stream])
        run = buy(own, stream, person_ids=people(own))
        assert isinstance(run.error, SyncError)
        assert requests(own, stream) <= MOST_FAILURES + 1
        assert own.ledger.credits_spent == booked(run.state) == 0

    def test_what_is_not_matched_is_free_and_not_asked_for_again(self, own: Sandbox) -> None:
        details = [{"email": "nobody@example.test"}, {"id": people(own)[0]}, {"id": people(own)[0]}]
        settings: dict[str, Any] = {
            "people_enrichment": {"from": "details", "details": details},
            "domains": ["nobody.example", "WWW.nobody.example"],
        }
        run = buy(own, "people_enrichment", "organization_enrichment", **settings)
        assert run.error is None
        assert run.ids("people_enrichment") == [people(own)[0]]
        assert not run.records["organization_enrichment"]
        assert own.ledger.credits_spent == booked(run.state) == 1
        again = buy(own, "people_enrichment", "organization_enrichment", **settings, state=run.state)
        assert again.error is None
        assert requests(own, "people_enrichment") == requests(own, "organization_enrichment") == 1

    def test_a_company_without_openings_is_free_and_not_asked_again(self, own: Sandbox) -> None:
        run = buy(own, "organization_job_postings")
        assert 0 < own.ledger.credits_spent == booked(run.state) < requests(own, "organization_job_postings") == 6
        buy(own, "organization_job_postings", state=run.state)
        assert requests(own, "organization_job_postings") == 6

    def test_an_empty_page_of_a_search_is_free(self, own: Sandbox) -> None:
        searches = [{"name": "a", "filters": {"q_organization_name": "no such name"}}]
        run = buy(own, "organizations", organization_searches=searches)
        assert run.error is None
        assert own.ledger.credits_spent == booked(run.state) == 0
        buy(own, "organizations", organization_searches=searches, state=run.state)
        assert requests(own, "organizations") == 1

    @pytest.mark.parametrize(
        "stub",
        [
            {"id": "5" * 24, "email": "walt@example.test"},
            {"id": "5" * 24, "name": "Walt", "match_confidence": "none"},
        ],
    )
    @pytest.mark.parametrize("consumed", [11, 10.5, None])
    def test_a_stub_is_no_row_and_settled_as_apollo_says(
        self,
        own: Sandbox,
        stub: dict[str, Any],
        consumed: float | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def with_a_stub(response: Any) -> Any:
            reply = decode(response)
            if "bulk_match" in response.url and len(reply["matches"]) == 10:
                reply["matches"][3] = stub
                reply["credits_consumed"] = consumed
            return reply

        monkeypatch.setattr(client, "decode", with_a_stub)
        run = buy(own, "people_enrichment")
        assert run.error is None
        assert len(run.records["people_enrichment"]) == 11
        assert stub["id"] not in run.ids("people_enrichment")
        assert booked(run.state) == (12 if consumed is None else 13)
        assert not buy(own, "people_enrichment", state=run.state).records["people_enrichment"]
        assert requests(own, "people_enrichment") == 2

    def test_a_reply_that_is_an_error_in_spite_of_its_status_is_booked_at_its_worst(self, own: Sandbox) -> None:
        own.faults.add("error_in_200", action=PAYS_AT["people_enrichment"])
        run = buy(own, "people_enrichment")
        assert isinstance(run.error, SyncError)
        assert booked(run.state) == 10 * 2

    def test_conversations_without_insights_are_free_and_asked_for_again(self, own: Sandbox) -> None:
        paid = sum(one.insights for one in own.world.conversations)
        settings: dict[str, Any] = {"lookback_days": 3650}
        run = buy(own, "conversation_details", **settings)
        assert len(run.records["conversation_details"]) == 10
        assert own.ledger.credits_spent == booked(run.state) == paid < 10
        again = buy(own, "conversation_details", state=run.state, **settings)
        assert len(again.records["conversation_details"]) == 10 - paid
        assert own.ledger.credits_spent == paid


class TestOneThingHasOneName:
    """Whatever it is called, a credit is spent on it once: within a run, and over runs."""

    def test_a_domain_in_several_spellings(self, own: Sandbox) -> None:
        domain = own.world.people.company(0).domain
        spellings = [domain, f"www.{domain}", f"https://{domain}/", f" {domain.upper()}:443/about "]
        run = buy(own, "organization_enrichment", domains=spellings)
        assert run.error is None
        assert own.ledger.credits_spent == booked(run.state) == 1
        assert [row["domain"] for row in run.records["organization_enrichment"]] == [domain]
        for one in spellings:
            buy(own, "organization_enrichment", domains=[one], state=run.state)
        assert requests(own, "organization_enrichment") == 1

    def test_a_domain_of_the_setting_and_of_an_account(self, own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        def spelled(response: Any) -> Any:
            reply = decode(response)
            for row in reply["accounts"] if "accounts/search" in response.url else ():
                row["domain"] = f" HTTP://www.{row['domain'].upper()}/ "
            return reply

        monkeypatch.setattr(client, "decode", spelled)
        run = buy(own, "organization_enrichment")
        assert own.ledger.credits_spent == len(run.records["organization_enrichment"]) == 8
        domains = [row["domain"] for row in run.records["organization_enrichment"]]
        assert all(domain == domain.lower() and not domain.startswith("www.") for domain in domains)
        buy(own, "organization_enrichment", domains=domains, state=run.state)
        assert own.ledger.credits_spent == 8

    def test_a_person_by_id_address_and_profile(self, own: Sandbox) -> None:
        whole = buy(own, "people_enrichment").records["people_enrichment"][0]
        own.reset()
        slug = whole["email"].partition("@")[0]
        details = [
            {"email": whole["email"]},
            {"email": f" {whole['email'].upper()}"},
            {"id": whole["id"]},
            {"linkedin_url": f"https://www.linkedin.com/in/{slug}/"},
        ]
        state = None
        for number in range(len(details)):
            some = details[: number + 1]
            run = buy(own, "people_enrichment", people_enrichment={"from": "details", "details": some}, state=state)
            assert run.error is None
            state = run.state
        assert own.ledger.credits_spent == 1 + (whole["linkedin_url"] is None)

    def test_contacts_who_share_an_address(self, own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        shared = buy(own, "people_enrichment").records["people_enrichment"][0]["email"]
        own.reset()

        def sharing(response: Any) -> Any:
            reply = decode(response)
            if "contacts/search" in response.url:
                for row in reply["contacts"][:4]:
                    row.update(email=shared, person_id=None, linkedin_url=None)
            return reply

        monkeypatch.setattr(client, "decode", sharing)
        run = buy(own, "people_enrichment")
        assert run.error is None
        assert own.ledger.credits_spent == 1 + 8
        again = buy(own, "people_enrichment", state=run.state, people_enrichment={"from": "people"})
        assert max(charged(own).values()) == 1
        assert len(again.records["people_enrichment"]) == 30 - 9


@dataclasses.dataclass
class Odd:
    """How a reply is odd, and how many rows can be read of it for how many credits."""

    stream: str
    fault: dict[str, Any]
    rows: int
    credits: int
    fails: bool = True


#: Of the sandbox's companies, 38 are accounts.
ODD_REPLIES = {
    "no matches": Odd("people_enrichment", {"kind": "rows_gone"}, 0, 4),
    "null for matches": Odd("people_enrichment", {"kind": "hollow", "value": "rows_null"}, 0, 4),
    "null for people": Odd("people_enrichment", {"kind": "hollow", "value": "null"}, 0, 4),
    "too few matches": Odd("people_enrichment", {"kind": "hidden_rows", "size": 1000, "place": 1}, 3, 4),
    "null for organizations": Odd("organization_enrichment", {"kind": "hollow", "value": "rows_null"}, 0, 4),
    "too few organizations": Odd("organization_enrichment", {"kind": "hidden_rows", "size": 1000, "place": 1}, 3, 4),
    "no accounts": Odd("organizations", {"kind": "rows_gone"}, 192, 3),
    "no pagination": Odd("organizations", {"kind": "total_absent", "value": "no_pagination"}, 230, 3, fails=False),
    "null for news": Odd("news_articles", {"kind": "hollow", "value": "null"}, 0, 1),
    "a row without an id": Odd("people_enrichment", {"kind": "odd_row", "place": 1}, 3, 4),
}


def four_of_each(sandbox: Sandbox) -> dict[str, Any]:
    """Settings that name four people and companies."""
    return {
        "people_enrichment": {"from": "details", "details": [{"id": one} for one in people(sandbox)[:4]]},
        "person_ids": people(sandbox)[:4],
        "organization_ids": companies(sandbox, 4),
        "domains": [sandbox.world.people.company(serial).domain for serial in range(4)],
        "lookback_days": 3650,
    }


class TestOddReplies:
    """A reply that came is paid for once, whatever it holds."""

    @pytest.mark.parametrize("odd", ODD_REPLIES.values(), ids=ODD_REPLIES)
    def test_is_paid_for_once_and_what_can_be_read_is_written(
        self, own: Sandbox, odd: Odd, caplog: pytest.LogCaptureFixture
    ) -> None:
        own.faults.add(action=PAYS_AT[odd.stream], **odd.fault)
        first = buy(own, odd.stream, **four_of_each(own))
        assert (len(first.records[odd.stream]), own.ledger.credits_spent) == (odd.rows, odd.credits)
        assert booked(first.state) == odd.credits
        assert isinstance(first.error, SyncError) == odd.fails
        said = [line for line in caplog.messages if "could not be read, or not whole, and cost " in line]
        assert len(said) == odd.fails
        if odd.fails:
            path = CREDIT_STREAMS[odd.stream].endpoint.path
            assert f" and cost {odd.credits} credit{'s' if odd.credits > 1 else ''}: {path}" in said[0]
        again = buy(own, odd.stream, state=first.state, **four_of_each(own))
        assert own.ledger.credits_spent == odd.credits
        assert again.error is None

    @pytest.mark.parametrize(
        "stream", ["organization_details", "person_details", "organization_job_postings", "conversation_details"]
    )
    def test_keeps_nothing_behind_it_from_being_bought(self, own: Sandbox, stream: str) -> None:
        whole = keys(stream, [buy(own, stream, **four_of_each(own))])
        own.reset()
        own.faults.add("hollow", action=PAYS_AT[stream], after=1, times=1)
        first = buy(own, stream, **four_of_each(own))
        assert isinstance(first.error, SyncError)
        assert len(keys(stream, [first])) >= len(whole) - (1 if stream != "organization_job_postings" else 99)
        assert requests(own, stream) == (10 if stream == "conversation_details" else 4)
        spent = own.ledger.credits_spent
        second = buy(own, stream, state=first.state, **four_of_each(own))
        assert second.error is None
        assert own.ledger.credits_spent == spent
        assert max(charged(own).values()) == 1

    def test_five_in_a_row_end_the_stream_and_the_next_run_goes_on_behind_them(self, own: Sandbox) -> None:
        own.faults.add("hollow", action="people/show", value="null")
        first = buy(own, "person_details", "organization_details")
        assert isinstance(first.error, SyncError)
        assert requests(own, "person_details") == MOST_FAILURES
        assert len(first.records["organization_details"]) == 6
        second = buy(own, "person_details", state=first.state)
        assert isinstance(second.error, SyncError)
        assert requests(own, "person_details") == 2 * MOST_FAILURES
        assert max(charged(own).values()) == 1

    @pytest.mark.parametrize("start", [0, 1], ids=["in another order", "too few"])
    def test_a_row_is_for_the_contact_whom_it_names(
        self, own: Sandbox, start: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        right = {row["id"]: row["contact_id"] for row in buy(own, "people_enrichment").records["people_enrichment"]}

        def mixed(response: Any) -> Any:
            reply = decode(response)
            if "bulk_match" in response.url:
                reply["matches"] = reply["matches"][:start:-1] if start else reply["matches"][::-1]
            return reply

        monkeypatch.setattr(client, "decode", mixed)
        rows = buy(own, "people_enrichment").records["people_enrichment"]
        given = {row["id"]: row["contact_id"] for row in rows}
        assert len(given) == (12 if not start else 12 - 2 * 2)
        assert {one: contact for one, contact in given.items() if contact}.items() <= right.items()

    def test_a_fault_of_the_tap_loses_what_was_paid_for_once_and_is_said(
        self, own: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: Any) -> None:
            raise AttributeError("a fault")

        settings = four_of_each(own)
        with monkeypatch.context() as faulty:
            faulty.setattr(Records, "rows", fail)
            first = buy(own, "person_details", **settings)
        assert isinstance(first.error, SyncError)
        assert "could not be read, or not whole, and cost 4 credits: there is a fault in " in caplog.text
        with monkeypatch.context() as faulty:
            faulty.setattr(Conformed, "__call__", fail)
            second = buy(own, "organization_details", state=first.state, **settings)
        assert isinstance(second.error, SyncError)
        assert own.ledger.credits_spent == 8
        assert buy(own, "person_details", "organization_details", state=second.state, **settings).error is None
        assert own.ledger.credits_spent == 8


class TestTheTeamsCredits:
    @pytest.mark.parametrize("style", ["new", "old"])
    @pytest.mark.parametrize("stream", ["person_details", "conversation_details", "organizations"])
    def test_used_up_they_end_the_run_as_a_limit_does(
        self,
        style: str,
        stream: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The balance cannot be read, so that Apollo's own refusal is the limit."""
        with apollo(credits=2, credit_error=style, forbid=(METER,)) as team:
            run = buy(team, stream, "organization_details")
            assert run.error is None
            assert run.records[stream]
            assert not run.records["organization_details"]
            assert team.ledger.credits_spent == booked(run.state) == 2
            assert len(limits_said(caplog)) == 2
            named = (
                " of `lead_credit`" if (style, stream) in {("new", "person_details"), ("new", "organizations")} else ""
            )
            used_up = f"Apollo says that the team's credits{named} are used up. Left"
            assert all(used_up in line for line in limits_said(caplog))
            assert requests(team, "organization_details") == 0
            assert not any("trying again" in line for line in caplog.messages)

    def test_what_is_left_of_them_is_spent_and_no_more(self, caplog: pytest.LogCaptureFixture) -> None:
        with apollo(credits=100, credits_consumed=93) as team:
            run = buy(team, "people_enrichment")
            assert run.error is None
            assert len(run.records["people_enrichment"]) == 7
            assert team.ledger.as_dict()["statuses"].keys() == {"200"}
            assert "the team has 0 credits left" in limits_said(caplog)[0]
            assert "5 people" in limits_said(caplog)[0]

    @pytest.mark.parametrize("fault", UNREADABLE_METER, ids=lambda fault: fault["kind"])
    def test_that_cannot_be_read_are_no_limit_and_this_is_said(
        self, own: Sandbox, fault: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        own.faults.add(action=METER, **fault)
        run = buy(own, "person_details", "organization_details", credit_budget=4, credit_budget_per_month=3)
        assert run.error is None
        assert own.ledger.credits_spent == 3
        (line,) = [line for line in caplog.messages if line.startswith("Credits: the team's balance is unknown")]
        assert "the tap goes by its own limits" in line

    @pytest.mark.parametrize("fault", UNREADABLE_METER, ids=lambda fault: fault["kind"])
    @pytest.mark.parametrize("limit", ["credit_reserve", "credit_budget_per_cycle"])
    def test_that_cannot_be_read_let_nothing_be_bought_if_a_limit_needs_them(
        self, own: Sandbox, fault: dict[str, Any], limit: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        own.faults.add(action=METER, **fault)
        limits: dict[str, Any] = {limit: 9}
        run = buy(own, "person_details", "organization_details", **limits)
        assert isinstance(run.error, SyncError)
        assert own.ledger.credits_spent == 0
        (line,) = [line for line in caplog.messages if "nothing is bought" in line]
        assert f"`{limit}` cannot be checked" in line
        assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1

    def test_the_scope_that_is_missing_is_named(self, caplog: pytest.LogCaptureFixture) -> None:
        with apollo(forbid=(METER,)) as team:
            assert isinstance(buy(team, "person_details", credit_reserve=9).error, SyncError)
            assert team.ledger.credits_spent == 0
        (line,) = [line for line in caplog.messages if "nothing is bought" in line]
        assert METER in line

    def test_a_cycle_that_is_not_shown_lets_nothing_be_bought_if_a_limit_needs_it(
        self, own: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def without(response: Any) -> Any:
            reply = decode(response)
            return {**reply, "current_credit_cycle": None} if METER in response.url else reply

        monkeypatch.setattr(client, "decode", without)
        assert isinstance(buy(own, "person_details", credit_budget_per_cycle=9).error, SyncError)
        assert own.ledger.credits_spent == 0
        assert buy(own, "person_details", credit_reserve=9, credit_budget=1).error is None
        assert own.ledger.credits_spent == 1

    @pytest.mark.parametrize("months", [1, 3, 12])
    def test_limits_hold_for_a_cycle_and_a_month(self, months: int, caplog: pytest.LogCaptureFixture) -> None:
        with apollo(credit_cycle=months) as team:
            today = datetime.datetime.now(tz=datetime.timezone.utc).date()
            year, month = today.year, (today.month - 1) // months * months + 1
            start = today.replace(year, month, 1)
            before = {f"{start - datetime.timedelta(days=1)}": {"a": 100}, f"{start}": {"a": 5}}
            state = {"bookmarks": {"credit_spending": {"days": before}}}
            run = buy(team, "person_details", state=state, credit_budget_per_cycle=8)
            assert team.ledger.credits_spent == 3
            assert "8 of 8 credits of `credit_budget_per_cycle` are spent" in limits_said(caplog)[-1]
            used = 3 + (5 if months == 1 or today.month == month else 0)
            buy(team, "person_details", state=run.state, credit_budget_per_month=used + 2)
            assert team.ledger.credits_spent == 5

    def test_conversations_have_their_own(self) -> None:
        with apollo(credits=0, conversation_credits=500) as team:
            run = buy(team, "organization_details", "conversation_details")
            assert run.error is None
            assert not run.records["organization_details"]
            assert len(run.records["conversation_details"]) == 10
            assert team.ledger.as_dict()["statuses"].keys() == {"200"}

    @pytest.mark.parametrize("named", [True, False])
    def test_used_up_they_stop_the_streams_of_the_pool_that_apollo_names(self, *, named: bool) -> None:
        style = "new" if named else "old"
        with apollo(credits=0, conversation_credits=500, credit_error=style, forbid=(METER,)) as team:
            run = buy(team, "organization_details", "conversation_details")
            assert run.error is None
            assert len(run.records["conversation_details"]) == (10 if named else 0)
            assert requests(team, "organization_details") == 1

    def test_mobile_numbers_have_their_own(self, caplog: pytest.LogCaptureFixture) -> None:
        with apollo(credits=100, direct_dial_credits=20) as team:
            run = buy(team, "people_enrichment", people_enrichment={"from": "contacts", **PHONES})
            assert run.error is None
            assert len(run.records["people_enrichment"]) == 2
            assert "the team has 4 credits of `direct_dial_credit` left" in limits_said(caplog)[0]

    def test_the_cap_of_the_keys_user_counts_if_it_is_smaller(self, caplog: pytest.LogCaptureFixture) -> None:
        with apollo(credits=100, user_credits=3) as team:
            run = buy(team, "person_details", credit_reserve=50)
            assert run.error is None
            assert team.ledger.credits_spent == 3
            assert team.ledger.as_dict()["statuses"].keys() == {"200"}
            assert "the user of the key has 0 credits left" in limits_said(caplog)[0]

    def test_the_reserve_holds_while_the_meter_lags(self) -> None:
        seconds = Seconds()
        with apollo(seconds, credits=100, meter_lag=6 * 3600) as team:
            state = None
            for _ in range(5):
                run = buy(team, "person_details", state=state, credit_reserve=80, credit_budget=7)
                assert run.error is None
                state = run.state
                seconds.passed += 2 * 3600
            assert team.ledger.credits_spent == 20

    def test_are_shown_as_they_are_after_the_purchases(self) -> None:
        with apollo() as team:
            run = sync(team, "person_details", "credit_usage_stats", **shopping(team, "person_details"))
        pools = {row.get("credit_type", row.get("name")): row for row in run.records["credit_usage_stats"]}
        assert any(row.get("consumed") == 30 for row in pools.values())


class TestEnrichmentThatComesLater:
    def test_a_phone_number_is_paid_for_and_arrives_in_a_later_run(self, caplog: pytest.LogCaptureFixture) -> None:
        seconds = Seconds()
        streams = ("people_enrichment", "enrichment_results")
        with apollo(seconds, enrichment_seconds=600) as team:
            settings = shopping(team, "people_enrichment", people_enrichment={"from": "contacts", **PHONES})
            settings["credit_budget"] = 9 * 3 + 8
            first = sync(team, *streams, **settings)
            assert first.error is None
            assert len(first.records["people_enrichment"]) == 3
            assert team.ledger.credits_spent == booked(first.state) == 27
            assert "the next request may cost 9" in limits_said(caplog)[0]
            assert not first.records["enrichment_results"]
            pending = [one for some in entries(bookmark(first.state, "people_enrichment")["pending"]) for one in some]
            assert {row["request_id"] for row in first.records["people_enrichment"]} == {*pending}

            settings["credit_budget"] = 0
            early = sync(team, *streams, state=json.loads(json.dumps(first.state)), **settings)
            assert early.error is None
            assert not early.records["enrichment_results"]
            seconds.passed += 601
            second = sync(team, *streams, state=early.state, **settings)
            assert [row["request_id"] for row in second.records["enrichment_results"]] == [*pending]
            assert len(second.records["enrichment_results"][0]["webhook_result"]["people"]) == 3
            third = sync(team, *streams, state=second.state, **settings)
            assert third.error is None
            assert not third.records["enrichment_results"]
            assert team.ledger.credits_spent == 27

    def test_a_run_that_ends_at_once_has_its_results_at_once(self, own: Sandbox) -> None:
        settings = shopping(own, "people_enrichment", people_enrichment={"from": "contacts", **PHONES})
        run = sync(own, "people_enrichment", "enrichment_results", **settings)
        assert len(run.records["enrichment_results"]) == 2
        assert booked(run.state) == own.ledger.credits_spent == 9 * 12

    def test_numbers_of_people_who_are_not_matched_cost_nothing(self, own: Sandbox) -> None:
        details = [{"email": "nobody@example.test"}, {"id": people(own)[0]}]
        run = buy(own, "people_enrichment", people_enrichment={"from": "details", "details": details, **PHONES})
        assert booked(run.state) == own.ledger.credits_spent == 9

    def test_a_waterfall_is_booked_at_the_most_that_it_may_cost(self, own: Sandbox) -> None:
        waterfall = {"from": "contacts", "run_waterfall_email": True, "webhook_url": PHONES["webhook_url"]}
        settings: dict[str, Any] = {"people_enrichment": {**waterfall, "max_waterfall_credits": 4}}
        run = buy(own, "people_enrichment", credit_budget=12, **settings)
        assert len(run.records["people_enrichment"]) == 2
        assert booked(run.state) == 10
        both = {**waterfall, "max_waterfall_credits": 4, **PHONES}
        more = buy(own, "people_enrichment", credit_budget=25, people_enrichment=both, state=run.state)
        assert len(more.records["people_enrichment"]) == 1
        assert booked(more.state) == 10 + 1 + 8 + 4

    def test_without_them_no_result_is_waited_for(self, own: Sandbox) -> None:
        run = buy(own, "people_enrichment", people_enrichment={"from": "contacts", "reveal_personal_emails": True})
        assert not run.state["bookmarks"]["people_enrichment"].get("pending")
        assert own.ledger.credits_spent == 12

    @pytest.mark.parametrize("request_id", ["77", "nonsense"])
    def test_results_that_apollo_does_not_know_are_given_up(
        self,
        own: Sandbox,
        request_id: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        state = placed(people_enrichment={})
        bookmark(state, "people_enrichment")["pending"] = {f"{days_ago(0)}": {"run": [request_id]}}
        run = sync(own, "enrichment_results", state=state)
        assert run.error is None
        assert "enrichment_results: Apollo has no results any more for 1 request." in caplog.messages
        assert entries(bookmark(run.state, "enrichment_results")["ended"]) == [[request_id]]


class TestExports:
    def test_one_that_is_not_ready_arrives_in_the_next_run_and_is_not_paid_for_again(self) -> None:
        seconds = Seconds()
        with apollo(seconds, export_seconds=600) as team:
            first = buy(team, "conversation_exports")
            assert first.error is None
            assert not first.records["conversation_exports"]
            paid = team.ledger.credits_spent
            assert 0 < paid <= booked(first.state) == 10
            early = buy(team, "conversation_exports", state=first.state)
            assert not early.records["conversation_exports"]
            seconds.passed += 601
            second = buy(team, "conversation_exports", state=early.state)
            assert second.records["conversation_exports"][0]["record_count"] == 10
            assert team.ledger.credits_spent == paid
            assert requests(team, "conversation_exports") == 1
            third = buy(team, "conversation_exports", state=second.state)
            assert not third.records["conversation_exports"]

    def test_free_conversations_of_an_earlier_run_are_no_budget_of_this_run(self) -> None:
        """The run that ordered them is past; Apollo's meter, which this run has read, knows that they were free."""
        seconds = Seconds()
        with apollo(seconds, export_seconds=600, credits=100) as team:
            first = buy(team, "conversation_exports")
            paid = team.ledger.credits_spent
            assert paid < booked(first.state)
            seconds.passed += 601
            limits: dict[str, Any] = {"credit_budget": 5, "credit_reserve": 100 - paid - 5}
            buy(team, "conversation_exports", "person_details", state=first.state, **limits)
            assert team.ledger.credits_spent - paid == 5

    def test_the_reserve_is_kept_when_free_conversations_turn_up(self) -> None:
        seconds = Seconds()
        with apollo(seconds, export_seconds=600, credits=100) as team:
            first = buy(team, "conversation_exports")
            paid = team.ledger.credits_spent
            seconds.passed += 601
            reserve = 100 - paid - 5
            buy(team, "conversation_exports", "person_details", state=first.state, credit_reserve=reserve)
            assert team.ledger.credits_spent - paid == 5

    def test_free_conversations_of_the_cycle_before_do_not_hide_what_was_spent_in_this_one(self) -> None:
        seconds = Seconds()
        with apollo(seconds, export_seconds=600) as team:
            state = buy(team, "conversation_exports").state
            ((order,),) = (some.values() for some in entries(bookmark(state, "conversation_exports")["pending"]))
            order["requested_at"] = f"{days_ago(40)}T00:00:00.000000+00:00"
            state["bookmarks"]["credit_spending"]["days"] = {f"{days_ago(40)}": {"run": order["booked"]}}
            seconds.passed += 601
            run = buy(team, "person_details", "conversation_exports", state=state)
            assert len(run.records["person_details"]) == 30
            assert run.records["conversation_exports"]
            assert booked(run.state) == 30

    def test_windows_are_as_large_as_the_budget_allows(self, own: Sandbox) -> None:
        runs: list[Sync] = []
        state = None
        for _ in range(5):
            runs.append(buy(own, "conversation_exports", state=state, credit_budget=4))
            state = runs[-1].state
        windows = [row for run in runs for row in run.records["conversation_exports"]]
        assert max(row["record_count"] for row in windows) <= 4
        assert len(keys("conversation_exports", runs)) == 10
        assert max(charged(own).values()) == 1

    def test_one_that_never_became_ready_is_given_up(self, caplog: pytest.LogCaptureFixture) -> None:
        with apollo(export_seconds=10**7) as team:
            state = buy(team, "conversation_exports").state
            (orders,) = entries(bookmark(state, "conversation_exports")["pending"])
            ((export_id, order),) = orders.items()
            order["requested_at"] = "2026-01-01T00:00:00.000000+00:00"
            run = buy(team, "conversation_exports", state=state)
            assert run.error is None
            assert entries(bookmark(run.state, "conversation_exports")["ended"]) == [[export_id]]
            assert "was not ready after 7 days and is given up" in caplog.text

    def test_a_window_that_turns_out_empty_is_passed(self, own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(exports, "count_of", lambda *_: 3)
        run = buy(own, "conversation_exports", start_date=f"{days_ago(1)}T00:00:00Z")
        assert run.error is None
        assert not run.records["conversation_exports"]
        assert place(run.state, "conversation_exports")["exported_until"][:10] == f"{days_ago(0)}"
        assert own.ledger.credits_spent == booked(run.state) == 0

    def test_one_that_cannot_be_fetched_stays_for_the_next_run_and_stops_no_other(self, own: Sandbox) -> None:
        own.faults.add("hollow", action="conversations/show_export", times=1)
        first = buy(own, "conversation_exports", credit_budget=6, max_pages={"conversation_exports": 2})
        assert isinstance(first.error, SyncError)
        assert first.records["conversation_exports"]
        second = buy(own, "conversation_exports", state=first.state)
        assert second.error is None
        assert len(keys("conversation_exports", [first, second])) == 10
        assert max(charged(own).values()) == 1


class TestNews:
    IDS = 20

    def _articles(self, team: Sandbox) -> set[str]:
        run = buy(team, "news_articles", organization_ids=companies(team, self.IDS))
        return {*run.ids("news_articles")}

    def test_new_articles_do_not_hide_behind_pages_that_were_bought(
        self,
        own: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A run stops after a page; when the next goes on, days later, younger articles have moved the pages."""
        ids = companies(own, self.IDS)
        monkeypatch.setattr(Services, "today", property(lambda _: days_ago(300)))
        first = buy(own, "news_articles", organization_ids=ids, credit_budget=1)
        assert len(first.records["news_articles"]) == 25
        monkeypatch.undo()
        second = buy(own, "news_articles", organization_ids=ids, state=first.state)
        assert second.error is None
        assert max(charged(own).values()) == 1
        third = buy(own, "news_articles", organization_ids=ids, state=second.state)
        seen = {row["id"] for run in (first, second, third) for row in run.records["news_articles"]}
        assert seen == self._articles(own)

    def test_a_company_that_joins_does_not_have_the_others_paid_for_again(self, own: Sandbox) -> None:
        ids = companies(own, self.IDS)
        first = buy(own, "news_articles", organization_ids=ids[:-3], credit_budget=2)
        second = buy(own, "news_articles", organization_ids=ids, state=first.state)
        third = buy(own, "news_articles", organization_ids=ids, state=second.state)
        assert second.error is third.error is None
        assert max(charged(own).values()) == 1
        assert {row["id"] for run in (first, second, third) for row in run.records["news_articles"]} == self._articles(
            own
        )

    def test_only_what_is_new_is_asked_for(self, own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = companies(own, self.IDS)
        monkeypatch.setattr(Services, "today", property(lambda _: days_ago(90)))
        first = buy(own, "news_articles", organization_ids=ids)
        monkeypatch.undo()
        second = buy(own, "news_articles", organization_ids=ids, state=first.state)
        assert second.records["news_articles"]
        assert max(charged(own).values()) == 1
        assert {row["id"] for run in (first, second) for row in run.records["news_articles"]} == self._articles(own)

    def test_pages_smaller_than_asked_for_are_read_to_the_total(self, own: Sandbox) -> None:
        whole = self._articles(own)
        own.reset()
        own.faults.add("page_cap", action=PAYS_AT["news_articles"], size=24)
        run = buy(own, "news_articles", organization_ids=companies(own, self.IDS))
        assert run.error is None
        assert {*run.ids("news_articles")} == whole
        assert own.ledger.credits_spent == requests(own, "news_articles") == -(-len(whole) // 24)
        again = buy(own, "news_articles", organization_ids=companies(own, self.IDS), state=run.state)
        assert not again.records["news_articles"]
        own.faults.add("page_cap", action=PAYS_AT["organizations"], size=60)
        assert len(buy(own, "organizations").records["organizations"]) == 230


class TestRefresh:
    @pytest.mark.parametrize("stream", ["person_details", "organization_details", "people_enrichment"])
    @pytest.mark.parametrize(("age", "again"), [(29, False), (30, True)])
    def test_what_is_old_enough_is_bought_again(self, own: Sandbox, stream: str, age: int, *, again: bool) -> None:
        state = buy(own, stream).state
        spent = own.ledger.credits_spent
        kept = bookmark(state, stream)
        kept["bought"] = {f"{days_ago(age)}": {"run": "".join(entries(kept["bought"]))}}
        if source := place(state, stream).get("source"):
            source["walked_at"] = f"{days_ago(age)}T00:00:00.000000+00:00"
        assert not buy(own, stream, state=state).records[stream]
        run = buy(own, stream, state=state, credit_refresh_days=30)
        assert own.ledger.credits_spent == spent * (2 if again else 1)
        assert bool(run.records[stream]) == again
        assert not buy(own, stream, state=run.state, credit_refresh_days=30).records[stream]

    @pytest.mark.parametrize(("age", "again"), [(29, False), (30, True)])
    def test_so_are_the_pages_of_a_search(self, own: Sandbox, age: int, *, again: bool) -> None:
        state = buy(own, "organizations").state
        place(state, "organizations")["searches"]["all"]["began"] = f"{days_ago(age)}"
        assert not buy(own, "organizations", state=state).records["organizations"]
        run = buy(own, "organizations", state=state, credit_refresh_days=30)
        assert len(run.records["organizations"]) == (230 if again else 0)
        assert not buy(own, "organizations", state=run.state, credit_refresh_days=30).records["organizations"]


class TestADamagedState:
    @pytest.mark.parametrize(
        ("stream", "kept"),
        [
            ("person_details", {"bought": {"2026-01-01": {"run": "AAAAAAAA"}}}),  # without a place
            ("person_details", {"bought": {"2026-01-01": "AAAAAAAA"}, "source": {}}),  # of an older form
            ("person_details", {"place": None}),
            ("person_details", {"place": {}}),
            ("person_details", {"place": [{"source": {"covered": 3}}]}),
            ("person_details", {"place": [{}], "bought": None}),
            ("person_details", {"place": [{}], "bought": []}),
            ("person_details", {"place": [{}], "bought": {"2026-01-01": "AAAAAAAA"}}),
            ("person_details", {"place": [{}], "bought": {"2026-01-01": {"run": "cut off"}}}),
            ("person_details", {"place": [{}], "bought": {"some day": {"run": "AAAAAAAA"}}}),
            ("organizations", {"place": [{"searches": None}]}),
            ("organizations", {"place": [{"searches": []}]}),
            ("organizations", {"place": [{"searches": {"all": None}}]}),
            ("organizations", {"place": [{"searches": {"all": []}}]}),
            ("organizations", {"place": [{"searches": {"all": {"next": 3}}}]}),
            ("organizations", {"place": [{"searches": {"all": "page 3"}}]}),
            ("organizations", {"place": [{}], "found": None}),
            ("organizations", {"place": [{}], "found": 3}),
            ("news_articles", {"place": [{"open": []}]}),
            ("news_articles", {"place": [{}], "bought": {"2026-01-01": 8}}),
            ("people_enrichment", {"place": [{}], "pending": None}),
            ("people_enrichment", {"place": [{}], "pending": []}),
            ("conversation_exports", {"place": [{}], "pending": None}),
            ("conversation_exports", {"place": [{}], "pending": []}),
            ("conversation_exports", {"place": [{}], "pending": {"a": 1}}),
            ("conversation_exports", {"place": [{"exported_until": "yesterday"}]}),
            ("conversation_exports", {"place": [{"exported_until": 7}]}),
        ],
    )
    def test_buys_nothing_and_fails(self, own: Sandbox, stream: str, kept: dict[str, Any]) -> None:
        state = {"bookmarks": {stream: kept}}
        phones = {"people_enrichment": {"from": "contacts", **PHONES}}
        run = buy(own, stream, state=state, **phones)
        assert own.ledger.credits_spent == 0
        assert isinstance(run.error, SyncError)
        assert not run.records[stream]

    @pytest.mark.parametrize("moment", ["yesterday", 7])
    def test_of_the_value_for_people_to_look_at_matters_to_nothing(self, own: Sandbox, moment: Any) -> None:
        state = buy(own, "news_articles").state
        spent = own.ledger.credits_spent
        state["bookmarks"]["news_articles"]["replication_key_value"] = moment
        run = buy(own, "news_articles", state=state)
        assert run.error is None
        assert own.ledger.credits_spent == spent > 0

    @pytest.mark.parametrize("page", ["3", None, 1.5, [3], 0, -1])
    def test_with_a_page_that_is_none_buys_nothing_and_fails(self, own: Sandbox, page: Any) -> None:
        state = buy(own, "organizations", credit_budget=1).state
        place(state, "organizations")["searches"]["all"]["next"] = page
        run = buy(own, "organizations", state=state)
        assert own.ledger.credits_spent == 1
        assert isinstance(run.error, SyncError)

    @pytest.mark.parametrize(
        "spending",
        [{"days": []}, {"days": None}, {"days": {"2026-01-01": "5"}}, {"days": {"2026-01-01": -5}}, {"days": {"x": 5}}],
    )
    def test_that_does_not_tell_what_was_spent_buys_nothing_and_fails(
        self,
        own: Sandbox,
        spending: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        run = buy(own, "person_details", "organizations", state={"bookmarks": {"credit_spending": spending}})
        assert run.error is not None
        assert "repair `bookmarks.credit_spending`" in caplog.text + run.error.message
        assert own.ledger.credits_spent == 0

    def test_is_said_with_the_remedy(self, own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        buy(own, "person_details", state={"bookmarks": {"person_details": {"bought": []}}})
        assert "repair `bookmarks.person_details`, or remove it to buy anew" in caplog.text

    def test_does_not_stop_the_other_streams(self, own: Sandbox) -> None:
        state: dict[str, Any] = {"bookmarks": {"person_details": {"bought": []}}}
        run = buy(own, "person_details", "organization_details", state=state)
        assert len(run.records["organization_details"]) == 6


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [{"kind": "status", "status": 429}, {"kind": "cloudflare"}],
        ids=lambda fault: fault["kind"],
    )
    def test_a_request_that_apollo_refused_is_repeated_for_nothing(
        self,
        own: Sandbox,
        fault: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # A refusal for the rate limit that does not say how long it lasts is taken for a minute.
        monkeypatch.setattr("tap_apollo.api.client.refused_for", lambda reply: 0 if reply.status_code == 429 else None)
        monkeypatch.setattr("tap_apollo.api.rate_limits.MARGIN", 0)
        own.faults.add(action="people/show", times=3, **fault)
        run = buy(own, "person_details", credit_budget=30)
        assert run.error is None
        assert len(run.records["person_details"]) == own.ledger.credits_spent == booked(run.state) == 30

    @pytest.mark.parametrize("executed", [True, False])
    @pytest.mark.parametrize(
        "fault",
        [{"kind": "status", "status": 503}, {"kind": "reset"}, {"kind": "cut_body"}, {"kind": "html"}],
        ids=lambda fault: fault["kind"],
    )
    def test_a_request_that_may_have_been_charged_is_repeated_if_the_budget_bears_both(
        self,
        own: Sandbox,
        fault: dict[str, Any],
        *,
        executed: bool,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        own.faults.add(action="people/show", after=28, times=1, executed=executed, **fault)
        run = buy(own, "person_details", credit_budget=30)
        assert run.error is None
        assert len(run.records["person_details"]) == 29
        assert booked(run.state) == 30
        assert own.ledger.credits_spent <= 30
        assert "30 of 30 credits of `credit_budget` are spent" in limits_said(caplog)[0]
        last = buy(own, "person_details", state=run.state, credit_budget=1)
        assert len(last.records["person_details"]) == 1

    def test_without_room_for_both_it_is_left_to_the_next_run(
        self,
        own: Sandbox,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        own.faults.add("status", action="people/show", after=2, times=1, executed=True)
        run = buy(own, "person_details", credit_budget=3)
        assert run.error is None
        assert len(run.records["person_details"]) == 2
        assert requests(own, "person_details") == own.ledger.credits_spent == booked(run.state) == 3
        assert "28 people" in limits_said(caplog)[0]
        again = buy(own, "person_details", state=run.state)
        assert len(again.records["person_details"]) == 28

    def test_a_batch_is_booked_for_what_it_holds(self, own: Sandbox) -> None:
        own.faults.add("reset", action=PAYS_AT["organization_enrichment"], times=1)
        domain = own.world.people.company(0).domain
        run = buy(own, "organization_enrichment", domains=[domain], credit_budget=2)
        assert len(run.records["organization_enrichment"]) == 1
        assert booked(run.state) == 2

    @pytest.mark.parametrize("status", [408, 503])
    def test_a_lasting_fault_books_both_tries_and_fails_the_stream(self, own: Sandbox, status: int) -> None:
        own.faults.add("status", action="people/show", status=status, executed=True)
        run = buy(own, "person_details", "organization_details")
        assert isinstance(run.error, SyncError)
        assert booked(run.state) == own.ledger.credits_spent == 2 + 6
        assert len(run.records["organization_details"]) == 6

    def test_what_may_have_been_charged_is_sent_again_once_a_run_whichever_request_it_is(
        self, own: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        own.faults.add("reset", action="people/show", after=2, times=1, executed=True)
        own.faults.add("cut_body", action="people/show", after=5, times=1, executed=True)
        first = buy(own, "person_details")
        assert isinstance(first.error, SyncError)
        assert len(first.records["person_details"]) == 5
        assert own.ledger.credits_spent == booked(first.state) == 7
        line = "Stream person_details failed: people/{id}: the connection broke. The request may have cost 1 credit,"
        assert any(message.startswith(line) for message in caplog.messages)
        second = buy(own, "person_details", state=first.state)
        assert second.error is None
        assert len(second.records["person_details"]) == 25

    def test_ten_companies_whose_replies_are_lost_cost_twenty_a_run_at_most(self, own: Sandbox) -> None:
        own.faults.add("reset", action=PAYS_AT["organization_enrichment"], executed=True)
        domains = [own.world.people.company(serial).domain for serial in range(10)]
        state = None
        for run in (1, 2):
            state = buy(own, "organization_enrichment", domains=domains, state=state).state
            assert own.ledger.credits_spent == booked(state) == 20 * run

    @pytest.mark.parametrize("tries", [1, 2])
    def test_a_kill_in_any_try_is_counted_with_those_before(
        self, own: Sandbox, tries: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The reply is lost, and the run dies before it knows what the request has cost: the STATE before it tells."""
        own.faults.add("reset", action=PAYS_AT["organization_enrichment"], executed=True)
        settings: dict[str, Any] = {
            "domains": [own.world.people.company(serial).domain for serial in range(10)],
            "credit_budget_per_cycle": 30,
        }
        sent, send = list[str](), client.Client._send

        def dying(self: client.Client, request: Any, stream: str) -> Any:
            try:
                return send(self, request, stream)
            finally:
                if request.url.endswith("bulk_enrich"):
                    sent.append(stream)
                    if len(sent) == tries:
                        raise KeyboardInterrupt

        monkeypatch.setattr(client.Client, "_send", dying)
        writer = _Keep()
        tap = TapApollo(
            config=config_for(own, **shopping(own, "organization_enrichment", **settings)), message_writer=writer
        )
        for name, stream in tap.streams.items():
            stream.selected = name == "organization_enrichment"
        with pytest.raises(KeyboardInterrupt):
            tap.sync_all()
        tap.services.session.close()
        killed = Sync(writer.messages, None)
        assert booked(killed.state) == own.ledger.credits_spent == 10 * tries
        state = killed.state
        for _ in range(3):
            state = buy(own, "organization_enrichment", state=state, **settings).state
        assert own.ledger.credits_spent == booked(state) == 30

    def test_a_redirect_may_have_been_charged(self, own: Sandbox) -> None:
        own.faults.add("redirect", action="people/show", executed=True)
        run = buy(own, "person_details")
        assert isinstance(run.error, SyncError)
        assert booked(run.state) == own.ledger.credits_spent == 1


# Kills


class Dying(_Keep):
    """A run that ends after so many messages: at once, or by a signal that lets the tap write its state."""

    def __init__(self, after: int | None, *, gently: bool) -> None:
        super().__init__()
        self.after = after
        self.gently = gently
        self.died = False
        self.tap: TapApollo

    def write_message(self, message: Message) -> None:
        if self.after is not None and len(self.messages) >= self.after and not (self.died and self.gently):
            self.died = True
            if self.gently:
                self.tap._handle_termination(signal.SIGTERM, None)
            raise KeyboardInterrupt
        super().write_message(message)


def buy_until_killed(
    sandbox: Sandbox,
    *streams: str,
    after: int | None,
    gently: bool,
    state: dict[str, Any] | None = None,
    **settings: Any,
) -> tuple[Sync, bool]:
    """Sync until the run dies; returns what the target had received, and whether it died."""
    writer, error = Dying(after, gently=gently), None
    config = config_for(sandbox, **shopping(sandbox, *streams, **settings))
    tap = writer.tap = TapApollo(config=config, state=json.loads(json.dumps(state)), message_writer=writer)
    for name, stream in tap.streams.items():
        stream.selected = name in streams
    try:
        tap.sync_all()
    except (KeyboardInterrupt, SystemExit):
        assert writer.died
    except ApolloError as raised:
        error = raised
    finally:
        tap.services.session.close()
    return Sync(writer.messages, error), writer.died


@pytest.mark.parametrize("gently", [False, True], ids=["killed", "terminated"])
@pytest.mark.parametrize("stream", PAYS_AT)
def test_a_kill_loses_one_request_at_most(own: Sandbox, stream: str, *, gently: bool) -> None:
    """Whenever it comes: before a record, between two, before the STATE."""
    whole = keys(stream, [buy(own, stream)])
    for after in (4, 9) if gently else (3, 6, 13):
        own.reset()
        first, died = buy_until_killed(own, stream, after=after, gently=gently)
        state = first.states[-1] if first.states else None
        largest = max((charge["credits"] for charge in own.ledger.charges), default=0)
        assert own.ledger.credits_spent <= booked(state) + largest
        second = buy(own, stream, state=state)
        assert second.error is None
        twice = [record for record, times in charged(own).items() if times > 1]
        assert max(charged(own).values()) <= 2
        assert len(twice) <= max(len(charge["records"]) for charge in own.ledger.charges)
        assert died or not twice
        assert keys(stream, [first, second]) == whole


CHARGED = st.sampled_from(sorted(PAYS_AT.values()))
FAULTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["status", "reset", "cut_body", "html", "error_in_200", "cloudflare"]),
        "action": CHARGED,
        "executed": st.booleans(),
        "after": st.integers(0, 6),
        "times": st.integers(1, 6),
    }
)


@dataclasses.dataclass
class Plan:
    """What happens in one run."""

    budget: int
    per_cycle: int | None
    reserve: int
    kill: int | None
    gently: bool
    faults: list[dict[str, Any]]


PLANS = st.builds(
    Plan,
    budget=st.integers(0, 40),
    per_cycle=st.none() | st.integers(0, 60),
    reserve=st.integers(0, 200),
    kill=st.none() | st.none() | st.integers(1, 60),
    gently=st.booleans(),
    faults=st.lists(FAULTS, max_size=2),
)
#: Each takes a second: a few while one works, more in CI.
EXAMPLES = 70 if os.environ.get("HYPOTHESIS_PROFILE") == "explore" else 8
AMBIGUOUS = {"status", "reset", "cut_body", "html", "error_in_200"}


@hypothesis.settings(
    max_examples=EXAMPLES,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    streams=st.lists(st.sampled_from(sorted(PAYS_AT)), min_size=1, max_size=3, unique=True),
    phones=st.booleans(),
    balance=st.integers(100, 250),
    plans=st.lists(PLANS, min_size=1, max_size=4),
)
def test_over_any_chain_of_runs_no_limit_is_passed_and_nothing_is_bought_twice(
    streams: list[str],
    balance: int,
    plans: list[Plan],
    *,
    phones: bool,
) -> None:
    """Faults lose replies, targets die, limits change: what a lost reply may cost is all that is paid twice."""
    options: dict[str, Any] = {"people_enrichment": {"from": "contacts", **(PHONES if phones else {})}}
    state: dict[str, Any] | None = None
    runs: list[Sync] = []
    lost_credits = lost_records = 0
    with apollo(credits=100_000) as team:
        for plan in plans:
            charges, faults = len(team.ledger.charges), team.ledger.faults.total()
            known = booked(state)
            team.faults.clear()
            for fault in plan.faults:
                team.faults.add(**{**fault, "executed": fault["executed"] and fault["kind"] in AMBIGUOUS})
            limits: dict[str, Any] = {"credit_budget": plan.budget, "credit_reserve": 100_000 - balance + plan.reserve}
            if plan.per_cycle is not None:
                limits["credit_budget_per_cycle"] = plan.per_cycle
            end: dict[str, Any] = {"after": plan.kill, "gently": plan.gently}
            run, died = buy_until_killed(team, *streams, state=state, **end, **options, **limits)
            assert run.error is None or isinstance(run.error, SyncError)
            runs.append(run)
            state = run.states[-1] if run.states else state

            new = team.ledger.charges[charges:]
            spent = sum(charge["credits"] for charge in new)
            assert spent <= plan.budget
            assert not spent or balance - team.ledger.credits_spent >= plan.reserve
            struck = team.ledger.faults.total() - faults
            # a kill loses the requests since the last STATE: one, tried again after each fault
            may_be_lost = (1 + struck) * max((charge["credits"] for charge in new), default=0) if died else 0
            assert booked(state) - known + may_be_lost >= spent
            lost_credits += may_be_lost
            if spent and plan.per_cycle is not None:
                assert team.ledger.credits_spent <= plan.per_cycle + lost_credits
            lost_records += (died + struck) * max((len(charge["records"]) for charge in new), default=0)

        team.faults.clear()
        runs.append(buy(team, *streams, state=state, **options, credit_budget=10_000))
        assert runs[-1].error is None
        assert sum(times - 1 for times in charged(team).values()) <= lost_records
        whole = buy(team, *streams, **options, credit_budget=10_000)
        for stream in streams:
            assert keys(stream, runs) == keys(stream, [whole])
