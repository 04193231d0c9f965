"""What the runner does with states: Meltano merges that of a full refresh which ended early into the one before."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from typing import TYPE_CHECKING

import duckdb
import pytest

from apollo_sandbox import Sandbox, Settings
from tests.meltano import kill_when, meltano, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: A stream of each kind of walk that lasts for several runs, its endpoint, and what its first run leaves undone.
STREAMS = {
    "contacts": "contacts/search",
    "outreach_emails": "emailer_messages/search",
    "contact_details": "contacts/show",
}

SELECT = json.dumps([f"{stream}.*" for stream in STREAMS])

#: The pages, and requests, that a full refresh gets to which `max_pages` or a rate window puts an end.
LIMITS = {"contacts": 2, "outreach_emails": 2, "contact_details": 40}

TEAM = Settings(contacts=230, outreach_emails=250, seed=11, limit=("contacts/show=0/0/0",))

#: The same team, whose windows close after so many requests.
HURRIED = dataclasses.replace(TEAM, limit=tuple(f"{STREAMS[stream]}=0/{most}/0" for stream, most in LIMITS.items()))


@pytest.fixture(scope="module")
def own() -> Iterator[Sandbox]:
    with Sandbox(TEAM).serve() as running:
        yield running


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the DuckDB that the loader is right with has no wheel for it")
@pytest.mark.parametrize(
    "ended_by",
    [
        pytest.param("max_pages", marks=pytest.mark.weekly),
        pytest.param("a closed window", marks=pytest.mark.weekly),
        "SIGKILL",
    ],
)
def test_after_a_full_refresh_that_ended_early_the_next_runs_read_the_rest(
    project: Path, own: Sandbox, ended_by: str
) -> None:
    """Into a new warehouse: what the full refresh and the runs after it did not bring is not there."""
    suffix = ended_by.replace(" ", "_").lower()
    warehouse = project / f"{suffix}.duckdb"
    job = (f"--state-id-suffix={suffix}", "tap-apollo", "target-duckdb")
    settings = {
        "TAP_APOLLO_API_URL": own.url,
        "TAP_APOLLO__SELECT": SELECT,
        "TARGET_DUCKDB_FILEPATH": str(project / f"{suffix}_before.duckdb"),
    }
    meltano(project, "run", "--install", *job, **settings)

    settings["TARGET_DUCKDB_FILEPATH"] = str(warehouse)
    if ended_by == "max_pages":
        meltano(project, "run", "--full-refresh", *job, **settings, TAP_APOLLO_MAX_PAGES=json.dumps(LIMITS))
    elif ended_by == "a closed window":
        with Sandbox(HURRIED).serve() as hurried:
            there = {**settings, "TAP_APOLLO_API_URL": hurried.url, "TAP_APOLLO_MAX_WAIT_SECONDS": "1"}
            meltano(project, "run", "--full-refresh", *job, **there)
    else:
        own.faults.add("slow", seconds=60, action="contacts/show", after=120)
        often = {"TARGET_DUCKDB_BATCH_SIZE_ROWS": "50", "TARGET_DUCKDB_FLUSH_ALL_STREAMS": "true"}
        kill_when(lambda: kept_waiting(own), project, "run", "--full-refresh", *job, **settings, **often)
        own.faults.clear()
    assert any(arrived(warehouse, stream) < whole for stream, whole in sizes(own).items())

    for _ in range(2):
        meltano(project, "run", "--force", *job, **settings)
    assert {stream: arrived(warehouse, stream) for stream in STREAMS} == sizes(own)
    state_id = f"sandbox:tap-apollo-to-target-duckdb:{suffix}"
    assert set(state_of(project, state_id)["singer_state"]["bookmarks"]) >= set(STREAMS)


def sizes(own: Sandbox) -> dict[str, int]:
    counts = own.counts()
    return {"contacts": 230, "outreach_emails": counts["outreach_emails"], "contact_details": 230}


def arrived(warehouse: Path, stream: str) -> int:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        tables = connection.execute("select 1 from duckdb_tables() where table_name = ?", [stream]).fetchall()
        counted = connection.execute(f"select count(*) from apollo.{stream}").fetchall() if tables else [(0,)]  # noqa: S608
    return int(counted[0][0])


def kept_waiting(own: Sandbox) -> bool:
    """Whether the sandbox keeps the tap waiting, and the target has had time to read what came before."""
    if not own.faults.as_list()[0]["fired"]:
        return False
    time.sleep(2)
    return True
