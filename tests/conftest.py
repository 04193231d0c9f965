"""What the tests share: a local Apollo."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.streams import CREDIT_STREAMS
from tests.meltano import project_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


# The same examples at every run, more of them in CI. `explore` looks for new ones.
hypothesis.settings.register_profile("default", max_examples=150, deadline=None, derandomize=True)
hypothesis.settings.register_profile("ci", max_examples=1000, deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", max_examples=10_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Meltano project for all tests, so that its plugins are installed once."""
    return project_in(tmp_path_factory.mktemp("project"))
