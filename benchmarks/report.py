"""The figures as Markdown."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.tools import ROOT, VENVS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.measure import Cost
    from benchmarks.tools import Tool

NOTES = """
How to read it: every client reads the same contacts (rows of about 5 KB) from a server on this machine that answers
out of memory; one process per run, its output thrown away (dlt's goes to files). Each figure is a median; the clients
take turns, so that what else the machine does hits all alike. CPU (user and system) and wall time are those of the
pages after the first: the same client's run on a list of one page, the column "start-up", is taken off. Records/s goes
by that wall time; "peak" is the largest resident set. No rate limit is in force: Apollo's would hold all of them alike.

What the clients do differs, beside their speed: this tap and the stock tap write every column in the type that the
schema says; the bare loop, Airbyte and dlt's extraction pass the rows on as they came. dlt and Airbyte keep no cursor
where speed is measured, which is cheaper for them; where requests are counted they keep one and read newest first
down to it. dlt loads into files, so that no database's work is counted as its own.
"""


@dataclasses.dataclass(frozen=True)
class Speed:
    """The figures of one client at one latency.

    Attributes:
        cpu: Seconds of CPU after start-up.
        wall: Seconds after start-up.
        start_up: Seconds that a list of one page takes.
        start_cpu: Seconds of CPU that it takes.
        peak: MB.
        rows: Rows that came after those of the first page.
        lowest: The least CPU of the runs, and the most: how much they vary.
        highest: See lowest.
    """

    cpu: float
    wall: float
    start_up: float
    start_cpu: float
    peak: float
    rows: int
    lowest: float
    highest: float

    @classmethod
    def of(cls, full: Sequence[Cost], one: Sequence[Cost], rows: int) -> Speed:
        """Return the medians of some runs: on all pages, and on one."""
        start_cpu = statistics.median(cost.cpu for cost in one)
        start_up = statistics.median(cost.wall for cost in one)
        return cls(
            cpu=statistics.median(cost.cpu for cost in full) - start_cpu,
            wall=statistics.median(cost.wall for cost in full) - start_up,
            start_up=start_up,
            start_cpu=start_cpu,
            peak=statistics.median(cost.peak for cost in full),
            rows=rows,
            lowest=min(cost.cpu for cost in full) - start_cpu,
            highest=max(cost.cpu for cost in full) - start_cpu,
        )


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table: text to the left in the first column, numbers to the right in the others."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def speeds(latency: int, pages: int, found: Sequence[tuple[Tool, Speed]]) -> str:
    """Return the section on speed at one latency; ratios are to the bare loop, or to the first client without it."""
    base_tool, base = next((pair for pair in found if pair[0].name == "bare"), found[0])
    against = "bare loop" if base_tool.name == "bare" else base_tool.name
    header = f"client|CPU µs/record|least to most|CPU, {against} = 1|wall s|wall, {against} = 1|records/s|peak MB"
    header += "|start-up s|start-up CPU s"
    rows = [
        (
            tool.title,
            f"{speed.cpu / speed.rows * 1e6:,.0f}",
            f"{speed.lowest / speed.rows * 1e6:,.0f} to {speed.highest / speed.rows * 1e6:,.0f}",
            f"{speed.cpu / base.cpu:.2f}",
            f"{speed.wall:.2f}",
            f"{speed.wall / base.wall:.2f}",
            f"{speed.rows / speed.wall:,.0f}",
            f"{speed.peak:,.0f}",
            f"{speed.start_up:.2f}",
            f"{speed.start_cpu:.2f}",
        )
        for tool, speed in found
    ]
    return f"\n## {pages:,} pages of 100, {latency} ms a page\n\n{table(header.split('|'), rows)}\n"


def surroundings(command: str, repeats: int, load: Sequence[float]) -> str:
    """Return what the figures hold for: the command, the versions, the machine, the day."""
    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    cpuinfo = Path("/proc/cpuinfo")
    models = [line for line in cpuinfo.read_text().splitlines() if "model name" in line] if cpuinfo.exists() else []
    model = models[0].partition(": ")[2] if models else platform.machine()
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("singer-sdk", "requests")]
    pins = [pin.replace("==", " ") for pins in VENVS.values() for pin in pins]
    lines = [
        f"- Command: `{command}`, medians of {repeats}",
        f"- Date: {datetime.datetime.now(tz=datetime.timezone.utc):%Y-%m-%d}, tap-apollo at {commit}",
        f"- Versions: Python {platform.python_version()}, {', '.join([*versions, *pins])}",
        f"- Machine: {os.cpu_count()} cores ({model}), {platform.system()}; load average {load[0]:.1f} at the start",
    ]
    return "\n".join(lines) + "\n"
