"""Tokens, their rotation, and what they may not do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from .client import Client

if TYPE_CHECKING:
    from .conftest import FakeTime, Serve, Served


def _refresh(served: Served, token: str, **other: str) -> requests.Response:
    settings = served.sandbox.settings
    form: dict[str, Any] = {
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": settings.client_id,
        "client_secret": settings.client_secret,
        **other,
    }
    return requests.post(f"{served.sandbox.url}/oauth/token", data=form, timeout=10)


def _status(served: Served, token: str) -> int:
    return Client(served.sandbox, authorization=f"Bearer {token}").get("labels").status_code


def test_a_refresh_gives_a_new_pair_and_kills_the_old(
    serve: Serve,
) -> None:
    with serve() as served:
        settings = served.sandbox.settings
        assert _status(served, settings.access_token) == 200
        first = _refresh(served, settings.refresh_token).json()
        assert first["expires_in"] == 2_592_000
        assert _status(served, settings.access_token) == 401
        assert _status(served, first["access_token"]) == 200
        stale = _refresh(served, settings.refresh_token)
        assert (stale.status_code, stale.json()["error"]) == (400, "invalid_grant")
        second = _refresh(served, first["refresh_token"]).json()
        assert _status(served, first["access_token"]) == 401
        assert _status(served, second["access_token"]) == 200


def test_a_token_expires(serve: Serve, fake_time: FakeTime) -> None:
    with serve(monotonic=fake_time, token_lifetime=60) as served:
        fake_time.seconds += 59
        assert _status(served, served.sandbox.settings.access_token) == 200
        fake_time.seconds += 1
        assert _status(served, served.sandbox.settings.access_token) == 401


def test_strangers_and_other_grants(serve: Serve) -> None:
    with serve() as served:
        token = served.sandbox.settings.refresh_token
        assert _refresh(served, token, client_id="stranger").status_code == 401
        assert _refresh(served, token, grant_type="password").json() == {"error": "unsupported_grant_type"}


def test_two_endpoints_have_no_scope_for_tokens(serve: Serve) -> None:
    with serve() as served:
        client = Client(served.sandbox, authorization=f"Bearer {served.sandbox.settings.access_token}")
        contact = served.sandbox.world.contacts.ids[0]
        email = served.sandbox.world.outreach_emails.ids[0]
        for response in (
            client.post(f"contacts/{contact}/opportunities"),
            client.get(f"emailer_messages/{email}/activities"),
        ):
            assert response.status_code == 403
            assert response.json()["error"].endswith("is not accessible with this access token")
        assert client.get(f"contacts/{contact}").status_code == 200
