"""What the tests share: a local Apollo."""

from __future__ import annotations

import os
import socket
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.streams import CREDIT_STREAMS
from tests.meltano import project_in

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

#: A search that some of the sandbox's people match.
SEARCHES = [{"name": "engineers", "filters": {"person_titles": ["Engineer"]}, "max_pages": 2}]

#: A report whose cells have a row and a column each.
REPORTS: list[dict[str, Any]] = [
    {
        "name": "sent by user and stage",
        "metrics": [
            {
                "value": "num_emails_sent",
                "smart_datetime_reference": "activity_datetime",
                "smart_user_id_reference": "user_id",
            },
        ],
        "group_by": [{"name": "smart_user_id"}],
        "pivot_group_by": [{"name": "contact_stage_id"}],
        "date_ranges": [{"modality": "last_30_days"}],
    },
]

#: Everything that costs credits, and what it asks for.
BUYING: dict[str, Any] = {
    "credit_streams": [*CREDIT_STREAMS],
    "organization_searches": [{"name": "us", "filters": {"organization_locations": ["United States"]}, "max_pages": 2}],
    "people_searches": SEARCHES,
    "people_enrichment": {"from": "contacts"},
}


#: Endpoints whose minute a sync of everything would have to wait for.
UNLIMITED = tuple(f"{action}=0/0/0" for action in ("conversations/export", "contacts/show", "contacts/opportunities"))


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that no test changes."""
    with Sandbox(Settings(contacts=250, seed=1, limit=UNLIMITED)).serve() as running:
        yield running


# The same examples at every run, few of them in `make quick`, more in CI. `explore` looks for new ones.
hypothesis.settings.register_profile("quick", max_examples=20, deadline=None, derandomize=True)
hypothesis.settings.register_profile("default", max_examples=150, deadline=None, derandomize=True)
hypothesis.settings.register_profile("ci", max_examples=1000, deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", max_examples=10_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Meltano project for all tests, so that its plugins are installed once."""
    return project_in(tmp_path_factory.mktemp("project"))


# `make quick`: what needs neither a server nor a clock; and the matrices that `make test` thins out

FOLDER = Path(__file__).parent

#: The files and folders whose tests are quick, but those marked `real`.
QUICK = (
    "paging",
    "test_credits.py",
    "test_docs.py",
    "test_names.py",
    "test_rate_limits.py",
    "test_records.py",
    "test_settings.py",
    "test_tests.py",
)


def is_quick(path: Path) -> bool:
    return path.relative_to(FOLDER).parts[0] in QUICK


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even read the other files for `-m quick`."""
    other = collection_path.is_relative_to(FOLDER) and collection_path != FOLDER and not is_quick(collection_path)
    return True if config.getoption("markexpr") == "quick" and other else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    matrices: dict[str, list[pytest.Function]] = defaultdict(list)
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("matrix"):
            matrices[item.nodeid.partition("[")[0]].append(item)
    for matrix in matrices.values():
        kept = thin([item.callspec._idlist for item in matrix])
        for number, item in enumerate(matrix):
            if number not in kept:
                item.add_marker("weekly")
    for item in items:
        if is_quick(item.path) and not item.get_closest_marker("real") and not item.get_closest_marker("weekly"):
            item.add_marker("quick")


def thin(cells: Sequence[Sequence[Hashable]]) -> set[int]:
    """Return the numbers of the cells of a matrix that are tried each time: those on the diagonal.

    So each value of each parameter is tried at least once.

    Args:
        cells: The value of each parameter, of each cell of the matrix.
    """
    values = [[*dict.fromkeys(column)] for column in zip(*cells, strict=True)]
    most = max(map(len, values))
    diagonal = {tuple(column[number % len(column)] for column in values) for number in range(most)}
    return {number for number, cell in enumerate(cells) if tuple(cell) in diagonal}


@pytest.fixture(autouse=True)
def _nothing_real_in_a_quick_test(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.node.get_closest_marker("quick"):
        return

    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a quick test opens no socket, starts no server, and does not sleep: mark it `real`")

    monkeypatch.setattr(socket.socket, "__init__", refuse)
    monkeypatch.setattr(time, "sleep", refuse)
