"""What the tests share: a local Apollo."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.streams import CREDIT_STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A search that some of the sandbox's people match.
SEARCHES = [{"name": "engineers", "filters": {"person_titles": ["Engineer"]}, "max_pages": 2}]

#: Everything that costs credits, and what it asks for.
BUYING: dict[str, Any] = {
    "credit_streams": [*CREDIT_STREAMS],
    "organization_searches": [{"name": "us", "filters": {"organization_locations": ["United States"]}, "max_pages": 2}],
    "people_searches": SEARCHES,
    "people_enrichment": {"from": "contacts"},
}


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox that no test changes."""
    with Sandbox(Settings(contacts=250, seed=1, limit=("conversations/export=0/0/0",))).serve() as running:
        yield running


# The same examples at every run: thousands in CI, a few hundred while one works. `explore` looks for new ones.
hypothesis.settings.register_profile("default", max_examples=150, deadline=None, derandomize=True)
hypothesis.settings.register_profile("ci", max_examples=2000, deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", max_examples=10_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
