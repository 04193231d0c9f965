"""Rows are of Apollo's shapes and types, and hang together."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings

from .client import Client

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .conftest import Serve, Served

_Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_OFFSET = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")
_SHORT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def contacts(client: Client) -> list[dict[str, Any]]:
    return list(client.walk("contacts/search", "contacts"))


@pytest.fixture(scope="module")
def accounts(client: Client) -> list[dict[str, Any]]:
    return list(client.walk("accounts/search", "accounts"))


@pytest.fixture(scope="module")
def deals(client: Client) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.read("opportunities/search", per_page=100)["opportunities"]
    return rows


@pytest.fixture(scope="module")
def tasks(client: Client) -> list[dict[str, Any]]:
    return list(client.walk("tasks/search", "tasks"))


@pytest.fixture(scope="module")
def emails(client: Client) -> list[dict[str, Any]]:
    return [
        row
        for page in (1, 2, 3)
        for row in client.read("emailer_messages/search", per_page=100, page=page)["emailer_messages"]
    ]


def _types(rows: Iterable[dict[str, Any]], key: str) -> set[str]:
    return {type(row[key]).__name__ if key in row else "absent" for row in rows}


def test_no_list_but_the_contacts_shows_an_update(
    client: Client, accounts: list[dict[str, Any]], deals: list[dict[str, Any]], tasks: list[dict[str, Any]]
) -> None:
    sequences = client.search("emailer_campaigns/search")["emailer_campaigns"]
    users = client.read("users/search")["users"]
    for rows in (accounts, deals, tasks, sequences, users):
        assert all("updated_at" not in row for row in rows)


def test_what_is_absent_what_is_null_and_what_is_text(contacts: list[dict[str, Any]]) -> None:
    assert _types(contacts, "account") == {"dict", "absent"}
    assert _types(contacts, "organization") == {"dict", "absent"}
    assert _types(contacts, "account_id") == {"str", "NoneType"}
    assert _types(contacts, "city") == {"str", "NoneType", "absent"}
    assert _types(contacts, "restricted") == {"bool", "absent"}
    assert _types(contacts, "hubspot_record_url") == {"str", "absent"}
    assert _types(contacts, "extrapolated_email_confidence") == {"int", "float", "NoneType"}
    for key in ("linkedin_uid", "hubspot_vid", "crm_id"):
        assert _types(contacts, key) == {"str", "NoneType"}
        assert all(row[key].isdigit() for row in contacts if row[key])
    for key in ("email", "first_name", "person_id", "owner_id", "email_from_customer", "email_status"):
        assert "NoneType" in _types(contacts, key)
    share = sum("account" not in row for row in contacts) / len(contacts)
    assert 0.04 < share < 0.15
    assert all(("account" in row) == (row["account_id"] is not None) for row in contacts)


def test_locked_addresses_are_a_placeholder(contacts: list[dict[str, Any]]) -> None:
    locked = [row for row in contacts if row["email"] == "email_not_unlocked@domain.com"]
    assert 0 < len(locked) < len(contacts) / 5


def test_rows_of_one_list_have_the_recorded_keys(accounts: list[dict[str, Any]], deals: list[dict[str, Any]]) -> None:
    for row in accounts:
        assert {"hubspot_id", "intent_strength", "num_contacts", "godmode_apollo_creator", "modality"} <= row.keys()
    assert _types(accounts, "raw_address") == {"str", "absent"}
    assert _types(accounts, "organization_id") == {"str", "NoneType"}
    assert all((row["organization_id"] is None) == (row["domain"] is None) for row in accounts)
    for row in deals:
        assert {"opportunity_pipeline_id", "stage_updated_at", "exchange_rate_value", "currency"} <= row.keys()
        assert ("account" in row) == (row["account_id"] is not None)
    assert _types(deals, "amount") >= {"int", "float"}


def test_instants_are_written_in_several_ways(
    client: Client,
    contacts: list[dict[str, Any]],
    deals: list[dict[str, Any]],
    tasks: list[dict[str, Any]],
) -> None:
    for row in contacts:
        assert _Z.fullmatch(row["created_at"])
        assert _Z.fullmatch(row["updated_at"])
        assert row["last_activity_date"] is None or _OFFSET.fullmatch(row["last_activity_date"])
    for row in deals:
        assert "created_at" not in row
        assert _OFFSET.fullmatch(row["opportunity_created_at"])
        assert _Z.fullmatch(row["last_activity_date"])
    for row in tasks:
        assert _OFFSET.fullmatch(row["due_at"])
        assert _Z.fullmatch(row["created_at"])
    for row in client.search("conversations/search")["conversations"]:
        assert _SHORT.fullmatch(row["start_time"])
    for row in client.read("phone_calls/search")["phone_calls"]:
        assert _OFFSET.fullmatch(row["start_time"])
        assert not {"created_at", "updated_at"} & row.keys()


def test_deals_may_carry_their_creation_as_they_used_to(
    serve: Serve,
) -> None:
    with serve(deal_created_field="created_at", contacts=100) as (_, client):
        for row in client.read("opportunities/search")["opportunities"]:
            assert _Z.fullmatch(row["created_at"])
            assert "opportunity_created_at" not in row


def test_rates_are_whole_broken_or_still_loading(client: Client) -> None:
    sequences = client.search("emailer_campaigns/search", per_page=100)["emailer_campaigns"]
    values = [row[key] for row in sequences for key in row if key.endswith("_rate")]
    assert {type(value) for value in values} == {int, float, str}
    assert {value for value in values if isinstance(value, str)} == {"loading"}


def test_custom_fields_have_one_shape_each(contacts: list[dict[str, Any]], client: Client) -> None:
    fields = {row["id"]: row for row in client.read("typed_custom_fields")["typed_custom_fields"]}
    shapes = {
        "string": (str,),
        "textarea": (str,),
        "number": (int, float),
        "boolean": (bool,),
        "date": (str,),
        "datetime": (str,),
        "picklist": (list,),
        "multi_picklist": (list,),
    }
    seen = set()
    for row in contacts:
        for field_id, value in row["typed_custom_fields"].items():
            field = fields[field_id]
            seen.add(field["type"])
            assert isinstance(value, shapes[field["type"]])
            if isinstance(value, list):
                assert set(value) <= {option["id"] for option in field["picklist_values"]}
    assert seen == set(shapes)
    assert any(row["typed_custom_fields"] == {} for row in contacts)
    assert all(("picklist_values" in row) == ("picklist" in row["type"]) for row in fields.values())
    own = {row["id"].split(".")[1] for row in client.read("fields", source="custom")["fields"]}
    assert own == set(fields)


def test_users_have_null_custom_fields_and_some_are_deleted(client: Client) -> None:
    users = client.read("users/search")["users"]
    assert all(user["typed_custom_fields"] is None and "opt_out_html_template" in user for user in users)


def test_statuses_share_ids_but_never_a_contact_and_sequence(contacts: list[dict[str, Any]]) -> None:
    pairs, ids = Counter[tuple[str, str]](), Counter[str]()
    for row in contacts:
        for status in row["contact_campaign_statuses"]:
            pairs[row["id"], status["emailer_campaign_id"]] += 1
            ids[status["id"]] += 1
    assert max(pairs.values()) == 1
    assert max(ids.values()) > 1
    assert {status["status"] for row in contacts for status in row["contact_campaign_statuses"]} >= {
        "active",
        "finished",
        "paused",
    }


def test_ids_begin_with_the_second_of_creation(contacts: list[dict[str, Any]], accounts: list[dict[str, Any]]) -> None:
    for row in contacts + accounts:
        assert re.fullmatch(r"[0-9a-f]{24}", row["id"])
        assert int(row["id"][:8], 16) == Settings(now=row["created_at"]).start_ms // 1000


def test_every_reference_leads_somewhere(
    client: Client, contacts: list[dict[str, Any]], accounts: list[dict[str, Any]], emails: list[dict[str, Any]]
) -> None:
    deals = client.read("opportunities/search", per_page=100)["opportunities"]
    tasks = list(client.walk("tasks/search", "tasks"))
    ids = {
        "contact": {row["id"] for row in contacts},
        "account": {row["id"] for row in accounts},
        "deal": {row["id"] for row in deals},
        "user": {row["id"] for row in client.read("users/search")["users"]},
        "sequence": {row["id"] for row in client.search("emailer_campaigns/search")["emailer_campaigns"]},
        "mailbox": {row["id"] for row in client.read("email_accounts")["email_accounts"]},
        "schedule": {row["id"] for row in client.read("emailer_schedules")["emailer_schedules"]},
        "contact stage": {row["id"] for row in client.read("contact_stages")["contact_stages"]},
        "account stage": {row["id"] for row in client.read("account_stages")["account_stages"]},
        "deal stage": {row["id"] for row in client.read("opportunity_stages")["opportunity_stages"]},
        "label": {row["id"] for row in client.read("labels")},
    }
    calls = client.read("phone_calls/search", per_page=100)["phone_calls"]
    talks = client.search("conversations/search", per_page=100)["conversations"]
    references = {
        "account": [row["account_id"] for row in contacts + deals + tasks + calls]
        + [one for row in talks for one in row["account_ids"]],
        "contact": [row["contact_id"] for row in tasks + calls + emails]
        + [role["contact_id"] for row in deals for role in row["opportunity_contact_roles"]],
        "deal": [row["opportunity_id"] for row in tasks] + [one["id"] for row in talks for one in row["deals"]],
        "user": [row["owner_id"] for row in contacts + accounts + deals]
        + [row["user_id"] for row in tasks + calls + emails]
        + [row["host_id"] for row in talks],
        "sequence": [row["emailer_campaign_id"] for row in emails + tasks]
        + [one for row in contacts for one in row["emailer_campaign_ids"]],
        "mailbox": [row["email_account_id"] for row in emails],
        "contact stage": [row["contact_stage_id"] for row in contacts],
        "account stage": [row["account_stage_id"] for row in accounts],
        "deal stage": [row["opportunity_stage_id"] for row in deals],
        "label": [one for row in contacts + accounts for one in row["label_ids"]],
    }
    for kind, found in references.items():
        known = {one for one in found if one is not None}
        assert known, kind
        assert known <= ids[kind], kind


def test_what_is_embedded_is_what_is_listed(contacts: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> None:
    listed = {row["id"]: row for row in contacts}
    embedded = [task["contact"] for task in tasks if "contact" in task]
    assert embedded
    for contact in embedded:
        assert contact["custom_field_errors"] is None
        assert {key: contact[key] for key in ("email", "name", "updated_at", "account_id")} == {
            key: listed[contact["id"]][key] for key in ("email", "name", "updated_at", "account_id")
        }


def test_emails_went_to_people_in_the_sequence(contacts: list[dict[str, Any]], emails: list[dict[str, Any]]) -> None:
    enrolled = {row["id"]: set(row["emailer_campaign_ids"]) for row in contacts}
    addresses = {row["id"]: row["email"] for row in contacts}
    for email in emails:
        assert email["emailer_campaign_id"] in enrolled[email["contact_id"]]
        assert email["to_email"] == addresses[email["contact_id"]]
        assert (email["completed_at"] is None) == (email["status"] != "completed")


def test_contents_and_activities_of_emails(served: Served, emails: list[dict[str, Any]]) -> None:
    client = served.client
    unsent = next(email["id"] for email in emails if email["status"] == "scheduled")
    sent = [email["id"] for email in emails if email["status"] == "completed"][:3]
    found = client.search("emailer_messages/get_content", ids=[*sent, unsent, "0" * 24, "?"])["emailer_messages"]
    assert [row["id"] for row in found] == sent
    shown = client.read(f"emailer_messages/{sent[0]}/activities")
    assert shown["emailer_message"]["contact"]["id"] == shown["emailer_message"]["contact_id"]
    assert shown["activities"][0]["emailer_message_id"] == sent[0]


def test_people_are_made_up(contacts: list[dict[str, Any]], accounts: list[dict[str, Any]]) -> None:
    for row in contacts:
        assert row["email"] is None or row["email"].endswith((".example", "_unlocked@domain.com"))
    assert all(row["domain"] is None or row["domain"].endswith(".example") for row in accounts)


def test_the_free_search_is_coy(served: Served) -> None:
    people = served.client.search("mixed_people/api_search", per_page=100)["people"]
    for person in people:
        assert not {"last_name", "email", "linkedin_url"} & person.keys()
        assert re.fullmatch(r".{1,2}\*\*\*.", person["last_name_obfuscated"])
    assert {person["has_direct_phone"] for person in people} == {
        "Yes",
        "Maybe: please request direct dial via people/bulk_match",
    }


def test_companies_the_team_saved_come_as_accounts(served: Served) -> None:
    answer = served.client.search("mixed_companies/search", per_page=100)
    assert answer["accounts"]
    assert answer["organizations"]
    assert len(answer["model_ids"]) == 100
    assert all(row["id"] in served.sandbox.world.accounts.ids for row in answer["accounts"])


def test_rows_are_about_as_large_as_recorded(contacts: list[dict[str, Any]], deals: list[dict[str, Any]]) -> None:
    assert 3_500 < sum(len(str(row)) for row in contacts) / len(contacts) < 7_500
    assert 1_900 < sum(len(str(row)) for row in deals) / len(deals) < 5_000


def test_the_same_seed_gives_the_same_bytes() -> None:
    def read(seed: int) -> list[bytes]:
        with Sandbox(Settings(contacts=80, people=200, seed=seed)).serve() as sandbox:
            client = Client(sandbox)
            return [
                client.post("contacts/search", per_page=100).content,
                client.get("opportunities/search").content,
                client.get("emailer_messages/search").content,
                client.get("users/search").content,
            ]

    assert read(3) == read(3)
    assert read(3) != read(4)
