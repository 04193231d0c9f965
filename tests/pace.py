"""What makes a test's outcome the same on a busy machine: a clock that only waiting moves, and a gate for requests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    import pytest

#: Seconds after which what is waited for will not come any more: the test has failed.
PATIENCE = 60


class Clock:
    """Seconds that pass when somebody waits, and by exactly what he waits.

    Give `monotonic` to the sandbox, and `install` the clock in the tap: both see the same time.
    """

    def __init__(self, sleepers: int = 1) -> None:
        """Begin; time passes only while so many threads wait at once."""
        self.now = 1000.0
        self._sleepers = sleepers
        self._ends: list[float] = []
        self._changed = threading.Condition()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the tap wait for its rate windows by this clock."""
        monkeypatch.setattr("tap_apollo.api.rate_limits.time", self)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._changed:
            end = self.now + seconds
            self._ends.append(end)
            if len(self._ends) == self._sleepers:
                self.now = min(self._ends)
                self._ends = [one for one in self._ends if one > self.now]
                self._changed.notify_all()
            assert self._changed.wait_for(lambda: self.now >= end, PATIENCE), "the others do not wait"


class Gate:
    """Holds requests until so many are on their way at once, and counts them.

    Attributes:
        most: The most requests that were on their way at once.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, action: str = "") -> None:
        """Hold all but the first, which the tap sends alone. If the others never come, `most` tells.

        Args:
            monkeypatch: Puts the gate before whatever is sent.
            count: How many are let through at once.
            action: The part of an address by which requests are chosen; without it, all are.
        """
        self.most = 0
        self._count = count
        self._sent = 0
        self._flying = 0
        self._open = threading.Event()
        self._lock = threading.Lock()
        send = requests.Session.send

        def held(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            if action not in str(request.url):
                return send(session, request, **options)
            try:
                if self._enter() > 1 and not self._open.wait(PATIENCE):
                    self._open.set()
                return send(session, request, **options)
            finally:
                with self._lock:
                    self._flying -= 1

        monkeypatch.setattr(requests.Session, "send", held)

    def _enter(self) -> int:
        with self._lock:
            self._sent += 1
            self._flying += 1
            self.most = max(self.most, self._flying)
            if self._flying == self._count:
                self._open.set()
            return self._sent
