"""The main job, as a user runs it: sandbox, ``meltano run``, a DuckDB file, dbt, and a look at what came of it.

Needs no Apollo account and no key, and leaves what it makes in ``.demo/``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from apollo_sandbox import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"

#: The widest bar of a chart, in characters.
BAR = 40

BLOCKS = ("tap-apollo", "target-duckdb", "dbt-duckdb:build")

PIPELINE = """
    select stage, sum(deals), sum(amount) from pipeline_by_stage_and_owner
    where not is_closed group by stage, stage_order order by stage_order
"""
SEQUENCES = """
    select sequence, sent, replied, bounced, round(100 * reply_rate) as "replied %" from sequence_performance
    order by replied desc, sent desc, sequence limit 5
"""


def run_meltano(*arguments: str, environment: Mapping[str, str]) -> None:
    """Run Meltano on this repository's project, with a state of the demo's own.

    Raises:
        SystemExit: Meltano failed; what it said is printed.
    """
    done = subprocess.run(
        [str(Path(sys.executable).with_name("meltano")), "--environment=sandbox", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "MELTANO_DATABASE_URI": f"sqlite:///{DEMO}/meltano.db",
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "NO_COLOR": "1",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nmeltano {' '.join(arguments)} ended with {done.returncode}.")


def main() -> None:
    """Run the demo.

    Raises:
        SystemExit: It cannot run here.
    """
    if sys.version_info >= (3, 14):
        sys.exit("The demo needs Python 3.10 to 3.13: the DuckDB that its loader is right with has no wheel for 3.14.")
    began = time.monotonic()
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir()
    warehouse = DEMO / "warehouse.duckdb"
    with Sandbox(Settings()).serve() as sandbox:
        environment = {
            "TAP_APOLLO_API_URL": sandbox.url,
            "TARGET_DUCKDB_FILEPATH": str(warehouse),
            "DBT_DUCKDB_PATH": str(warehouse),
        }
        print(f"A sandbox with {len(sandbox.world.contacts):,} contacts runs at {sandbox.url}.")
        print(f"meltano run --install {' '.join(BLOCKS)}", flush=True)
        run_meltano("run", "--install", *BLOCKS, environment=environment)
        there, ledger = sandbox.counts(), sandbox.ledger.as_dict()
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        connection.execute("set schema = 'apollo'")
        show_rows(connection, there)
        print(f"\nRequests made: {ledger['requests_total']}. Credits spent: {ledger['credits_spent']}.")
        connection.execute("set schema = 'analytics'")
        print("\nWhich sequences get answers?")
        print(connection.sql(SEQUENCES))
        print("\nWhat is in the pipeline, by stage?")
        print(chart(rows(connection, PIPELINE)))
    print(f"\nThe tables are in {warehouse.relative_to(ROOT)}. It took {time.monotonic() - began:.0f} s.")


def show_rows(connection: duckdb.DuckDBPyConnection, there: Mapping[str, int]) -> None:
    """Print, stream by stream, the rows in the sandbox and the rows in DuckDB.

    Raises:
        SystemExit: They differ.
    """
    tables = {name for (name,) in rows(connection, "select table_name from duckdb_tables()")}
    print(f"\n{'stream':<28}{'sandbox':>10}{'DuckDB':>10}")
    wrong = []
    for stream, expected in there.items():
        arrived = rows(connection, f"select count(*) from {stream}")[0][0] if stream in tables else 0  # noqa: S608
        print(f"{stream:<28}{expected:>10,}{arrived:>10,}")
        if arrived != expected:
            wrong.append(stream)
    found = rows(connection, "select count(*) from people")[0][0]
    print(f"{'people':<28}{'a search':>10}{found:>10,}")
    if wrong:
        sys.exit(f"These did not arrive whole: {', '.join(wrong)}.")


def chart(stages: list[tuple[str, int, Decimal]]) -> str:
    """Draw a bar per stage, as long as its amount is large."""
    most = max(amount for _, _, amount in stages)
    lines = []
    for stage, deals, amount in stages:
        bar = "\N{FULL BLOCK}" * round(BAR * amount / most)
        lines.append(f"{stage:<20} {bar:<{BAR}} {amount:>10,.0f} {deals:>4} deals")
    return "\n".join(lines)


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """Return the rows that a query finds."""
    return connection.execute(query).fetchall()


if __name__ == "__main__":
    main()
