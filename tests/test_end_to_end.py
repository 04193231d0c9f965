"""The main job through Meltano, each time into a real database, with every row counted."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest
import yaml

from apollo_sandbox import Sandbox, Settings
from scripts.write_docs import ROOT
from tests.meltano import meltano

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def own() -> Iterator[Sandbox]:
    with Sandbox(Settings(contacts=230, seed=11)).serve() as running:
        yield running


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the DuckDB that the loader is right with has no wheel for it")
def test_the_project_runs_twice_into_duckdb_with_every_row(project: Path, own: Sandbox) -> None:
    warehouse = project / "warehouse.duckdb"
    environment = {"TAP_APOLLO_API_URL": own.url, "TARGET_DUCKDB_FILEPATH": str(warehouse)}

    def check() -> None:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            arrived = {
                stream: connection.execute(f"select count(*) from apollo.{stream}").fetchall()[0][0]  # noqa: S608
                for stream in own.counts()
            }
        assert arrived == own.counts()

    meltano(project, "run", "--install", "tap-apollo", "target-duckdb", **environment)
    check()
    contacts = own.ledger.as_dict()["requests"]["contacts/search"]

    added = own.world.add_contact()
    meltano(project, "run", "tap-apollo", "target-duckdb", **environment)
    check()
    assert own.ledger.as_dict()["requests"]["contacts/search"] == contacts + 1
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        assert connection.execute("select count(*) from apollo.contacts where id = ?", [added]).fetchall() == [(1,)]
        types = dict(
            connection.execute(
                "select column_name, data_type from duckdb_columns() where table_name = 'contacts'",
            ).fetchall(),
        )
        assert (types["updated_at"], types["email_unsubscribed"], types["custom_fields"]) == (
            "TIMESTAMP",
            "BOOLEAN",
            "JSON",
        )
        assert connection.execute("select count(*) > 0 from apollo.people").fetchall() == [(True,)]
    assert own.ledger.as_dict()["credits_spent"] == 0


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the DuckDB that the loader is right with has no wheel for it")
def test_what_a_budget_leaves_is_bought_by_the_next_run_and_the_plan_says_so(project: Path) -> None:
    warehouse = project / "credits.duckdb"
    with Sandbox(Settings(contacts=230, seed=11, now="real")).serve() as sandbox:
        domains = [sandbox.world.people.company(number).domain for number in range(30)]
        environment = {
            "TAP_APOLLO_API_URL": sandbox.url,
            "TARGET_DUCKDB_FILEPATH": str(warehouse),
            "TAP_APOLLO_CREDIT_STREAMS": '["organization_enrichment"]',
            "TAP_APOLLO_CREDIT_BUDGET": "12",
            "TAP_APOLLO_DOMAINS": json.dumps(domains),
            "TAP_APOLLO__SELECT": '["organization_enrichment.*"]',
        }
        meltano(project, "install", **environment)
        printed = meltano(project, "invoke", "tap-apollo", "--plan", **environment)
        assert "At most 12 credits. `credit_budget` is 12; the team has 10,000 credits left." in printed
        assert sandbox.ledger.credits_spent == 0
        for spent in (12, 24, 30, 30):
            meltano(project, "run", "tap-apollo", "target-duckdb", **environment)
            assert sandbox.ledger.credits_spent == spent
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rows = connection.execute("select domain from apollo.organization_enrichment").fetchall()
    assert sorted(domain for (domain,) in rows) == sorted(domains)


def test_the_schedule_and_the_jobs_name_plugins_that_exist() -> None:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    plugins = {plugin["name"] for group in project["plugins"].values() for plugin in group}
    jobs = {job["name"]: job["tasks"] for job in project["jobs"]}
    blocks = [block for tasks in jobs.values() for task in tasks for block in task.split()]
    assert {block.partition(":")[0] for block in blocks} <= plugins
    assert all(schedule["job"] in jobs for schedule in project["schedules"])
