"""The sandbox's own time, which may run faster than the wall's."""

from __future__ import annotations

import math
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def instant(text: str) -> int | None:
    """Read a date or a time as milliseconds since 1970, if it is one; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp() * SECOND)


class Clock:
    """Milliseconds since 1970 in sandbox time, `speed` times as fast as `monotonic`."""

    def __init__(self, start_ms: int, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start at `start_ms`; `monotonic` gives real seconds and is a test's to replace."""
        self.start_ms = start_ms
        self.speed = speed
        self._monotonic = monotonic
        self._started = monotonic()

    def now(self) -> int:
        """Give the sandbox's present instant."""
        elapsed = self._monotonic() - self._started
        return self.start_ms + int(elapsed * self.speed * SECOND)

    def real_seconds(self, sandbox_ms: int) -> int:
        """Give the whole real seconds after which `sandbox_ms` have certainly passed."""
        return max(1, math.ceil(sandbox_ms / SECOND / self.speed))
