"""Requests stay within Apollo's windows: on a clock of the test's own, and through the sandbox at a faster pace."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api.rate_limits import DAY, HOUR, MARGIN, MINUTE, Limiter, WaitTooLongError, WindowState, read_windows
from tests import pace
from tests.singer import sync

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = {
    MINUTE: ("x-rate-limit-minute", "x-minute-requests-left"),
    HOUR: ("x-rate-limit-hourly", "x-hourly-requests-left"),
    DAY: ("x-rate-limit-24-hour", "x-24-hour-requests-left"),
}


class Clock:
    """Seconds that pass when somebody sleeps."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Apollo:
    """Fixed windows, opened by their first request, as Apollo counts them."""

    def __init__(self, clock: Clock, limits: dict[int, int]) -> None:
        self.clock = clock
        self.limits = limits
        self.windows: dict[int, tuple[float, int]] = {}
        self.refused = 0
        self.served = 0

    def request(self) -> tuple[dict[str, str], float | None]:
        """Count a request; return the headers, and the wait if it is refused."""
        now = self.clock()
        for seconds in self.limits:
            opened, used = self.windows.get(seconds, (now, 0))
            self.windows[seconds] = (now, 0) if now >= opened + seconds else (opened, used)
        full = [seconds for seconds, limit in self.limits.items() if self.windows[seconds][1] >= limit]
        if full:
            self.refused += 1
            return self.headers(), max(self.windows[seconds][0] + seconds - now for seconds in full)
        self.served += 1
        self.windows = {seconds: (opened, used + 1) for seconds, (opened, used) in self.windows.items()}
        return self.headers(), None

    def headers(self) -> dict[str, str]:
        headers = dict.fromkeys((name for names in NAMES.values() for name in names), "")
        for seconds, limit in self.limits.items():
            limit_name, left_name = NAMES[seconds]
            headers[limit_name] = str(limit)
            headers[left_name] = str(limit - self.windows[seconds][1])
        return headers


def run(limiter: Limiter, apollo: Apollo, count: int, latency: float = 0.1) -> None:
    """Send requests one after another, as a stream does; a refused one is sent again."""
    served = apollo.served + count
    while apollo.served < served:
        with limiter.request("/contacts/search") as ticket:
            apollo.clock.now += latency / 2
            ticket.headers, ticket.retry_after = apollo.request()
            apollo.clock.now += latency / 2


def limited(clock: Clock, max_wait: float = 10 * DAY, tell: Callable[[str, float], None] = lambda *_: None) -> Limiter:
    return Limiter(max_wait, tell, clock=clock, sleep=clock.sleep)


PLANS = {
    "free": {MINUTE: 50, HOUR: 200, DAY: 600},
    "professional": {MINUTE: 200, HOUR: 400, DAY: 2000},
    "organization": {MINUTE: 200, HOUR: 600, DAY: 6000},
    "reports": {MINUTE: 200, HOUR: 5, DAY: 6000},
    "exports": {MINUTE: 1, HOUR: 20, DAY: 480},
    "enrichment": {MINUTE: 1000},
    "unlimited": {},
}


