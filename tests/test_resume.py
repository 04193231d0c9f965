"""Runs that are killed, limited, disturbed by people at work, or past what Apollo shows of one list."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api.endpoint import Endpoint
from tests.singer import Sync, config_for, sync
from tests.states import merged, place, placed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Seconds:
    """Real seconds, and those that a test lets pass."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.passed


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def own(seconds: Seconds) -> Iterator[Sandbox]:
    """A sandbox that the test may change."""
    with Sandbox(Settings(contacts=850, accounts=420, seed=4), monotonic=seconds).serve() as running:
        yield running


def requests(sandbox: Sandbox, action: str) -> int:
    return int(sandbox.ledger.as_dict()["requests"].get(action, 0))


class Warehouse(dict[str, dict[str, Any]]):
    """What a target would hold of one stream."""

    def load(self, run: Sync, stream: str) -> dict[str, Any] | None:
        self.update((record["id"], record) for record in run.records[stream])
        return run.states[-1] if run.states else None


def content(record: dict[str, Any]) -> str:
    """A record without what changes when others do: Apollo does not count that as its own update."""
    own = record.keys() - {"account", "num_contacts"}
    return json.dumps({name: record[name] for name in own}, sort_keys=True)


def left(contact: dict[str, Any], sandbox: Sandbox) -> dict[str, Any]:
    """A contact as the deletion of its account leaves it, which does not count as an update of the contact either."""
    if not sandbox.world.accounts.was_deleted(contact["account_id"]):
        return contact
    return {name: contact[name] for name in contact.keys() - {"organization"}} | {"account_id": None}


@pytest.mark.parametrize("stream", ["contacts", "accounts", "tasks"])
def test_while_people_work_two_runs_hold_every_living_record(stream: str) -> None:
    with Sandbox(Settings(contacts=600, accounts=500, tasks=700, seed=6, edits_per_request=2)).serve() as sandbox:
        warehouse, state = Warehouse(), None
        for _ in range(4):
            state = warehouse.load(sync(sandbox, stream, state=state, max_pages={stream: 3}), stream)
        state = warehouse.load(sync(sandbox, stream, state=state), stream)
        sandbox.edits_per_request = 0
        for _ in range(2):
            state = warehouse.load(sync(sandbox, stream, state=state), stream)
        living = {record["id"]: record for record in sync(sandbox, stream).records[stream]}
    held = {key: warehouse[key] for key in living}
    if stream == "contacts":
        held = {key: left(contact, sandbox) for key, contact in held.items()}
    assert {key: content(row) for key, row in held.items()} == {key: content(row) for key, row in living.items()}


