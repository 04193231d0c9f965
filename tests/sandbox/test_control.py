"""The ledger, the counts, and the object that tests hold."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from apollo_sandbox import Sandbox, Settings

if TYPE_CHECKING:
    from .conftest import Serve, Served


def test_the_ledger_tells_what_clients_did(serve: Serve) -> None:
    with serve() as (sandbox, client):
        client.post("contacts/search")
        client.post("contacts/search", per_page=500)
        client.get("nothing")
        client.session.get(f"{client.url}/labels", headers={"x-api-key": "no"}, timeout=10)
        client.post("people/match", id=sandbox.world.people.person(0).person_id)
        ledger = client.control("GET", "ledger").json()
        assert ledger == sandbox.ledger.as_dict()
        assert ledger["requests"] == {"contacts/search": 2, "unknown": 1, "labels/index": 1, "people/match": 1}
        assert ledger["requests_total"] == 5
        assert ledger["statuses"] == {"200": 2, "422": 1, "404": 1, "401": 1}
        assert ledger["credits_spent"] == 1
        assert ledger["credits_by_endpoint"] == {"people/match": 1}
        assert ledger["max_in_flight"] == 1
        assert client.control("POST", "reset").json()["requests_total"] == 0
        assert client.post("contacts/search").headers["x-minute-usage"] == "1"


def test_an_answer_takes_as_long_as_the_latency(serve: Serve) -> None:
    with serve(latency_ms=120) as (_, client):
        started = time.monotonic()
        assert client.get("labels").status_code == 200
        assert time.monotonic() - started >= 0.12


def test_requests_in_flight_are_counted(serve: Serve) -> None:
    with ThreadPoolExecutor(4) as pool, serve() as (sandbox, client):
        sandbox.faults.add("slow", seconds=3600)
        waiting = [pool.submit(client.get, "labels") for _ in range(4)]
        while sandbox.ledger.requests["labels/index"] < 4:
            assert not any(request.done() for request in waiting)
            time.sleep(0.01)
        assert sandbox.ledger.max_in_flight == 4


def test_counts_are_what_the_lists_hold(served: Served) -> None:
    client, counts = served.client, served.sandbox.counts()
    assert client.control("GET", "counts").json() == counts
    totals = {
        "contacts": client.search("contacts/search")["pagination"]["total_entries"],
        "accounts": client.search("accounts/search")["pagination"]["total_entries"],
        "deals": client.read("opportunities/search")["pagination"]["total_entries"],
        "sequences": client.search("emailer_campaigns/search")["pagination"]["total_entries"],
        "tasks": client.search("tasks/search")["pagination"]["total_entries"],
        "calls": client.read("phone_calls/search")["pagination"]["total_entries"],
        "conversations": client.search("conversations/search")["pagination"]["total_entries"],
        "users": client.read("users/search")["pagination"]["total_entries"],
        "contact_stages": len(client.read("contact_stages")["contact_stages"]),
        "account_stages": len(client.read("account_stages")["account_stages"]),
        "deal_stages": len(client.read("opportunity_stages")["opportunity_stages"]),
        "lists": len(client.read("labels")),
        "fields": len(client.read("fields")["fields"]),
        "custom_fields": len(client.read("typed_custom_fields")["typed_custom_fields"]),
        "email_schedules": len(client.read("emailer_schedules")["emailer_schedules"]),
        "email_accounts": len(client.read("email_accounts")["email_accounts"]),
        "api_usage_stats": len(client.search("usage_stats/api_usage_stats")),
        "credit_usage_stats": len(client.search("usage_stats/credit_usage_stats")["credit_usage_stats"]),
        "contact_sequence_statuses": sum(
            len(row["contact_campaign_statuses"]) for row in client.walk("contacts/search", "contacts")
        ),
        "outreach_emails": len(served.sandbox.world.outreach_emails),
        "user_profile": 1,
    }
    assert totals == counts


def test_sizes_are_as_told() -> None:
    sandbox = Sandbox(
        Settings(contacts=20, accounts=3, deals=4, sequences=5, users=6, tasks=7, outreach_emails=8, calls=9)
    )
    counts = sandbox.counts()
    names = ("contacts", "accounts", "deals", "sequences", "users", "tasks", "outreach_emails", "calls")
    assert [counts[name] for name in names] == [20, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("sizes", [{"contacts": 0}, {"contacts": 5, "accounts": 0, "sequences": 0}])
def test_an_empty_team_answers_too(serve: Serve, sizes: dict[str, int]) -> None:
    with serve(**sizes) as (sandbox, client):
        for path, key in (("contacts/search", "contacts"), ("accounts/search", "accounts"), ("tasks/search", "tasks")):
            assert len(list(client.walk(path, key))) == sandbox.counts()[key]
        assert client.read("emailer_messages/search")["emailer_messages"] == []
        sandbox.edit(10)
        assert client.post("contacts/search").status_code == 200


def test_a_hundred_thousand_contacts_start_quickly_and_stay_small() -> None:
    started = time.process_time()
    sandbox = Sandbox(Settings(contacts=130_000, deals=9, tasks=9, outreach_emails=9, calls=9, conversations=9))
    assert time.process_time() - started < 15
    world = sandbox.world
    assert len(world.contacts) == 130_000
    assert sandbox.counts()["accounts"] == 16_250
    contact = next(iter(world.contacts))
    assert not hasattr(contact, "__dict__")
    newest = world.contacts.order("contact_updated_at").rows[-1]
    world.touch_contact(world.contacts.ids[0])
    assert world.contacts.order("contact_updated_at").rows[-2] is newest