@pytest.mark.parametrize("plan", PLANS)
def test_no_plan_ever_refuses_a_request_and_none_takes_longer_than_it_dictates(plan: str) -> None:
    clock, limits = Clock(), PLANS[plan]
    apollo = Apollo(clock, limits)
    count = 2 * max(limits.values(), default=100) + 50 if DAY not in limits else 2 * limits[DAY] + 5
    run(limited(clock), apollo, count, latency=0.05)
    assert apollo.refused == 0
    dictated = max([(count - 1) // limit * seconds for seconds, limit in limits.items()], default=0)
    assert clock.now - 1000 <= 1.05 * dictated + count * 0.05 + 2 * max(limits, default=0) * 0.01


def test_450_pages_on_professional_take_an_hour_and_hardly_more() -> None:
    clock = Clock()
    apollo = Apollo(clock, PLANS["professional"])
    run(limited(clock), apollo, 450, latency=0.25)
    assert apollo.refused == 0
    assert HOUR <= clock.now - 1000 <= 1.05 * HOUR


@hypothesis.given(
    limits=st.fixed_dictionaries(
        {MINUTE: st.integers(1, 20)}, optional={HOUR: st.integers(1, 60), DAY: st.integers(1, 90)}
    ),
    before=st.integers(0, 15),
    pauses=st.lists(st.floats(0, 4000), max_size=40),
)
def test_windows_opened_by_an_earlier_run_are_kept_to(limits: dict[int, int], before: int, pauses: list[float]) -> None:
    clock = Clock()
    apollo = Apollo(clock, limits)
    for _ in range(before):  # of another run, of which this one knows nothing
        apollo.request()
    refused_before = apollo.refused
    full = any(used >= limits[seconds] for seconds, (_, used) in apollo.windows.items())
    limiter = limited(clock)
    for pause in pauses:
        clock.now += pause
        run(limiter, apollo, 1)
    assert apollo.refused - refused_before <= full  # the first request cannot know


@hypothesis.given(
    limits=st.fixed_dictionaries({MINUTE: st.integers(2, 10)}, optional={HOUR: st.integers(2, 30)}),
    others=st.lists(st.integers(0, 12), min_size=10, max_size=30),
)
def test_others_of_the_team_who_use_the_window_up_are_survived(limits: dict[int, int], others: list[int]) -> None:
    clock = Clock()
    apollo = Apollo(clock, limits)
    limiter = limited(clock)
    unknown = 0  # what others have sent since the last reply
    for count in others:
        before = apollo.refused
        run(limiter, apollo, 1)
        assert apollo.refused - before <= min(1, unknown)  # one refusal at most, and none that could be foreseen
        for _ in range(count):
            apollo.request()
        unknown = count


def test_what_apollo_says_to_wait_is_waited() -> None:
    clock = Clock()
    limiter = limited(clock)
    with limiter.request("/a") as ticket:
        ticket.headers, ticket.retry_after = {}, 30
    began = clock.now
    with limiter.request("/a"):
        assert clock.now == began + 30 + MARGIN


def test_each_endpoint_has_windows_of_its_own() -> None:
    clock = Clock()
    limiter = limited(clock)
    with limiter.request("/a") as ticket:
        ticket.headers, ticket.retry_after = {}, 30
    with limiter.request("/b"):
        assert clock.now == 1000


def test_a_wait_is_said_once_a_minute_with_what_is_left() -> None:
    clock, told = Clock(), list[tuple[str, float]]()
    limiter = limited(clock, tell=lambda endpoint, seconds: told.append((endpoint, seconds)))
    with limiter.request("/a") as ticket:
        ticket.headers, ticket.retry_after = {}, 3 * MINUTE - MARGIN
    with limiter.request("/a"):
        pass
    assert told == [("/a", 180), ("/a", 120), ("/a", 60)]


def test_a_wait_past_the_limit_is_refused_and_nothing_is_in_flight() -> None:
    clock = Clock()
    limiter = limited(clock, max_wait=3900)
    with limiter.request("/a") as ticket:
        ticket.headers = {"x-rate-limit-24-hour": "1", "x-24-hour-requests-left": "0"}
    for _ in range(3):
        with pytest.raises(WaitTooLongError) as raised, limiter.request("/a"):
            raise AssertionError("it may not go")
        assert raised.value.seconds == DAY
    clock.now += DAY
    with limiter.request("/a"):
        pass


@pytest.mark.real
def test_until_the_first_reply_tells_the_limits_one_request_is_in_flight() -> None:
    limiter = Limiter(60, lambda *_: None)
    lock, answered = threading.Lock(), threading.Event()
    flying: list[object] = []
    early: list[int] = []

    def send() -> None:
        with limiter.request("/exports") as ticket:
            with lock:
                flying.append(ticket)
                if not answered.is_set():
                    early.append(len(flying))
            time.sleep(0.02)
            ticket.headers = {"x-rate-limit-minute": "9", "x-minute-requests-left": "5"}
            answered.set()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert early == [1]
    assert len(flying) == 4


@pytest.mark.real
@pytest.mark.parametrize("limit", [7, 20])
def test_threads_at_the_same_time_never_exceed_a_window(limit: int) -> None:
    clock = Clock()
    lock = threading.Lock()
    apollo = Apollo(clock, {MINUTE: limit})

    def sleep(seconds: float) -> None:
        time.sleep(0.002)
        with lock:
            clock.now += min(seconds, 5)

    limiter = Limiter(DAY, lambda *_: None, clock=clock, sleep=sleep)

    def send() -> None:
        for _ in range(15):
            with limiter.request("/a") as ticket:
                with lock:
                    headers, retry_after = apollo.request()
                time.sleep(0.001)
                ticket.headers, ticket.retry_after = headers, retry_after

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (apollo.refused, apollo.served) == (0, 60)


def test_a_request_that_was_never_answered_counts() -> None:
    limiter = limited(Clock())
    with limiter.request("/a") as ticket:
        ticket.headers = {"x-rate-limit-minute": "9", "x-minute-requests-left": "8"}
    with pytest.raises(OSError, match="reset"), limiter.request("/a"):
        raise OSError("reset")
    assert limiter.readings("/a") == [WindowState(MINUTE, 9, 7)]


def test_headers_that_say_nothing_are_no_window() -> None:
    assert read_windows({}) == []
    assert read_windows({"x-rate-limit-minute": "", "x-minute-requests-left": ""}) == []


@pytest.mark.real
class TestThroughTheSandbox:
    """The sandbox and the tap share a clock that only waiting moves."""

    def test_a_sync_through_an_hourly_window_gets_no_429_and_every_record(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        clock = pace.Clock()
        clock.install(monkeypatch)
        settings = Settings(tie_size=1, contacts=1200, limit=("contacts/search=5/8/0",))
        with Sandbox(settings, monotonic=clock.monotonic).serve() as sandbox:
            run = sync(sandbox, "contacts", custom_fields="raw")
            assert sandbox.ledger.rate_limited_total == 0
            assert {*run.ids("contacts")} == {*sandbox.world.contacts.ids}
        assert run.error is None
        assert any("contacts/search waits for its rate limit until" in line for line in caplog.messages)

    def test_streams_do_not_wait_for_each_others_windows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        limits = tuple(f"{action}=0/1/0" for action in ("contacts/search", "accounts/search", "tasks/search"))
        sizes: dict[str, Any] = {"contacts": 150, "accounts": 150, "tasks": 150}
        clock = pace.Clock(sleepers=3)
        clock.install(monkeypatch)
        with Sandbox(Settings(tie_size=1, **sizes, limit=limits), monotonic=clock.monotonic).serve() as sandbox:
            began = clock.now
            run = sync(sandbox, "contacts", "accounts", "tasks", custom_fields="raw")
            hours = (clock.now - began) / HOUR
            assert sandbox.ledger.rate_limited_total == 0
        assert {name: len(run.records[name]) for name in sizes} == sizes
        assert 1 <= hours < 2  # one after another it would be three

    def test_a_stream_that_would_wait_too_long_ends_and_the_others_go_on(self) -> None:
        settings = Settings(tie_size=1, contacts=350, limit=("contacts/search=0/0/2",))
        with Sandbox(settings).serve() as sandbox:
            run = sync(sandbox, "contacts", "users")
            assert sandbox.ledger.rate_limited_total == 0
        assert run.error is None
        assert len(run.records["contacts"]) == 200
        assert run.records["users"]