def test_what_a_deleted_account_takes_off_its_contacts_comes_when_contacts_are_walked_whole(own: Sandbox) -> None:
    first = sync(own, "contacts")
    before = next(record for record in reversed(first.records["contacts"]) if "organization" in record)
    own.world.delete_account(before["account_id"])
    second = sync(own, "contacts", state=first.state)
    assert before["id"] not in second.ids("contacts")
    whole = sync(own, "contacts", state=second.state, full_refresh_days={"contacts": 0})
    after = next(record for record in whole.records["contacts"] if record["id"] == before["id"])
    assert content(after) == content(left(before, own)) != content(before)
    assert after["updated_at"] == before["updated_at"]


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_killed_by_a_signal_is_continued_from_its_last_state(
    tmp_path: Path,
    own: Sandbox,
    stop: signal.Signals,
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**config_for(own)}), encoding="utf-8")
    catalog = json.loads(_tap(tmp_path, "--discover").communicate()[0])
    for entry in catalog["streams"]:
        for metadata in entry["metadata"]:
            if metadata["breadcrumb"] == []:
                metadata["metadata"]["selected"] = entry["tap_stream_id"] == "contacts"
    (tmp_path / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")

    warehouse: dict[str, Any] = {}
    state: dict[str, Any] = {}
    process = _tap(tmp_path, "--config", "config.json", "--catalog", "catalog.json")
    assert process.stdout
    states = 0
    for line in process.stdout:
        message = json.loads(line)
        if message["type"] == "RECORD":
            warehouse[message["record"]["id"]] = message["record"]
        if message["type"] == "STATE":
            state, states = message["value"], states + 1
            if states == 5:
                process.send_signal(stop)
                break
    process.stdout.close()
    assert process.wait(30) in {-stop, 128 + stop, 120}  # 120: Python could not flush to the closed pipe

    before = requests(own, "contacts/search")
    assert 2 <= before <= 9
    run = sync(own, "contacts", state=state)
    warehouse.update((record["id"], record) for record in run.records["contacts"])
    assert warehouse.keys() == {*own.world.contacts.ids}
    assert requests(own, "contacts/search") - before <= 9
    again = sync(own, "contacts", state=run.state)
    assert requests(own, "contacts/search") - before <= 10
    assert again.error is None


def _tap(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tap_apollo", *arguments]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_state_comes_after_every_page_and_stays_small(own: Sandbox) -> None:
    run = sync(own, "contacts", "accounts", max_concurrent_requests=1)
    pages = requests(own, "contacts/search") + requests(own, "accounts/search")
    assert len(run.states) >= pages
    assert max(len(json.dumps(state)) for state in run.states) < 20_000


@pytest.mark.parametrize("stream", ["contacts", "accounts"])
@pytest.mark.parametrize("changed", [0, 30, 130])
def test_an_incremental_run_costs_a_page_per_hundred_changes_and_a_few(
    own: Sandbox,
    seconds: Seconds,
    stream: str,
    changed: int,
) -> None:
    kind = stream.removesuffix("s")
    first = sync(own, stream)
    seconds.passed += 3600
    for record_id in first.ids(stream)[-changed:] if changed else ():
        getattr(own.world, f"touch_{kind}")(record_id)
        seconds.passed += 1
    before = requests(own, f"{stream}/search")
    second = sync(own, stream, state=first.state)
    allowed = -(-changed // 100) + (1 if stream == "contacts" else 3)
    assert requests(own, f"{stream}/search") - before <= allowed
    assert {*first.ids(stream)[-changed:]} <= {*second.ids(stream)} or not changed


def test_accounts_are_walked_whole_when_the_refresh_is_due(own: Sandbox) -> None:
    first = sync(own, "accounts", full_refresh_days={"accounts": 1})
    before = requests(own, "accounts/search")
    sync(own, "accounts", state=first.state, full_refresh_days={"accounts": 1})
    assert requests(own, "accounts/search") - before <= 2
    due = sync(own, "accounts", state=first.state, full_refresh_days={"accounts": 0})
    assert len({*due.ids("accounts")}) == 420


def test_runs_of_a_few_pages_finish_a_list_they_cannot_read_at_once(own: Sandbox) -> None:
    seen: set[str] = set()
    state = None
    for _ in range(6):
        run = sync(own, "contacts", state=state, max_pages={"contacts": 4})
        seen |= {*run.ids("contacts")}
        state = run.state
        if "replication_key_value" in state["bookmarks"]["contacts"]:
            break
    assert "replication_key_value" in run.state["bookmarks"]["contacts"]
    assert seen == {*own.world.contacts.ids}


class TestPastTheDisplayLimit:
    @pytest.fixture
    def big(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
        monkeypatch.setattr(Endpoint, "display_limit", 200)
        crm = Settings(contacts=700, accounts=500, seed=8, display_limit=200)
        settings = dataclasses.replace(crm, calls=500, outreach_emails=700, conversations=500)
        with Sandbox(settings).serve() as sandbox:
            yield sandbox

    @pytest.mark.parametrize("stream", ["contacts", "accounts", "calls", "outreach_emails", "conversations"])
    def test_everything_arrives(self, big: Sandbox, stream: str, caplog: pytest.LogCaptureFixture) -> None:
        run = sync(big, stream)
        assert run.error is None
        assert len({*run.ids(stream)}) == big.counts()[stream]
        assert "incomplete" not in caplog.text
        assert big.ledger.as_dict()["statuses"].keys() == {"200"}

    def test_two_stages_of_more_than_the_limit_are_read_from_both_ends(self, big: Sandbox) -> None:
        _stages(big, 2)
        assert {*sync(big, "contacts").ids("contacts")} == {*big.world.contacts.ids}

    def test_what_cannot_be_reached_is_counted(self, big: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        _stages(big, 1)
        caplog.set_level("INFO")
        run = sync(big, "contacts")
        missing = 700 - len({*run.ids("contacts")})
        assert 0 < missing < 300
        assert (
            f"Stream contacts is incomplete: {missing} of 700 records were not read, as Apollo shows 200 of one list."
            in caplog.messages
        )
        assert any('"missing_records","value":' + str(missing) in line.replace(" ", "") for line in caplog.messages)
        assert sync(big, "contacts", strict=True).error is not None


def _stages(sandbox: Sandbox, count: int) -> None:
    for contact in sandbox.world.contacts:
        contact.stage = contact.serial % count


def test_a_proof_is_given_at_the_end(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    statuses = own.counts()["contact_sequence_statuses"]
    sync(own, "calls", "contacts", "contact_sequence_statuses", "users")
    for line in ("calls: 85 of 85 records, ", "contacts: 850 of 850 records, ", "users: 8 of 8 records, 1 request, "):
        assert any(message.startswith(line) for message in caplog.messages), line
    assert f"contact_sequence_statuses: {statuses} records, out of contacts" in caplog.messages


OLDER = "contacts: the state is of an older form; reading everything."
UNKNOWN = "contacts: the state cannot be used, as it is of an unknown form ("


@pytest.mark.parametrize(
    ("bookmark", "why"),
    [
        ({"replication_key": "updated_at", "replication_key_value": "2026-09-30T00:00:00.000000+00:00"}, OLDER),
        ({"replication_key": "updated_at", "replication_key_value": "yesterday"}, OLDER),
        ({"replication_key": "updated_at", "replication_key_value": 7, "walk": {}}, OLDER),
        ({"walk": {"version": 99}}, OLDER),
        ({"walk": []}, OLDER),
        ({"place": [{}], "walk": {}}, UNKNOWN),
        ({"place": []}, UNKNOWN),
        ({"place": [{"version": 99}]}, UNKNOWN),
        ({"place": [{"covered": "yesterday"}]}, UNKNOWN),
    ],
)
def test_a_state_that_cannot_be_used_is_said_once_and_everything_is_read(
    own: Sandbox,
    bookmark: dict[str, Any],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = sync(own, "contacts", state={"bookmarks": {"contacts": bookmark}}, start_date=None)
    assert run.error is None
    assert len({*run.ids("contacts")}) == 850
    (said,) = [line for line in caplog.messages if "reading everything" in line]
    assert said.startswith(why)


@pytest.mark.parametrize("value", ["2030-01-01T00:00:00.000000+00:00", "yesterday", 7, None])
def test_the_value_for_people_to_look_at_may_be_edited_without_effect(
    own: Sandbox, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = sync(own, "contacts", "calls")
    state = json.loads(json.dumps(first.state))
    for stream in ("contacts", "calls"):
        state["bookmarks"][stream]["replication_key_value"] = value
    run = sync(own, "contacts", "calls", state=state)
    assert len({*run.ids("contacts")}) < 100
    assert not [line for line in caplog.messages if "reading everything" in line]
    for stream in ("contacts", "calls"):
        shown = [one.state["bookmarks"][stream]["replication_key_value"] for one in (run, first)]
        assert shown[0] == shown[1]


@pytest.mark.parametrize("stream", ["contacts", "accounts", "calls", "outreach_emails"])
def test_the_state_of_another_account_does_not_hide_records(own: Sandbox, stream: str) -> None:
    state = sync(own, stream).state
    with Sandbox(Settings(contacts=300, accounts=250, seed=99)).serve() as other:
        run = sync(other, stream, state=state)
        assert {*run.ids(stream)} >= {*getattr(other.world, stream).ids}


@pytest.mark.skipif(not os.environ.get("TAP_APOLLO_TEST_FULL_SIZE"), reason="TAP_APOLLO_TEST_FULL_SIZE is not set")
def test_at_full_size_everything_arrives() -> None:
    with Sandbox(Settings(contacts=130_000, accounts=60_000, outreach_emails=0, plan="unlimited")).serve() as sandbox:
        _stages(sandbox, 2)
        for stream, size in (("contacts", 130_000), ("accounts", 60_000)):
            run = sync(sandbox, stream)
            assert run.error is None
            assert len({*run.ids(stream)}) == size
            assert max(len(json.dumps(state)) for state in run.states[::50]) < 20_000


@pytest.mark.parametrize("stream", ["calls", "outreach_emails", "conversations"])
class TestWindows:
    def test_every_state_can_be_gone_on_from(self, stream: str) -> None:
        """The one after the last page, too, in which no window is left to read."""
        with Sandbox(Settings(contacts=120, seed=6)).serve() as sandbox:
            run = sync(sandbox, stream)
            for state in run.states:
                assert sync(sandbox, stream, state=state).error is None

    def test_the_bookmark_is_of_all_the_runs_that_a_walk_took(self, stream: str) -> None:
        settings = dataclasses.replace(
            Settings(contacts=200, seed=6), calls=330, outreach_emails=330, conversations=330
        )
        with Sandbox(settings).serve() as sandbox:
            at_once = sync(sandbox, stream).state["bookmarks"][stream]
            state: dict[str, Any] | None = None
            for _ in range(12):
                state = sync(sandbox, stream, state=state, max_pages={stream: 1}).state
                if "replication_key_value" in state["bookmarks"][stream]:
                    break
            assert state is not None
            assert state["bookmarks"][stream]["replication_key_value"] == at_once["replication_key_value"]
            assert {*place(state, stream)["known_ids"]} == {*at_once["place"][0]["known_ids"]}


def test_the_bookmark_of_a_windowed_walk_is_no_later_than_it_began() -> None:
    """What changes between two runs of one walk is read again by the next."""
    stop = {"windows": [["2026-07-01", "2026-09-30"]]}
    state = placed(calls={"resume_point": stop, "began": "2026-08-01T00:00:00.000000+00:00"})
    with Sandbox(Settings(contacts=200, seed=6)).serve() as sandbox:
        bookmark = sync(sandbox, "calls", state=state).state["bookmarks"]["calls"]["replication_key_value"]
    assert "2026-07-01" < bookmark <= "2026-08-01"


def test_where_a_runner_merges_states_a_list_that_was_stopped_is_read_whole_again(own: Sandbox) -> None:
    """As Meltano does after `--full-refresh`: what the run did not mention stays."""
    stopped = sync(own, "tasks", max_pages={"tasks": 1}).state
    ended = sync(own, "tasks").state
    assert len(sync(own, "tasks", state=merged(stopped, ended)).records["tasks"]) == own.counts()["tasks"]
