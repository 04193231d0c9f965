"""What is deleted in Apollo goes from the warehouse, and nothing else ever does."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api.client import Client
from tap_apollo.api.endpoint import Endpoint
from tap_apollo.paging import Page
from tap_apollo.readers.lists import ListPass
from tap_apollo.tap import TapApollo
from tests.singer import Sync, config_for, sync
from tests.states import place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WHOLE = {"contacts": 0, "accounts": 0}


class Warehouse(dict[str, dict[tuple[Any, ...], int | None]]):
    """The versions of the rows that a target would hold, by stream and key."""

    def load(self, run: Sync) -> None:
        for message in run.messages:
            rows = self.setdefault(message.get("stream", ""), {})
            if message["type"] == "RECORD":
                keys = run.schemas[message["stream"]]["key_properties"]
                rows[tuple(message["record"][key] for key in keys)] = message.get("version")
            elif message["type"] == "ACTIVATE_VERSION":
                for key in [key for key, version in rows.items() if version is None or version < message["version"]]:
                    del rows[key]

    def ids(self, stream: str) -> set[str]:
        return {key[0] for key in self[stream]}


@pytest.fixture
def own() -> Iterator[Sandbox]:
    with Sandbox(Settings(contacts=350, accounts=230, seed=5, tie_size=1)).serve() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "max_tries", 1)


@pytest.fixture
def warehouse() -> Warehouse:
    return Warehouse()


def run_into(
    warehouse: Warehouse,
    sandbox: Sandbox,
    *streams: str,
    state: dict[str, Any] | None = None,
    **settings: Any,
) -> Sync:
    time.sleep(1.001)  # versions are counted in seconds
    run = sync(sandbox, *streams, state=state, **{"detect_deletes": True, **settings})
    warehouse.load(run)
    return run


def living(sandbox: Sandbox, stream: str) -> set[str]:
    return {*getattr(sandbox.world, stream).ids}


def deleted(sandbox: Sandbox, kind: str, number: int = 3) -> str:
    """Delete a record and return its id."""
    record_id: str = getattr(sandbox.world, f"{kind}s").ids[number]
    getattr(sandbox.world, f"delete_{kind}")(record_id)
    return record_id


def activated(run: Sync) -> set[str]:
    return {message["stream"] for message in run.messages if message["type"] == "ACTIVATE_VERSION"}


KINDS = ["contact", "account", "deal", "task"]


def test_what_is_gone_goes_after_a_whole_walk(own: Sandbox, warehouse: Warehouse) -> None:
    streams = [f"{kind}s" for kind in KINDS]
    first = run_into(warehouse, own, *streams, "contact_sequence_statuses", "lists")
    enrolled = next(iter(warehouse.ids("contact_sequence_statuses")))
    for kind in KINDS:
        deleted(own, kind)
    if enrolled in living(own, "contacts"):
        own.world.delete_contact(enrolled)
    run = run_into(
        warehouse,
        own,
        *streams,
        "contact_sequence_statuses",
        "lists",
        state=first.state,
        full_refresh_days=WHOLE,
    )
    assert activated(run) == {*streams, "contact_sequence_statuses", "lists"}
    for stream in streams:
        assert warehouse.ids(stream) == living(own, stream)
    assert enrolled not in warehouse.ids("contact_sequence_statuses")
    assert warehouse.ids("contact_sequence_statuses") <= living(own, "contacts")
    assert warehouse.ids("lists") == {label.id for label in own.world.catalog.labels}


def test_the_message_comes_after_the_records_and_before_the_state_that_says_they_are_read(own: Sandbox) -> None:
    run = sync(own, "accounts", detect_deletes=True)
    kinds = [message["type"] for message in run.messages]
    last = len(kinds) - 1 - kinds[::-1].index("RECORD")
    activation = kinds.index("ACTIVATE_VERSION")
    assert last < activation
    marked = [
        number
        for number, message in enumerate(run.messages)
        if message["type"] == "STATE"
        and message["value"]["bookmarks"]["accounts"]
        and "resume_points" not in place(message["value"], "accounts")
    ]
    assert activation < marked[0]
    versions = {message["version"] for message in run.messages if message["type"] in {"RECORD", "ACTIVATE_VERSION"}}
    assert len(versions) == 1


def test_it_is_off_unless_asked_for(own: Sandbox) -> None:
    run = sync(own, "accounts", "deals")
    assert not activated(run)
    assert all("version" not in message or message["version"] is None for message in run.messages)


def test_an_aliased_stream_is_named_as_the_target_knows_it(own: Sandbox) -> None:
    run = sync(own, "deals", "users", detect_deletes=True, stream_maps={"deals": {"__alias__": "chances"}})
    assert activated(run) == {"chances", "users"}


class TestNothingIsDeleted:
    """After a walk that does not prove it."""

    @pytest.fixture
    def before(self, own: Sandbox, warehouse: Warehouse) -> tuple[Sync, dict[str, set[str]]]:
        streams = [f"{kind}s" for kind in KINDS]
        run = run_into(warehouse, own, *streams, "calls")
        had = {stream: warehouse.ids(stream) for stream in streams}
        for kind in KINDS:
            deleted(own, kind)
        return run, had

    @pytest.mark.parametrize(
        ("settings", "disturb"),
        [
            ({"max_pages": {f"{kind}s": 1 for kind in KINDS}}, lambda _: None),
            ({}, lambda own: own.faults.add("status", status=500, after=2)),
            ({}, lambda own: own.faults.add("error_in_200", after=1)),
            ({}, lambda own: own.faults.add("total", by=5)),
            ({}, lambda own: own.faults.add("total", by=-5)),
            ({"start_date": "2026-09-01"}, lambda _: None),
            ({"full_refresh_days": {}}, lambda _: None),
        ],
        ids=["page limit", "failure", "error in 200", "high total", "low total", "from a date", "new"],
    )
    def test(
        self,
        own: Sandbox,
        warehouse: Warehouse,
        before: tuple[Sync, dict[str, set[str]]],
        settings: dict[str, Any],
        disturb: Callable[[Sandbox], object],
    ) -> None:
        first, had = before
        disturb(own)
        streams = ["contacts", "accounts"]
        if "full_refresh_days" not in settings and "start_date" not in settings:
            streams = [*had]
        more = {"full_refresh_days": WHOLE, "custom_fields": "raw", **settings}
        run = run_into(warehouse, own, *streams, state=first.state, **more)
        assert "contacts" not in activated(run)
        for stream in streams:
            if stream not in activated(run):
                assert had[stream] <= warehouse.ids(stream)
            else:  # read whole and counted nevertheless
                assert warehouse.ids(stream) == living(own, stream)

    def test_but_what_is_gone_if_the_count_comes_out_in_the_end(
        self,
        own: Sandbox,
        warehouse: Warehouse,
        before: tuple[Sync, dict[str, set[str]]],
    ) -> None:
        first, _ = before
        own.faults.add("repeat_page", action="contacts/search")
        run = run_into(warehouse, own, "contacts", state=first.state, full_refresh_days=WHOLE)
        assert activated(run) <= {"contacts"}
        assert living(own, "contacts") <= warehouse.ids("contacts")

    def test_where_the_stream_is_forbidden(self, warehouse: Warehouse) -> None:
        with Sandbox(Settings(contacts=60, seed=5)).serve() as sandbox:
            run_into(warehouse, sandbox, "deals")
        had = warehouse.ids("deals")
        with Sandbox(Settings(contacts=60, seed=5, forbid=("opportunities/search",))).serve() as sandbox:
            assert not activated(run_into(warehouse, sandbox, "deals"))
        assert warehouse.ids("deals") == had

    def test_where_the_list_is_empty(self, own: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
        run_into(warehouse, own, "lists", "deals")
        monkeypatch.setattr(Endpoint, "page", lambda *_: Page([], total=0))
        assert not activated(run_into(warehouse, own, "lists", "deals"))

    def test_where_a_record_is_deleted_meanwhile(
        self,
        own: Sandbox,
        warehouse: Warehouse,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """The one that is gone was counted, and so could hide one that was missed."""
        progress = ListPass.progress
        doomed = iter([own.world.accounts.ids[7]])

        def delete(walked: Any, rows: Any) -> None:
            for record_id in doomed:
                own.world.delete_account(record_id)
            progress(walked, rows)

        monkeypatch.setattr(ListPass, "progress", delete)
        run = run_into(warehouse, own, "accounts", max_concurrent_requests=1)
        assert len(run.records["accounts"]) >= 229
        assert not activated(run)

    @pytest.mark.parametrize("kind", ["deal", "task"])
    def test_where_what_is_gone_makes_up_for_what_slipped_by(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between two pages one that came is deleted and one lands behind, so that the total is as it was."""
        settings = dataclasses.replace(Settings(contacts=60, seed=5), deals=250, tasks=250)
        with Sandbox(settings).serve() as sandbox:
            stream = f"{kind}s"
            once = iter([3])
            progress = ListPass.progress

            def edit(one: Any, rows: Any) -> None:
                for number in once:
                    deleted(sandbox, kind, number)
                    getattr(sandbox.world, f"add_{kind}")()
                progress(one, rows)

            monkeypatch.setattr(ListPass, "progress", edit)
            warehouse = Warehouse({stream: {(one,): 1 for one in living(sandbox, stream)}})
            run = run_into(warehouse, sandbox, stream, max_concurrent_requests=1)
            assert stream not in activated(run) or warehouse.ids(stream) == living(sandbox, stream)
            assert living(sandbox, stream) <= warehouse.ids(stream) | {*run.ids(stream)}
            again = run_into(warehouse, sandbox, stream, state=run.state)
            assert activated(again) == {stream}
            assert warehouse.ids(stream) == living(sandbox, stream)

    def test_past_what_apollo_shows_of_one_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Endpoint, "display_limit", 200)
        with Sandbox(Settings(contacts=700, seed=8, display_limit=200)).serve() as big:
            run = sync(big, "contacts", detect_deletes=True)
            assert {*run.ids("contacts")} == living(big, "contacts")
        assert not activated(run)

    def test_of_a_table_that_two_streams_share(self, own: Sandbox) -> None:
        maps = {name: {"__alias__": "parties"} for name in ("contacts", "users")}
        assert activated(sync(own, "contacts", "users", "deals", detect_deletes=True, stream_maps=maps)) == {"deals"}

    def test_where_a_walk_was_read_in_two_runs(self, own: Sandbox, warehouse: Warehouse) -> None:
        first = run_into(warehouse, own, "contacts", max_pages={"contacts": 2})
        gone = deleted(own, "contact", 300)
        second = run_into(warehouse, own, "contacts", state=first.state)
        assert not activated(second)
        assert living(own, "contacts") <= warehouse.ids("contacts")
        third = run_into(warehouse, own, "contacts", state=second.state, full_refresh_days=WHOLE)
        assert activated(third) == {"contacts"}
        assert gone not in warehouse.ids("contacts")

    def test_by_a_trial(self, own: Sandbox, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
        TapApollo(config=config_for(own, detect_deletes=True)).run_connection_test()
        assert b"ACTIVATE_VERSION" not in capsysbinary.readouterr().out

    def test_of_a_table_of_several_lists(self, own: Sandbox, warehouse: Warehouse) -> None:
        searches = [
            {"name": name, "filters": {"person_titles": [name]}, "max_pages": 1} for name in ("Engineer", "Buyer")
        ]
        assert not activated(run_into(warehouse, own, "people", people_searches=searches))
