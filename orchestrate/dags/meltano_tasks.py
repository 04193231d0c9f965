"""What the DAGs share: a Meltano project's schedules, and operators that run Meltano and say why it failed."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROJECT_ROOT = Path(os.environ.get("MELTANO_PROJECT_ROOT") or Path(__file__).resolve().parents[2])
EXECUTABLE = os.environ.get("MELTANO_EXECUTABLE") or "meltano"
COMMAND = (EXECUTABLE, "--log-format=json")

#: What every DAG here is made with. A retry resumes: the state is that of the last page that the target confirmed.
DAG_ARGUMENTS: dict[str, Any] = {
    "start_date": datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc),
    "catchup": False,  # a run reads up to now, whichever day it is for
    "max_active_runs": 1,  # two runs would have one state
    "tags": ["meltano"],
    "default_args": {
        "retries": int(os.environ.get("MELTANO_TASK_RETRIES", "3")),
        "retry_delay": datetime.timedelta(seconds=int(os.environ.get("MELTANO_TASK_RETRY_SECONDS", "300"))),
        "retry_exponential_backoff": 2,
        "max_retry_delay": datetime.timedelta(hours=1),
        # A first sync waits for hourly windows, up to `max_wait_seconds` (65 minutes) each, until the day's is used up.
        "execution_timeout": datetime.timedelta(seconds=int(os.environ.get("MELTANO_TASK_TIMEOUT_SECONDS", "28800"))),
    },
}

#: Seconds that the tap has to stop, and the target to load what it was given, when the time is up.
GRACE = 120

#: Seconds after which the schedules are asked for again, as files that meltano.yml includes may have changed.
SCHEDULES_LAST = 600

#: What the tap says where another try would end the same.
HOPELESS = re.compile(r"does not accept the (credentials|refresh token)|^(Settings?|Unknown setting) `")


def schedules() -> list[dict[str, Any]]:
    """Return the jobs that the project has schedules for, as `meltano schedule list` tells.

    The scheduler reads DAG files every half a minute, each task does so again, and Meltano takes two seconds to
    answer. So the answer is kept beside Meltano's own files until meltano.yml changes, or for ten minutes.

    Raises:
        AirflowException: Meltano cannot be run there. Airflow shows it as this file's import error.
    """
    project, kept = PROJECT_ROOT / "meltano.yml", PROJECT_ROOT / ".meltano" / "airflow-schedules.json"
    try:
        version = project.stat().st_mtime_ns
    except OSError as error:
        raise AirflowException(f"{project} cannot be read: set MELTANO_PROJECT_ROOT to a Meltano project.") from error
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if time.time() - kept.stat().st_mtime < SCHEDULES_LAST:
            answer = json.loads(kept.read_text(encoding="utf-8"))
            if answer["version"] == version:
                return list(answer["schedules"])
    found = json.loads(_ask("schedule", "list", "--format=json"))["schedules"]["job"]
    with contextlib.suppress(OSError):  # then it is asked for each time
        new = kept.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps({"version": version, "schedules": found}), encoding="utf-8")
        new.replace(kept)
    return list(found)


def own_system_directory(name: str) -> dict[str, str]:
    """Return the environment in which Meltano can run a tap beside itself.

    Meltano keeps the state and the catalog that it starts a tap with in one file per tap, so that two runs in one
    system directory can take each other's. This one has the project's plugins and database, and its own such files.
    """
    return {"MELTANO_SYS_DIR_ROOT": str(PROJECT_ROOT / ".meltano" / "beside" / name)}


def _prepared(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment to run Meltano in, and make the system directory that it names."""
    if named := env.get("MELTANO_SYS_DIR_ROOT"):
        directory = Path(named)
        directory.mkdir(parents=True, exist_ok=True)
        for own in ("extractors", "loaders", "utilities", "meltano.db"):
            # What is not there yet is Meltano's to make.
            if (shared := PROJECT_ROOT / ".meltano" / own).exists():
                with contextlib.suppress(FileExistsError):
                    (directory / own).symlink_to(shared)
    return {**os.environ, "NO_COLOR": "1", **env}


