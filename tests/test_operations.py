"""The runbook's messages are the tap's and Meltano's, and its recipes work: each situation is brought about."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings, errors
from apollo_sandbox.errors import ApiError
from scripts.write_docs import ROOT
from tap_apollo.api import client
from tap_apollo.api.errors import SettingsError, decode
from tap_apollo.cli import bookmarks_of
from tap_apollo.credits import SPENDING
from tap_apollo.streams import CREDIT_STREAMS
from tests.meltano import MELTANO, environment, kill_when, meltano, state_of
from tests.pace import Clock
from tests.singer import Sync, config_for, sync, sync_with
from tests.states import place, placed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def plain(line: str) -> str:
    """Return a line without what differs from run to run: its numbers."""
    return re.sub(r"\d[\d,.]*", "N", line.removeprefix("Error: ").strip())


def sections() -> dict[str, list[str]]:
    """Return, for each heading, the messages below it."""
    found = {}
    for part in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```text\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
        if blocks:
            found[part.splitlines()[0]] = [plain(line) for block in blocks for line in block.splitlines()]
    return found


MESSAGES = sections()


def block(kind: str, language: str) -> str:
    match = re.search(rf"<!-- {kind} -->\n```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert match
    return match[1]


# In this process

BUYING: dict[str, Any] = {"credit_streams": ["organization_enrichment"]}

Situation = tuple[dict[str, Any], "Callable[[Sandbox], Iterable[Sync]]"]


def rejected(own: Sandbox) -> Iterator[Sync]:
    yield sync_with({**config_for(own), "api_key": "wrong"})
    yield sync_with({"api_url": own.url, "access_token": "wrong"})


def skipped(own: Sandbox) -> Iterator[Sync]:
    run = sync(own, "tasks", "users")
    assert run.error is None
    assert run.records["users"]
    assert sync(own, "tasks", "users", strict=True, state=run.state).error
    yield run


def all_refused(own: Sandbox) -> Iterator[Sync]:
    def refusal(*_: Any, **__: Any) -> ApiError:
        details = {"code": "AUTH.NETWORK.IP_RESTRICTED", "message": "203.0.113.7 is not on the list of Walt's team."}
        return ApiError(403, {"error": details["message"], "error_details": details})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(errors, "out_of_scope", refusal)
        yield sync(own, "tasks", "users")


def without_custom_fields(own: Sandbox) -> Iterator[Sync]:
    yield sync(own, "contacts")


def waiting(own: Sandbox) -> Iterator[Sync]:
    run = sync(own, "contacts", "users", max_wait_seconds=30)
    assert run.error is None
    own.reset()
    rest = sync(own, "contacts", state=run.state)
    assert {*run.ids("contacts"), *rest.ids("contacts")} == {*own.world.contacts.ids}
    yield run


def always_refused(own: Sandbox) -> Iterator[Sync]:
    own.faults.add("status", action="contacts/search", status=429)
    yield sync(own, "contacts", "users", custom_fields="raw")


def over_budget(own: Sandbox) -> Iterator[Sync]:
    run = sync(own, "organization_enrichment", **BUYING, credit_budget=2, strict=True)
    assert run.error is None
    rest = sync(own, "organization_enrichment", **BUYING, credit_budget=200, state=run.state)
    assert not {*run.ids("organization_enrichment")} & {*rest.ids("organization_enrichment")}
    yield run


def out_of_credits(own: Sandbox) -> Iterator[Sync]:
    yield sync(own, "organization_enrichment", **BUYING, credit_budget=100)
    with Sandbox(
        Settings(contacts=250, seed=3, credits=0, forbid=("usage_stats/credit_usage_stats",))
    ).serve() as other:
        yield sync(other, "organization_enrichment", **BUYING, credit_budget=100)
        assert other.ledger.credits_spent == 0


def unchecked(own: Sandbox) -> Iterator[Sync]:
    yield sync(
        own,
        "person_details",
        credit_streams=["person_details"],
        person_ids=["5f0000000000000000000000"],
        credit_budget=100,
        credit_reserve=10,
    )
    assert own.ledger.credits_spent == 0


def short_count(own: Sandbox) -> Iterator[Sync]:
    own.faults.add("total", action="contacts/search", by=3)
    run = sync(own, "contacts")
    assert run.error is None
    assert "replication_key_value" not in run.state["bookmarks"]["contacts"]
    assert sync(own, "contacts", strict=True).error
    yield run


def another_account(own: Sandbox) -> Iterator[Sync]:
    first = sync(own)
    with Sandbox(Settings(contacts=250, seed=4)).serve() as other:
        run = sync(other, state=first.state)
        assert {*run.ids("contacts")} == {*other.world.contacts.ids}
    assert run.error is None
    yield run


def edited(own: Sandbox) -> Iterator[Sync]:
    state = sync(own, "contacts").state
    place(state, "contacts")["covered"] = "yesterday"
    run = sync(own, "contacts", state=state)
    assert {*run.ids("contacts")} == {*own.world.contacts.ids}
    yield run


def unsound_purchases(own: Sandbox) -> Iterator[Sync]:
    state: dict[str, Any] = placed(organization_enrichment={})
    state["bookmarks"]["organization_enrichment"]["bought"] = {"2026-09-30": 1}
    yield sync(own, "organization_enrichment", **BUYING, credit_budget=100, state=state)
    assert own.ledger.credits_spent == 0


def unreachable(own: Sandbox) -> Iterator[Sync]:
    state: dict[str, Any] = {"bookmarks": {"account_stages": {}}}
    yield sync_with({**config_for(own), "api_url": "http://127.0.0.1:9/api/v1"}, ["account_stages"], state)


def failing(own: Sandbox) -> Iterator[Sync]:
    own.faults.add("status", action="contacts/search", status=500, after=1)
    run = sync(own, "contacts", "users", max_concurrent_requests=1)
    assert run.records["users"]
    assert place(run.state, "contacts")["resume_points"]
    yield run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "decode", lambda reply: {"rows": []} if "tasks" in reply.url else decode(reply))
        assert sync(own, "tasks").error


def not_there(own: Sandbox) -> Iterator[Sync]:
    own.faults.add("status", action="tasks/show", status=404)
    run = sync(own, "task_details")
    assert not run.state["bookmarks"].get("task_details")
    yield run


def older_states(own: Sandbox) -> Iterator[Sync]:
    state = sync(own, "contacts").state
    del state["bookmarks"]["contacts"]["place"]
    run = sync(own, "contacts", state=state)
    assert len(run.records["contacts"]) == 250
    assert run.error is None
    yield run


SITUATIONS: dict[str, Situation] = {
    "401: the credentials are not accepted": ({}, rejected),
    "403: a scope is missing": ({"forbid": ("tasks/search",)}, skipped),
    "403: everything is refused": ({"forbid": ("tasks/search", "users/search")}, all_refused),
    "The definitions of custom fields cannot be read": (
        {"forbid": ("typed_custom_fields/index",)},
        without_custom_fields,
    ),
    "403: the plan does not include it": ({"plan": "free", "paid_only": ("tasks/search",)}, skipped),
    "A wait that is too long": ({"limit": ("contacts/search=200/2/0",)}, waiting),
    "429, again and again": ({}, always_refused),
    "A budget is used up": ({"now": "real"}, over_budget),
    "A limit that cannot be checked": ({"forbid": ("usage_stats/credit_usage_stats",)}, unchecked),
    "The team is out of credits": ({"credits": 3}, out_of_credits),
    "A count falls short": ({}, short_count),
    "Another account": ({}, another_account),
    "A state that cannot be used": ({}, edited),
    "A state that does not tell what was bought": ({}, unsound_purchases),
    "Apollo cannot be reached": ({}, unreachable),
    "A stream fails for good": ({}, failing),
    "An endpoint is not there": ({}, not_there),
    "Upgrades": ({}, older_states),
}

#: Shown by the tests below: one is no run, one needs a clock, the others need Meltano.
ELSEWHERE = {"A state that is not one", "A long wait", "A killed run blocks the next", "The loader dies"}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """No waiting: neither between tries nor for a window."""
    clock = Clock()
    clock.install(monkeypatch)
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))
    return clock


class TestMessages:
    @pytest.mark.usefixtures("clock")
    @pytest.mark.parametrize("heading", SITUATIONS)
    def test_the_tap_says_what_the_page_says(self, heading: str, caplog: pytest.LogCaptureFixture) -> None:
        settings, happens = SITUATIONS[heading]
        caplog.set_level("INFO", logger="tap-apollo")
        with Sandbox(Settings(**{"contacts": 250, "seed": 3, **settings})).serve() as own:
            runs = [*happens(own)]
        said = {plain(record.getMessage()) for record in caplog.records}
        ended_with = {plain(run.error.message) for run in runs if run.error}
        assert {*MESSAGES[heading]} <= said | ended_with
        assert ended_with <= {*MESSAGES[heading]}

    def test_a_wait_is_told(self, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO", logger="tap-apollo")
        settings = Settings(contacts=250, limit=("contacts/search=2/2/0",))
        with Sandbox(settings, monotonic=clock.monotonic).serve() as own:
            assert len(sync(own, "contacts", custom_fields="raw").records["contacts"]) >= 250
        assert {*MESSAGES["A long wait"]} <= {plain(line) for line in caplog.messages}

    def test_a_state_that_is_not_one_is_told(self) -> None:
        with pytest.raises(SettingsError) as raised:
            bookmarks_of({"completed": {"singer_state": {"bookmarks": {"contacts": {}}}}})
        assert {plain(raised.value.message)} == {*MESSAGES["A state that is not one"]}

    def test_every_section_with_a_message_is_tried(self) -> None:
        assert MESSAGES.keys() == SITUATIONS.keys() | ELSEWHERE


# The state's looks


#: Keys that differ from run to run.
DAY_OR_RUN = r"^(\d{4}-\d\d-\d\d|\d{6}-[0-9a-f]{4})$"


def kind_of(value: Any) -> Any:
    """Return the form of a part of a state: keys and kinds, without what they hold."""
    if isinstance(value, dict):
        return {re.sub(DAY_OR_RUN, "some", key): kind_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [kind_of(value[0])] if value else []
    return type(value).__name__


def test_states_look_as_shown() -> None:
    with Sandbox(Settings(contacts=250, seed=3)).serve() as own:
        streams = ("contacts", "accounts", "calls", "deals", "deal_details", "organization_enrichment")
        run = sync(own, *streams, **BUYING, credit_budget=2)
        stopped = sync(own, "contacts", max_pages={"contacts": 1})
    shown = json.loads(block("states", "json"))
    assert kind_of(shown) == kind_of(run.state["bookmarks"])
    assert kind_of(json.loads(block("stopped", "json"))) == kind_of(stopped.state["bookmarks"])


def test_what_must_not_be_removed_is_named() -> None:
    warned = PAGE.partition("### Never remove")[2]
    for name in (*CREDIT_STREAMS, SPENDING):
        assert re.search(rf"\b{name}\b", warned), name


# Through Meltano

STATE_ID = "sandbox:tap-apollo-to-target-jsonl:operations"
PIPELINE = ("tap-apollo", "target-jsonl")
SELECTED = json.dumps([f"{name}.*" for name in ("calls", "contacts", "conversations", "users")])


@pytest.fixture(scope="class")
def own() -> Iterator[Sandbox]:
    with Sandbox(Settings(contacts=250, seed=3)).serve() as running:
        yield running


@pytest.fixture(scope="class")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="class")
def settings(project: Path, own: Sandbox, output: Path) -> dict[str, str]:
    """The settings of a project that has run once."""
    settings = {
        "TAP_APOLLO_API_URL": own.url,
        "TAP_APOLLO__SELECT": SELECTED,
        "TARGET_JSONL_DESTINATION_PATH": str(output),
        "MELTANO_RUN_STATE_ID_SUFFIX": "operations",
        "MELTANO_ENVIRONMENT": "sandbox",
        "STATE_ID": STATE_ID,
        "PATH": f"{Path(MELTANO[0]).parent}{os.pathsep}{os.environ['PATH']}",
    }
    meltano(project, "run", "--install", *PIPELINE, **settings)
    return settings


def bookmarks(project: Path) -> dict[str, Any]:
    """Return the state as Meltano keeps it."""
    with contextlib.closing(sqlite3.connect(project / ".meltano" / "meltano.db")) as database:
        query = "select completed_state from state where state_id = ?"
        found: dict[str, Any] = json.loads(database.execute(query, [STATE_ID]).fetchone()[0])
    bookmarks: dict[str, Any] = found["singer_state"]["bookmarks"]
    return bookmarks


def follow(recipe: str, project: Path, settings: dict[str, str]) -> str:
    """Run the commands of a recipe as a user would, and return what is said."""
    command = ["bash", "-ec", block(recipe, "sh")]
    variables = environment(settings)
    done = subprocess.run(command, cwd=project, env=variables, check=True, capture_output=True, text=True)
    return f"{done.stdout}{done.stderr}"


def fails(project: Path, settings: dict[str, str]) -> str:
    """Run the pipeline, which has to fail, and return what is said."""
    with pytest.raises(AssertionError) as failure:
        meltano(project, "run", *PIPELINE, **settings)
    return str(failure.value)


class TestThroughMeltano:
    def test_the_plan_is_that_of_the_next_run(self, project: Path, settings: dict[str, str]) -> None:
        contacts = re.search(r"^contacts +yes +(\d+) ", follow("plan", project, settings), re.MULTILINE)
        assert contacts
        assert int(contacts[1]) < 10  # all of them are 250

    def test_one_stream_is_read_anew_by_a_full_refresh_of_it_alone(
        self, project: Path, own: Sandbox, settings: dict[str, str]
    ) -> None:
        before = bookmarks(project)
        assert f"calls: {own.counts()['calls']} of" in follow("refresh", project, settings)
        after = state_of(project, STATE_ID)["singer_state"]["bookmarks"]
        assert after.pop("calls")["place"][0]["walked_at"] > before.pop("calls")["place"][0]["walked_at"]
        assert after == before

    @pytest.mark.skipif(not shutil.which("jq"), reason="the page's command needs jq")
    def test_one_stream_is_read_anew_and_the_others_go_on(
        self, project: Path, own: Sandbox, settings: dict[str, str]
    ) -> None:
        before = bookmarks(project)
        follow("reset", project, settings)
        assert bookmarks(project) == {name: value for name, value in before.items() if name != "calls"}

        printed = meltano(project, "run", *PIPELINE, **settings)
        calls = own.counts()["calls"]
        assert f"calls: {calls} of {calls} records" in printed
        assert re.search(r"contacts: \d+ records?, all that is new", printed)
        assert bookmarks(project).keys() == before.keys()
        assert bookmarks(project)["calls"]["replication_key_value"] == before["calls"]["replication_key_value"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk to write to")
    def test_a_full_disk_leaves_the_state_at_what_was_confirmed(
        self, project: Path, own: Sandbox, settings: dict[str, str], output: Path
    ) -> None:
        before = bookmarks(project)
        changed = own.world.add_contact()
        (output / "contacts.jsonl").unlink()
        (output / "contacts.jsonl").symlink_to("/dev/full")
        printed = fails(project, settings)
        (output / "contacts.jsonl").unlink()
        assert MESSAGES["The loader dies"][0] in plain(printed)
        assert bookmarks(project)["contacts"] == before["contacts"]
        meltano(project, "run", *PIPELINE, **settings)
        assert changed in (output / "contacts.jsonl").read_text(encoding="utf-8")

    def test_a_killed_run_blocks_the_next_until_it_is_forced_or_stale(
        self, project: Path, own: Sandbox, settings: dict[str, str]
    ) -> None:
        own.reset()
        own.faults.add("slow", seconds=60, action="users/search")
        kill_when(lambda: bool(own.ledger.as_dict()["requests_total"]), project, "run", *PIPELINE, **settings)
        own.faults.clear()

        message, freed = MESSAGES["A killed run blocks the next"]
        assert message in plain(fails(project, settings).replace(STATE_ID, "prod:tap-apollo-to-target-jsonl"))
        meltano(project, "run", "--force", *PIPELINE, **settings)
        assert message in plain(fails(project, settings).replace(STATE_ID, "prod:tap-apollo-to-target-jsonl"))

        with contextlib.closing(sqlite3.connect(project / ".meltano" / "meltano.db")) as database:
            six_minutes_ago = "update runs set last_heartbeat_at = datetime(last_heartbeat_at, '-6 minutes')"
            database.execute(f"{six_minutes_ago} where state = 'RUNNING'")
            database.commit()
        assert freed in plain(meltano(project, "run", *PIPELINE, **settings))
