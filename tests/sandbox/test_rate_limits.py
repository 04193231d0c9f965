"""Three windows per action, the nine headers, and the refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from apollo_sandbox.clock import DAY, HOUR, MINUTE, Clock
from apollo_sandbox.rate_limits import RateLimiter, TooManyRequestsError

if TYPE_CHECKING:
    from .conftest import FakeTime, Serve


def test_nine_headers_count_the_request_itself(serve: Serve) -> None:
    with serve(plan="free") as (_, client):
        client.post("contacts/search")
        headers = client.post("contacts/search").headers
    assert {name: headers[name] for name in headers if "rate-limit" in name or "usage" in name or "left" in name} == {
        "x-rate-limit-minute": "50",
        "x-minute-usage": "2",
        "x-minute-requests-left": "48",
        "x-rate-limit-hourly": "200",
        "x-hourly-usage": "2",
        "x-hourly-requests-left": "198",
        "x-rate-limit-24-hour": "600",
        "x-24-hour-usage": "2",
        "x-24-hour-requests-left": "598",
    }


def test_each_action_counts_alone_and_both_verbs_together(
    serve: Serve,
) -> None:
    with serve() as (sandbox, client):
        client.get("tasks/search")
        assert client.post("tasks/search").headers["x-minute-usage"] == "2"
        assert client.post("contacts/search").headers["x-minute-usage"] == "1"
        first, second = sandbox.world.contacts.ids[:2]
        client.get(f"contacts/{first}")
        assert client.get(f"contacts/{second}").headers["x-minute-usage"] == "2"


def test_windows_open_with_the_first_request_and_close_on_their_own(serve: Serve, fake_time: FakeTime) -> None:
    with serve(monotonic=fake_time, limit=["contacts/search=2/3/100"]) as (sandbox, client):
        fake_time.seconds += 30
        assert client.post("contacts/search").status_code == 200
        fake_time.seconds += 20.5
        assert client.post("contacts/search").status_code == 200
        refused = client.post("contacts/search")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "40"
        assert refused.json() == {
            "message": "The maximum number of api calls allowed for api/v1/contacts/search is 2 times per minute. "
            "Please upgrade your plan from https://app.apollo.io/#/settings/plans/upgrade?source=api_rate_limit.",
            "error_details": {"code": "USAGE.RATE_LIMIT.API_RATE_LIMIT_EXCEEDED"},
        }
        fake_time.seconds += 40
        third = client.post("contacts/search")
        assert third.status_code == 200
        assert (third.headers["x-minute-usage"], third.headers["x-hourly-usage"]) == ("1", "3")
        refused = client.post("contacts/search")
        assert "3 times per hour" in refused.json()["message"]
        assert int(refused.headers["retry-after"]) == 3600 - 60
        assert sandbox.ledger.as_dict()["rate_limited"] == {"contacts/search": 2}
        assert sandbox.ledger.rate_limited_total == 2


def test_a_refusal_uses_nothing_up(serve: Serve, fake_time: FakeTime) -> None:
    with serve(monotonic=fake_time, limit=["labels/index=1/10/10"]) as (_, client):
        client.get("labels")
        for _ in range(5):
            assert client.get("labels").status_code == 429
        fake_time.seconds += 60
        assert client.get("labels").headers["x-hourly-usage"] == "2"


def test_the_wait_is_told_in_real_seconds(serve: Serve, fake_time: FakeTime) -> None:
    with serve(monotonic=fake_time, clock_speed=60, limit=["labels/index=9/1/9"]) as (_, client):
        client.get("labels")
        assert client.get("labels").headers["retry-after"] == "60"
        fake_time.seconds += 60
        assert client.get("labels").status_code == 200


def test_refused_credentials_carry_no_figures(serve: Serve) -> None:
    with serve(forbid=["tasks/search"]) as (_, client):
        for response in (
            client.post("tasks/search"),
            client.session.get(f"{client.url}/labels", headers={"x-api-key": "no"}),
        ):
            assert response.status_code in {401, 403}
            assert not [name for name in response.headers if "usage" in name or "rate-limit" in name]


def test_an_unlimited_window_is_an_empty_header(serve: Serve) -> None:
    with serve(contacts=10) as (sandbox, client):
        person = sandbox.world.people.person(0).person_id
        headers = client.get(f"people/{person}").headers
        assert headers["x-rate-limit-minute"] == "1000"
        assert headers["x-rate-limit-hourly"] == headers["x-rate-limit-24-hour"] == ""
        assert "x-hourly-usage" not in headers
        assert "x-24-hour-requests-left" not in headers


@pytest.mark.parametrize(
    ("plan", "action", "limits"),
    [
        ("free", "contacts/search", (50, 200, 600)),
        ("basic", "contacts/search", (200, 400, 2000)),
        ("professional", "accounts/search", (200, 400, 2000)),
        ("organization", "accounts/search", (200, 600, 6000)),
        ("unlimited", "accounts/search", (None, None, None)),
        ("professional", "mixed_people/api_search", (200, 6000, 50_000)),
        ("professional", "people/match", (1000, None, None)),
        ("free", "people/match", (50, 200, 600)),
        ("free", "people/bulk_match", (20, 100, 600)),
        ("professional", "people/bulk_match", (20, 100, 6000)),
        ("professional", "organizations/bulk_enrich", (20, 100, 600)),
        ("organization", "reports/sync_report", (200, 5, 6000)),
        ("professional", "conversations/export", (1, 20, 480)),
    ],
)
def test_limits_of_plans(plan: str, action: str, limits: tuple[int | None, ...]) -> None:
    assert RateLimiter(plan, Clock(0)).limits(action) == limits


def test_of_several_full_windows_the_longest_is_told(fake_time: FakeTime) -> None:
    limiter = RateLimiter("free", Clock(0, 1, fake_time), ["a/b=1/1/1"])
    limiter.admit("a/b")
    with pytest.raises(TooManyRequestsError) as refusal:
        limiter.admit("a/b")
    assert refusal.value.retry_after == DAY // 1000
    fake_time.seconds += (HOUR + MINUTE) / 1000
    with pytest.raises(TooManyRequestsError) as refusal:
        limiter.admit("a/b")
    assert refusal.value.retry_after == (DAY - HOUR - MINUTE) // 1000


def test_the_usage_report_tells_the_windows_truly(serve: Serve) -> None:
    with serve() as (sandbox, client):
        for _ in range(3):
            client.post("contacts/search")
        stats = client.search("usage_stats/api_usage_stats")
        assert stats['["api/v1/contacts", "search"]'] == {
            "day": {"limit": 2000, "consumed": 3, "left_over": 1997},
            "hour": {"limit": 400, "consumed": 3, "left_over": 397},
            "minute": {"limit": 200, "consumed": 3, "left_over": 197},
        }
        assert len(stats) == sandbox.counts()["api_usage_stats"]
        assert not any("opportunities" in key or "notes" in key for key in stats)
        assert client.get("usage_stats/api_usage_stats").status_code == 404
