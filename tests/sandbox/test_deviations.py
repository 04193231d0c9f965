"""Answers that differ from what Apollo documents, and that a client can still read."""

from __future__ import annotations

import json
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import SettingsError
from apollo_sandbox.deviations import DEVIATIONS, ODD
from apollo_sandbox.errors import REFUSALS
from apollo_sandbox.faults import read_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .client import Client
    from .conftest import Serve, Served

NEWEST = {"sort_by_field": "contact_updated_at", "sort_ascending": False}


@pytest.fixture
def odd(served: Served) -> Iterator[Served]:
    yield served
    served.sandbox.faults.clear()


def contacts(client: Client, page: int = 1, **body: Any) -> Any:
    return client.search("contacts/search", **{"page": page, "per_page": 100, **NEWEST, **body})


def ids(reply: Any, key: str = "contacts") -> list[str]:
    return [row["id"] for row in reply[key]]


@pytest.mark.parametrize(("told", "per_page", "pages"), [(True, 25, 24), (False, 100, 6)])
def test_a_page_cap(odd: Served, told: bool, per_page: int, pages: int) -> None:  # noqa: FBT001
    sandbox, client = odd
    sandbox.faults.add("page_cap", told=told)
    replies = [contacts(client, page, sort_by_field=None) for page in range(1, 25)]
    assert [len(reply["contacts"]) for reply in replies] == [25] * 24
    assert {one for reply in replies for one in ids(reply)} == {*sandbox.world.contacts.ids}
    assert replies[1]["pagination"] == {
        "page": 2,
        "per_page": per_page,
        "total_entries": 600,
        "total_pages": pages,
    }
    assert contacts(client, 25)["contacts"] == []
    assert len(contacts(client, per_page=10)["contacts"]) == 10


def test_a_page_cap_of_notes(odd: Served) -> None:
    some = {"contact_ids[]": odd.sandbox.world.contacts.ids[:60]}
    whole = odd.client.read("notes", **some, limit=100)["notes"]
    odd.sandbox.faults.add("page_cap", size=20, action="notes/index")
    parts = [odd.client.read("notes", **some, limit=100, skip=skip)["notes"] for skip in (0, 20)]
    assert len(whole) > 40
    assert parts == [whole[:20], whole[20:40]]


def test_a_page_limit(odd: Served) -> None:
    odd.sandbox.faults.add("page_limit", action="conversations/search")
    refusal = odd.client.post("conversations/search", per_page=100)
    assert (refusal.status_code, refusal.json()["error"]) == (422, "Per page not supported")
    assert odd.client.post("conversations/search", per_page=25).status_code == 200
    assert odd.client.post("contacts/search", per_page=100).status_code == 200


def test_a_page_that_is_ignored(odd: Served) -> None:
    some = {"contact_ids[]": odd.sandbox.world.contacts.ids[:60]}
    tasks = ids(odd.client.search("tasks/search"), "tasks")
    notes = odd.client.read("notes", **some)
    odd.sandbox.faults.add("page_ignored")
    third = odd.client.search("tasks/search", page=3)
    assert (ids(third, "tasks"), third["pagination"]["page"]) == (tasks, 3)
    assert odd.client.read("notes", **some, skip=25) == notes


@pytest.mark.parametrize("status", [422, 404])
def test_a_last_page_that_is_refused(odd: Served, status: int) -> None:
    odd.sandbox.faults.add("last_page", status=status)
    assert len(contacts(odd.client, 6)["contacts"]) == 100
    assert odd.client.post("contacts/search", page=7, per_page=100).status_code == status
    assert odd.client.post("contacts/search", q_keywords="nobody has this name").status_code == 200
    assert odd.client.get("notes", contact_id=odd.sandbox.world.contacts.ids[0], skip=9).status_code == status


