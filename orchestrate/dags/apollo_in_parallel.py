"""Apollo's streams over several tasks, and so over several workers: an example to copy and change.

A failure, and its retries, concern one group. Apollo's rate limits stay what they are: a group takes as long as its
longest list makes it wait, in one task or in many.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # for the modules beside, in whichever folder they lie

from airflow.sdk import DAG, TaskGroup
from apollo_groups import GROUPS, selection
from meltano_tasks import DAG_ARGUMENTS, MeltanoOperator, PlanOperator, own_system_directory

EXTRACTOR = os.environ.get("APOLLO_EXTRACTOR", "tap-apollo")
# Not target-duckdb: a DuckDB file takes one writer at a time.
LOADER = os.environ.get("APOLLO_LOADER", "target-postgres")

with DAG(
    dag_id="apollo_in_parallel",
    schedule=os.environ.get("APOLLO_SCHEDULE", "@daily"),
    description=f"{EXTRACTOR} to {LOADER}, a task for each group of streams",
    **DAG_ARGUMENTS,
):
    for group in GROUPS:
        env = {"TAP_APOLLO__SELECT": json.dumps(selection(group)), **own_system_directory(group)}
        with TaskGroup(group):
            plan = PlanOperator(task_id="plan", extractor=EXTRACTOR, loader=LOADER, state_id_suffix=group, env=env)
            run = MeltanoOperator(
                task_id="run",
                arguments=["run", f"--state-id-suffix={group}", EXTRACTOR, LOADER],
                env=env,
            )
            plan >> run
