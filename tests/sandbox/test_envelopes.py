"""Each endpoint wraps its rows in the envelope recorded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .conftest import Served

_SEARCH = {"breadcrumbs", "partial_results_only", "has_join", "disable_eu_prospecting", "partial_results_limit"}
_PAGED = {"pagination", "num_fetch_result"}
_ENVELOPES = {
    ("POST", "contacts/search"): {"contacts"} | _SEARCH | _PAGED,
    ("POST", "accounts/search"): {"accounts"} | _SEARCH | _PAGED,
    ("GET", "opportunities/search"): {"opportunities", "group_by_field_facets", "salesforce_users"} | _SEARCH | _PAGED,
    ("POST", "tasks/search"): {"tasks", "breadcrumbs", "faceting", "pipeline_total"} | _PAGED,
    ("POST", "emailer_campaigns/search"): {"emailer_campaigns", "breadcrumbs"} | _PAGED,
    ("GET", "users/search"): {"users"} | _PAGED,
    ("GET", "phone_calls/search"): {"phone_calls", "breadcrumbs", "faceting", "pipeline_total"} | _PAGED,
    ("GET", "emailer_messages/search"): {"emailer_messages", "emailer_steps", "breadcrumbs", "num_fetch_result"},
    ("POST", "conversations/search"): {"conversations", "breadcrumbs", "playlist_clip_ids"} | _PAGED,
    ("POST", "mixed_people/api_search"): {"people", "total_entries"},
    ("POST", "mixed_companies/search"): {"accounts", "organizations", "model_ids", "derived_params"} | _SEARCH | _PAGED,
    ("GET", "contact_stages"): {"contact_stages"},
    ("GET", "account_stages"): {"account_stages"},
    ("GET", "opportunity_stages"): {"opportunity_stages"},
    ("GET", "email_accounts"): {"email_accounts"},
    ("GET", "emailer_schedules"): {"emailer_schedules"},
    ("GET", "fields"): {"fields"},
    ("GET", "typed_custom_fields"): {"typed_custom_fields"},
    ("POST", "usage_stats/credit_usage_stats"): {"credit_usage_stats", "current_credit_cycle"},
}


@pytest.mark.parametrize(("verb", "path"), _ENVELOPES)
def test_an_envelope_has_exactly_its_keys(client: Client, verb: str, path: str) -> None:
    answer = client.read(path) if verb == "GET" else client.search(path)
    assert set(answer) == _ENVELOPES[verb, path]


def test_constants_are_constant(client: Client) -> None:
    answer = client.search("contacts/search")
    assert answer["partial_results_limit"] == 10_000
    assert answer["partial_results_only"] is False
    assert answer["num_fetch_result"] is None


def test_labels_are_a_bare_array_with_both_ids(client: Client) -> None:
    labels = client.read("labels")
    assert isinstance(labels, list)
    assert all(label["_id"] == label["id"] == label["key"] for label in labels)
    assert {label["modality"] for label in labels} == {"contacts", "accounts", "emailer_campaigns"}


def test_what_users_and_calls_are_sent_comes_back_as_text(client: Client) -> None:
    assert client.read("users/search", page=1)["pagination"]["page"] == "1"
    assert client.read("users/search", page=1)["pagination"]["per_page"] == 25
    sent = client.read("phone_calls/search", page=1, per_page=5)["pagination"]
    assert (sent["page"], sent["per_page"]) == ("1", "5")


def test_deals_answer_with_numbers_even_to_a_query(client: Client) -> None:
    sent = client.read("opportunities/search", page=1, per_page=5)["pagination"]
    assert (sent["page"], sent["per_page"]) == (1, 5)


def test_conversations_have_breadcrumbs_of_another_kind_and_a_number_fetched(client: Client) -> None:
    answer = client.search("conversations/search", date_range={"start": "2026-01-01T00:00:00Z"})
    assert answer["breadcrumbs"] == {}
    assert answer["num_fetch_result"] == len(answer["conversations"])


def test_tasks_report_a_pipeline_total_nobody_should_trust(client: Client) -> None:
    answer = client.search("tasks/search")
    assert answer["pipeline_total"] == 0 < answer["pagination"]["total_entries"]


@pytest.mark.parametrize("path", ["emailer_campaigns/search", "tasks/search", "emailer_messages/search"])
def test_some_searches_answer_either_verb_alike(client: Client, path: str) -> None:
    assert client.read(path, per_page=2).keys() == client.search(path, per_page=2).keys()


def test_the_older_prefix_works_too(served: Served) -> None:
    client = served.client
    answer = client.session.post(f"{client.root}/v1/contacts/search", json={}, timeout=10)
    assert len(answer.json()["contacts"]) == 25


def test_steps_come_beside_the_emails_of_a_page(client: Client) -> None:
    answer = client.read("emailer_messages/search", per_page=100)
    steps = {step["id"] for step in answer["emailer_steps"]}
    assert {email["emailer_step_id"] for email in answer["emailer_messages"]} == steps


def test_what_can_be_shown_can_be_shown_alone(served: Served) -> None:
    client, world = served.client, served.sandbox.world
    contact, account, deal = world.contacts.ids[0], world.accounts.ids[0], world.deals.ids[0]
    assert client.read(f"contacts/{contact}")["contact"]["id"] == contact
    assert client.read(f"accounts/{account}")["account"]["id"] == account
    assert client.read(f"opportunities/{deal}")["opportunity"]["id"] == deal
    assert client.read(f"tasks/{world.tasks.ids[0]}")["task"]["id"] == world.tasks.ids[0]
    sequence = client.read(f"emailer_campaigns/{world.sequences.ids[0]}")
    assert len(sequence["emailer_steps"]) == sequence["emailer_campaign"]["num_steps"]


def test_the_profile_tells_credits_only_when_asked(client: Client) -> None:
    assert "num_credits_remaining" not in client.read("users/api_profile")
    profile = client.read("users/api_profile", include_credit_usage="true")
    balance = client.search("usage_stats/credit_usage_stats")["credit_usage_stats"]["lead_credit"]
    assert profile["num_credits_remaining"] == balance["left_over"]


def test_health(client: Client) -> None:
    assert client.read("auth/health") == {"healthy": True, "is_logged_in": True}
