"""The command: its options, its one line, its end."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from apollo_sandbox import Settings, SettingsError
from apollo_sandbox.cli import main


def test_it_serves_says_one_line_and_ends_on_request() -> None:
    environment = {**os.environ, "APOLLO_SANDBOX_CONTACTS": "12", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", "from apollo_sandbox.cli import main; main()", "--port", "0", "--seed", "9"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as served:
        assert served.stdout is not None
        line = served.stdout.readline()
        url = line.split()[3]
        assert line == f"apollo-sandbox listening on {url} (seed 9, 12 contacts, plan professional)\n"
        reply = requests.post(f"{url}/contacts/search", headers={"X-Api-Key": "sandbox-key"}, timeout=10)
        assert reply.json()["pagination"]["total_entries"] == 12
        served.send_signal(signal.SIGTERM)
        rest, errors = served.communicate(timeout=10)
    assert (rest, errors) == ("", "")
    assert served.returncode == 0


@pytest.mark.parametrize("missing", ["faker", "starlette", "uvicorn"])
def test_without_the_extra_it_says_what_to_install(missing: str) -> None:
    run = f"import sys; sys.modules[{missing!r}] = None; from apollo_sandbox.cli import main; main()"
    ended = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(
        rf'apollo-sandbox cannot start, as there is no {missing}[.\w]*: pip install "tap-apollo\[sandbox\]"\n',
        ended.stderr,
    )


def test_every_setting_has_an_option() -> None:
    options = {name for parameter in main.params for name in parameter.opts}
    for one in dataclasses.fields(Settings):
        assert f"--{one.name.replace('_', '-')}" in options
        assert one.metadata["help"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--plan", "golden"], "plan must be one of"),
        (["--contacts", "-1"], "contacts must be at least 0"),
        (["--now", "yesterday"], "now must be `real`"),
        (["--limit", "contacts/search=many"], "limit must look like"),
        (["--fault", "kind=earthquake"], "fault kind must be one of"),
        (["--users", "0"], "users must be at least 1"),
        (["--port", "99999"], "port must be at most 65535"),
        (["--clock-speed", "0"], "clock_speed must be above 0"),
        (["--api-key", ""], "api_key must not be empty"),
    ],
)
def test_bad_values_are_told_in_one_line(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert words in result.output.splitlines()[-1]


@pytest.mark.parametrize(
    "values", [{"deal_created_field": "x"}, {"credit_error": "x"}, {"tie_size": 0}, {"display_limit": 0}]
)
def test_bad_values_are_refused_in_python_too(values: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(values))):
        Settings(**values)


def test_an_address_that_is_not_ours_is_told() -> None:
    result = CliRunner().invoke(main, ["--host", "203.0.113.1", "--contacts", "1"])
    assert result.exit_code == 1
    assert "cannot listen on 203.0.113.1:8321" in result.output


def test_now_may_be_real_or_given() -> None:
    assert Settings(now="2026-01-01").start_ms == 1_767_225_600_000
    assert Settings(now="real").start_ms > 1_767_225_600_000
