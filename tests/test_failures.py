"""What goes wrong is said in one line; the other streams go on; the exit code and the state are right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo import client
from tap_apollo.errors import CredentialsError, SyncError
from tests.singer import config_for, sync, sync_with

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def own() -> Iterator[Sandbox]:
    """A sandbox that the test may upset."""
    with Sandbox(Settings(contacts=250, seed=3)).serve() as running:
        yield running


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait as long as they say in production; here they need not."""
    monkeypatch.setattr("backoff._sync.time.sleep", lambda _: None)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


def test_a_wrong_key_is_one_error_and_one_request(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    run = sync_with({**config_for(own), "api_key": "wrong-key-of-mine"})
    assert isinstance(run.error, CredentialsError)
    assert "`api_key`" in run.error.message
    assert own.ledger.as_dict()["requests_total"] == 1
    assert "wrong-key-of-mine" not in caplog.text
    assert not run.records


def test_a_forbidden_stream_is_skipped_with_its_scope_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Sandbox(Settings(contacts=50, forbid=("tasks/search", "phone_calls/search"))).serve() as sandbox:
        run = sync(sandbox, "calls", "tasks", "users")
        assert run.error is None
        assert run.records.keys() == {"users"}
        said = warnings(caplog)
        assert len(said) == 2
        assert "Stream calls was skipped" in said[0]
        assert "master key" in said[0]
        assert "Stream tasks was skipped" in said[1]
        assert "api/v1/tasks/search" in said[1]

        strict = sync(sandbox, "tasks", "users", strict=True)
        assert isinstance(strict.error, SyncError)
        assert "tasks" in strict.error.message
        assert strict.records.keys() == {"users"}


def test_an_incremental_stream_forbidden_half_way_keeps_its_bookmark(own: Sandbox) -> None:
    first = sync(own, "contacts")
    bookmark = first.state["bookmarks"]["contacts"]["replication_key_value"]
    for contact in first.ids("contacts")[100:]:
        own.world.touch_contact(contact)
    own.faults.add("status", action="contacts/search", status=403, after=1)
    second = sync(own, "contacts", "users", state=first.state)
    assert second.records["users"]
    assert 0 < len(second.records["contacts"]) <= 100
    assert second.state["bookmarks"]["contacts"]["replication_key_value"] == bookmark
    own.faults.clear()
    third = sync(own, "contacts", state=second.state)
    latest = {record["id"]: record for run in (second, third) for record in run.records["contacts"]}
    assert latest.keys() >= {*first.ids("contacts")[100:]}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 500},
        {"kind": "status", "status": 503, "body": "html"},
        {"kind": "reset"},
        {"kind": "cut_body"},
        {"kind": "html"},
    ],
)
def test_a_passing_fault_is_retried(own: Sandbox, fault: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    own.faults.add(action="contacts/search", times=2, **fault)
    run = sync(own, "contacts")
    assert run.error is None
    assert len(run.records["contacts"]) == 250
    assert len([line for line in warnings(caplog) if "trying again" in line]) == 2


def test_a_lasting_fault_fails_its_stream_and_the_run_but_not_the_others(
    own: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own.faults.add("status", action="contacts/search", status=500, after=1)
    run = sync(own, "contacts", "users")
    assert isinstance(run.error, SyncError)
    assert "contacts" in run.error.message
    assert len(run.records["contacts"]) == 100
    assert run.records["users"]
    assert own.ledger.as_dict()["requests"]["contacts/search"] == 1 + client.MAX_TRIES
    assert "replication_key_value" not in run.state["bookmarks"]["contacts"]
    failures = [line for line in warnings(caplog) if line.startswith("Stream contacts failed")]
    assert len(failures) == 1
    assert "server error (500)" in failures[0]


def test_an_unreachable_apollo_ends_the_run_at_once(caplog: pytest.LogCaptureFixture) -> None:
    run = sync_with({"api_key": "k", "api_url": "http://127.0.0.1:9/api/v1"})
    assert run.error is not None
    assert "http://127.0.0.1:9/api/v1" in run.error.message
    assert "`api_url`" in run.error.message
    assert len([line for line in warnings(caplog) if "trying again" in line]) == client.MAX_TRIES - 1


def test_a_redirect_is_not_followed(own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    own.faults.add("redirect", action="users/search")
    run = sync(own, "users")
    assert isinstance(run.error, SyncError)
    assert any("`api_url`" in line for line in warnings(caplog))


def test_a_rate_limit_is_waited_out_as_apollo_says(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.undo()  # the wait is real: a minute window, at sixty times its speed
    with Sandbox(Settings(contacts=250, limit=("contacts/search=2/0/0",), clock_speed=60)).serve() as limited:
        run = sync(limited, "contacts")
        ledger = limited.ledger.as_dict()
    assert run.error is None
    assert len({*run.ids("contacts")}) == 250
    said = [line for line in warnings(caplog) if "rate limit reached (429)" in line]
    assert len(said) == ledger["rate_limited_total"] > 0


def test_a_list_past_the_display_limit_is_read_as_far_as_it_goes_and_said(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(client.PagedStream, "display_limit", 200)
    with Sandbox(Settings(contacts=50, tasks=250, display_limit=200)).serve() as sandbox:
        run = sync(sandbox, "tasks")
        assert len(run.records["tasks"]) == 200
        assert run.error is None
        assert any("tasks is incomplete: 50 of 250 records cannot be reached" in line for line in warnings(caplog))
        assert isinstance(sync(sandbox, "tasks", strict=True).error, SyncError)
