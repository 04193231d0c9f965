"""What holds for the tests themselves."""

from __future__ import annotations

import ast
import itertools
import socket
import time
from pathlib import Path

import pytest

from apollo_sandbox import Sandbox, Settings
from tests.conftest import thin

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


@pytest.mark.parametrize("sizes", [(1,), (5,), (1, 4), (4, 1), (3, 3), (2, 7), (2, 3, 5)])
def test_of_a_matrix_each_value_is_tried_every_time(sizes: tuple[int, ...]) -> None:
    cells = [*itertools.product(*map(range, sizes))]
    kept = thin(cells)
    assert len(kept) == max(sizes)
    for column, size in enumerate(sizes):
        assert {cells[number][column] for number in kept} == {*range(size)}


class TestQuick:
    """This file is one of those that `make quick` takes."""

    def test_a_quick_test_starts_no_sandbox(self) -> None:
        with pytest.raises(pytest.fail.Exception, match="mark it `real`"), Sandbox(Settings(contacts=1)).serve():
            raise AssertionError("it was started")

    def test_a_quick_test_reaches_no_server(self) -> None:
        with pytest.raises(pytest.fail.Exception, match="mark it `real`"):
            socket.create_connection(("127.0.0.1", 9), timeout=1)

    def test_a_quick_test_does_not_sleep(self) -> None:
        with pytest.raises(pytest.fail.Exception, match="mark it `real`"):
            time.sleep(0)

    @pytest.mark.real
    def test_a_test_that_is_marked_may(self) -> None:
        time.sleep(0)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            assert listening.getsockname()[1]
