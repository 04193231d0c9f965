"""What holds for the tests themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent

#: Functions of other packages that fail if something is wrong, besides those whose name begins with `assert_`.
FAILING = {"pytest.raises", "run_state_machine_as_test"}


def asserts(node: ast.AST) -> bool:
    """Whether there is anything in a function that can fail."""
    calls = {ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
    return (
        any(isinstance(inner, ast.Assert) for inner in ast.walk(node))
        or not calls.isdisjoint(FAILING)
        or any(call.rpartition(".")[2].startswith("assert_") for call in calls)
    )


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("test_*.py")), ids=lambda path: f"{path.relative_to(FOLDER)}")
def test_every_test_asserts_something(path: Path) -> None:
    tests = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert [test.name for test in tests if not asserts(test)] == []
