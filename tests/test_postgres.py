"""Three nights in a real PostgreSQL: people edit and delete, a run is killed, and the tables equal Apollo."""

from __future__ import annotations

import os
import re
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from apollo_sandbox import Sandbox, Settings
from tap_apollo import schemas
from tap_apollo.streams import STREAMS
from tests.meltano import kill_when, meltano

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POSTGRES = os.environ.get("TAP_APOLLO_TEST_POSTGRES")

pytestmark = pytest.mark.skipif(POSTGRES is None, reason="TAP_APOLLO_TEST_POSTGRES is not set")

#: What the loader makes of the types in the schemas.
TYPES = {
    "string": {"character varying", "text"},
    "integer": {"bigint"},
    "number": {"numeric", "double precision"},
    "boolean": {"boolean"},
    "date-time": {"timestamp without time zone", "timestamp with time zone"},
    "date": {"date"},
    "object": {"jsonb"},
    "array": {"jsonb", "ARRAY"},
}

KINDS = ("contact", "account", "deal", "task")


class Nights:
    """A warehouse that a Meltano project loads from a sandbox, night after night."""

    def __init__(self, project: Path, sandbox: Sandbox, connection: psycopg.Connection[Any], schema: str) -> None:
        self.project = project
        self.sandbox = sandbox
        self.schema = schema
        self._connection = connection
        info = connection.info
        self._job = (f"--state-id-suffix={schema}", "tap-apollo", "target-postgres")
        self._settings = {
            "TAP_APOLLO_API_URL": sandbox.url,
            "TAP_APOLLO_DETECT_DELETES": "true",
            "TAP_APOLLO_FULL_REFRESH_DAYS": '{"contacts": 0, "accounts": 0}',
            "TARGET_POSTGRES_HOST": info.host,
            "TARGET_POSTGRES_PORT": str(info.port),
            "TARGET_POSTGRES_USER": info.user,
            "TARGET_POSTGRES_PASSWORD": info.password or "postgres",
            "TARGET_POSTGRES_DATABASE": info.dbname,
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": schema,
            "TARGET_POSTGRES_HARD_DELETE": "true",
        }

    def run(self, *options: str) -> str:
        return meltano(self.project, "run", *options, *self._job, **self._settings)

    def run_until(self, action: str, requests: int) -> None:
        """Run, and kill everything when an endpoint has been asked so often."""
        kill_when(
            lambda: self.sandbox.ledger.as_dict()["requests"].get(action, 0) >= requests,
            self.project,
            "run",
            *self._job,
            **self._settings,
        )

    def ask(self, query: str, **names: str) -> list[tuple[Any, ...]]:
        composed = sql.SQL(query).format(
            **{name: sql.Identifier(*value.split(".")) for name, value in names.items()},
        )
        return self._connection.execute(composed).fetchall()

    def table(self, stream: str) -> str:
        return f"{self.schema}.{stream}"

    def ids(self, stream: str) -> list[str]:
        return [row[0] for row in self.ask("select id from {table}", table=self.table(stream))]

    def living(self, kind: str) -> list[str]:
        return [*getattr(self.sandbox.world, f"{kind}s").ids]

    def assert_equal(self) -> None:
        for kind in KINDS:
            assert sorted(self.ids(f"{kind}s")) == sorted(self.living(kind))
        counts = self.sandbox.counts()
        arrived = {
            stream: self.ask("select count(*) from {table}", table=self.table(stream))[0][0] for stream in counts
        }
        assert arrived == counts


@pytest.fixture
def nights(project: Path) -> Iterator[Nights]:
    assert POSTGRES is not None
    schema = f"apollo_{uuid.uuid4().hex[:8]}"
    with (
        Sandbox(Settings(contacts=430, accounts=150, seed=11, tie_size=1)).serve() as sandbox,
        psycopg.connect(POSTGRES, autocommit=True) as connection,
    ):
        try:
            yield Nights(project, sandbox, connection, schema)
        finally:
            connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))


def people_work(sandbox: Sandbox) -> set[str]:
    """Add, change and delete a record of each kind, and return the ids of those deleted."""
    gone = set()
    for kind in KINDS:
        ids = [*getattr(sandbox.world, f"{kind}s").ids]
        getattr(sandbox.world, f"add_{kind}")()
        getattr(sandbox.world, f"touch_{kind}")(ids[2])
        getattr(sandbox.world, f"delete_{kind}")(ids[5])
        gone.add(ids[5])
    return gone


def test_after_edits_deletions_and_a_kill_the_tables_equal_apollo(nights: Nights) -> None:
    world = nights.sandbox.world
    nights.run("--install")
    nights.assert_equal()
    types(nights)

    gone = people_work(nights.sandbox)
    stage = world.catalog.contact_stages[4]
    moved = [*world.contacts.ids][1]
    world.touch_contact(moved, stage=4)
    nights.run()
    nights.assert_equal()
    (found,) = nights.ask(
        f"select contact_stage_id from {{table}} where id = '{moved}'",  # noqa: S608
        table=nights.table("contacts"),
    )
    assert found == (stage.id,)

    before = {*nights.ids("contacts")}
    gone |= people_work(nights.sandbox)
    nights.sandbox.faults.add("total", action="contacts/search", by=7)
    nights.run()  # and its count falls short, so that nothing is deleted
    assert before < {*nights.ids("contacts")}
    nights.sandbox.faults.clear()

    before = {*nights.ids("contacts")}
    gone |= people_work(nights.sandbox)
    nights.sandbox.reset()
    nights.sandbox.faults.add("slow", action="contacts/search", after=2, times=1, seconds=10)
    nights.run_until("contacts/search", 3)
    assert before <= {*nights.ids("contacts")}

    nights.run("--force")  # Meltano takes the killed run for a running one for five minutes
    nights.run("--force")  # what the killed run had begun and the one after it ended was not counted; this is
    nights.assert_equal()
    keys(nights, gone)


def types(nights: Nights) -> None:
    """Hold the columns against the schemas."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in nights.ask(
        f"select table_name, column_name, data_type from information_schema.columns where table_schema = '{nights.schema}'",  # noqa: E501, S608
    ):
        found.setdefault(table, {})[column] = kind
    for stream in nights.sandbox.counts():
        for column, node in schemas.load(stream)["properties"].items():
            kind = (
                node["type"] if isinstance(node["type"], str) else next(name for name in node["type"] if name != "null")
            )
            assert found[stream][column] in TYPES[node.get("format", kind)], (stream, column)


def keys(nights: Nights, gone: set[str]) -> None:
    """Hold the rows against their primary keys, and their references against the tables that they lead to.

    Apollo keeps what refers to a record that was deleted, so a reference may lead to one of those.
    """
    streams = nights.sandbox.counts().keys()
    checked = 0
    for stream in streams:
        key = ", ".join(f'"{column}"' for column in STREAMS[stream].primary_keys)
        query = f"select count(*) - count(distinct ({key})) from {{table}}"  # noqa: S608
        assert nights.ask(query, table=nights.table(stream)) == [(0,)]
        for column, node in schemas.load(stream)["properties"].items():
            leads_to = re.search(r" References `(\w+)\.(\w+)`", f" {node['description']}")
            if leads_to and leads_to[1] in streams and "string" in node["type"]:
                checked += 1
                dangling = nights.ask(
                    "select distinct {column} from {table} where {column} is not null and {column} not in "
                    "(select {key} from {other})",
                    table=nights.table(stream),
                    column=column,
                    other=nights.table(leads_to[1]),
                    key=leads_to[2],
                )
                assert {row[0] for row in dangling} <= gone, (stream, column)
    assert checked > 20
