"""What the tests share: a local Apollo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from apollo_sandbox import Sandbox, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A search that some of the sandbox's people match.
SEARCHES = [{"name": "engineers", "filters": {"person_titles": ["Engineer"]}, "max_pages": 2}]


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that no test changes."""
    with Sandbox(Settings(contacts=250, seed=1)).serve() as running:
        yield running
