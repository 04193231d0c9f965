"""What costs credits, how much, and what happens without any."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox.clock import DAY

if TYPE_CHECKING:
    from .client import Client
    from .conftest import FakeTime, Serve


def _balance(client: Client) -> dict[str, int]:
    balance: dict[str, int] = client.search("usage_stats/credit_usage_stats")["credit_usage_stats"]["lead_credit"]
    return balance


def test_the_prices(serve: Serve) -> None:
    with serve(plan="unlimited") as (sandbox, client):
        world, ledger = sandbox.world, sandbox.ledger
        person = world.people.person(5)
        companies = [world.people.company(serial) for serial in range(40)]
        busy = next(one for one in companies if _postings(client, one.organization_id))
        idle = next(one for one in companies if not _postings(client, one.organization_id))
        talks = list(world.conversations)
        clever = next((one.id for one in talks if one.insights), None)
        silent = next((one.id for one in talks if not one.insights), None)
        domain = companies[0].domain

        def cost(verb: str, path: str, **params: Any) -> int:
            before = ledger.credits_spent
            response = client.get(path, **params) if verb == "GET" else client.post(path, **params)
            assert response.status_code == 200, response.text
            return ledger.credits_spent - before

        assert cost("POST", "mixed_companies/search", per_page=100) == 1
        assert cost("POST", "mixed_companies/search", q_organization_name="zzzz") == 0
        assert cost("POST", "mixed_people/api_search") == 0
        assert cost("POST", "people/match", id=person.person_id) == 1
        assert cost("POST", "people/match", id=person.person_id) == 1
        assert cost("POST", "people/match", id=person.person_id, reveal_phone_number=True) == 9
        assert cost("POST", "people/match", email="nobody@nowhere.example") == 0
        assert cost("GET", f"people/{person.person_id}") == 1
        assert cost("GET", f"organizations/{companies[1].organization_id}") == 1
        assert cost("GET", "organizations/enrich", domain=domain) == 1
        assert cost("GET", "organizations/enrich", domain="nowhere.example") == 0
        assert cost("POST", "organizations/bulk_enrich", details=[{"domain": domain}, {"domain": "no.example"}]) == 1
        assert cost("GET", f"organizations/{busy.organization_id}/job_postings") == 1
        assert cost("GET", f"organizations/{idle.organization_id}/job_postings") == 0
        assert cost("POST", "news_articles/search", organization_ids=[one.organization_id for one in companies]) == 1
        assert cost("POST", "news_articles/search", organization_ids=["0" * 24]) == 0
        if clever and silent:
            assert cost("GET", f"conversations/{clever}") == 1
            assert cost("GET", f"conversations/{silent}") == 0
        for path in ("contacts", "accounts", "tasks", "emailer_campaigns", "conversations"):
            assert cost("POST", f"{path}/search") == 0
        assert sum(charge["credits"] for charge in ledger.charges) == ledger.credits_spent
        assert _balance(client) == {
            "limit": 10_000,
            "consumed": ledger.credits_spent,
            "left_over": 10_000 - ledger.credits_spent,
        }


def _postings(client: Client, organization_id: str) -> list[Any]:
    rows: list[Any] = client.read(f"organizations/{organization_id}/job_postings")["organization_job_postings"]
    return rows


def test_bulk_match_answers_in_order_and_tells_its_price(
    serve: Serve,
) -> None:
    with serve() as (sandbox, client):
        people = [sandbox.world.people.person(serial) for serial in (3, 70)]
        details = [{"id": people[0].person_id}, {"email": "nobody@nowhere.example"}, {"id": people[1].person_id}]
        answer = client.search("people/bulk_match", details=details)
        assert [one and one["id"] for one in answer["matches"]] == [people[0].person_id, None, people[1].person_id]
        assert (answer["credits_consumed"], answer["missing_records"], answer["unique_enriched_records"]) == (2, 1, 2)
        assert sandbox.ledger.charges[-1]["records"] == [one.person_id for one in people]
        assert sandbox.ledger.charges[-1]["endpoint"] == "people/bulk_match"
        too_many = client.post("people/bulk_match", details=[{"id": "x"}] * 11)
        assert (too_many.status_code, too_many.json()["error_code"]) == (400, "RECORD_LIMIT_EXCEEDED")
        assert client.post("people/bulk_match").json()["error_code"] == "INVALID_REQUEST"
        assert client.post("people/bulk_match", details=["x"]).json()["error_code"] == "UNKNOWN_ERROR"


def test_only_bulk_match_tells_its_price(serve: Serve) -> None:
    with serve() as (sandbox, client):
        person = sandbox.world.people.person(1)
        assert "credits_consumed" not in client.search("people/match", id=person.person_id)
        company = sandbox.world.people.company(1)
        assert "credits_consumed" not in client.read("organizations/enrich", domain=company.domain)


def test_a_person_is_found_by_any_clue(serve: Serve) -> None:
    with serve() as (sandbox, client):
        contact = next(
            row
            for row in client.walk("contacts/search", "contacts")
            if row["email"]
            and row["email"].endswith(".example")
            and row["person_id"]
            and row["first_name"]
            and "organization" in row
        )
        domain = contact["organization"]["primary_domain"]
        person = sandbox.world.people.person_by_id(contact["person_id"])
        assert person is not None
        for clues in (
            {"email": contact["email"].upper()},
            {"linkedin_url": contact["linkedin_url"]},
            {"hashed_email": contact["contact_emails"][0]["email_sha256"]},
            {"first_name": contact["first_name"], "last_name": contact["last_name"], "domain": domain},
            {"name": contact["name"], "domain": domain},
        ):
            found = client.search("people/match", **clues)["person"]
            assert (found["name"], found["email"]) == (contact["name"], contact["email"])
            assert found["contact_id"] == contact["id"]
        stranger = client.search("people/match", name="No Body", domain="nowhere.example")["person"]
        assert (stranger["name"], stranger["email"], stranger["match_confidence"]) == ("", None, "none")
        assert stranger["id"]
        assert stranger["employment_history"] == []


def test_request_ids_are_signed_and_large(serve: Serve) -> None:
    with serve() as (_, client):
        ids = [client.search("people/match", email="x@y.example")["request_id"] for _ in range(12)]
        assert min(ids) < 0 < max(ids)
        assert max(map(abs, ids)) > 2**53
        assert min(ids) >= -(2**63)
        assert max(ids) < 2**63


def test_phone_numbers_follow_later(serve: Serve, fake_time: FakeTime) -> None:
    with serve(monotonic=fake_time, enrichment_seconds=30) as (sandbox, client):
        person = sandbox.world.people.person(2).person_id
        request_id = client.search("people/match", id=person, reveal_phone_number=True)["request_id"]
        pending = client.get(f"webhook_result/{request_id}")
        assert (pending.status_code, pending.json()) == (
            404,
            {"error_code": "result_pending", "retry_after_seconds": 30},
        )
        fake_time.seconds += 30
        result = client.read(f"webhook_result/{request_id}")
        assert result["request_id"] == str(request_id)
        assert result["webhook_result"]["credits_consumed"] == 8
        assert result["webhook_result"]["people"][0]["phone_numbers"]
        assert client.get("webhook_result/nonsense").status_code == 400
        assert client.get("webhook_result/12").json() == {"error_code": "request_id_unknown"}
        fake_time.seconds += 31 * DAY / 1000
        assert client.get(f"webhook_result/{request_id}").status_code == 410


def test_a_waterfall_is_accepted_and_answered(serve: Serve) -> None:
    with serve() as (sandbox, client):
        details = [{"id": sandbox.world.people.person(2).person_id}]
        answer = client.search("people/bulk_match", details=details, run_waterfall_email=True)
        assert answer["waterfall"]["status"] == "accepted"
        result = client.read(f"webhook_result/{answer['request_id']}")
        assert result["request_type"] == "waterfall"
        assert result["webhook_result"]["people"][0]["emails"]


@pytest.mark.parametrize("style", ["new", "old"])
def test_without_credits_nothing_is_sold(serve: Serve, style: str) -> None:
    with serve(credits=5, credits_consumed=4, credit_error=style, contacts=200) as (sandbox, client):
        people = [{"id": sandbox.world.people.person(serial).person_id} for serial in range(2)]
        refused = client.post("people/bulk_match", details=people)
        assert refused.status_code == 422
        body = refused.json()
        assert body["error"].startswith("You have insufficient credits! <a href='https://app.apollo.io/")
        assert ("error_details" in body) is (style == "new")
        assert sandbox.ledger.credits_spent == 0
        assert client.post("people/bulk_match", details=people[:1]).status_code == 200
        assert _balance(client) == {"limit": 5, "consumed": 5, "left_over": 0}
        assert client.post("mixed_companies/search").status_code == 422
        talk = next(one for one in sandbox.world.conversations if one.insights)
        assert client.get(f"conversations/{talk.id}").json() == {
            "error": "Insufficient credits. Please upgrade your plan."
        }


def test_an_export_costs_a_credit_for_each_insight_and_leads_to_a_file(serve: Serve, fake_time: FakeTime) -> None:
    with serve(contacts=300, monotonic=fake_time, export_seconds=5) as (sandbox, client):
        body = {"start_time": "2025-01-01T00:00:00Z", "end_time": "2025-12-31T00:00:00Z"}
        export = client.search("conversations/export", **body)
        chosen = [one for one in sandbox.world.conversations if one.id and _in_2025(one.start)]
        assert sandbox.ledger.credits_spent == sum(one.insights for one in chosen) > 0
        assert client.get(f"conversations/export/{export['export_id']}").status_code == 404
        fake_time.seconds += 5
        link = client.read(f"conversations/export/{export['export_id']}")["redirect_url"]
        rows = json.loads(gzip.decompress(client.session.get(link, timeout=10).content))
        assert {row["id"] for row in rows} == {one.id for one in chosen}
        fake_time.seconds += 3600
        backwards = {"start_time": body["end_time"], "end_time": body["start_time"]}
        assert client.post("conversations/export", **backwards).json() == {
            "error": "start_time must be less than end_time."
        }


def _in_2025(moment: int) -> bool:
    return 1_735_689_600_000 <= moment <= 1_767_139_200_000


def test_a_new_cycle_brings_new_credits(serve: Serve, fake_time: FakeTime) -> None:
    with serve(monotonic=fake_time, credits=100, credits_consumed=100) as (_, client):
        before = client.search("usage_stats/credit_usage_stats")
        assert before["current_credit_cycle"] == {
            "start_date": "2026-09-01T00:00:00.000Z",
            "end_date": "2026-10-01T00:00:00.000Z",
        }
        fake_time.seconds += DAY / 1000
        after = client.search("usage_stats/credit_usage_stats")
        assert after["current_credit_cycle"]["start_date"] == "2026-10-01T00:00:00.000Z"
        assert after["credit_usage_stats"]["lead_credit"]["left_over"] == 100
        assert len(after["credit_usage_stats"]) == 10


@pytest.mark.parametrize(
    ("months", "start", "end"), [(1, "2026-09", "2026-10"), (3, "2026-07", "2026-10"), (12, "2026-01", "2027-01")]
)
def test_a_cycle_is_a_month_a_quarter_or_a_year(serve: Serve, months: int, start: str, end: str) -> None:
    with serve(credit_cycle=months) as (_, client):
        cycle = client.search("usage_stats/credit_usage_stats")["current_credit_cycle"]
    assert cycle == {"start_date": f"{start}-01T00:00:00.000Z", "end_date": f"{end}-01T00:00:00.000Z"}


def test_kinds_may_have_pools_of_their_own(serve: Serve) -> None:
    with serve(credits=5, conversation_credits=1, direct_dial_credits=8, contacts=200) as (sandbox, client):
        first, second = [one.id for one in sandbox.world.conversations if one.insights][:2]
        assert client.get(f"conversations/{first}").status_code == 200
        assert client.get(f"conversations/{second}").status_code == 422
        people = [{"id": sandbox.world.people.person(serial).person_id} for serial in range(2)]
        refused = client.post("people/bulk_match", details=people, reveal_phone_number=True)
        context = {"credit_type": "direct_dial_credit", "credit_balance": 8}
        assert refused.json()["error_details"]["context"] == context
        assert client.post("people/bulk_match", details=people[:1], reveal_phone_number=True).status_code == 200
        left = client.search("usage_stats/credit_usage_stats")["credit_usage_stats"]
        assert [left[kind]["left_over"] for kind in ("lead_credit", "conversation_credit", "direct_dial_credit")] == [
            4,
            0,
            0,
        ]
        assert "total_unified_credits_used" not in client.read("users/api_profile", include_credit_usage="true")


def test_the_user_of_the_key_may_have_a_cap(serve: Serve) -> None:
    with serve(credits=100, credits_consumed=40, user_credits=1) as (sandbox, client):
        person, other = (sandbox.world.people.person(serial).person_id for serial in range(2))
        assert client.read("users/api_profile", include_credit_usage="true")["num_credits_remaining"] == 1
        assert client.get(f"people/{person}").status_code == 200
        assert client.read("users/api_profile", include_credit_usage="true")["num_credits_remaining"] == 0
        assert client.get(f"people/{other}").status_code == 422
        assert _balance(client) == {"limit": 100, "consumed": 41, "left_over": 59}


def test_the_meter_may_lag(serve: Serve, fake_time: FakeTime) -> None:
    with serve(monotonic=fake_time, credits=9, meter_lag=60) as (sandbox, client):
        client.read(f"people/{sandbox.world.people.person(0).person_id}")
        assert _balance(client) == {"limit": 9, "consumed": 0, "left_over": 9}
        fake_time.seconds += 61
        assert _balance(client) == {"limit": 9, "consumed": 1, "left_over": 8}


def test_what_was_charged_twice_is_in_the_ledger(serve: Serve) -> None:
    with serve() as (sandbox, client):
        person, other = (sandbox.world.people.person(serial).person_id for serial in range(2))
        for one in (person, other, person):
            client.read(f"people/{one}")
        assert sandbox.ledger.charged_twice == {"people/show": {person: 2}}
        assert sandbox.ledger.as_dict()["charged_twice"] == {"people/show": {person: 2}}
