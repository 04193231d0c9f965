"""What a second run reads, and what the bookmark covers."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.paging import DateWindow
from tap_apollo.singer.conform import timestamp
from tap_apollo.streams.conversations import held_within
from tests.conftest import SEARCHES
from tests.singer import sync

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def own() -> Iterator[Sandbox]:
    """A sandbox that the test may change."""
    with Sandbox(Settings(contacts=350, seed=3)).serve() as running:
        yield running


def requests(sandbox: Sandbox, action: str) -> int:
    return int(sandbox.ledger.as_dict()["requests"].get(action, 0))


def bookmark(state: dict[str, Any], stream: str) -> str:
    return str(state["bookmarks"][stream]["replication_key_value"])


def test_contacts_come_newest_first_and_the_bookmark_is_the_first(own: Sandbox) -> None:
    run = sync(own, "contacts")
    values = [record["updated_at"] for record in run.records["contacts"]]
    assert values[:100] == sorted(values, reverse=True)[:100]
    assert bookmark(run.state, "contacts") == values[0]


def test_an_idle_run_reads_one_page_and_delivers_only_the_head(own: Sandbox) -> None:
    first = sync(own, "contacts")
    before = requests(own, "contacts/search")
    second = sync(own, "contacts", state=first.state)
    assert requests(own, "contacts/search") == before + 1
    head = bookmark(first.state, "contacts")
    assert {record["updated_at"] for record in second.records["contacts"]} == {head}
    assert bookmark(second.state, "contacts") == head


def test_a_change_is_all_that_the_next_run_brings(own: Sandbox) -> None:
    first = sync(own, "contacts")
    changed = first.ids("contacts")[-1]
    own.world.touch_contact(changed)
    head = bookmark(first.state, "contacts")
    second = sync(own, "contacts", state=first.state)
    assert [record["id"] for record in second.records["contacts"] if record["updated_at"] > head] == [changed]
    assert bookmark(second.state, "contacts") > head


def test_a_page_limit_ends_the_run_normally_and_the_next_goes_on(own: Sandbox) -> None:
    run = sync(own, "contacts", max_pages={"contacts": 2})
    assert run.error is None
    assert 190 <= len(run.records["contacts"]) <= 200
    assert "replication_key_value" not in run.state["bookmarks"]["contacts"]
    before = requests(own, "contacts/search")
    again = sync(own, "contacts", state=run.state)
    assert {*run.ids("contacts"), *again.ids("contacts")} == {*own.world.contacts.ids}
    assert requests(own, "contacts/search") - before <= 4
    assert bookmark(again.state, "contacts") == max(record["updated_at"] for record in run.records["contacts"])


def test_the_start_date_bounds_the_first_run(own: Sandbox) -> None:
    everything = sync(own, "contacts").records["contacts"]
    start = everything[len(everything) // 2]["updated_at"]
    run = sync(own, "contacts", start_date=start)
    assert {record["id"] for record in run.records["contacts"]} == {
        record["id"] for record in everything if record["updated_at"] >= start
    }


@pytest.mark.parametrize(
    ("stream", "key", "action"),
    [
        ("outreach_emails", "due_at", "emailer_messages/search"),
        ("calls", "start_time", "phone_calls/search"),
        ("conversations", "start_time", "conversations/search"),
    ],
)
class TestWindows:
    def test_windows_bring_what_the_whole_list_brings(self, own: Sandbox, stream: str, key: str, action: str) -> None:
        whole = sync(own, stream)
        assert whole.records[stream]
        start = min(record[key] for record in whole.records[stream])
        windowed = sync(own, stream, start_date=start)
        assert set(windowed.ids(stream)) == set(whole.ids(stream))
        assert len(windowed.ids(stream)) == len(whole.ids(stream))
        assert requests(own, action) >= 2

    def test_a_later_run_reads_again_as_far_as_the_lookback(
        self,
        own: Sandbox,
        stream: str,
        key: str,
        action: str,
    ) -> None:
        first = sync(own, stream)
        reached = datetime.datetime.fromisoformat(bookmark(first.state, stream))
        second = sync(own, stream, state=first.state, lookback_days=10)
        oldest = timestamp((reached - datetime.timedelta(days=10)).isoformat())[:10]
        expected = {record["id"] for record in first.records[stream] if record[key] and record[key][:10] >= oldest}
        assert expected < set(first.ids(stream))
        assert set(second.ids(stream)) == expected
        assert bookmark(second.state, stream) == bookmark(first.state, stream)
        assert action in own.ledger.as_dict()["requests"]


def test_the_bookmark_of_scheduled_emails_stays_in_the_present(own: Sandbox) -> None:
    run = sync(own, "outreach_emails")
    now = timestamp(datetime.datetime.now(tz=datetime.timezone.utc).isoformat())
    assert bookmark(run.state, "outreach_emails") <= now


def test_people_come_per_search_within_the_searches_limits(own: Sandbox) -> None:
    searches = [*SEARCHES, {"name": "others", "filters": {"person_titles[]": ["Manager"]}}]
    run = sync(own, "people", people_searches=searches, max_pages={"people": 3})
    assert {record["search"] for record in run.records["people"]} == {"engineers", "others"}
    assert requests(own, "mixed_people/api_search") == 3
    sync(own, "people", people_searches=searches, max_pages={"people": 1})
    assert requests(own, "mixed_people/api_search") == 4
    assert "people" not in run.state.get("bookmarks", {}) or "partitions" not in run.state["bookmarks"]["people"]


def test_people_without_a_search_send_no_request(own: Sandbox) -> None:
    run = sync(own, "people")
    assert not run.records["people"]
    assert own.ledger.as_dict()["requests_total"] == 0


def test_statuses_alone_read_their_contacts(own: Sandbox) -> None:
    run = sync(own, "contact_sequence_statuses")
    assert len(run.records["contact_sequence_statuses"]) == own.counts()["contact_sequence_statuses"]
    assert not run.records["contacts"]


@pytest.mark.parametrize("days", [1, 2, 9])
def test_windows_of_conversations_leave_no_part_of_a_second_between_them(days: int) -> None:
    """A conversation of 23:59:59.5 belongs to a window whichever way the days are cut."""
    first = datetime.date(2026, 2, 28)
    window = DateWindow(first, first + datetime.timedelta(days=days - 1))
    after = DateWindow(window.last + datetime.timedelta(days=1), window.last + datetime.timedelta(days=3))
    assert held_within(window)["date_range"]["end"] == held_within(after)["date_range"]["start"]
