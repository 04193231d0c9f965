"""Streams side by side: one works at a time, messages stay in legal order, and one fault or signal stops them all."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api.concurrency import PrioritySemaphore, StoppedError, WriterLock, side_by_side
from tap_apollo.api.errors import MAX_TRIES, CredentialsError
from tap_apollo.tap import TapApollo
from tests import pace
from tests.singer import Sync, _Keep, config_for, sync, sync_with

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from singer_sdk.singerlib import Message


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))


def in_threads(*jobs: Callable[[], None]) -> None:
    threads = [threading.Thread(target=job, daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


class TestWriterLock:
    def test_one_works_at_a_time(self) -> None:
        writer, working, most = WriterLock(), list[int](), list[int]()

        def job() -> None:
            with writer.held():
                for _ in range(50):
                    working.append(1)
                    most.append(len(working))
                    time.sleep(0)
                    working.pop()
                    with writer.released():
                        time.sleep(0)

        in_threads(*[job] * 6)
        assert {*most} == {1}

    def test_released_it_lets_others_work_and_is_taken_again(self) -> None:
        writer, met = WriterLock(), threading.Event()
        order: list[str] = []

        def waiting() -> None:
            with writer.held():
                order.append("first")
                with writer.released():
                    assert met.wait(10)
                order.append("last")

        def other() -> None:
            while not order:
                time.sleep(0.001)
            with writer.held():
                order.append("between")
                met.set()
                time.sleep(0.05)
                order.append("still")

        in_threads(waiting, other)
        assert order == ["first", "between", "still", "last"]

    def test_is_taken_again_after_an_error_while_it_lay(self) -> None:
        writer = WriterLock()
        with writer.held():
            with pytest.raises(OSError, match="reset"), writer.released():
                raise OSError("reset")
            assert writer.is_mine
        with writer.held():
            pass

    def test_does_not_concern_who_never_took_it(self) -> None:
        writer = WriterLock()
        with writer.released():
            assert not writer.is_mine
        writer.close()
        with writer.released():
            pass

    def test_dropped_nobody_goes_on(self) -> None:
        writer, lying, dropped = WriterLock(), threading.Barrier(4), threading.Event()
        went_on: list[int] = []
        stopped: list[int] = []

        def job() -> None:
            try:
                with writer.held():
                    with writer.released():
                        lying.wait(10)
                        assert dropped.wait(10)
                    went_on.append(1)
            except StoppedError:
                stopped.append(1)

        def dropping() -> None:
            lying.wait(10)
            writer.close()
            dropped.set()

        in_threads(job, job, job, dropping)
        assert (went_on, stopped) == ([], [1, 1, 1])
        with pytest.raises(StoppedError), writer.held():
            raise AssertionError("the run is over")

    def test_to_drop_it_waits_for_who_works(self) -> None:
        writer, works = WriterLock(), threading.Event()
        order: list[str] = []

        def working() -> None:
            with writer.held():
                works.set()
                time.sleep(0.05)
                order.append("record written")

        def dropping() -> None:
            works.wait(10)
            writer.close()
            order.append("state written")

        in_threads(working, dropping)
        assert order == ["record written", "state written"]


class TestPrioritySemaphore:
    @pytest.mark.parametrize("count", [1, 3])
    def test_bound_what_is_in_flight(self, count: int) -> None:
        slots, lock, full = PrioritySemaphore(count), threading.Lock(), threading.Event()
        flying, most = list[int](), list[int]()

        def send() -> None:
            for _ in range(20):
                with slots.slot(0):
                    with lock:
                        flying.append(1)
                        most.append(len(flying))
                        if len(flying) == count:
                            full.set()
                    assert full.wait(10)
                    time.sleep(0.0005)
                    with lock:
                        flying.pop()

        in_threads(*[send] * 6)
        assert max(most) == count

    def test_go_to_the_first_stream_first_and_else_in_turn(self) -> None:
        slots = PrioritySemaphore(1)
        order: list[tuple[int, int]] = []
        threads: list[threading.Thread] = []

        def send(priority: int, number: int) -> None:
            with slots.slot(priority):
                order.append((priority, number))

        with slots.slot(9):
            for number, priority in enumerate([2, 1, 0, 2, 0, 1]):
                threads.append(threading.Thread(target=send, args=(priority, number)))
                threads[-1].start()
                while len(slots._waiting) <= number:
                    time.sleep(0.001)
        for thread in threads:
            thread.join(10)
        assert order == sorted(order)
        assert len(order) == 6

    def test_are_given_back_after_an_error(self) -> None:
        slots = PrioritySemaphore(1)
        for _ in range(3):
            with pytest.raises(OSError, match="reset"), slots.slot(0):
                raise OSError("reset")

    def test_one_is_alone_until_apollo_has_answered(self) -> None:
        slots, lock = PrioritySemaphore(4), threading.Lock()
        trying, most = list[int](), list[int]()

        def send() -> None:
            with slots.alone_at_first():
                with lock:
                    trying.append(1)
                    if not slots._answered:
                        most.append(len(trying))
                time.sleep(0.01)
                if len(most) == 3:
                    slots.answered()
                with lock:
                    trying.pop()

        in_threads(*[send] * 6)
        assert most == [1, 1, 1]


class TestRun:
    def test_runs_all(self) -> None:
        done: list[int] = []
        side_by_side([lambda number=number: done.append(number) for number in range(9)], WriterLock())  # type: ignore[misc]
        assert sorted(done) == list(range(9))

    def test_raises_what_one_raises_and_the_others_stop_where_they_wait(self) -> None:
        writer, over = WriterLock(), threading.Event()
        stopped: queue.SimpleQueue[bool] = queue.SimpleQueue()

        def waits() -> None:
            went_on = False
            try:
                with writer.released():
                    over.wait(10)
                went_on = True
            finally:
                stopped.put(not went_on)

        def fails() -> None:
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            side_by_side([waits, waits, fails], writer)
        over.set()
        assert [stopped.get(timeout=10), stopped.get(timeout=10)] == [True, True]

    def test_does_not_wait_for_who_waits_an_hour(self) -> None:
        writer, hour, ended = WriterLock(), threading.Event(), threading.Event()

        def waits() -> None:
            with contextlib.suppress(StoppedError), writer.released():
                hour.wait(pace.PATIENCE)
            ended.set()

        def fails() -> None:
            raise ValueError("over")

        with pytest.raises(ValueError, match="over"):
            side_by_side([waits, fails], writer)
        assert not ended.is_set()
        hour.set()


def legal(messages: list[dict[str, Any]]) -> bool:
    """Whether each stream has one SCHEMA, before its first RECORD, and STATEs are whole."""
    announced: list[str] = []
    for message in messages:
        if message["type"] == "SCHEMA":
            announced.append(message["stream"])
        elif message["type"] == "RECORD" and message["stream"] not in announced:
            return False
    return len(announced) == len({*announced})


MANY = ("contacts", "contact_sequence_statuses", "accounts", "deals", "tasks", "calls", "outreach_emails", "users")
SIZES = dict.fromkeys(("contacts", "accounts", "deals", "tasks", "calls", "outreach_emails"), 220)


class Dying(_Keep):
    """A run that ends after so many messages: at once, or by a signal."""

    def __init__(self, after: int, *, gently: bool) -> None:
        super().__init__()
        self.after = after
        self.gently = gently
        self.died = False
        self.tap: TapApollo

    def write_message(self, message: Message) -> None:
        if len(self.messages) >= self.after and not self.died:
            self.died = True
            if self.gently:
                self.tap._handle_termination(signal.SIGTERM, None)
            raise KeyboardInterrupt
        if self.died and not self.gently:
            raise KeyboardInterrupt
        super().write_message(message)


@pytest.fixture(scope="module")
def team() -> Iterator[Sandbox]:
    settings: dict[str, Any] = {"seed": 5, "tie_size": 1, "plan": "unlimited", "latency_ms": 25, **SIZES}
    with Sandbox(Settings(**settings)).serve() as sandbox:
        yield sandbox


class TestMessages:
    @pytest.mark.parametrize("slots", [1, 2, 4])
    def test_come_in_legal_order_and_never_more_requests_than_allowed(
        self, team: Sandbox, slots: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        team.reset()
        gate = pace.Gate(monkeypatch, slots)
        whole = sync(team, max_concurrent_requests=slots)
        assert whole.error is None
        assert legal(whole.messages)
        assert gate.most == slots
        assert {name: len(whole.records[name]) for name in SIZES} == SIZES
        streams = [message["stream"] for message in whole.messages if message["type"] == "RECORD"]
        assert len(streams) > len({*streams})

    def test_of_streams_interleave(self, team: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        written, asked = threading.Event(), itertools.count(1)
        write, send = _Keep.write_message, requests.Session.send

        def noted(writer: _Keep, message: Message) -> None:
            write(writer, message)
            if writer.messages[-1]["type"] == "RECORD" and writer.messages[-1]["stream"] == "accounts":
                written.set()

        def held(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
            """Hold the second page of contacts until another stream has written something."""
            if "contacts/search" in str(request.url) and next(asked) > 1:
                assert written.wait(pace.PATIENCE)
            return send(session, request, **options)

        monkeypatch.setattr(_Keep, "write_message", noted)
        monkeypatch.setattr(requests.Session, "send", held)
        run_ = sync(team, "contacts", "accounts", "tasks", max_concurrent_requests=4)
        streams = [message["stream"] for message in run_.messages if message["type"] == "RECORD"]
        changes = sum(one != other for one, other in itertools.pairwise(streams))
        assert changes > 2

    @pytest.mark.parametrize("gently", [False, True], ids=["killed", "terminated"])
    @pytest.mark.parametrize("seed", range(2))
    def test_a_state_never_covers_what_is_not_written(self, team: Sandbox, seed: int, *, gently: bool) -> None:
        random = Random(seed)
        held: dict[str, set[str]] = {name: set() for name in SIZES}
        state: dict[str, Any] | None = None
        for _ in range(2):
            writer = Dying(random.randrange(20, 900), gently=gently)
            writer.tap = TapApollo(config=config_for(team), state=state, message_writer=writer)
            for name, stream in writer.tap.streams.items():
                stream.selected = name in MANY
            try:
                writer.tap.sync_all()
            except (KeyboardInterrupt, SystemExit):
                assert writer.died
            arrived = Sync(writer.messages, None)
            assert legal(arrived.messages)
            state = json.loads(json.dumps(arrived.states[-1] if arrived.states else state))
            for name in held:
                held[name] |= {*arrived.ids(name)}
        last = sync(team, *MANY, state=state)
        assert last.error is None
        for name, ids in held.items():
            assert len(ids | {*last.ids(name)}) == SIZES[name], name

    def test_what_several_want_is_read_once(self, team: Sandbox) -> None:
        team.reset()
        sync(team, "contacts", "accounts", "deals")
        requests = team.ledger.as_dict()["requests"]
        assert requests["typed_custom_fields/index"] == 1


class TestTheFirstRequest:
    def test_with_a_wrong_key_is_the_only_one(self) -> None:
        with Sandbox(Settings(contacts=50, latency_ms=20)).serve() as sandbox:
            wrong = sync_with({**config_for(sandbox), "api_key": "wrong", "max_concurrent_requests": 10})
            assert isinstance(wrong.error, CredentialsError)
            assert sandbox.ledger.as_dict()["requests_total"] == 1
        assert not wrong.records

    def test_to_an_address_where_nobody_is_is_tried_for_one_stream(self, caplog: pytest.LogCaptureFixture) -> None:
        gone = sync_with({"api_key": "k", "api_url": "http://127.0.0.1:9/api/v1", "max_concurrent_requests": 10})
        assert gone.error is not None
        assert "cannot be reached" in gone.error.message
        tries = [record for record in caplog.records if "trying again" in record.getMessage()]
        assert len(tries) == MAX_TRIES - 1
        assert not [record for record in caplog.records if " failed: " in record.getMessage()]

    def test_that_waits_for_its_window_does_not_hold_up_the_other_streams(
        self,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        clock, written = pace.Clock(), threading.Event()
        write = _Keep.write_message

        def noted(writer: _Keep, message: Message) -> None:
            write(writer, message)
            if writer.messages[-1]["type"] == "RECORD" and writer.messages[-1]["stream"] == "users":
                written.set()

        def sleep(seconds: float) -> None:
            assert written.wait(pace.PATIENCE), "the other stream is held up"
            pace.Clock.sleep(clock, seconds)

        monkeypatch.setattr(_Keep, "write_message", noted)
        monkeypatch.setattr(clock, "sleep", sleep)
        clock.install(monkeypatch)
        settings = Settings(contacts=150, limit=("contacts/search=0/1/0",))
        with Sandbox(settings, monotonic=clock.monotonic).serve() as sandbox:
            sync(sandbox, "contacts", max_pages={"contacts": 1}, custom_fields="raw")  # another run, of just now
            both = sync(sandbox, "contacts", "users", max_pages={"contacts": 1}, custom_fields="raw")
        assert both.error is None
        streams = [message["stream"] for message in both.messages if message["type"] == "RECORD"]
        assert streams[0] == "users"
        assert "contacts" in streams

    def test_refused_without_a_word_on_its_windows_is_repeated_a_minute_later(
        self,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        passed: list[float] = [1000.0]
        fast = SimpleNamespace(
            monotonic=lambda: sum(passed),
            sleep=passed.append,
        )
        monkeypatch.setattr("tap_apollo.api.rate_limits.time", fast)
        with Sandbox(Settings(contacts=50)).serve() as sandbox:
            sandbox.faults.add("status", status=429, action="users/search", times=1)
            alone = sync(sandbox, "users")
        assert alone.error is None
        assert 60 <= sum(passed[1:]) <= 62

    def test_that_fails_is_followed_by_those_of_the_others(self) -> None:
        with Sandbox(Settings(contacts=50)).serve() as sandbox:
            sandbox.faults.add("status", action="contacts/search")
            both = sync(sandbox, "contacts", "users")
        assert both.error is not None
        assert both.records["users"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_an_hours_wait_ends_the_run_at_once(tmp_path: Path, stop: signal.Signals) -> None:
    settings = Settings(contacts=250, accounts=250, seed=4, limit=("contacts/search=0/1/0", "accounts/search=0/1/0"))
    with Sandbox(settings).serve() as sandbox:
        config = {**config_for(sandbox), "custom_fields": "raw"}
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", "tap_apollo", "--config", "config.json"]
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            process = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=err)
            try:
                waiting = (b"contacts/search waits for its rate limit", b"accounts/search waits for its rate limit")
                while not all(line in (tmp_path / "err").read_bytes() for line in waiting):
                    assert process.poll() is None
                    time.sleep(0.05)
                process.send_signal(stop)
                code = process.wait(30)  # half of a minute, after which the wait is looked at again
            finally:
                process.kill()
        assert code == 128 + stop
        messages = [json.loads(line) for line in (tmp_path / "out").read_text(encoding="utf-8").splitlines()]
        assert legal(messages)
        assert messages[-1]["type"] == "STATE"
        assert "Traceback" not in (tmp_path / "err").read_text(encoding="utf-8")
