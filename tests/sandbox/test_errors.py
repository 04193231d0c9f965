"""How Apollo says no."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .client import Client
    from .conftest import Serve

_NOBODY = "0" * 24


@pytest.mark.parametrize("headers", [{"x-api-key": "wrong"}, {"x-api-key": ""}])
def test_a_bad_key_gets_plain_text(client: Client, headers: dict[str, str]) -> None:
    response = client.session.get(f"{client.url}/labels", headers=headers, timeout=10)
    assert response.status_code == 401
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.startswith("Invalid API key.")


def test_a_bad_token_gets_json(client: Client) -> None:
    response = client.session.get(f"{client.url}/labels", headers={"authorization": "Bearer no"}, timeout=10)
    assert (response.status_code, response.json()["error_code"]) == (401, "INVALID_ACCESS_TOKEN")


def test_what_is_outside_the_scope(serve: Serve) -> None:
    forbidden = ["tasks/search", "opportunities/search", "conversations/search", "reports/sync_report"]
    with serve(forbid=forbidden, paid_only=["contacts/search"]) as (_, client):
        response = client.post("tasks/search")
        assert response.status_code == 403
        assert response.json()["error_code"] == "API_INACCESSIBLE"
        assert "not authorized to access api/v1/tasks/search." in response.json()["error"]
        assert "deals/api/v1/opportunities/search" in client.get("opportunities/search").json()["error"]
        assert client.post("conversations/search").json() == {"error": "Access denied."}
        assert client.post("reports/sync_report").status_code == 422
        paid = client.post("contacts/search")
        assert paid.status_code == 403
        assert paid.json() == {"message": "This endpoint is only available to Apollo users on paid plans."}
        assert client.get("labels").status_code == 200


@pytest.mark.parametrize(
    ("verb", "path", "status", "error"),
    [
        ("get", f"contacts/{_NOBODY}", 422, "Oops! This contact does not exist in Apollo."),
        ("post", f"contacts/{_NOBODY}/opportunities", 422, "Oops! This contact does not exist in Apollo."),
        ("get", "opportunities/what", 422, "Parameters misconfigured. opportunity_id is not a valid ID"),
        ("get", f"opportunities/{_NOBODY}", 404, "Not Found"),
        ("get", f"tasks/{_NOBODY}", 422, "This task or emailer message has been deleted. Please refresh your page."),
        ("get", f"emailer_messages/{_NOBODY}/activities", 422, "Could not find message."),
        ("get", f"conversations/{_NOBODY}", 404, "Conversation not found or access denied."),
        ("get", f"conversations/export/{_NOBODY}", 404, "Export not found or access denied."),
        ("get", f"people/{_NOBODY}", 422, "Person does not exist."),
        ("get", "organizations/what", 422, "Parameters misconfigured. id is not a valid ID"),
        ("get", "organizations/what/job_postings", 422, "Parameters misconfigured. organization_id is not a valid ID"),
        ("post", "emailer_messages/get_content", 422, "Missing required parameter: ids"),
        ("post", "conversations/export", 422, "start_time is not a valid ISO-8601 date."),
    ],
)
def test_what_is_not_there(client: Client, verb: str, path: str, status: int, error: str) -> None:
    response = getattr(client, verb)(path)
    assert (response.status_code, response.json()["error"]) == (status, error)


def test_the_old_people_search_is_gone(client: Client) -> None:
    assert client.post("mixed_people/search").status_code == 422


def test_what_was_deleted_is_told_from_what_never_was(serve: Serve) -> None:
    with serve() as (sandbox, client):
        contact, account = sandbox.world.contacts.ids[0], sandbox.world.accounts.ids[0]
        sandbox.world.delete_contact(contact)
        sandbox.world.delete_account(account)
        assert client.get(f"contacts/{contact}").json() == {"error": "This contact has been deleted."}
        assert client.get(f"accounts/{account}").json() == {"error": "This account has been deleted!"}


def test_no_fields_of_a_crm_that_is_not_there(client: Client) -> None:
    assert client.get("fields", source="crm_synced").status_code == 422


@pytest.mark.parametrize(
    ("verb", "path"),
    [("POST", "contacts"), ("DELETE", f"contacts/{_NOBODY}"), ("PATCH", f"accounts/{_NOBODY}"), ("GET", "nothing")],
)
def test_nothing_can_be_written(client: Client, verb: str, path: str) -> None:
    response = client.session.request(verb, f"{client.url}/{path}", json={}, timeout=10)
    assert (response.status_code, response.json()) == (404, {"status": 404, "error": "Not Found"})


def test_a_body_that_is_no_json(client: Client) -> None:
    headers = {"content-type": "application/json"}
    response = client.session.post(f"{client.url}/contacts/search", data="{", headers=headers, timeout=10)
    assert response.status_code == 400


def test_the_network_in_front_leaves_its_headers(client: Client) -> None:
    headers = client.get("labels").headers
    assert headers["server"] == "cloudflare"
    assert headers["cf-cache-status"] == "DYNAMIC"
    assert headers["etag"].startswith('W/"')
    assert float(headers["x-runtime"]) >= 0
    assert headers["x-request-id"] != client.get("labels").headers["x-request-id"]
    assert "__cf_bm" in headers["set-cookie"]
