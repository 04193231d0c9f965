"""The SDK's own tests of a tap, over the sandbox."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class

from apollo_sandbox import Sandbox, Settings
from tap_apollo.tap import TapApollo
from tests.conftest import REPORTS, SEARCHES
from tests.singer import config_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Stream

# A small sandbox need not fill every column; test_sync.py checks every record against its schema.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Fields in transformed catalog but not in records"),
    pytest.mark.filterwarnings("ignore:No records were available to test"),
]

# The SDK builds the tap when it collects, before any fixture runs.
_running = contextlib.ExitStack()
_sandbox = _running.enter_context(Sandbox(Settings(contacts=120, seed=5)).serve())


@pytest.fixture(scope="module", autouse=True)
def _stop_the_sandbox() -> Iterator[None]:
    yield
    _running.close()


class EverythingSelected(TapApollo):
    """The tap with the streams, too, that a catalog leaves out by default."""

    def load_streams(self) -> list[Stream]:  # type: ignore[misc]
        streams = super().load_streams()
        for stream in streams:
            stream.selected = True
        return streams


TestTapApollo = get_tap_test_class(
    EverythingSelected,
    config=config_for(_sandbox, people_searches=SEARCHES, analytics_reports=REPORTS),
    suite_config=SuiteConfig(max_records_limit=50, ignore_no_records_for_streams=["enrichment_results"]),
    parse_env_config=False,
)
