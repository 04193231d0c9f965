"""A DAG for each schedule of the Meltano project: first what its job would do, then the job."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # for the modules beside, in whichever folder they lie

from airflow.sdk import DAG, chain
from meltano_tasks import DAG_ARGUMENTS, MeltanoOperator, PlanOperator, schedules


def identifier(*words: str) -> str:
    """Return words as Airflow takes them for an id."""
    return re.sub(r"[^\w.-]+", "_", "-".join(words))


for schedule in schedules():
    with DAG(
        dag_id=identifier(schedule["name"]),
        schedule="@once" if schedule["interval"] == "@once" else schedule["cron_interval"],
        description=f"Meltano's schedule {schedule['name']}",
        **DAG_ARGUMENTS,
    ):
        plans, runs = [], []
        for task in schedule["job"]["tasks"]:
            blocks = task.split() if isinstance(task, str) else task
            name, env = identifier(*blocks), schedule["env"]
            if blocks[0].startswith("tap-apollo"):
                loader = next(block for block in blocks if block.startswith("target-"))
                plans.append(PlanOperator(task_id=f"plan-{name}", extractor=blocks[0], loader=loader, env=env))
            runs.append(MeltanoOperator(task_id=f"run-{name}", arguments=["run", *blocks], env=env))
        chain(*plans, *runs)
