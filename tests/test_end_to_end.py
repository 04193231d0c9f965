"""The main job through Meltano, each time into a real database, with every row counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import psycopg
import pytest
import yaml

from apollo_sandbox import Sandbox, Settings
from scripts.write_docs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

POSTGRES = os.environ.get("TAP_APOLLO_TEST_POSTGRES")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository's Meltano project, in a folder of its own."""
    folder = tmp_path_factory.mktemp("project")
    text = (ROOT / "meltano.yml").read_text(encoding="utf-8")
    (folder / "meltano.yml").write_text(text.replace("pip_url: -e .", f"pip_url: -e {ROOT}"), encoding="utf-8")
    return folder


@pytest.fixture
def own() -> Iterator[Sandbox]:
    with Sandbox(Settings(contacts=230, seed=11)).serve() as running:
        yield running


def meltano(project: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("meltano")), "--environment=sandbox", *arguments],
        cwd=project,
        env={**os.environ, "NO_COLOR": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


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


@pytest.mark.skipif(POSTGRES is None, reason="TAP_APOLLO_TEST_POSTGRES is not set")
def test_the_project_runs_into_postgres_with_every_row(project: Path, own: Sandbox) -> None:
    assert POSTGRES is not None
    schema = f"apollo_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        info = connection.info
        try:
            environment = {
                "TAP_APOLLO_API_URL": own.url,
                "TARGET_POSTGRES_HOST": info.host,
                "TARGET_POSTGRES_PORT": str(info.port),
                "TARGET_POSTGRES_USER": info.user,
                "TARGET_POSTGRES_PASSWORD": info.password or "postgres",
                "TARGET_POSTGRES_DATABASE": info.dbname,
                "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": schema,
            }
            meltano(project, "run", "--install", "tap-apollo", "target-postgres", **environment)
            arrived = {
                stream: connection.execute(f"select count(*) from {schema}.{stream}").fetchall()[0][0]  # noqa: S608
                for stream in own.counts()
            }
            assert arrived == own.counts()
        finally:
            connection.execute(f"drop schema if exists {schema} cascade")


def test_the_schedule_and_the_jobs_name_plugins_that_exist() -> None:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    plugins = {plugin["name"] for group in project["plugins"].values() for plugin in group}
    jobs = {job["name"]: job["tasks"] for job in project["jobs"]}
    assert all({*task.split()} <= plugins for tasks in jobs.values() for task in tasks)
    assert all(schedule["job"] in jobs for schedule in project["schedules"])
