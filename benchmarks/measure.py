"""Runs a client as a process of its own and takes its figures from the kernel (``wait4``)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from benchmarks.tools import ROOT, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.tools import Tool

#: Settings of whoever runs the benchmark are kept from the clients, Python's too: without its cache of compiled
#: modules each start would take longer, and without a buffer each line. Nothing is reported to anybody.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("TAP_", "APOLLO_", "PYTHON"))},
    "PYTHONPATH": str(ROOT),
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
}


@dataclasses.dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        cpu: Seconds of CPU, user and system, with the processes that it started itself.
        wall: Seconds from start to end.
        peak: Largest resident set of one process, in MB of 2**20 bytes. It begins with what this process has when it
            starts the client, so what runs the benchmark must import little.
    """

    cpu: float
    wall: float
    peak: float


class FailedError(Exception):
    """A client did not do what it was run for."""


def run(command: list[str], folder: Path, stdout: int | IO[bytes] = subprocess.DEVNULL) -> Cost:
    """Run a command to its end and return what it took.

    Raises:
        FailedError: It failed.
    """
    with (folder / "stderr").open("wb") as stderr:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=stdout, stderr=stderr)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        wall = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)  # Popen need not wait for it any more
    if process.returncode:
        said = (folder / "stderr").read_text(errors="replace")[-2000:]
        raise FailedError(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def measure(tool: Tool, url: str) -> Cost:
    """Run a client's sync from nothing, its output thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        return run(tool.command(Path(folder), url, False), Path(folder))  # noqa: FBT003


def deliver(tool: Tool, url: str, folder: Path, *, incremental: bool) -> tuple[set[str], Cost]:
    """Run a client's sync and return the ids of the rows that came out of it, and what it took."""
    output = folder / "stdout"
    with output.open("wb") as stdout:
        cost = run([*tool.command(folder, url, incremental), *tool.reports], folder, stdout)
    with output.open("rb") as lines:
        return Delivery(lines, folder).ids, cost


@contextlib.contextmanager
def serving(command: list[str]) -> Iterator[str]:
    """Run a server beside the clients until the context ends; gives the URL in its first line.

    Raises:
        FailedError: It did not start.
    """
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        url = re.search(r"http://[\w.:/]+", process.stdout.readline() if process.stdout else "")
        if not url:
            raise FailedError(f"{' '.join(command)} did not start")
        yield url[0]
    finally:
        process.terminate()
        process.communicate()


def page_server(rows: int) -> contextlib.AbstractContextManager[str]:
    """Serve pages out of memory; see ``benchmarks.server`` for the URLs."""
    return serving([sys.executable, "-m", "benchmarks.server", f"--rows={rows}"])


def sandbox(contacts: int) -> contextlib.AbstractContextManager[str]:
    """Serve the sandbox's API, without rate limits and without ties."""
    program = str(Path(sys.executable).with_name("apollo-sandbox"))
    return serving([program, "--port=0", f"--contacts={contacts}", "--tie-size=1", "--plan=unlimited"])


def ask(url: str, body: Any = None) -> Any:
    """Return the JSON behind a URL of a server on this machine; POST if there is a body."""
    content = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, content)) as reply:  # noqa: S310 - loopback
        return json.load(reply)
