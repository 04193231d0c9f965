"""The page about the sandbox tells every switch and every fault."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from apollo_sandbox import Settings
from apollo_sandbox.faults import KINDS

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_a_switch_is_told_with_its_meaning(field: dataclasses.Field[object]) -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `--{field.name.replace('_', '-')}` |"))
    assert row.endswith(f"| {field.metadata['help']} |")
    if field.default not in (None, (), False):
        assert f"| `{field.default}` |" in row


def test_a_fault_is_told() -> None:
    told = {line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `") and "=" not in line}
    assert told >= set(KINDS)
