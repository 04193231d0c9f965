"""Compares this tap with four other ways to read the same pages; writes and prints benchmarks/RESULTS.md.

It measures, per client: CPU, wall time and memory of a first sync, from a page server of its own (``server``), by
``wait4`` on the client's process (``measure``); the requests of a first, an idle and a changed sync, from the sandbox,
by its ledger. For this tap also whether memory stays level over ten times the pages, and how soon its commands answer.
Every client must deliver every row, or the run fails. What the clients are stands in ``tools`` and ``clients/``.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.measure import FailedError, ask, deliver, measure, page_server, run, sandbox
from benchmarks.tools import HERE, PER_PAGE, TOOLS, VENVS, executable, write

if TYPE_CHECKING:
    from benchmarks.measure import Cost
    from benchmarks.tools import Tool

#: How often a command that only starts is timed.
STARTS = 5


def say(text: str) -> None:
    """Tell how far it has come."""
    print(text, file=sys.stderr, flush=True)


def check(tool: Tool, delivered: int, expected: int, what: str) -> None:
    """Make sure that a client delivered everything.

    Raises:
        FailedError: It did not.
    """
    if delivered < expected:
        raise FailedError(f"{tool.name} delivered {delivered:,} of {expected:,} rows: {what}")


def speed(tools: list[Tool], pages: int, repeats: int, latencies: list[int]) -> str:
    """Measure first syncs, all clients in turn, again and again."""
    text, rows = "", pages * PER_PAGE
    with page_server(rows) as server:
        for tool in tools:
            say(f"{tool.name}: are all rows delivered?")
            with tempfile.TemporaryDirectory() as folder:
                ids, _ = deliver(tool, f"{server}/{rows}/0/api/v1", Path(folder), incremental=False)
            check(tool, len(ids), rows, "a first sync")
        for latency in latencies:
            costs: dict[tuple[str, int], list[Cost]] = defaultdict(list)
            for turn in range(repeats):
                for tool in tools:
                    for size in (PER_PAGE, rows):
                        cost = measure(tool, f"{server}/{size}/{latency}/api/v1")
                        costs[tool.name, size].append(cost)
                    say(f"{latency} ms, {turn + 1} of {repeats}, {tool.name}: {cost}")
            found = [
                (tool, report.Speed.of(costs[tool.name, rows], costs[tool.name, PER_PAGE], rows - PER_PAGE))
                for tool in tools
            ]
            text += report.speeds(latency, pages, found)
    return text


def requests(tools: list[Tool], pages: int) -> str:
    """Count the requests of a first sync, of one after nothing happened, and of one after 1% of the rows changed."""
    rows = []
    for tool in tools:
        with sandbox(pages * PER_PAGE) as url, tempfile.TemporaryDirectory() as folder:
            first, whole = counted_sync(tool, url, Path(folder))
            check(tool, len(first), pages * PER_PAGE, "a first sync from the sandbox")
            _, idle = counted_sync(tool, url, Path(folder))
            changed = sorted(first)[:: len(first) // pages]
            for contact in changed:
                ask(f"{controls(url)}/edit", {"edit": "touch_contact", "contact_id": contact})
            brought, after = counted_sync(tool, url, Path(folder))
            check(tool, len(brought.intersection(changed)), len(changed), "those that changed")
        counts = (whole, idle, after, len(brought))
        say(f"{tool.name}: requests and rows {counts}")
        rows.append((tool.title, *(f"{count:,}" for count in counts), "yes" if tool.remembers else "none"))
    header = ("client", "first sync", "nothing changed", "1% changed", "rows it then brings", "cursor")
    return f"\n## Requests, {pages * PER_PAGE:,} contacts\n\n{report.table(header, rows)}\n"


def counted_sync(tool: Tool, url: str, folder: Path) -> tuple[set[str], int]:
    """Run a client's next sync and return the ids that it delivered and the requests that it sent."""
    ask(f"{controls(url)}/reset", {})
    ids, _ = deliver(tool, url, folder, incremental=tool.remembers)
    return ids, ask(f"{controls(url)}/ledger")["requests_total"]


def controls(url: str) -> str:
    """Return the URL of the sandbox's own controls."""
    return url.removesuffix("/api/v1") + "/_sandbox"


def memory(tap: Tool, pages: int) -> str:
    """Compare the tap's memory on a list with that on one ten times as long, both from the sandbox, one run each.

    Beyond 50,000 rows Apollo shows no more of a list, and the tap must read it in slices, which the sandbox honours.
    """
    rows = []
    for size in (pages, 10 * pages):
        with sandbox(size * PER_PAGE) as url, tempfile.TemporaryDirectory() as folder:
            ids, cost = deliver(tap, url, Path(folder), incremental=False)
            sent = ask(f"{controls(url)}/ledger")["requests_total"]
        check(tap, len(ids), size * PER_PAGE, f"a list of {size} pages")
        say(f"{tap.name}: {size} pages: {cost}")
        rows.append((f"{size:,}", f"{size * PER_PAGE:,}", f"{sent:,}", f"{cost.peak:,.1f}"))
    header = ("pages", "contacts", "requests", "peak MB")
    return f"\n## Memory of this tap on a long list\n\n{report.table(header, rows)}\n"


def starts() -> str:
    """Time the commands that read nothing."""
    program, rows = str(Path(sys.executable).with_name("tap-apollo")), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write(folder, "config.json", {"api_key": "not-used"})
        for options in (["--help"], ["--discover", "--config", config]):
            costs = [run([program, *options], folder) for _ in range(STARTS)]
            wall, cpu = (statistics.median(getattr(cost, kind) for cost in costs) for kind in ("wall", "cpu"))
            rows.append((f"`tap-apollo {options[0]}`", f"{wall:.2f}", f"{cpu:.2f}"))
    header = ("command", "wall s", "CPU s")
    return f"\n## How soon this tap answers (medians of {STARTS})\n\n{report.table(header, rows)}\n"


def main() -> None:
    """Run what the options ask for.

    Raises:
        SystemExit: A client failed or did not deliver every row.
    """
    names = [tool.name for tool in TOOLS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pages", type=int, default=100, help="pages of 100 contacts, 2 to 500 [100]")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which to take the median [3]")
    parser.add_argument("--only", default=",".join(names), help=f"clients to run, by comma [{','.join(names)}]")
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 250], metavar="MS", help="ms a page [0 250]")
    parser.add_argument("--speed-only", action="store_true", help="neither requests nor memory nor start-up")
    given = parser.parse_args()
    wanted = given.only.split(",")
    if not set(wanted) <= set(names) or not 2 <= given.pages <= 500 or given.repeats < 1:  # noqa: PLR2004
        parser.error("see --help for the clients there are and the pages there can be")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leave no server and no client behind
    tools, load = [tool for tool in TOOLS if tool.name in wanted], os.getloadavg()
    try:
        for environment in VENVS:
            if any(tool.name.startswith(environment) for tool in tools):
                executable(environment, "python")
        text = speed(tools, given.pages, given.repeats, given.latency)
        if not given.speed_only:
            text += requests(tools, given.pages)
            text += memory(tools[0], given.pages) + starts() if tools[0].name == "tap-apollo" else ""
    except FailedError as error:
        sys.exit(str(error))
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    head = f"# What this tap costs, beside other clients\n\n{report.surroundings(command, given.repeats, load)}"
    result = head + report.NOTES + text
    (HERE / "RESULTS.md").write_text(result)
    print(result)


if __name__ == "__main__":
    main()
