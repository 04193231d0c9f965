"""Apollo's rate windows: what the headers of each reply tell, and when the next request may go.

Per team and endpoint action there are three fixed windows, a minute, an hour and 24 hours, each opened by its first
request (recorded: nine headers; empty where a window is unlimited, absent on 401 and 403). Nothing says when a window
was opened, so it is taken for as young as it can be: waiting for its end then is never too short.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MINUTE, HOUR, DAY = 60, 3600, 86_400

NAMES = {MINUTE: "minute", HOUR: "hour", DAY: "day"}

_HEADERS = {
    MINUTE: ("x-rate-limit-minute", "x-minute-requests-left"),
    HOUR: ("x-rate-limit-hourly", "x-hourly-requests-left"),
    DAY: ("x-rate-limit-24-hour", "x-24-hour-requests-left"),
}

#: How often, in seconds, to say that a wait goes on.
TELL_EVERY = 60

#: Added to what Apollo says to wait, which is in whole seconds.
MARGIN = 1


class WaitTooLongError(Exception):
    """A window is closed for longer than the run may wait; nothing was sent.

    Attributes:
        endpoint: Whose window it is.
        seconds: How long it is closed.
    """

    def __init__(self, endpoint: str, seconds: float) -> None:
        """Take the endpoint and the seconds."""
        super().__init__(endpoint, seconds)
        self.endpoint = endpoint
        self.seconds = seconds


@dataclasses.dataclass(frozen=True)
class WindowState:
    """What a reply says of one window.

    Attributes:
        seconds: The length of the window.
        limit: Requests that it allows.
        left: Requests that it still allows.
    """

    seconds: int
    limit: int
    left: int


def read_windows(headers: Mapping[str, str]) -> list[WindowState]:
    """Return the limited windows that a reply tells of; none if it tells nothing."""
    readings = []
    for seconds, (limit, left) in _HEADERS.items():
        limit_text, left_text = headers.get(limit, ""), headers.get(left, "")
        if limit_text.isdecimal() and left_text.isdecimal():
            readings.append(WindowState(seconds, int(limit_text), int(left_text)))
    return readings


def seconds_for(requests: int, windows: Iterable[WindowState]) -> int:
    """Return the seconds that the windows make some requests take at most: each may have just been opened."""
    beyond = {window: requests - window.left for window in windows}
    return max(
        (math.ceil(count / window.limit) * window.seconds for window, count in beyond.items() if count > 0),
        default=0,
    )


@dataclasses.dataclass
class Ticket:
    """One request that may go; whoever sends it notes when, and what came.

    Attributes:
        before: What was known of the windows then, by their lengths.
        headers: The headers of the reply; None if there was none.
        retry_after: Seconds to wait, of a reply that refuses for the rate limit.
    """

    before: Mapping[int, _Window]
    headers: Mapping[str, str] | None = None
    retry_after: float | None = None


@dataclasses.dataclass(frozen=True)
class _Window:
    """One window as far as it is known.

    Attributes:
        limit: Requests that it allows.
        used: Requests that it has counted.
        opened_by: The moment by which it was open.
        turn: How many windows were seen before it.
    """

    limit: int
    used: int
    opened_by: float
    turn: int = 0


class _Endpoint:
    """The windows of one endpoint action, and the requests in flight."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._known = False
        self._windows: dict[int, _Window] = {}
        self._blocked_until = 0.0

    @property
    def readings(self) -> list[WindowState]:
        return [WindowState(length, one.limit, max(0, one.limit - one.used)) for length, one in self._windows.items()]

    def closed_for(self, now: float) -> float | None:
        """Return for how many seconds no request may go; None: until one in flight is answered."""
        waits = [self._blocked_until - now]
        for length, window in self._windows.items():
            end = window.opened_by + length
            used = window.used if now < end else 0
            if used >= window.limit > 0:
                waits.append(end - now)
            elif window.limit and used + self.in_flight >= window.limit:
                return None
        if not self._known and self.in_flight:  # the first request tells the limits
            return None
        return max(0.0, *waits)

    def room(self, now: float) -> float:
        """Return how many more requests the windows bear now."""
        if now < self._blocked_until or not self._known:
            return 0
        return min((one.limit - one.used for one in self._windows.values()), default=math.inf) - self.in_flight

    def snapshot(self, now: float) -> dict[int, _Window]:
        """Return what is known of the windows: those that have ended have counted nothing."""
        return {
            length: one if now < one.opened_by + length else dataclasses.replace(one, used=one.limit)
            for length, one in self._windows.items()
        }

    def learn(self, ticket: Ticket, now: float) -> None:
        """Note what a reply tells that came now."""
        if ticket.headers is None:
            for length, window in self._windows.items():  # it may have been counted
                self._windows[length] = dataclasses.replace(window, used=window.used + 1)
        else:
            self._known = True
            for reading in read_windows(ticket.headers):
                self._read(reading, ticket.before.get(reading.seconds), now)
        if ticket.retry_after is not None:
            self._blocked_until = end = now + ticket.retry_after + MARGIN
            for length, window in self._windows.items():  # those used up have ended by then, if not before
                if window.used >= window.limit:
                    opened_by = min(window.opened_by, end - length)
                    self._windows[length] = dataclasses.replace(window, opened_by=opened_by)

    def _read(self, reading: WindowState, before: _Window | None, now: float) -> None:
        used = reading.limit - reading.left
        window = self._windows.get(reading.seconds)
        # In the same window, the request would have been counted on top of what was known when it was sent.
        anew = before is None or used <= before.used
        if window is None:
            window = _Window(reading.limit, used, opened_by=now)
        elif before is None or before.turn == window.turn:
            if anew:
                window = _Window(reading.limit, used, opened_by=now, turn=window.turn + 1)
            else:
                window = dataclasses.replace(window, limit=reading.limit, used=max(window.used, used))
        elif anew:
            window = dataclasses.replace(window, limit=reading.limit, used=max(window.used, used))
        # else: the reply is of the window before the one that another reply has shown since
        self._windows[reading.seconds] = window


