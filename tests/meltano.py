"""This repository's Meltano project, run as its users run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.write_docs import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

MELTANO = [str(Path(sys.executable).with_name("meltano")), "--environment=sandbox"]


def project_in(folder: Path) -> Path:
    """Copy the project's definition into a folder of its own, with the tap as it is here."""
    text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
    (folder / "meltano.yml").write_text(text.replace("pip_url: -e .", f"pip_url: -e {ROOT}"), encoding="utf-8")
    return folder


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", **settings}


def tried(project: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """Run Meltano, and return its exit code and all that it printed."""
    done = subprocess.run(
        [*MELTANO, *arguments],
        cwd=project,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout


def state_of(project: Path, state_id: str) -> dict[str, Any]:
    """Return a state as Meltano prints it."""
    command = [*MELTANO, "state", "get", state_id]
    done = subprocess.run(command, cwd=project, env=environment({}), capture_output=True, text=True, check=True)
    state: dict[str, Any] = json.loads(done.stdout)
    return state


def kill_when(reached: Callable[[], bool], project: Path, *arguments: str, **settings: str) -> None:
    """Run Meltano, and kill it and all that it has started once it has come so far."""
    process = subprocess.Popen(
        [*MELTANO, *arguments],
        cwd=project,
        env=environment(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not reached():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def meltano(project: Path, *arguments: str, **settings: str) -> str:
    """Run Meltano, which has to go well, and return all that it printed."""
    code, printed = tried(project, *arguments, **settings)
    assert code == 0, printed[-5000:]
    return printed
