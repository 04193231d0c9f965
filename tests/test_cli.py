"""The command line, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apollo_sandbox import Sandbox, Settings
from apollo_sandbox.app import ENDPOINTS
from tap_apollo.api.errors import SettingsError
from tap_apollo.cli import bookmarks_of
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tests.singer import config_for


def tap(*arguments: str, config: dict[str, Any] | None = None, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tap_apollo", *arguments]
    if config is not None:
        path = folder / "config.json"
        path.write_text(json.dumps(config), encoding="utf-8")
        command += ["--config", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=120)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_discovery_needs_no_settings(tmp_path: Path) -> None:
    done = tap("--discover", folder=tmp_path)
    assert done.returncode == 0
    streams = {stream["tap_stream_id"] for stream in json.loads(done.stdout)["streams"]}
    assert streams == STREAMS.keys() - CREDIT_STREAMS.keys()


def test_about_marks_the_secrets(tmp_path: Path) -> None:
    about = json.loads(tap("--about", "--format=json", folder=tmp_path).stdout)
    secret = {name for name, node in about["settings"]["properties"].items() if node.get("secret")}
    assert secret == {"api_key", "access_token", "refresh_token", "client_id", "client_secret", "people_enrichment"}


@pytest.mark.parametrize("option", ["--config", "--catalog", "--state"])
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "cannot be read ("),
        (b"", "holds no JSON object: repair it"),
        (b"[7]", "holds no JSON object: repair it"),
        (b'{"a": "\xff"}', "holds no JSON object: repair it"),
    ],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, option: str, content: bytes | None, line: str) -> None:
    if content is not None:
        (tmp_path / "file.json").write_bytes(content)
    done = tap(option, "file.json", folder=tmp_path)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith(f"Error: The file of {option} {line}")


def test_a_state_of_another_form_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"bookmarks": []}', encoding="utf-8")
    done = tap("--state", "state.json", config={"api_key": "k"}, folder=tmp_path)
    assert done.returncode == 1
    assert last_line(done).startswith('Error: The state is not of the form {"bookmarks": {"contacts": {...}}}: repair')


STATE: dict[str, Any] = {"bookmarks": {"contacts": {"place": [{}]}}}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"completed": {"singer_state": STATE}}, "`completed.singer_state`. Take it out, as by `jq .completed.singer"),
        ({"completed": STATE, "partial": {}}, "`completed`. Take it out, as by `jq .completed state.json > unwrap"),
        ({"type": "STATE", "value": STATE}, "`value`. Take it out, as by `jq .value state.json > unwrapped.json`."),
        ({"singer_state": {"singer_state": STATE}}, "`singer_state.singer_state`. Take it out"),
        ({"bookmark": {"contacts": {}}}, ", but has `bookmark`: repair it; without it everything is read"),
        ({"singer_state": {"contacts": {}}}, ", but has `contacts`: repair it"),
        ({"completed": {}}, ", but has `completed`: repair it"),
        ({"bookmarks": None}, "}: repair it"),
        ({"bookmarks": {"contacts": 7}}, "}: repair it"),
        ({"me@acme.example": 1}, "}: repair it"),
        ({"singer_state": None}, "}: repair it"),
        ([STATE], "}: repair it"),
    ],
)
def test_a_state_that_is_none_is_no_fresh_start(state: Any, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        bookmarks_of(state)
    assert said in raised.value.message
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("state", [{}, {"singer_state": {}}, STATE, {"singer_state": STATE}, {**STATE, "more": 1}])
def test_these_are_states(state: dict[str, Any]) -> None:
    assert bookmarks_of(state) == (STATE["bookmarks"] if "bookmarks" in f"{state}" else {})


@pytest.mark.parametrize("arguments", [(), ("--test",)])
def test_a_misspelt_setting_is_one_line(tmp_path: Path, sandbox: Sandbox, arguments: tuple[str, ...]) -> None:
    before = sandbox.ledger.as_dict()["requests_total"]
    config = {**config_for(sandbox), "lookback_day": 3}
    done = tap(*arguments, config=config, folder=tmp_path)
    assert done.returncode == 1
    assert last_line(done) == "Error: Unknown setting `lookback_day`: did you mean `lookback_days`?"
    assert sandbox.ledger.as_dict()["requests_total"] == before


@pytest.mark.parametrize("arguments", [(), ("--test",)])
def test_a_wrong_key_is_one_line(tmp_path: Path, sandbox: Sandbox, arguments: tuple[str, ...]) -> None:
    done = tap(*arguments, config={**config_for(sandbox), "api_key": "wrong-key-of-mine"}, folder=tmp_path)
    assert done.returncode == 1
    assert last_line(done).startswith("Error: Apollo does not accept the credentials (401)")
    assert "wrong-key-of-mine" not in done.stderr
    assert "unhandled" not in done.stderr


def test_the_connection_test_passes(tmp_path: Path, sandbox: Sandbox) -> None:
    done = tap("--test", config=config_for(sandbox), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    free = len(STREAMS) - len(CREDIT_STREAMS)
    assert f"{free} of {free} streams can be read." in done.stderr
    assert "ERROR" not in done.stderr


def test_the_connection_test_names_what_cannot_be_read(tmp_path: Path) -> None:
    with Sandbox(Settings(contacts=20, forbid=("tasks/search",))).serve() as own:
        done = tap("--test", config=config_for(own), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    free = len(STREAMS) - len(CREDIT_STREAMS)
    assert f"{free - 2} of {free} streams can be read; see the messages above on task_details, tasks." in done.stderr
    assert "ERROR" not in done.stderr


@pytest.mark.parametrize("arguments", [(), ("--test",)])
def test_a_key_that_may_read_nothing_fails_in_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with Sandbox(Settings(contacts=20, forbid=tuple(one.action for one in ENDPOINTS))).serve() as own:
        done = tap(*arguments, config=config_for(own), folder=tmp_path)
    assert done.returncode == 1
    assert last_line(done).startswith(
        "Error: Apollo refused everything that it was asked for: see the messages above on"
    )
    assert "RECORD" not in done.stdout


def test_a_catalog_without_streams_is_said(tmp_path: Path, sandbox: Sandbox) -> None:
    (tmp_path / "catalog.json").write_text('{"streams": []}', encoding="utf-8")
    done = tap("--catalog", "catalog.json", config=config_for(sandbox), folder=tmp_path)
    assert done.returncode == 0
    assert "No stream is selected" in done.stderr


def test_a_catalog_selects_streams_and_columns_and_a_state_goes_on(tmp_path: Path, sandbox: Sandbox) -> None:
    catalog = json.loads(tap("--discover", folder=tmp_path).stdout)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] == []:
                entry["metadata"]["selected"] = stream["tap_stream_id"] == "contacts"
            elif entry["breadcrumb"] == ["properties", "email"]:
                entry["metadata"]["selected"] = False
    (tmp_path / "catalog.json").write_text(json.dumps(catalog), encoding="utf-8")
    first = tap("--catalog", "catalog.json", config=config_for(sandbox), folder=tmp_path)
    messages = [json.loads(line) for line in first.stdout.splitlines()]
    records = [message["record"] for message in messages if message["type"] == "RECORD"]
    assert {message["stream"] for message in messages if "stream" in message} == {"contacts"}
    assert len(records) == 250
    assert not any("email" in record for record in records)
    assert all("updated_at" in record for record in records)

    (tmp_path / "state.json").write_text(json.dumps(messages[-1]["value"]), encoding="utf-8")
    second = tap("--catalog", "catalog.json", "--state", "state.json", config=config_for(sandbox), folder=tmp_path)
    assert 0 < second.stdout.count('"RECORD"') < 100
