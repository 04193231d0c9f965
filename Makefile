# Needs Python 3.10 to 3.14, make and git; everything else comes from the package index, as the lock file pins it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test quick weekly lint bench docs clean

demo: .venv/ready  ## sandbox -> meltano run -> a DuckDB file -> dbt, and a look at what came of it
	@$(BIN)/python scripts/demo.py

test: .venv/ready  ## everything that can be tested without an Apollo account
	@$(BIN)/pytest --numprocesses=auto --dist=loadfile

quick: .venv/ready  ## half a minute: paging, ledger, limiter, records, settings, docs; no server, no clock
	@HYPOTHESIS_PROFILE=quick $(BIN)/pytest -m quick

weekly: .venv/ready  ## an hour or more: new examples for the walks, and all combinations of the matrices
	@$(BIN)/pytest --numprocesses=auto --dist=loadfile -m weekly
	@HYPOTHESIS_PROFILE=explore $(BIN)/pytest --numprocesses=auto tests/paging

lint: .venv/ready  ## style, types, and that what is imported is declared
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/deptry tap_apollo apollo_sandbox
	@$(BIN)/deptry tests scripts benchmarks --ignore DEP002,DEP004  # may use what only developers have

bench: .venv/ready  ## the tap's CPU, memory and requests beside other clients (ARGS="--pages 20 --repeats 1" is short)
	@$(BIN)/python -m benchmarks $(ARGS)

docs: .venv/ready  ## write anew what docs/ and the catalog snapshot take from the code
	@$(BIN)/python scripts/write_docs.py

clean:
	rm -rf .venv .airflow .meltano .demo output

.venv/ready: pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15) and "tap-apollo needs Python 3.10 to 3.14: call make PYTHON=python3.12, say.")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@UV_PROJECT_ENVIRONMENT=.venv $(BIN)/uv sync --quiet --frozen --inexact
	@touch $@

# What the tests of the DAGs run them with; they call for it themselves, unless TAP_APOLLO_TEST_AIRFLOW is no.
.airflow/ready: orchestrate/airflow.txt
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .airflow
	@$(BIN)/uv pip install --quiet --python .airflow/bin/python --requirements $<
	@touch $@
