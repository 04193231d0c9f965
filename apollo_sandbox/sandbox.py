"""The sandbox as one object."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from apollo_sandbox.app import create_app
from apollo_sandbox.endpoints import count_rows
from apollo_sandbox.server import serving
from apollo_sandbox.services import Services
from apollo_sandbox.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from apollo_sandbox.faults import FaultBox
    from apollo_sandbox.usage_log import UsageLog
    from apollo_sandbox.world import World


class Sandbox:
    """A local Apollo: a team's data, the API over it, and a record of its use.

    Use `app` in any ASGI server, or `serve()` for a real socket beside a test.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create the team; `monotonic` is the real time, in seconds, that a test may replace."""
        self.settings = settings or Settings()
        self._services = Services(self.settings, monotonic)
        self.app = create_app(self._services)
        self.url = ""

    @property
    def world(self) -> World:
        """Give the team's data, to look at and to edit."""
        return self._services.world

    @property
    def ledger(self) -> UsageLog:
        """Give the record of requests, refusals and credits."""
        return self._services.usage_log

    @property
    def faults(self) -> FaultBox:
        """Give the faults in force, to add to and to clear."""
        return self._services.faults

    def counts(self) -> dict[str, int]:
        """Tell how many rows a complete sync of each stream must deliver now."""
        return count_rows(self.world)

    @property
    def edits_per_request(self) -> float:
        """Give the edits that colleagues make before each request; may be set while serving."""
        return self._services.colleagues.pace

    @edits_per_request.setter
    def edits_per_request(self, pace: float) -> None:
        self._services.colleagues.pace = pace

    def edit(self, times: int = 1) -> None:
        """Let colleagues make that many edits of their own choosing."""
        with self.world.lock:
            for _ in range(times):
                self._services.colleagues.edit()

    def reset(self) -> None:
        """Forget what clients did; the data, faults and credits stay as they are."""
        self._services.reset()

    @contextmanager
    def serve(self) -> Iterator[Sandbox]:
        """Serve on a free port, in a thread, until the context ends; `url` says where."""
        settings = self.settings
        with serving(self.app, settings.host, access_log=settings.access_log) as self.url:
            yield self
        self.url = ""