def test_rows_that_are_hidden_and_shown_again(odd: Served) -> None:
    sandbox, client = odd
    sandbox.faults.add("hidden_rows", size=50, place=7, times=6)
    body: dict[str, Any] = {"sort_by_field": None}
    seen = {one for page in range(1, 7) for one in ids(contacts(client, page, **body))}
    hidden = {row.id for row in sandbox.world.contacts if row.serial % 50 == 7}
    assert {*sandbox.world.contacts.ids} - seen == hidden
    assert len(hidden) == 12
    assert contacts(client, **body)["pagination"]["total_entries"] == 600
    assert {one for page in range(1, 7) for one in ids(contacts(client, page, **body))} >= hidden


def test_totals_that_are_capped_or_absent(odd: Served) -> None:
    sandbox, client = odd
    sandbox.faults.add("total_cap", size=200)
    assert contacts(client)["pagination"] == {"page": 1, "per_page": 100, "total_entries": 200, "total_pages": 2}
    assert client.search("mixed_people/api_search")["total_entries"] == 200
    sandbox.faults.add("total_absent")
    assert contacts(client)["pagination"] == {"page": 1, "per_page": 100, "total_entries": None, "total_pages": None}
    assert client.search("mixed_people/api_search")["total_entries"] is None
    sandbox.faults.add("total_absent", value="gone")
    assert "pagination" not in contacts(client)
    assert "total_entries" not in client.search("mixed_people/api_search")
    assert client.read("labels")


def test_a_total_that_is_one_answer_late(serve: Serve) -> None:
    with serve(contacts=60) as (sandbox, client):
        sandbox.faults.add("total_late")
        totals = []
        for _ in range(3):
            totals.append(client.read("phone_calls/search")["pagination"]["total_entries"])
            totals.append(client.search("contacts/search")["pagination"]["total_entries"])
            sandbox.world.add_contact()
        assert totals == [6, 60, 6, 60, 6, 61]


def test_windows_without_their_end(odd: Served) -> None:
    sandbox, client = odd

    def calls(low: str, high: str) -> int:
        window = {"date_range[min]": low, "date_range[max]": high}
        return int(client.read("phone_calls/search", **window)["pagination"]["total_entries"])

    day = max(client.read("phone_calls/search", per_page=100)["phone_calls"], key=lambda row: row["start_time"])
    start = day["start_time"].replace("+00:00", "Z")
    both = calls(start, start), calls(start[:10], start[:10])
    sandbox.faults.add("window_exclusive")
    assert both >= (1, 1)
    assert (calls(start, start), calls(start[:10], start[:10])) == (0, 0)


def test_windows_that_are_cut_to_the_second(serve: Serve) -> None:
    with serve(conversations=1, limit=("conversations/export=0/0/0",)) as (sandbox, client):
        one = next(iter(sandbox.world.conversations))
        with sandbox.world.conversations.changing(one):
            one.start = 1_767_225_599_500  # 2025-12-31T23:59:59.500Z

        def found(low: str, high: str) -> int:
            window = {"start": low, "end": high}
            return len(client.search("conversations/search", date_range=window)["conversations"])

        windows = [("2025-12-01", "2025-12-31"), ("2026-01-01", "2026-01-31")]
        assert [found(*window) for window in windows] == [1, 0]
        sandbox.faults.add("window_seconds")
        assert [found(*window) for window in windows] == [0, 0]
        export = {"start_time": "2025-12-31T00:00:00Z", "end_time": "2025-12-31T23:59:59.999Z"}
        assert client.post("conversations/export", **export).status_code == 404
        sandbox.faults.clear()
        assert client.post("conversations/export", **export).status_code == 200


def test_orders_that_are_not_what_was_asked_for(serve: Serve) -> None:
    with serve(contacts=60, tie_size=1) as (sandbox, client):
        by_update = ids(contacts(client))
        sandbox.faults.add("sort_ignored")
        assert ids(contacts(client)) == sorted(by_update, reverse=True)
        sandbox.faults.add("sort_reversed")
        assert ids(contacts(client)) == sorted(by_update)
        sandbox.faults.clear()
        sandbox.faults.add("swapped_rows", size=60, place=13, every=2)
        swapped, place = ids(contacts(client)), by_update.index(sandbox.world.contacts.ids[13])
        expected = [*by_update]
        expected[place], expected[-1 - place] = by_update[-1 - place], by_update[place]
        assert (swapped, ids(contacts(client))) == (expected, by_update)


