"""Pages fetched before they are wanted: in order, bounded, and only where a count proves that none was missed."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.paging import Listing, ListWalk, Page, PageRequest
from tap_apollo.readers.cursor import Cursor, Fleeting
from tap_apollo.readers.prefetch import LookAhead
from tests.pace import Gate
from tests.singer import sync
from tests.test_resume import Seconds, Warehouse, content

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACTIONS = {
    "contacts": "contacts/search",
    "accounts": "accounts/search",
    "tasks": "tasks/search",
    "calls": "phone_calls/search",
    "people": "mixed_people/api_search",
}
PEOPLE = {"people_searches": [{"name": "all", "filters": {"person_titles": ["e"]}}]}


class Lists:
    """A list in memory, and who asks for its pages at the same time."""

    def __init__(self, rows: int, *, per_page: int = 10) -> None:
        self.rows = [{"id": f"{number:04}"} for number in range(rows)]
        self.per_page = per_page
        self.asked: list[int] = []
        self.flying = 0
        self.most_flying = 0
        self.held = 0
        self.most_held = 0
        self._lock = threading.Lock()

    def page(self, request: PageRequest) -> Page:
        with self._lock:
            self.asked.append(request.number)
            self.flying += 1
            self.held += 1
            self.most_flying = max(self.most_flying, self.flying)
            self.most_held = max(self.most_held, self.held)
        time.sleep(0.002 * (request.number % 3))
        with self._lock:
            self.flying -= 1
        return Page(self.rows[request.first : request.first + request.per_page], total=len(self.rows))

    def read(
        self,
        *,
        depth: int,
        limit: int | None = None,
        room: Callable[[int], float] = lambda _: float("inf"),
        walk: Any = None,
    ) -> list[str]:
        """Read the list; `room` tells how many more requests may go when so many are not answered yet."""
        walk = walk or ListWalk(Listing(per_page=self.per_page))
        ahead = LookAhead(
            self.page,
            depth,
            lambda: room(sum(not coming.done() for _, coming in ahead._asked)),
        )

        def fetch(request: PageRequest, _: LookAhead) -> Page:
            coming = ahead.take(request)
            page: Page = coming.result() if coming else self.page(request)
            return page

        io: Any = SimpleNamespace(fetch=fetch, pages=0, keeps_place=False, needed_by=None)

        found = []
        for rows in Cursor(io, Fleeting(walk), limit, ahead=ahead):
            found += [row["id"] for row in rows]
            self.held -= 1
        return found


class TestReading:
    @pytest.mark.parametrize("depth", [1, 2, 4, 20])
    @pytest.mark.parametrize("rows", [0, 1, 10, 11, 95, 100])
    def test_rows_come_in_order_and_no_page_is_asked_for_twice(self, rows: int, depth: int) -> None:
        one, lists = Lists(rows), Lists(rows)
        assert lists.read(depth=depth) == one.read(depth=1) == [row["id"] for row in lists.rows]
        assert sorted(lists.asked) == sorted(one.asked)

    @pytest.mark.parametrize("depth", [1, 2, 4])
    def test_no_more_than_the_depth_is_in_flight_or_held(self, depth: int) -> None:
        lists = Lists(200)
        lists.read(depth=depth)
        assert lists.most_flying <= depth
        assert lists.most_held <= depth + (depth > 1)  # the page that is worked on, and those asked for

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 9])
    @pytest.mark.parametrize("depth", [1, 2, 4, 20])
    def test_the_page_limit_is_never_passed(self, limit: int, depth: int) -> None:
        lists = Lists(100)
        assert len(lists.read(depth=depth, limit=limit)) == 10 * limit
        assert sorted(lists.asked) == list(range(1, limit + 1))

    def test_the_last_requests_of_a_window_are_for_pages_that_are_wanted(self) -> None:
        lists = Lists(100)
        assert len(lists.read(depth=4, room=lambda _: 1)) == 100
        assert lists.most_flying == 1

    @pytest.mark.parametrize("room", [2, 3, 4])
    def test_no_more_is_asked_for_than_the_window_bears(self, room: int) -> None:
        lists = Lists(100)
        assert len(lists.read(depth=8, room=lambda flying: max(0, room - flying))) == 100
        assert lists.most_flying <= room

    def test_what_was_asked_for_in_vain_is_forgotten(self) -> None:
        """The walk goes back: the pages that follow where it was are of no use any more."""
        lists = Lists(100)
        shrunk = threading.Event()
        plain = lists.page

        def page(request: PageRequest) -> Page:
            if request.number == 3 and not shrunk.is_set():
                shrunk.set()
                del lists.rows[:5]
            return plain(request)

        lists.page = page  # type: ignore[method-assign]
        assert {*lists.read(depth=4)} >= {row["id"] for row in lists.rows}

    def test_an_error_comes_when_its_page_is_wanted(self) -> None:
        lists = Lists(100)
        plain = lists.page

        def page(request: PageRequest) -> Page:
            if request.number == 4:
                raise OSError("reset")
            return plain(request)

        lists.page = page  # type: ignore[method-assign]
        walk = ListWalk(Listing(per_page=10))
        with pytest.raises(OSError, match="reset"):
            lists.read(depth=4, walk=walk)
        assert walk.resume_points()[0].position == 30 - 1  # before the rows that may be tied

    def test_a_walk_without_a_total_is_not_looked_ahead_of(self) -> None:
        lists = Lists(100)
        plain = lists.page
        lists.page = lambda request: Page(plain(request).records)  # type: ignore[method-assign]
        assert len(lists.read(depth=4)) == 100
        assert lists.most_flying == 1


SIZES: dict[str, Any] = dict.fromkeys(("contacts", "accounts", "tasks", "calls", "people"), 620)
TEAM = Settings(**SIZES, seed=9, tie_size=1, plan="unlimited", latency_ms=80)


@pytest.fixture(scope="module")
def team() -> Iterator[Sandbox]:
    with Sandbox(TEAM).serve() as running:
        yield running


@pytest.fixture
def own(team: Sandbox) -> Sandbox:
    team.reset()
    return team


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))


def requests(sandbox: Sandbox, stream: str) -> int:
    return int(sandbox.ledger.as_dict()["requests"].get(ACTIONS[stream], 0))


def read(sandbox: Sandbox, stream: str, slots: int = 4, **settings: Any) -> Any:
    more = {"custom_fields": "raw", **PEOPLE, **settings}
    return sync(sandbox, stream, max_concurrent_requests=slots, **more)


@pytest.mark.parametrize("stream", ACTIONS)
def test_a_whole_walk_asks_for_four_pages_at_once_and_for_none_more(
    own: Sandbox, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = read(own, stream, 1)
    assert own.ledger.max_in_flight == 1
    asked = requests(own, stream)
    own.reset()
    gate = Gate(monkeypatch, 4, ACTIONS[stream])
    ahead = read(own, stream, 4)
    assert gate.most == 4
    assert requests(own, stream) == asked
    assert ahead.ids(stream) == alone.ids(stream)
    assert ahead.error is None


@pytest.mark.parametrize("pages", [1, 3])
@pytest.mark.parametrize("stream", ["contacts", "tasks", "calls"])
def test_the_page_limit_is_never_passed(own: Sandbox, stream: str, pages: int) -> None:
    run = read(own, stream, max_pages={stream: pages})
    assert len(run.ids(stream)) == 100 * pages
    time.sleep(0.05)
    assert requests(own, stream) == pages


@pytest.mark.parametrize("stream", ["contacts", "accounts", "tasks"])
def test_a_resumed_walk_is_read_page_by_page(own: Sandbox, stream: str) -> None:
    first = read(own, stream, max_pages={stream: 2})
    own.reset()
    second = read(own, stream, state=first.state)
    assert own.ledger.max_in_flight == 1
    assert len({*first.ids(stream), *second.ids(stream)}) == 620


@pytest.mark.parametrize("stream", ["contacts", "accounts"])
def test_an_incremental_walk_is_read_page_by_page(stream: str) -> None:
    seconds, settings = Seconds(), Settings(contacts=500, accounts=500, tie_size=1, plan="unlimited", latency_ms=50)
    with Sandbox(settings, monotonic=seconds).serve() as own:
        first = read(own, stream)
        for key in first.ids(stream)[-350:]:
            getattr(own.world, f"touch_{stream.removesuffix('s')}")(key)
            seconds.passed += 1
        own.reset()
        second = read(own, stream, state=first.state)
        assert requests(own, stream) >= 4
        assert own.ledger.max_in_flight == 1
        assert {*first.ids(stream)[-350:]} <= {*second.ids(stream)}


@pytest.mark.parametrize(
    ("stream", "settings"),
    [
        ("organizations", {"organization_searches": [{"name": "a", "filters": {"organization_locations": ["e"]}}]}),
        ("person_details", PEOPLE),
        ("organization_enrichment", {}),
        ("people_enrichment", {"people_enrichment": {"from": "contacts"}}),
    ],
)
def test_charged_requests_go_one_by_one(own: Sandbox, stream: str, settings: dict[str, Any]) -> None:
    filters = {
        "organization_searches": [{"name": "a", "filters": {"organization_num_employees_ranges": ["1,9999999"]}}]
    }
    settings = {**settings, **(filters if stream == "organizations" else {})}
    run = sync(own, stream, credit_streams=[stream], credit_budget=12, max_concurrent_requests=4, **settings)
    assert run.error is None
    assert own.ledger.credits_spent > 0
    assert own.ledger.max_in_flight == 1


@pytest.mark.parametrize("seed", [6])
@pytest.mark.parametrize("stream", ["contacts", "accounts", "tasks"])
def test_while_people_work_two_runs_hold_every_living_record(
    stream: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(contacts=700, accounts=700, tasks=700, seed=seed, edits_per_request=2, latency_ms=60)
    with Sandbox(settings).serve() as sandbox:
        warehouse, state = Warehouse(), None
        with monkeypatch.context() as patch:
            gate = Gate(patch, 2, ACTIONS[stream])
            state = warehouse.load(sync(sandbox, stream, state=state), stream)
        assert gate.most > 1
        sandbox.edits_per_request = 0
        state = warehouse.load(sync(sandbox, stream, state=state), stream)
        living = {record["id"]: record for record in sync(sandbox, stream).records[stream]}
    assert warehouse.keys() >= living.keys()
    for key, record in living.items():
        if stream == "contacts":  # an account that is deleted leaves them without an update
            assert warehouse[key]["updated_at"] == record["updated_at"]
        else:
            assert content(warehouse[key]) == content(record)


def test_at_most_four_pages_are_held(own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    fill = LookAhead.fill

    def noted(ahead: LookAhead, wanted: PageRequest, walk: Any, most: int | None) -> None:
        fill(ahead, wanted, walk, most)
        held.append(len(ahead._asked))

    monkeypatch.setattr(LookAhead, "fill", noted)
    assert len(read(own, "tasks").ids("tasks")) == 620
    assert max(held) == 4


def test_a_stream_that_fails_leaves_a_state_before_the_pages_asked_for(own: Sandbox) -> None:
    own.faults.add("status", action="tasks/search", status=500, after=4)
    run = read(own, "tasks")
    own.faults.clear()
    assert run.error is not None
    again = read(own, "tasks", state=run.state)
    assert again.error is None
    assert len({*run.ids("tasks"), *again.ids("tasks")}) == 620


def test_streams_share_the_slots(own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, 4)
    run = sync(own, "contacts", "accounts", "tasks", "calls", max_concurrent_requests=4, custom_fields="raw")
    assert run.error is None
    assert gate.most == 4