class Limiter:
    """Lets a request go only while every window of its endpoint has room. Safe to use from several threads."""

    def __init__(
        self,
        max_wait: float,
        tell: Callable[[str, float], None],
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            max_wait: Most seconds to wait for a window.
            tell: Called with the endpoint and the seconds left, as a wait begins and once a minute.
            clock: Gives seconds; by default ``time.monotonic``.
            sleep: Waits; by default ``time.sleep``.
        """
        self._max_wait = max_wait
        self._tell = tell
        self._clock = clock or time.monotonic
        self._sleep = sleep or time.sleep
        self._endpoints: dict[str, _Endpoint] = {}
        self._told: dict[str, float] = {}
        self._changed = threading.Condition()

    def readings(self, endpoint: str) -> list[WindowState]:
        """Return the windows of an endpoint as last seen."""
        with self._changed:
            return self._endpoint(endpoint).readings

    def room(self, endpoint: str) -> float:
        """Return how many more requests the windows of an endpoint are known to bear now."""
        with self._changed:
            return self._endpoint(endpoint).room(self._clock())

    @contextlib.contextmanager
    def request(self, endpoint: str) -> Iterator[Ticket]:
        """Wait until a request may go, count it while it is on its way, and learn from its reply.

        Raises:
            WaitTooLongError: A window is closed for longer than the run may wait; nothing may be sent.
        """
        state = self._endpoint(endpoint)
        self._wait(endpoint, state)
        ticket = Ticket({})
        self.sending(endpoint, ticket)
        try:
            yield ticket
        finally:
            with self._changed:
                state.in_flight -= 1
                state.learn(ticket, self._clock())
                self._changed.notify_all()

    def sending(self, endpoint: str, ticket: Ticket) -> None:
        """Note that a request goes now, if it did not go as soon as it might."""
        with self._changed:
            ticket.before = self._endpoint(endpoint).snapshot(self._clock())

    def _endpoint(self, endpoint: str) -> _Endpoint:
        return self._endpoints.setdefault(endpoint, _Endpoint())

    def _wait(self, endpoint: str, state: _Endpoint) -> None:
        while True:
            with self._changed:
                seconds = state.closed_for(self._clock())
                if seconds == 0:
                    state.in_flight += 1
                    return
                if seconds is None:
                    self._changed.wait()
                    continue
                tell = self._is_time_to_tell(endpoint, seconds)
            if seconds > self._max_wait:
                raise WaitTooLongError(endpoint, seconds)
            if tell:
                self._tell(endpoint, seconds)
            self._sleep(min(seconds, TELL_EVERY))

    def _is_time_to_tell(self, endpoint: str, seconds: float) -> bool:
        """Whether a wait is worth a line in the log: one a minute for all who wait for an endpoint."""
        now = self._clock()
        if seconds <= 1 or now - self._told.get(endpoint, -math.inf) < TELL_EVERY - 1:
            return False
        self._told[endpoint] = now
        return True
