"""The DAGs: what they are made of, and real runs of them by a real Airflow, which has an environment of its own."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from apollo_sandbox import Sandbox, Settings
from scripts.write_docs import ROOT
from tap_apollo.api.endpoint import Endpoint
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tests.conftest import BUYING, REPORTS
from tests.meltano import project_in
from tests.singer import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PAGE = (ROOT / "docs" / "airflow.md").read_text(encoding="utf-8")
DAGS = ROOT / "orchestrate" / "dags"
DEFINED = runpy.run_path(str(DAGS / "apollo_groups.py"))
GROUPS: dict[str, list[str]] = DEFINED["GROUPS"]
OPTIONAL: set[str] = DEFINED["OPTIONAL"]

#: What the DAGs' file of groups names as the exception.
READ_BY_ALL = "typed_custom_fields/index"

real_airflow = [
    pytest.mark.skipif(
        os.environ.get("TAP_APOLLO_TEST_AIRFLOW") == "no",
        reason="TAP_APOLLO_TEST_AIRFLOW is no",
    ),
    pytest.mark.skipif(
        sys.version_info >= (3, 14),
        reason="the DuckDB that the loader is right with has no wheel for it",
    ),
]


# The groups


def test_every_stream_is_in_one_group_and_optional_where_it_is_off_by_default() -> None:
    assert sorted(stream for group in GROUPS.values() for stream in group) == sorted(STREAMS)
    assert {name for name, stream in STREAMS.items() if not stream.selected_by_default} == OPTIONAL
    assert {*CREDIT_STREAMS} <= {*GROUPS["records"]}
    selection = DEFINED["selection"]
    assert selection("activities") == ["tasks.*", "calls.*"]


def test_optional_streams_are_selected_if_the_variable_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOLLO_OPTIONAL_STREAMS", "notes, task_details")
    assert DEFINED["selection"]("activities") == ["tasks.*", "task_details.*", "calls.*"]
    monkeypatch.setenv("APOLLO_OPTIONAL_STREAMS", "contacts")
    with pytest.raises(ValueError, match=r"names contacts: it may name account_details"):
        DEFINED["selection"]("records")


def test_no_two_groups_ask_the_same_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """With everything on, and lists so long that they are read in slices, for which others are looked up."""
    monkeypatch.setattr(Endpoint, "display_limit", 100)
    limits = ("conversations/export=0/0/0", "reports/sync_report=0/0/0")
    settings = Settings(
        contacts=110,
        accounts=110,
        people=100,
        seed=1,
        plan="unlimited",
        limit=limits,
        display_limit=100,
    )
    asked: dict[str, set[str]] = {}
    with Sandbox(settings).serve() as sandbox:
        companies = [sandbox.world.people.company(number).organization_id for number in range(5)]
        config = {
            **BUYING,
            "analytics_reports": REPORTS,
            "credit_budget": 10_000,
            "organization_ids": companies,
            "organization_searches": [{**BUYING["organization_searches"][0], "max_pages": 1}],
        }
        for group, streams in GROUPS.items():
            sandbox.reset()
            run = sync(sandbox, *streams, **config)
            assert run.error is None
            assert {*run.schemas} == {*streams}
            asked[group] = {*sandbox.ledger.as_dict()["requests"]}
    assert {"contacts/search", "accounts/search", "labels/index"} <= asked["records"]
    together = [endpoint for endpoints in asked.values() for endpoint in endpoints]
    assert {endpoint for endpoint in together if together.count(endpoint) > 1} - {READ_BY_ALL} == set()


# Real runs


@dataclasses.dataclass
class Airflow:
    """A real Airflow over this repository's Meltano project, both in folders of their own."""

    home: Path
    project: Path

    def environment(self, **more: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return {
            **inherited,
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "MELTANO_ENVIRONMENT": "sandbox",
            "MELTANO_EXECUTABLE": str(ROOT / ".venv" / "bin" / "meltano"),
            "MELTANO_PROJECT_ROOT": str(self.project),
            "MELTANO_TASK_RETRY_SECONDS": "1",
            "NO_COLOR": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            **more,
        }

    def start(self, script: str, **environment: str) -> subprocess.Popen[str]:
        """Start a script beside the DAGs, in Airflow's environment."""
        return subprocess.Popen(
            [str(ROOT / ".airflow" / "bin" / "python"), "-c", textwrap.dedent(script)],
            env=self.environment(PYTHONPATH=str(DAGS), **environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run Airflow, and return its exit code and all that it printed."""
        done = subprocess.run(
            [str(ROOT / ".airflow" / "bin" / "airflow"), *arguments],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout

    def warehouse(self, name: str) -> dict[str, str]:
        return {"TARGET_DUCKDB_FILEPATH": str(self.project / f"{name}.duckdb")}

    def rows(self, name: str, streams: Iterable[str]) -> dict[str, int]:
        with duckdb.connect(str(self.project / f"{name}.duckdb"), read_only=True) as connection:
            return {
                stream: connection.execute(f"select count(*) from apollo.{stream}").fetchall()[0][0]  # noqa: S608
                for stream in streams
            }


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    with (ROOT / "Makefile").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # where tests run side by side, one makes it
        subprocess.run(["make", ".airflow/ready"], cwd=ROOT, check=True, timeout=600)
    folder = project_in(tmp_path_factory.mktemp("project"))
    made = Airflow(tmp_path_factory.mktemp("airflow"), folder)
    meltano = made.environment()["MELTANO_EXECUTABLE"]
    subprocess.run([meltano, "install", "tap-apollo", "target-duckdb"], cwd=folder, check=True, timeout=300)
    code, printed = made.run("db", "migrate")
    assert code == 0, printed[-5000:]
    return made


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(Settings(**{"contacts": 230, "seed": 11, **getattr(request, "param", {})})).serve() as running:
        yield running


def last_exception(printed: str) -> str:
    """Return the text of the last exception in a log, up to the next entry."""
    _, _, text = printed.rpartition("airflow.sdk.exceptions.")
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if line.startswith("20")), len(lines))
    return "\n".join(lines[:end])


class TestAirflow:
    pytestmark = real_airflow

    def test_the_dags_are_as_they_should_be(self, airflow: Airflow) -> None:
        code, printed = airflow.run("dags", "list-import-errors", "--local", "--output", "plain")
        assert code == 0
        assert "No data found" in printed

        script = """
            import json
            from airflow.dag_processing.dagbag import DagBag
            print("HERE" + json.dumps({
                dag.dag_id: {
                    "schedule": dag.schedule,
                    "max_active_runs": dag.max_active_runs,
                    "catchup": dag.catchup,
                    "tasks": {
                        task.task_id: [
                            task.retries,
                            task.retry_delay.total_seconds(),
                            task.retry_exponential_backoff,
                            task.execution_timeout.total_seconds(),
                            sorted(task.upstream_task_ids),
                            task.env,
                        ]
                        for task in dag.tasks
                    },
                }
                for dag in DagBag().dags.values()
            }))
        """
        with airflow.start(script, MELTANO_TASK_RETRY_SECONDS="300") as process:
            assert process.stdout
            printed = process.stdout.read()
        assert process.returncode == 0, printed
        dags: dict[str, Any] = json.loads(printed.partition("HERE")[2].splitlines()[0])
        schedules = yaml.safe_load((airflow.project / "meltano.yml").read_text(encoding="utf-8"))["schedules"]
        assert dags.keys() == {"apollo_in_parallel", *(schedule["name"] for schedule in schedules)}
        assert dags["apollo-nightly"]["schedule"] == "0 0 * * *"
        for dag in dags.values():
            assert (dag["max_active_runs"], dag["catchup"]) == (1, False)
            for retries, delay, backoff, timeout, _, _ in dag["tasks"].values():
                assert (retries, delay, backoff) == (3, 300, 2)
                assert timeout > 5 * 3900  # `max_wait_seconds`, as often as a day's requests take
        job = "tap-apollo-target-duckdb"
        before = {task: rest[4] for task, rest in dags["apollo-nightly"]["tasks"].items()}
        assert before == {f"plan-{job}": [], f"run-{job}": [f"plan-{job}"]}
        tasks = dags["apollo_in_parallel"]["tasks"]
        assert tasks.keys() == {f"{group}.{task}" for group in GROUPS for task in ("plan", "run")}
        assert all(tasks[f"{group}.plan"][4] == [] for group in GROUPS)
        assert all(tasks[f"{group}.run"][4] == [f"{group}.plan"] for group in GROUPS)
        assert len({tasks[f"{group}.run"][5]["MELTANO_SYS_DIR_ROOT"] for group in GROUPS}) == len(GROUPS)

    def test_without_meltano_there_is_one_import_error_that_says_so(self, airflow: Airflow, tmp_path: Path) -> None:
        (tmp_path / "meltano.yml").touch()
        nowhere = {"MELTANO_PROJECT_ROOT": str(tmp_path), "MELTANO_EXECUTABLE": "no-such-meltano"}
        code, printed = airflow.run("dags", "list-import-errors", "--local", "--output", "json", **nowhere)
        assert code == 1
        assert printed.count('"filepath"') == 1
        assert "There is no `no-such-meltano`: set MELTANO_EXECUTABLE to Meltano's command." in printed

    @pytest.mark.parametrize("own", [{"outreach_emails": 900, "forbid": ("phone_calls/search",)}], indirect=True)
    def test_a_schedule_that_breaks_off_is_resumed_by_its_retry(self, airflow: Airflow, own: Sandbox) -> None:
        own.faults.add("redirect", action="emailer_messages/search", after=5, times=1)
        code, printed = airflow.run(
            "dags",
            "test",
            "apollo-nightly",
            TAP_APOLLO_API_URL=own.url,
            **airflow.warehouse("nightly"),
        )
        assert code == 0, printed[-5000:]
        warned = [line for line in printed.splitlines() if "[warning" in line and "] calls  " in line]
        assert "the credentials may not read phone_calls/search (403, API_INACCESSIBLE)" in warned[0]

        assert re.search(r"In all at least \d+ requests, at least \d+ min\.", printed)
        assert printed.count("new_state=up_for_retry") == 1
        assert "tap-apollo: Stream outreach_emails failed: emailer_messages/search answers with a redirect" in printed
        expected = {stream: count for stream, count in own.counts().items() if stream != "calls"}
        assert airflow.rows("nightly", expected) == expected
        resumed = re.search(r"outreach_emails: (\d+) records, up to the end", printed)
        assert resumed
        assert int(resumed[1]) < 900

    @pytest.mark.parametrize("own", [{"forbid": ("tasks/search",)}], indirect=True)
    def test_a_failure_names_the_stream_and_why(self, airflow: Airflow, own: Sandbox) -> None:
        code, printed = airflow.run(
            "dags",
            "test",
            "apollo-nightly",
            "--mark-success-pattern",
            "plan-.*",
            MELTANO_TASK_RETRIES="0",
            TAP_APOLLO_API_KEY=own.settings.api_key,
            TAP_APOLLO_API_URL=own.url,
            TAP_APOLLO_STRICT="true",
            **airflow.warehouse("strict"),
        )
        assert code == 1
        assert last_exception(printed) == (
            "AirflowException: `meltano run tap-apollo target-duckdb` ended with exit code 1: Extractor failed.\n"
            "tap-apollo: Stream tasks was skipped: the credentials may not read tasks/search (403, API_INACCESSIBLE): "
            "the missing scope is api/v1/tasks/search; give the key that scope or use a master key. Or deselect the "
            "stream.\n"
            "tap-apollo: The sync is not complete: see the messages above on tasks."
        )
        assert last_exception(printed) in PAGE
        assert own.settings.api_key not in printed

    def test_a_wrong_key_is_not_tried_again(self, airflow: Airflow, own: Sandbox) -> None:
        script = """
            from meltano_tasks import PlanOperator
            plan = PlanOperator(task_id="plan", extractor="tap-apollo", loader="any")
            plan.run_meltano(plan.arguments)
        """
        wrong = {"TAP_APOLLO_API_KEY": "wrong-key", "TAP_APOLLO_API_URL": own.url}
        with airflow.start(script, **wrong) as process:
            assert process.stdout
            printed = process.stdout.read()
        code = process.returncode
        assert code == 1
        assert last_exception(printed).startswith("AirflowFailException: `meltano invoke tap-apollo --plan` ended ")
        assert last_exception(printed).endswith("Apollo does not accept the credentials (401): check `api_key`.")
        assert last_exception(printed) in PAGE
        assert "wrong-key" not in printed

    @pytest.mark.parametrize("own", [{"contacts": 900}], indirect=True)
    def test_at_the_timeout_the_tap_stops_and_the_next_try_goes_on(self, airflow: Airflow, own: Sandbox) -> None:
        """Airflow's own timeout, which an alarm ends early, once the tap waits for a page."""
        script = """
            import datetime, os
            from airflow.sdk.exceptions import AirflowTaskTimeout
            from airflow.sdk.execution_time.timeout import timeout
            from meltano_tasks import MeltanoOperator
            task = MeltanoOperator(
                task_id="run",
                arguments=["run", "--state-id-suffix=hurry", "tap-apollo", "target-duckdb"],
                execution_timeout=datetime.timedelta(hours=8),
            )
            print("PID", os.getpid(), flush=True)
            try:
                with timeout(task.execution_timeout.total_seconds()):
                    task.run_meltano(task.arguments)
            except AirflowTaskTimeout as error:
                print(f"TIMEOUT {error}")
                task.on_kill()
                task.run_meltano(task.arguments)
        """
        own.faults.add("slow", action="contacts/search", after=5, seconds=30)
        with airflow.start(
            script,
            TAP_APOLLO__SELECT='["contacts.*"]',
            TAP_APOLLO_API_URL=own.url,
            **airflow.warehouse("hurry"),
        ) as process:
            assert process.stdout
            pid = next(int(line.split()[1]) for line in process.stdout if line.startswith("PID "))
            deadline = time.monotonic() + 60
            while not own.faults.as_list()[0]["fired"] and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(1)  # for the target to read what came before
            own.faults.clear()
            os.kill(pid, signal.SIGALRM)
            printed = process.stdout.read()
        assert process.returncode == 0, printed[-5000:]
        _, _, ended = printed.partition("TIMEOUT ")
        assert ended.startswith("The task was given 8:00:00, and ended; the next try goes on.\n")
        assert "No state was found" not in ended
        assert "\nWhen its time was up: tap-apollo: Beginning sync of 'contacts' in incremental mode\n" in ended
        assert airflow.rows("hurry", ["contacts"]) == {"contacts": 900}
        resumed = re.search(r"contacts: (\d+) records, up to the end, (\d+) requests", ended)
        assert resumed
        assert int(resumed[1]) < 900
        assert int(resumed[2]) < 9

    def test_streams_in_groups_arrive_in_one_database(self, airflow: Airflow, own: Sandbox) -> None:
        code, printed = airflow.run(
            "dags",
            "test",
            "apollo_in_parallel",
            "--mark-success-pattern",
            rf"({'|'.join([*GROUPS][1:])})\.plan",
            APOLLO_LOADER="target-duckdb",
            TAP_APOLLO_API_URL=own.url,
            **airflow.warehouse("groups"),
        )
        assert code == 0, printed[-5000:]
        assert airflow.rows("groups", own.counts()) == own.counts()
        for group in GROUPS:
            assert f"Running job with name 'sandbox:tap-apollo-to-target-duckdb:{group}'" in printed
            files = airflow.project / ".meltano" / "beside" / group / "run" / "tap-apollo"
            assert (files / "tap.properties.json").is_file()
        assert own.ledger.as_dict()["requests"][READ_BY_ALL] <= 2 * len(GROUPS) + 1
        assert own.ledger.rate_limited_total == 0
