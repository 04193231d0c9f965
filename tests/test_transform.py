"""The dbt project on real databases: its numbers are Apollo's, and its tests can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest
from psycopg import sql

from apollo_sandbox import Sandbox, Settings
from apollo_sandbox.rows.deals import task_listed
from apollo_sandbox.rows.emails import BOUNCED, REPLIED, email_events
from scripts.write_docs import ROOT
from tests.meltano import meltano, tried

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from apollo_sandbox.world import World

POSTGRES = os.environ.get("TAP_APOLLO_TEST_POSTGRES")

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 14),
    reason="neither the DuckDB that the loader is right with nor this dbt has a wheel for it",
)


class Warehouse:
    """A sandbox, and a database that a Meltano project loads it into and dbt builds on."""

    loader = ""
    dbt = ""
    raw = "apollo"
    marts = "analytics"

    def __init__(self, project: Path, sandbox: Sandbox) -> None:
        self.project = project
        self.sandbox = sandbox
        self.settings = {"TAP_APOLLO_API_URL": sandbox.url, "TAP_APOLLO_DETECT_DELETES": "true"}
        # Another test file runs the same project into other databases: each has its state.
        self._suffix = uuid.uuid4().hex[:8]

    def load_and_build(self, *options: str, **settings: str) -> None:
        blocks = ("tap-apollo", self.loader, f"{self.dbt}:build")
        meltano(
            self.project,
            "run",
            *options,
            f"--state-id-suffix={self._suffix}",
            *blocks,
            **{**self.settings, **settings},
        )

    def build(self, **settings: str) -> tuple[int, str]:
        return tried(self.project, "invoke", self.dbt, "build", **{**self.settings, **settings})

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        raise NotImplementedError

    def change(self, *statements: str) -> None:
        raise NotImplementedError


class DuckDB(Warehouse):
    loader = "target-duckdb"
    dbt = "dbt-duckdb"

    def __init__(self, project: Path, sandbox: Sandbox) -> None:
        super().__init__(project, sandbox)
        self._file = project / f"transform-{self._suffix}.duckdb"
        self.settings |= {"TARGET_DUCKDB_FILEPATH": str(self._file), "DBT_DUCKDB_PATH": str(self._file)}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self._file), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def change(self, *statements: str) -> None:
        # By dbt's DuckDB, as the one of the tests may be newer than the loader can bear.
        python = self.project / ".meltano" / "utilities" / self.dbt / "venv" / "bin" / "python"
        code = (
            "import duckdb, sys\nwith duckdb.connect(sys.argv[1]) as db:\n    [db.execute(one) for one in sys.argv[2:]]"
        )
        subprocess.run([str(python), "-c", code, str(self._file), *statements], check=True, timeout=60)


class Postgres(Warehouse):
    loader = "target-postgres"
    dbt = "dbt-postgres"

    def __init__(self, project: Path, sandbox: Sandbox, connection: psycopg.Connection[Any]) -> None:
        super().__init__(project, sandbox)
        self._connection = connection
        self.raw = f"apollo_{self._suffix}"
        self.marts = f"{self.raw}_marts"
        info = connection.info
        for plugin in ("TARGET_POSTGRES", "DBT_POSTGRES"):
            self.settings |= {
                f"{plugin}_HOST": info.host,
                f"{plugin}_PORT": str(info.port),
                f"{plugin}_USER": info.user,
                f"{plugin}_PASSWORD": info.password or "postgres",
                f"{plugin}_DATABASE": info.dbname,
            }
        self.settings |= {
            "TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA": self.raw,
            "DBT_POSTGRES_RAW_SCHEMA": self.raw,
            "DBT_POSTGRES_SCHEMA": self.marts,
        }

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql.SQL(query)).fetchall()

    def change(self, *statements: str) -> None:
        for statement in statements:
            self._connection.execute(sql.SQL(statement))


@pytest.fixture(scope="module", params=[DuckDB, Postgres], ids=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, project: Path) -> Iterator[Warehouse]:
    """A database that was loaded and built once."""
    if request.param is Postgres and POSTGRES is None:
        pytest.skip("TAP_APOLLO_TEST_POSTGRES is not set")
    shutil.copytree(ROOT / "transform", project / "transform", dirs_exist_ok=True)
    with Sandbox(Settings(contacts=300, deals=90, seed=11, now="real")).serve() as sandbox:
        if request.param is DuckDB:
            made: Warehouse = DuckDB(project, sandbox)
            made.load_and_build("--install")
            yield made
        else:
            assert POSTGRES is not None
            with psycopg.connect(POSTGRES, autocommit=True) as connection:
                made = Postgres(project, sandbox, connection)
                try:
                    made.load_and_build("--install")
                    yield made
                finally:
                    for schema in (made.raw, made.marts, f"{made.raw}_broken", f"{made.marts}_broken"):
                        made.change(f"drop schema if exists {schema} cascade")


def pipeline(world: World) -> dict[tuple[str | None, str], tuple[int, Decimal | None, Decimal | None]]:
    """Number, sum and weighted sum of the deals by stage and owner."""
    found: dict[tuple[str | None, str], list[tuple[Decimal | None, Decimal | None]]] = defaultdict(list)
    for deal in world.deals:
        stage = None if deal.stage is None else world.catalog.deal_stages[deal.stage]
        amount = None if deal.amount is None else Decimal(str(deal.amount))
        weighted = None if amount is None or stage is None else amount * Decimal(str(stage.probability)) / 100
        found[stage and stage.id, deal.owner.id].append((amount, weighted))
    return {
        key: (len(deals), total([amount for amount, _ in deals]), total([weighted for _, weighted in deals]))
        for key, deals in found.items()
    }


def total(amounts: list[Decimal | None]) -> Decimal | None:
    there = [amount for amount in amounts if amount is not None]
    return sum(there, Decimal()) if there else None


def assert_pipeline(warehouse: Warehouse) -> None:
    rows = warehouse.ask(
        f"select stage_id, owner_id, deals, amount, weighted_amount from {warehouse.marts}.pipeline_by_stage_and_owner",  # noqa: S608
    )
    assert {(stage, owner): tuple(sums) for stage, owner, *sums in rows} == pipeline(warehouse.sandbox.world)
    assert len(rows) == len(pipeline(warehouse.sandbox.world))


def test_the_pipeline_is_that_of_apollo_with_names(warehouse: Warehouse) -> None:
    assert_pipeline(warehouse)
    world = warehouse.sandbox.world
    rows = warehouse.ask(f"select stage_id, stage, is_closed from {warehouse.marts}.pipeline_by_stage_and_owner")  # noqa: S608
    expected = {(stage.id, stage.name, stage.is_closed) for stage in world.catalog.deal_stages}
    assert {row for row in rows if row[0]} <= expected
    owners = warehouse.ask(f"select owner_id, owner from {warehouse.marts}.pipeline_by_stage_and_owner")  # noqa: S608
    assert {*owners} <= {(user.id, f"{user.first_name} {user.last_name}") for user in world.users}


def test_a_sequence_has_the_sent_replied_and_bounced_mails_that_apollo_has(warehouse: Warehouse) -> None:
    world = warehouse.sandbox.world
    expected: dict[str, Counter[str]] = {sequence.id: Counter() for sequence in world.sequences}
    for email in world.outreach_emails:
        counts = expected[email.sequence.id]
        events = email_events(world, email)
        counts.update(["emails"])
        counts.update({"sent": email.status == "completed", "replied": REPLIED in events, "bounced": BOUNCED in events})
    rows = warehouse.ask(
        f"select sequence_id, emails, sent, replied, bounced, reply_rate from {warehouse.marts}.sequence_performance",  # noqa: S608
    )
    assert {row[0]: row[1:5] for row in rows} == {
        sequence: tuple(counts[name] for name in ("emails", "sent", "replied", "bounced"))
        for sequence, counts in expected.items()
    }
    assert sum(counts["replied"] for counts in expected.values()) > 0
    for _, _, sent, replied, _, rate in rows:
        assert rate == (pytest.approx(replied / sent) if sent else None)


def test_a_contact_has_the_activities_that_apollo_has(warehouse: Warehouse) -> None:
    world = warehouse.sandbox.world
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for email in world.outreach_emails:
        expected[email.contact.id]["sent"] += email.status == "completed"
    for call in world.calls:
        if call.contact:
            expected[call.contact.id]["received" if call.inbound else "made"] += 1
    for task in world.tasks:
        if task.contact:
            expected[task.contact.id][task_listed(world, task)["status"]] += 1
    for contact in world.contacts:
        expected[contact.id]["sequences"] += len(contact.enrollments)
    columns = "contact_id, emails_sent, calls_made, calls_received, tasks_completed, tasks_open, sequences"
    rows = warehouse.ask(f"select {columns} from {warehouse.marts}.contact_activity")  # noqa: S608
    assert {row[0]: row[1:] for row in rows} == {
        contact.id: tuple(
            expected[contact.id][name] for name in ("sent", "made", "received", "completed", "scheduled", "sequences")
        )
        for contact in world.contacts
    }


def test_the_lists_inside_records_are_rows(warehouse: Warehouse) -> None:
    world = warehouse.sandbox.world
    lists = warehouse.ask(f"select contact_id, count(*) from {warehouse.marts}.stg_apollo__contact_lists group by 1")  # noqa: S608
    assert dict(lists) == {contact.id: len(contact.labels) for contact in world.contacts if contact.labels}
    people = warehouse.ask(f"select deal_id, contact_id from {warehouse.marts}.stg_apollo__deal_contacts")  # noqa: S608
    assert {*people} == {(deal.id, contact.id) for deal in world.deals for contact in deal.contacts}


def test_the_loader_goes_on_after_dbt_and_the_credits_are_counted(warehouse: Warehouse) -> None:
    world = warehouse.sandbox.world
    ids = [*world.deals.ids]
    world.add_deal()
    world.touch_deal(ids[0], stage=3)
    if isinstance(warehouse, Postgres):  # the loader for DuckDB keeps what Apollo deleted
        world.delete_deal(ids[1])
    warehouse.load_and_build(
        TAP_APOLLO_CREDIT_STREAMS='["organization_enrichment"]',
        TAP_APOLLO_CREDIT_BUDGET="7",
        TAP_APOLLO__SELECT='["deals.*", "credit_usage_stats.*", "organization_enrichment.*"]',
    )
    assert_pipeline(warehouse)
    assert warehouse.sandbox.ledger.credits_spent == 7
    bought = warehouse.ask(f"select stream, records, estimated_credits from {warehouse.marts}.credits_bought_per_day")  # noqa: S608
    assert bought == [("organization_enrichment", 7, 7)]
    spent = warehouse.ask(
        f"select sum(spent) from {warehouse.marts}.credits_per_day where credit_type = 'lead_credit'",  # noqa: S608
    )
    assert spent == [(7,)]
    # The table has the last reading, the history both.
    for relation, readings in ((f"{warehouse.raw}.credit_usage_stats", 1), (f"{warehouse.marts}.credit_readings", 2)):
        query = f"select count(*) from {relation} where credit_type = 'lead_credit'"  # noqa: S608
        assert warehouse.ask(query) == [(readings,)]


def test_broken_keys_and_references_fail_the_build_and_absent_tables_do_not(warehouse: Warehouse) -> None:
    raw, broken, marts = warehouse.raw, f"{warehouse.raw}_broken", f"{warehouse.marts}_broken"
    warehouse.change(
        f"create schema {broken}",
        f"create table {broken}.deals as select * from {raw}.deals union all (select * from {raw}.deals limit 1)",  # noqa: S608
        f"alter table {broken}.deals drop column forecasted_revenue",
        f"create table {broken}.contacts as select * from {raw}.contacts",  # noqa: S608
        f"create table {broken}.users as select * from {raw}.users",  # noqa: S608
        f"create table {broken}.contact_sequence_statuses as select * from {raw}.contact_sequence_statuses",  # noqa: S608
        f"update {broken}.contact_sequence_statuses set contact_id = 'nobody'",  # noqa: S608
        f"update {broken}.users set id = null",  # noqa: S608
    )
    prefix = warehouse.dbt.upper().replace("-", "_")
    code, printed = warehouse.build(**{f"{prefix}_RAW_SCHEMA": broken, f"{prefix}_SCHEMA": marts})
    assert code == 1, printed
    failed = {line.split(" FAIL ")[1].split()[1] for line in printed.splitlines() if " FAIL " in line}
    assert failed == {
        "unique_stg_apollo__deals_id",
        "not_null_stg_apollo__users_id",
        "unique_together_stg_apollo__contact_sequence_statuses_contact_id__emailer_campaign_id",
        "references_stg_apollo__contact_sequence_statuses_contact_id__ref_stg_apollo__contacts_",
    }, printed
    # Warned of, not failed: the owners of the records are not among the users any more.
    assert " WARN " in printed
    # No stream of these was loaded.
    for model in ("stg_apollo__calls", "credit_readings", "credits_per_day", "credits_bought_per_day"):
        assert warehouse.ask(f"select count(*) from {marts}.{model}") == [(0,)]  # noqa: S608
