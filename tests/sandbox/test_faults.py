"""What goes wrong on demand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from apollo_sandbox import SettingsError
from apollo_sandbox.faults import read_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .client import Client
    from .conftest import Served


@pytest.fixture
def faulty(served: Served) -> Iterator[Served]:
    yield served
    served.sandbox.faults.clear()


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ({"kind": "status", "status": 500}, 500, "application/json"),
        ({"kind": "status", "status": 502, "body": "html"}, 502, "text/html"),
        ({"kind": "cloudflare"}, 403, "text/html"),
        ({"kind": "html"}, 200, "text/html"),
        ({"kind": "error_in_200"}, 200, "application/json"),
        ({"kind": "redirect", "location": "https://elsewhere.example/login"}, 302, "text/plain"),
    ],
)
def test_bad_answers(faulty: Served, fault: dict[str, Any], status: int, kind: str) -> None:
    faulty.sandbox.faults.add(**fault)
    response = faulty.client.get("labels")
    assert response.status_code == status
    assert response.headers["content-type"].startswith(kind)
    if fault["kind"] == "error_in_200":
        assert response.json().keys() == {"error", "error_code"}
    if fault["kind"] == "redirect":
        assert response.headers["location"] == fault["location"]


def test_a_reset_connection(faulty: Served) -> None:
    faulty.sandbox.faults.add("reset", times=1)
    with pytest.raises(requests.ConnectionError, match=r"reset|aborted"):
        faulty.client.get("labels")
    assert faulty.client.get("labels").status_code == 200


def test_a_body_cut_short(faulty: Served) -> None:
    faulty.sandbox.faults.add("cut_body", times=1)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        faulty.client.post("contacts/search", per_page=100)
    assert faulty.client.post("contacts/search").status_code == 200


def test_a_timeout_and_a_slow_answer(faulty: Served) -> None:
    faulty.sandbox.faults.add("timeout", seconds=1, times=1)
    with pytest.raises(requests.ReadTimeout):
        faulty.client.session.get(f"{faulty.client.url}/labels", timeout=0.1)
    faulty.sandbox.faults.clear()
    faulty.sandbox.faults.add("slow", seconds=0.15)
    started = time.monotonic()
    assert faulty.client.get("labels").status_code == 200
    assert time.monotonic() - started >= 0.15


def test_a_page_served_twice_and_a_total_that_lies(faulty: Served) -> None:
    client, faults = faulty.client, faulty.sandbox.faults
    first = client.search("contacts/search", page=1)
    faults.add("repeat_page")
    second = client.search("contacts/search", page=2)
    assert [row["id"] for row in second["contacts"]] == [row["id"] for row in first["contacts"]]
    assert second["pagination"]["page"] == 2
    faults.clear()
    faults.add("total", by=-40)
    assert client.search("contacts/search")["pagination"]["total_entries"] == 560


def _statuses(client: Client, requests_made: int) -> list[int]:
    return [client.get("labels").status_code for _ in range(requests_made)]


def test_when_a_fault_strikes(faulty: Served) -> None:
    client, faults = faulty.client, faulty.sandbox.faults
    faults.add("status", status=503, action="labels/index", after=1, every=2, times=2)
    assert _statuses(client, 7) == [200, 503, 200, 503, 200, 200, 200]
    faults.clear()
    faults.add("status", action="contacts/search")
    assert _statuses(client, 2) == [200, 200]
    faults.clear()
    faults.add("status", probability=0.5)
    assert set(_statuses(client, 30)) == {200, 503}


def test_of_two_faults_each_has_its_turn(faulty: Served) -> None:
    faulty.sandbox.faults.add("status", status=500, times=1)
    faulty.sandbox.faults.add("status", status=502, times=1)
    assert _statuses(faulty.client, 3) == [500, 502, 200]


def test_an_executed_fault_takes_effect_before_it_fails(faulty: Served) -> None:
    person = faulty.sandbox.world.people.person(0).person_id
    for executed, spent in ((False, 0), (True, 1)):
        before = faulty.sandbox.ledger.credits_spent
        faulty.sandbox.faults.clear()
        faulty.sandbox.faults.add("status", status=502, executed=executed)
        assert faulty.client.get(f"people/{person}").status_code == 502
        assert faulty.sandbox.ledger.credits_spent - before == spent


def test_a_timeout_can_be_executed_too(faulty: Served) -> None:
    person = faulty.sandbox.world.people.person(0).person_id
    before = faulty.sandbox.ledger.credits_spent
    unanswered = faulty.sandbox.ledger.statuses["none"]
    faulty.sandbox.faults.add("timeout", seconds=0.5, executed=True)
    with pytest.raises(requests.ReadTimeout):
        faulty.client.session.get(f"{faulty.client.url}/people/{person}", timeout=0.2)
    while faulty.sandbox.ledger.statuses["none"] == unanswered:  # the sandbox may still be at it
        time.sleep(0.01)
    assert faulty.sandbox.ledger.credits_spent == before + 1


def test_faults_over_http(faulty: Served) -> None:
    client = faulty.client
    answer = client.control("POST", "faults", kind="status", status=500, times=1)
    assert answer.json()["faults"][0]["kind"] == "status"
    assert client.get("labels").status_code == 500
    assert client.control("GET", "faults").json()["faults"][0]["fired"] == 1
    assert client.control("POST", "faults", kind="earthquake").status_code == 400
    assert client.control("DELETE", "faults").json() == {"faults": []}


def test_specs_as_text() -> None:
    fault = read_fault("kind=status, status=502, action=contacts/search, times=2, probability=0.5, executed=true")
    assert (fault.status, fault.action, fault.times, fault.probability) == (502, "contacts/search", 2, 0.5)
    assert fault.executed


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("status=500", "needs a kind"),
        ("kind=earthquake", "kind must be one of"),
        ("kind=status,colour=red", "no option colour"),
        ("kind=status,status=many", "status must be a number"),
        ("kind=status,every=0", "every must be at least 1"),
    ],
)
def test_bad_specs_say_so(spec: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_fault(spec)
