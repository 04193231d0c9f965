"""Filters Apollo honours, filters it ignores, and how it tells which was which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox.params import Params, Span

if TYPE_CHECKING:
    from .client import Client
    from .conftest import Served


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("contacts/search", {"contact_updated_at_range": {"min": "2026-01-01"}}),
        ("contacts/search", {"contact_updated_at_range": "2026-01-01"}),
        ("contacts/search", {"contact_owner_ids": ["0" * 24]}),
        ("contacts/search", {"nonsense": 1}),
        ("accounts/search", {"contact_emailer_campaign_ids": ["0" * 24]}),
        ("accounts/search", {"account_updated_at_range": {"min": "2026-01-01"}}),
        ("tasks/search", {"user_ids": ["0" * 24]}),
        ("emailer_messages/search", {"emailer_message_stats": ["nonsense"]}),
    ],
)
def test_the_unknown_is_ignored_without_a_word(client: Client, path: str, body: dict[str, Any]) -> None:
    filtered, plain = client.search(path, **body), client.search(path)
    assert filtered["breadcrumbs"] == []
    assert filtered.get("pagination") == plain.get("pagination")
    key = path.split("/", maxsplit=1)[0]
    assert [row["id"] for row in filtered[key]] == [row["id"] for row in plain[key]]


def test_stages_partition_the_contacts(client: Client) -> None:
    seen: list[str] = []
    for stage in client.read("contact_stages")["contact_stages"]:
        answer = client.search("contacts/search", contact_stage_ids=[stage["id"]], per_page=100)
        assert answer["breadcrumbs"] == [
            {
                "label": "Contact Stage",
                "signal_field_name": "contact_stage_ids",
                "value": stage["id"],
                "display_name": stage["name"],
            }
        ]
        assert 0 < answer["pagination"]["total_entries"] < 600
        assert {row["contact_stage_id"] for row in answer["contacts"]} == {stage["id"]}
        seen += [row["id"] for row in client.walk("contacts/search", "contacts", contact_stage_ids=[stage["id"]])]
    assert len(seen) == len(set(seen)) == 600


def test_a_deleted_contact_stage_finds_nothing(client: Client) -> None:
    answer = client.search("contacts/search", contact_stage_ids=["0" * 24])
    assert answer["pagination"]["total_entries"] == 0
    assert answer["breadcrumbs"][0]["display_name"] == "[Deleted Stage]"


def test_a_bad_account_stage_is_refused(client: Client) -> None:
    response = client.post("accounts/search", account_stage_ids=["0" * 24])
    assert response.status_code == 422
    assert response.json()["error"].startswith("Your search parameters are entered incorrectly.")


def test_account_stages_partition_the_accounts(served: Served) -> None:
    totals = [
        served.client.search("accounts/search", account_stage_ids=[stage["id"]])["pagination"]["total_entries"]
        for stage in served.client.read("account_stages")["account_stages"]
    ]
    assert sum(totals) == len(served.sandbox.world.accounts)
    assert max(totals) < sum(totals)


def test_labels(client: Client) -> None:
    for label in client.read("labels"):
        if label["modality"] == "emailer_campaigns":
            continue
        key = label["modality"]
        rows = client.search(f"{key}/search", **{f"{key.rstrip('s')}_label_ids": [label["id"]]}, per_page=100)[key]
        assert rows
        assert all(label["id"] in row["label_ids"] for row in rows)


def test_contacts_of_a_sequence(served: Served) -> None:
    sequence = served.sandbox.world.sequences.ids[0]
    answer = served.client.search("contacts/search", emailer_campaign_ids=[sequence], per_page=100)
    assert answer["breadcrumbs"][0]["signal_field_name"] == "emailer_campaign_ids"
    expected = {
        one.id for one in served.sandbox.world.contacts if sequence in {each.sequence.id for each in one.enrollments}
    }
    assert {row["id"] for row in answer["contacts"]} == expected


def test_keywords_and_company_names(client: Client) -> None:
    contact = next(row for row in client.search("contacts/search")["contacts"] if row["name"])
    found = client.search("contacts/search", q_keywords=contact["name"].upper(), per_page=100)
    assert contact["id"] in {row["id"] for row in found["contacts"]}
    account = client.search("accounts/search")["accounts"][0]
    found = client.search("accounts/search", q_organization_name=account["name"])
    assert account["id"] in {row["id"] for row in found["accounts"]}


@pytest.mark.parametrize(("mode", "field"), [("due_at", "due_at"), ("completed_at", "completed_at")])
def test_emails_of_days_both_ends_included(served: Served, mode: str, field: str) -> None:
    params = {
        "emailer_message_date_range_mode": mode,
        "emailer_message_date_range[min]": "2026-06-01",
        "emailer_message_date_range[max]": "2026-08-31",
        "per_page": 100,
    }
    answer = served.client.read("emailer_messages/search", **params)
    found = [email[field] for email in answer["emailer_messages"]]
    moments = [
        email[field]
        for page in range(1, 5)
        for email in served.client.read("emailer_messages/search", page=page, per_page=100)["emailer_messages"]
    ]
    assert sorted(found) == sorted(one for one in moments if one and "2026-06-01" <= one[:10] <= "2026-08-31")
    assert found
    assert {crumb["signal_field_name"] for crumb in answer["breadcrumbs"]} == {
        "emailer_message_date_range",
        "emailer_message_date_range_mode",
    }


def test_some_emails_lie_in_the_future_and_come_first(client: Client) -> None:
    emails = client.read("emailer_messages/search", per_page=100)["emailer_messages"]
    assert emails[0]["status"] == "scheduled"
    assert emails[0]["due_at"] > "2026-09-30T12:00:00"
    statuses = [email["status"] == "scheduled" for email in emails]
    assert statuses == sorted(statuses, reverse=True)


def test_emails_by_sequence_user_and_outcome(served: Served) -> None:
    client, world = served.client, served.sandbox.world
    sequence = world.sequences.ids[0]
    inside = client.read("emailer_messages/search", **{"emailer_campaign_ids[]": [sequence], "per_page": 100})
    assert {email["emailer_campaign_id"] for email in inside["emailer_messages"]} == {sequence}
    outside = client.read("emailer_messages/search", **{"not_emailer_campaign_ids[]": [sequence], "per_page": 100})
    assert sequence not in {email["emailer_campaign_id"] for email in outside["emailer_messages"]}
    replied = client.search("emailer_messages/search", emailer_message_stats=["replied"], per_page=100)
    assert replied["emailer_messages"]
    assert all(email["replied"] for email in replied["emailer_messages"])
    user = next(one for one in world.outreach_emails).sequence.owner.id
    theirs = client.read("emailer_messages/search", **{"user_ids[]": [user]})["emailer_messages"]
    assert {email["user_id"] for email in theirs} == {user}


def test_calls_and_conversations_by_date(client: Client) -> None:
    everything = client.read("phone_calls/search", per_page=100)["phone_calls"]
    params = {"date_range[min]": "2025-01-01", "date_range[max]": "2025-12-31", "per_page": 100}
    found = client.read("phone_calls/search", **params)["phone_calls"]
    assert {call["id"] for call in found} == {call["id"] for call in everything if call["start_time"][:4] == "2025"}
    assert 0 < len(found) < len(everything)
    span = {"start": "2025-01-01T00:00:00Z", "end": "2025-12-31T23:59:59Z"}
    talks = client.search("conversations/search", date_range=span, per_page=100)["conversations"]
    assert talks
    assert {talk["start_time"][:4] for talk in talks} == {"2025"}


@pytest.mark.parametrize(
    ("path", "name"),
    [("phone_calls/search", "date_range"), ("emailer_messages/search", "emailer_message_date_range")],
)
def test_a_string_for_a_range_is_refused_where_ranges_are_honoured(client: Client, path: str, name: str) -> None:
    response = client.get(path, **{name: "2026-01-01"})
    assert (response.status_code, response.json()["error"]) == (422, "no implicit conversion of String into Integer")


def test_news_by_category_and_date(served: Served) -> None:
    ids = [served.sandbox.world.people.company(serial).organization_id for serial in range(30)]
    body = {"organization_ids": ids, "categories": ["hires"], "published_at": {"min": "2026-01-01"}}
    articles = served.client.search("news_articles/search", **body)["news_articles"]
    assert articles
    assert all(one["event_categories"] == ["hires"] and one["published_at"] >= "2026-01-01" for one in articles)


def test_people_and_companies_of_the_database(client: Client) -> None:
    people = client.search("mixed_people/api_search", person_titles=["engineer"], per_page=100)
    assert 0 < people["total_entries"] < client.search("mixed_people/api_search")["total_entries"]
    assert all("engineer" in person["title"].lower() for person in people["people"])
    companies = client.search("mixed_companies/search", organization_locations=["Germany"], per_page=100)
    assert companies["breadcrumbs"][0]["value"] == "Germany"
    assert {row["country"] for row in companies["accounts"]} == {"Germany"}


def test_rails_notation() -> None:
    query = [("ids[]", "a"), ("ids[]", "b"), ("range[min]", "1"), ("range[max]", "2"), ("deep[a][b][]", "x")]
    params = Params(query, {"page": 3, "range[min]": "0"})
    assert params.texts("ids") == ["a", "b"]
    assert params.get("range") == {"min": "1", "max": "2"}
    assert params.get("deep") == {"a": {"b": ["x"]}}
    assert params.whole("page", 1) == 3
    assert params.whole("absent", 1) == 1


def test_a_span_of_dates_includes_its_last_day_and_one_of_times_does_not() -> None:
    noon = 1_767_268_800_000  # 2026-01-01T12:00:00Z
    assert noon in Span("2026-01-01", "2026-01-01")
    assert noon not in Span("2026-01-01", "2026-01-01T11:00:00Z")
    assert noon in Span(None, None)
    assert None not in Span(None, None)