@pytest.mark.parametrize("value", ODD)
def test_odd_rows(odd: Served, value: str) -> None:
    sandbox, client = odd
    row_id = sandbox.world.contacts.ids[3]
    (before,) = [row for page in range(1, 7) for row in contacts(client, page)["contacts"] if row["id"] == row_id]
    sandbox.faults.add("odd_row", place=3, value=value, action="contacts/search")
    texts = [client.post("contacts/search", page=page, per_page=100, **NEWEST).text for page in range(1, 7)]
    rows = [row for text in texts for row in json.loads(text)["contacts"]]
    assert len(rows) == 600
    changed = [row for row in rows if not isinstance(row, dict) or not row.get("id") or row["id"] == before["id"]]
    found = changed[0] if changed else next(row for row in rows if isinstance(row["id"], int))
    expected: dict[str, Callable[[], object]] = {
        "id_null": lambda: found["id"] is None,
        "id_empty": lambda: not found["id"],
        "id_integer": lambda: isinstance(found["id"], int),
        "id_missing": lambda: found.keys() == before.keys() - {"id"},
        "null": lambda: found is None,
        "text": lambda: isinstance(found, str),
        "bad_times": lambda: found["updated_at"] == found["created_at"] == "2026-13-45T99:00:00Z",
        "leap_seconds": lambda: found["updated_at"].endswith("T23:59:60Z"),
        "epochs": lambda: isinstance(found["updated_at"], int),
        "nul": lambda: found["title"] == f"{before['title']}\0",
        "surrogate": lambda: found["title"] == f"{before['title']}\ud83d",
        "huge": lambda: f": {2**70}" in json.dumps(found),
    }
    assert expected[value]()
    assert client.read(f"contacts/{row_id}")["contact"]["title"] == before["title"]


@pytest.mark.parametrize(
    ("path", "key"),
    [("contact_stages", "contact_stages"), ("labels", ""), ("email_accounts", "email_accounts"), ("fields", "fields")],
)
def test_odd_rows_of_lists_without_pages(odd: Served, path: str, key: str) -> None:
    whole = odd.client.read(path)
    odd.sandbox.faults.add("odd_row")
    reply = odd.client.read(path)
    rows, before = (reply[key], whole[key]) if key else (reply, whole)
    assert [row["id"] for row in rows].count(None) == 1
    assert len(rows) == len(before)


def test_an_odd_record_that_is_asked_for_by_itself(odd: Served) -> None:
    row_id = odd.sandbox.world.contacts.ids[3]
    odd.sandbox.faults.add("odd_row", place=3)
    odd.sandbox.faults.add("hidden_rows", size=1)
    assert odd.client.read(f"contacts/{row_id}")["contact"]["id"] is None


@pytest.mark.parametrize(("value", "body"), [("object", {}), ("list", []), ("null", None)])
def test_hollow_answers(odd: Served, value: str, body: Any) -> None:
    odd.sandbox.faults.add("hollow", value=value)
    assert odd.client.read("typed_custom_fields") == body
    assert odd.client.search("contacts/search") == body


def test_an_answer_whose_rows_are_null(odd: Served) -> None:
    odd.sandbox.faults.add("hollow", value="rows_null")
    reply = contacts(odd.client)
    assert (reply["contacts"], reply["pagination"]["total_entries"]) == (None, 600)
    person = odd.sandbox.world.people.person(0).person_id
    assert odd.client.search("people/bulk_match", details=[{"id": person}])["matches"] is None


def test_an_answer_without_its_rows(odd: Served) -> None:
    odd.sandbox.faults.add("rows_gone")
    reply = contacts(odd.client)
    assert "contacts" not in reply
    assert reply["pagination"]["total_entries"] == 600