def _ask(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Return what a short command of Meltano's prints.

    Raises:
        AirflowException: Meltano cannot be run, or fails.
    """
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=PROJECT_ROOT,
            env=_prepared(env or {}),
            capture_output=True,
            text=True,
            timeout=25,  # Airflow gives a DAG file 30
            check=True,
        )
    except FileNotFoundError as error:
        raise AirflowException(f"There is no `{EXECUTABLE}`: set MELTANO_EXECUTABLE to Meltano's command.") from error
    except subprocess.CalledProcessError as error:
        said = Report()
        for line in error.stderr.splitlines():
            said.take(line)
        raise AirflowException(said.failure(arguments, error.returncode)) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AirflowException(f"`{EXECUTABLE}` cannot be run: {error}") from error
    return done.stdout


class Report:
    """What Meltano and its plugins say: a line for the log each, and at the end why it failed."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        """Take the environment, whose secrets are not to be repeated."""
        secret = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
        values = {value for name, value in {**os.environ, **(env or {})}.items() if value and secret.search(name)}
        self._secrets = sorted(values, key=len, reverse=True)
        self._verdict = ""
        self._failed: dict[str, int] = {}
        self._errors: dict[str, None] = {}  # in order, each once
        self._last = {"extractors": "nothing was read yet", "loaders": ""}
        self.hopeless = False
        self.tap: int | None = None  # its process

    def take(self, line: str) -> tuple[int, str]:
        """Take a line, and return its level and what to log."""
        try:
            entry = json.loads(line)
            level, text = entry.get("level", "info"), self._without_secrets(str(entry["event"]).strip())
        except (AttributeError, KeyError, TypeError, ValueError):  # what a plugin prints, such as the plan
            text = self._without_secrets(line.rstrip())
            unreadable = re.match(r"\S+ +no +- ", text)
            return logging.WARNING if unreadable else logging.INFO, text
        if "stdio" not in entry:
            name = "meltano"
            self._hear_meltano(entry, level, text)
        else:
            name = entry.get("name") or entry.get("plugin_logger") or "tap"
            level, text = self._hear_plugin(entry, name, level, text)
        return getattr(logging, level.upper(), logging.INFO), f"{name} | {text}"

    def _without_secrets(self, text: str) -> str:
        for value in self._secrets:
            text = text.replace(value, "***")
        return text

    def _hear_meltano(self, entry: Mapping[str, Any], level: str, text: str) -> None:
        self._failed = entry.get("exit_codes") or self._failed
        if level in {"error", "critical"}:
            self._verdict = self._without_secrets(str(entry.get("err") or text))

    def _hear_plugin(self, entry: Mapping[str, Any], name: str, level: str, text: str) -> tuple[str, str]:
        if entry.get("producer"):
            self.tap = entry.get("pid", self.tap)
        if text == "METRIC":
            return "debug", f"{text} {entry.get('metric_info')}"
        said = text.removeprefix("Error: ")
        if level in {"error", "critical"} or said != text:
            self._errors[f"{name}: {said}"] = None
            self.hopeless |= bool(HOPELESS.search(said))
            return "error", said
        if said:
            self._last["loaders" if entry.get("consumer") else "extractors"] = f"{name}: {said}"
        return level, said

    @property
    def doing(self) -> str:
        """What the tap said last."""
        return self._last["extractors"]

    def failure(self, arguments: Sequence[str], code: int) -> str:
        """Return why Meltano failed: last, what the tap said of it."""
        how = f"exit code {code}" if code >= 0 else f"signal {-code}"
        verdict = f": {self._verdict}" if self._verdict else ""
        reasons = [*self._errors][-10:]
        if not reasons and "loaders" not in self._failed:
            reasons = [self.doing]
        if not self._errors or "loaders" in self._failed:  # most loaders say why in the last line of a traceback
            reasons.insert(0, self._last["loaders"])
        return "\n".join(filter(None, [f"`meltano {' '.join(arguments)}` ended with {how}{verdict}.", *reasons]))


class MeltanoOperator(BaseOperator):
    """Runs Meltano, follows what it says, and fails with what the tap says."""

    def __init__(self, *, arguments: Sequence[str], env: Mapping[str, str] | None = None, **others: Any) -> None:
        """Take what to run.

        Args:
            arguments: What follows `meltano`.
            env: What to add to the environment.
            **others: As every operator takes them.
        """
        super().__init__(**others)
        self.arguments = list(arguments)
        self.env = dict(env or {})
        self._process: subprocess.Popen[str] | None = None
        self._report = Report()

    def execute(self, context: Any) -> None:  # noqa: ARG002
        """Run Meltano."""
        self.run_meltano(self.arguments)

    def run_meltano(self, arguments: Sequence[str]) -> None:
        """Run Meltano to its end, which may be that of the time that the task has.

        Raises:
            AirflowException: It failed.
            AirflowFailException: It failed in a way that another try would not mend.
            AirflowTaskTimeout: It took too long.
        """
        report = self._report = Report(self.env)
        try:
            self._process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=PROJECT_ROOT,
                env=_prepared(self.env),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,  # a process group, of which nothing is left behind
            )
        except OSError as error:
            raise AirflowFailException(f"`{EXECUTABLE}` cannot be run ({error}): set MELTANO_EXECUTABLE.") from error
        with self._process as process:
            try:
                self._follow()
            except AirflowTaskTimeout as error:
                doing = report.doing
                self._end()
                raise AirflowTaskTimeout(
                    f"The task was given {self.execution_timeout}, and ended; the next try goes on.\n"
                    f"When its time was up: {doing}"
                ) from error
            except BaseException:
                self._end()
                raise
        if process.returncode:
            failure = AirflowFailException if report.hopeless else AirflowException
            raise failure(report.failure(arguments, process.returncode))

    def _follow(self) -> None:
        """Log what comes until there is no more."""
        for line in (self._process and self._process.stdout) or ():
            self.log.log(*self._report.take(line))

    def _end(self) -> None:
        """End Meltano with all that it started, and log its last words."""
        last = threading.Timer(GRACE, self._signal_all, [signal.SIGKILL])
        last.start()
        try:
            self.on_kill()
            self._follow()
        finally:
            last.cancel()
            self._signal_all(signal.SIGKILL)

    def on_kill(self) -> None:
        """Stop the tap, as Airflow asks for: the target then loads what it has, and Meltano keeps the state."""
        process, tap = self._process, self._report.tap
        with contextlib.suppress(ProcessLookupError):
            if process and tap and os.getpgid(tap) == process.pid:
                os.kill(tap, signal.SIGTERM)
                return
        self._signal_all(signal.SIGTERM)

    def _signal_all(self, number: signal.Signals) -> None:
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


class PlanOperator(MeltanoOperator):
    """Logs what a sync would read, how long it would take, and what it would cost at most: by free requests only.

    A stream that cannot be read is a warning; a task that fails means that nothing can.
    """

    def __init__(self, *, extractor: str, loader: str, state_id_suffix: str = "", **others: Any) -> None:
        """Take whose sync it is.

        Args:
            extractor: The tap's name in Meltano.
            loader: The target's.
            state_id_suffix: As `meltano run` takes it.
            **others: As MeltanoOperator takes them.
        """
        super().__init__(arguments=["invoke", extractor, "--plan"], **others)
        self.state_id = ":".join(filter(None, [f"{extractor}-to-{loader}", state_id_suffix]))

    def execute(self, context: Any) -> None:  # noqa: ARG002
        """Run the tap with `--plan`, and the state that its sync would have."""
        # Meltano names the environment in the state id. Without the variable, the plan is that of a first sync.
        environment = os.environ.get("MELTANO_ENVIRONMENT")
        state = _ask("state", "get", f"{environment}:{self.state_id}", env=self.env) if environment else "{}"
        with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
            file.write(state)
            file.flush()
            self.run_meltano([*self.arguments, "--state", file.name])
