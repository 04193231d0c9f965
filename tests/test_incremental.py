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
from tests.states import place

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


class TestStartDate:
    """A `start_date` that is moved: what is older than before is read, and later on nothing is left out between."""

    LATE, EARLY = "2026-09-01T00:00:00Z", "2026-03-01T00:00:00Z"

    def since(self, own: Sandbox, stream: str, key: str, start: str | None) -> set[str]:
        run = sync(own, stream)
        return {row["id"] for row in run.records[stream] if start is None or (row[key] or "") >= timestamp(start)}

    @pytest.mark.parametrize(
        ("stream", "key"),
        [
            ("contacts", "updated_at"),
            ("calls", "start_time"),
            ("conversations", "start_time"),
            ("outreach_emails", "due_at"),
        ],
    )
    @pytest.mark.parametrize("earlier", [EARLY, None])
    def test_moved_earlier_the_older_records_come(
        self, own: Sandbox, stream: str, key: str, earlier: str | None
    ) -> None:
        first = sync(own, stream, start_date=self.LATE)
        start: dict[str, Any] = {"start_date": earlier} if earlier else {}
        moved = sync(own, stream, state=first.state, **start)
        assert moved.error is None
        assert {*first.ids(stream), *moved.ids(stream)} >= self.since(own, stream, key, earlier)
        before = own.ledger.requests_total
        idle = sync(own, stream, state=moved.state, **start)
        assert own.ledger.requests_total - before <= 4
        assert len(idle.ids(stream)) < len(moved.ids(stream))

    def test_moved_earlier_while_a_walk_is_stopped(self, own: Sandbox) -> None:
        state = sync(own, "contacts", start_date=self.LATE, max_pages={"contacts": 1}).state
        moved = sync(own, "contacts", state=state, start_date=self.EARLY)
        assert {*moved.ids("contacts")} >= self.since(own, "contacts", "updated_at", self.EARLY)

    def test_moved_later_and_back_what_changed_between_comes(self, own: Sandbox) -> None:
        first = sync(own, "contacts", start_date=self.EARLY)
        later = sync(own, "contacts", state=first.state, start_date="2026-09-30T11:00:00Z")
        back = sync(own, "contacts", state=later.state, start_date=self.EARLY)
        seen = {*first.ids("contacts"), *later.ids("contacts"), *back.ids("contacts")}
        assert seen >= self.since(own, "contacts", "updated_at", self.EARLY)

    def test_moved_earlier_the_records_are_asked_about_that_are_older(self, own: Sandbox) -> None:
        first = sync(own, "contact_details", start_date=self.LATE)
        moved = sync(own, "contact_details", state=first.state, start_date=self.EARLY)
        assert {*moved.ids("contact_details")} >= self.since(own, "contacts", "updated_at", self.EARLY)


class TestClocks:
    """What is dated in the future, by a row or by a clock that was ahead, hides nothing."""

    def test_a_bookmark_is_no_later_than_the_start_of_the_run(self) -> None:
        with Sandbox(Settings(contacts=350, seed=3, now="real")).serve() as own:
            own.faults.add("future_row", action="contacts/search")
            first = sync(own, "contacts")
            ended = datetime.datetime.now(tz=datetime.timezone.utc)
            assert bookmark(first.state, "contacts") <= timestamp(ended.isoformat())
            changed = first.ids("contacts")[-1]
            own.world.touch_contact(changed)
            assert changed in sync(own, "contacts", state=first.state).ids("contacts")

    @pytest.mark.parametrize(("stream", "name"), [("contacts", "covered"), ("calls", "bookmark")])
    def test_a_bookmark_that_is_yet_to_come_is_none(self, own: Sandbox, stream: str, name: str) -> None:
        first = sync(own, stream)
        place(first.state, stream)[name] = "2062-01-01T00:00:00.000000+00:00"
        again = sync(own, stream, state=first.state)
        assert {*again.ids(stream)} == {*first.ids(stream)}
        assert bookmark(again.state, stream) < "2062"

    def test_a_whole_walk_that_is_yet_to_come_counts_as_none(self, own: Sandbox) -> None:
        first = sync(own, "accounts")
        place(first.state, "accounts")["walked_at"] = "2036-01-01T00:00:00.000000+00:00"
        again = sync(own, "accounts", state=first.state)
        assert {*again.ids("accounts")} == {*first.ids("accounts")}
