"""A fault in the tap's own code is said to be the tap's, with its place; only what reads a reply may blame Apollo."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api.endpoint import GET
from tap_apollo.api.errors import SyncError, UnknownReplyError
from tap_apollo.paging import ListWalk
from tap_apollo.paging.reader import ListReader
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.report import fault_of
from tests.singer import sync

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVATE = "jane@acme.example"


@pytest.fixture(scope="module")
def team() -> Iterator[Sandbox]:
    with Sandbox(Settings(contacts=20, seed=1)).serve() as running:
        yield running


@pytest.mark.parametrize("error", [AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError, RuntimeError])
def test_a_fault_in_the_walk_names_its_place_and_no_value(
    team: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    caplog.set_level("DEBUG")

    def fail(*_: object) -> None:
        raise error(PRIVATE)

    monkeypatch.setattr(ListReader, "_last_run", fail)
    run = sync(team, "contacts", "email_accounts", custom_fields="raw")
    assert isinstance(run.error, SyncError)
    assert run.records["email_accounts"], "the other streams go on"
    (said,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert "there is a fault in tap_apollo.paging.reader, line " in said.message
    assert f"({error.__name__})" in said.message
    assert "unknown form" not in caplog.text
    assert PRIVATE not in "".join(one.getMessage() for one in caplog.records)
    (trace,) = [one for one in caplog.records if one.exc_info]
    assert trace.levelno == logging.DEBUG
    assert trace.exc_info
    assert trace.exc_info[0] is error


def test_a_fault_in_a_stream_that_asks_per_record_is_not_tolerated_as_a_record(
    team: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise AttributeError(PRIVATE)

    monkeypatch.setattr(PerRecord, "ask", fail)
    run = sync(team, "contact_details")
    assert isinstance(run.error, SyncError)
    assert "there is a fault in tap_apollo.readers.per_record, line " in caplog.text
    assert "could not be asked about" not in caplog.text


@pytest.mark.parametrize("reply", [None, 7, [], {}, {"things": None}, {"things": {}}])
def test_what_reads_a_reply_says_that_its_form_is_unknown(reply: Any) -> None:
    with pytest.raises(UnknownReplyError, match=r"^things gave a reply of an unknown form"):
        GET("things", rows="things").records(reply)


def test_the_place_is_the_innermost_of_the_taps_own() -> None:
    with pytest.raises(AttributeError) as raised:
        next(ListWalk.__new__(ListWalk).pages())
    assert fault_of(raised.value).startswith("there is a fault in tap_apollo.paging.walks, line ")
    with pytest.raises(ZeroDivisionError) as elsewhere:
        _ = 1 / 0
    assert fault_of(elsewhere.value) == "there is a fault in tap-apollo (ZeroDivisionError)."