def test_an_answer_without_pagination(odd: Served) -> None:
    odd.sandbox.faults.add("total_absent", value="no_pagination")
    reply = contacts(odd.client)
    assert reply["pagination"] is None
    assert reply["contacts"]


def test_a_row_of_the_future_comes_first(odd: Served) -> None:
    odd.sandbox.faults.add("future_row", place=3)
    first = contacts(odd.client)["contacts"][0]
    assert first["id"] == odd.sandbox.world.contacts.ids[3]
    assert first["updated_at"].startswith("2099-01-01T")
    assert contacts(odd.client, sort_ascending=True)["contacts"][0]["updated_at"] < "2099"


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusals_name_their_code(odd: Served, reason: str) -> None:
    odd.sandbox.faults.add("refused", value=reason, times=1)
    odd.sandbox.faults.add("refused", value=reason, status=402)
    reply = odd.client.get("users/search")
    status, _, code = REFUSALS[reason]
    assert (reply.status_code, reply.json()["error_details"]["code"]) == (status, code)
    assert odd.client.get("users/search").status_code == 402


@pytest.mark.parametrize("body", ["json", "html"])
def test_an_endpoint_that_is_gone_for_some_time(odd: Served, body: str) -> None:
    odd.sandbox.faults.add("status", status=410, body=body, action="notes/index", times=2)
    about = {"contact_id": odd.sandbox.world.contacts.ids[0]}
    assert [odd.client.get("notes", **about).status_code for _ in range(3)] == [410, 410, 200]


def test_a_clock_that_differs(odd: Served) -> None:
    def ahead() -> float:
        return parsedate_to_datetime(odd.client.get("labels").headers["date"]).timestamp() - time.time()

    assert abs(ahead()) < 60
    odd.sandbox.faults.add("clock", seconds=-7200)
    assert -7260 < ahead() < -7140


def test_deviations_add_up_and_spare_what_a_fault_spoils(odd: Served) -> None:
    sandbox, client = odd
    sandbox.faults.add("page_cap")
    sandbox.faults.add("total_cap", size=30)
    sandbox.faults.add("status", action="contacts/search", times=1)
    assert client.post("contacts/search").status_code == 503
    reply = contacts(client)
    assert (len(reply["contacts"]), reply["pagination"]["total_entries"]) == (25, 30)


def test_no_two_deviations_of_an_answer_get_in_each_others_way(odd: Served) -> None:
    answering = {kind: deviation for kind, deviation in DEVIATIONS.items() if deviation.reply}
    for first in (*answering, *(f"odd_row {value}" for value in ODD)):
        for second in (*answering, "odd_row nul", "odd_row id_integer"):
            for kind, _, value in (first.partition(" "), second.partition(" ")):
                odd.sandbox.faults.add(kind, size=1, place=0, **({"value": value} if value else {}))
            for path in ("labels", "contact_stages", "users/search"):
                assert odd.client.get(path).status_code == 200, (first, second, path)
            odd.sandbox.faults.clear()


def test_deviations_over_http(odd: Served) -> None:
    answer = odd.client.control("POST", "faults", kind="odd_row", value="nul", place=4, action="tasks/search")
    assert {"kind": "odd_row", "value": "nul", "place": 4}.items() <= answer.json()["faults"][0].items()
    refusal = odd.client.control("POST", "faults", kind="odd_row", value="purple")
    assert (refusal.status_code, "value must be one of id_null" in refusal.json()["error"]) == (400, True)


@pytest.mark.parametrize("kind", DEVIATIONS)
def test_each_can_be_told_by_its_name_alone(kind: str) -> None:
    fault = read_fault(f"kind={kind}")
    assert {**DEVIATIONS[kind].defaults}.items() <= vars(fault).items()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("kind=page_cap,size=0", "size must be at least 1"),
        ("kind=refused,value=mood", "value must be one of key"),
    ],
)
def test_bad_specs_say_so(spec: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_fault(spec)
