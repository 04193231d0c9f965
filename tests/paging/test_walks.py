"""What a run costs, how an interrupted one goes on, slices, and state that does not fit."""

from __future__ import annotations

import datetime
import json
from random import Random

import pytest

from tap_apollo.paging import FilterIgnoredError, Page, WholePages
from tests.paging.model import ACCOUNTS, CONTACTS, DEALS, Kind, Reader, Server


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("changed", [0, 1, 50, 100, 150, 950])
def test_an_incremental_run_costs_a_page_per_hundred_changes_and_one(changed: int, *, stable: bool) -> None:
    server = Server(stable=stable).fill(3000)
    reader = Reader(server, CONTACTS, per_page=100)
    reader.run(Random(1))
    server.tick(30)
    for row_id in sorted(server.rows)[:changed]:
        server.tick(1)
        server.update(row_id)
    assert reader.run(Random(2)) <= -(-changed // 100) + 1
    reader.assert_complete()


@pytest.mark.parametrize("changed", [0, 1, 50, 150])
def test_accounts_without_an_update_time_cost_two_pages_more(changed: int) -> None:
    server = Server().fill(3000, apart=1)
    reader = Reader(server, ACCOUNTS, per_page=100)
    reader.run(Random(1))
    for row_id in sorted(server.rows)[:changed]:
        server.update(row_id)
    assert reader.run(Random(2)) <= -(-changed // 100) + 3
    reader.assert_complete()
    assert reader.run(Random(3)) == 1


def test_an_account_touched_without_a_change_does_not_hide_the_changes_behind_it() -> None:
    server = Server().fill(300, apart=1)
    reader = Reader(server, ACCOUNTS, per_page=20)
    reader.run(Random(1))
    for row_id in sorted(server.rows)[:30]:
        server.update(row_id)
    for row_id in sorted(server.rows)[-5:]:
        server.touch(row_id)
    reader.run(Random(2))
    reader.assert_complete()


@pytest.mark.matrix
@pytest.mark.parametrize("kind", [CONTACTS, ACCOUNTS, DEALS])
@pytest.mark.parametrize("stable", [True, False])
def test_a_list_is_finished_by_runs_of_thirty_pages(kind: Kind, *, stable: bool) -> None:
    server = Server(stable=stable).fill(10_000, apart=0 if kind is CONTACTS else 1)
    reader = Reader(server, kind, per_page=100)
    runs, random = 0, Random(1)
    while reader.outcome is None:
        reader.run(random, pages=30)
        runs += 1
    assert runs <= -(-100 // 30) + 1
    reader.assert_complete()


def test_a_killed_run_loses_at_most_the_page_it_was_on() -> None:
    server = Server(stable=True).fill(1000, apart=20)
    reader = Reader(server, CONTACTS)
    reader.run(pages=40)
    before = len(server.requests)
    reader.run()
    again = [request.first for request in server.requests[before:]]
    assert again[0] == 0
    assert again[1] in {390, 399}
    assert len(again) <= 62


def test_a_walk_killed_in_its_head_goes_on_from_there_and_then_from_before() -> None:
    server = Server(stable=True).fill(300, apart=20)
    reader = Reader(server, CONTACTS)
    reader.run(pages=10)
    for row_id in sorted(server.rows)[:100]:
        server.tick(20)
        server.update(row_id)
    reader.run(pages=5)
    assert reader.state is not None
    assert len(json.loads(reader.state)["resume_points"]) == 2
    reader.run()
    reader.assert_complete()


def test_ties_that_a_stopped_walk_saw_move_are_still_seen_to_move_by_the_walk_that_has_passed_it() -> None:
    """A careful walk was stopped near the front; the next has read farther, and stands between tied rows, by then."""
    server = Server(stable=True).fill(45)
    reader, random = Reader(server), Random(0)

    def move_behind_its_ties(row_id: str) -> None:
        server.rows[row_id] = server.rows.pop(row_id)

    reader.start()
    reader.page(random)
    move_behind_its_ties("r0034")  # from the end of the first page to the second
    reader.page(random)
    assert reader.state is not None
    assert json.loads(reader.state)["resume_points"][0]["careful"] is True

    reader.start()
    for _ in range(4):
        reader.page(random)
    assert reader.state is not None
    assert len(json.loads(reader.state)["resume_points"]) == 1  # the stop is passed
    move_behind_its_ties("r0004")  # from the end of the fourth page to the fifth, where r0005 was to come
    while reader.walk:
        reader.page(random)
    reader.assert_complete()


def test_a_whole_list_is_counted() -> None:
    reader = Reader(Server().fill(95))
    reader.run(Random(5))
    assert reader.outcome is not None
    assert (reader.outcome.seen, reader.outcome.total, reader.outcome.verified) == (95, 95, True)


def test_a_total_that_is_never_met_is_said_after_some_rereading() -> None:
    server = Server().fill(20)
    server.lies_by = 3
    reader = Reader(server)
    assert 2 + 3 * 2 <= reader.run() <= 24
    assert reader.outcome is not None
    assert reader.outcome.missing == 3
    assert reader.outcome.shortfall == "3 of 23 records were not found"


@pytest.mark.parametrize("seed", range(10))
def test_changes_that_share_one_moment_and_fill_more_than_a_page_are_all_found(seed: int) -> None:
    """As after a bulk edit: no page holds the tie whole, and an incremental run has no total to count against."""
    server = Server(tie=1000).fill(100, apart=20)
    reader, random = Reader(server), Random(seed)
    reader.run(random)
    for row_id in sorted(server.rows)[:35]:
        server.update(row_id)
    reader.run(random)
    reader.assert_complete()


@pytest.mark.parametrize("seed", range(10))
def test_ties_of_a_time_that_is_not_shown_are_found_by_the_count(seed: int) -> None:
    """Accounts: longer runs than the edge of a page that is read again, in no order that rows would tell."""
    server = Server(tie=8).fill(400)
    reader = Reader(server, ACCOUNTS, per_page=20)
    reader.run(Random(seed))
    reader.assert_complete()
    assert reader.outcome
    assert reader.outcome.verified


def test_a_late_row_within_the_safety_margin_is_found() -> None:
    """Apollo's index lags: a row surfaces with a time before the bookmark."""
    server = Server(stable=True).fill(50, apart=20)
    reader = Reader(server)
    reader.run()
    late = min(server.rows)
    newest = max(str(row["at"]) for row in server.rows.values())
    surfaced = datetime.datetime.fromisoformat(newest) - datetime.timedelta(minutes=9)
    server.update(late, at=surfaced.isoformat(timespec="microseconds"))
    reader.run()
    reader.assert_complete()


class TestSlices:
    def test_a_list_past_the_limit_comes_whole_by_slices(self) -> None:
        server = Server(stages=3, display_limit=100).fill(250, apart=1)
        reader = Reader(server)
        reader.run(Random(1))
        reader.assert_complete()
        assert reader.outcome is not None
        assert reader.outcome.verified

    @pytest.mark.parametrize("pages", [7, 30])
    def test_slices_that_are_too_long_are_read_from_both_ends_in_runs_of_any_length(self, pages: int) -> None:
        server = Server(stages=2, display_limit=100).fill(390, apart=1)
        reader = Reader(server)
        random = Random(1)
        for _ in range(40):
            reader.run(random, pages=pages)
            if reader.outcome:
                break
        reader.assert_complete()
        assert reader.outcome is not None
        assert reader.outcome.missing == 0

    def test_what_no_slice_reaches_is_named(self) -> None:
        server = Server(stages=1, display_limit=100).fill(260, apart=1)
        reader = Reader(server)
        reader.run(Random(1))
        assert reader.outcome is not None
        assert reader.outcome.missing == 60
        assert reader.outcome.shortfall == "60 of 260 records were not read, as Apollo shows 100 of one list"

    def test_an_ignored_filter_is_refused(self) -> None:
        server = Server(stages=3, display_limit=100).fill(250, apart=1)
        server.ignores_filters = True
        with pytest.raises(FilterIgnoredError, match="s0"):
            Reader(server).run()

    def test_incremental_runs_after_a_sliced_walk_are_cheap(self) -> None:
        server = Server(stages=3, display_limit=100).fill(250, apart=1)
        reader = Reader(server)
        reader.run(Random(1))
        server.tick(30)
        server.insert()
        assert reader.run(Random(2)) == 2
        reader.assert_complete()

    def test_more_changes_than_the_limit_are_read_by_slices(self) -> None:
        server = Server(stages=3, display_limit=100).fill(250, apart=1)
        reader = Reader(server)
        reader.run(Random(1))
        server.tick(30)
        for row_id in sorted(server.rows)[:150]:
            server.tick(1)
            server.update(row_id)
        reader.run(Random(2))
        reader.assert_complete()

    def test_a_slice_that_is_gone_is_read_again_from_the_first(self) -> None:
        server = Server(stages=3, display_limit=100).fill(250, apart=1)
        reader = Reader(server)
        reader.run(Random(1), pages=5)
        assert reader.state is not None
        reader.state = reader.state.replace('"part": "s0"', '"part": "s9"')
        reader.start()
        walk = reader.walk
        assert walk
        while reader.walk:
            reader.page(Random(2))
        assert "s9" in walk.restarted
        reader.assert_complete()


@pytest.mark.parametrize("kind", [CONTACTS, ACCOUNTS, DEALS])
@pytest.mark.parametrize("pages", [None, 5])
def test_the_state_of_another_account_is_not_trusted(kind: Kind, pages: int | None) -> None:
    mine, other = Server().fill(200, apart=1), Server()
    reader = Reader(mine, kind)
    reader.run(Random(1), pages=pages)
    other._serial = 5000  # its ids are its own
    reader.server = other.fill(150, apart=1)
    other.hides_times = mine.hides_times
    reader.warehouse = {}
    reader.run(Random(2))
    reader.run(Random(3))
    reader.assert_complete()


def test_a_list_without_rows_and_a_list_that_comes_whole() -> None:
    assert Reader(Server()).run() == 1
    with pytest.raises(StopIteration):
        next(WholePages(0).pages())
    pages = WholePages().pages()
    next(pages)
    with pytest.raises(StopIteration) as end:
        pages.send(Page([{"id": "1"}, {"id": "2"}]))
    assert end.value.value.seen == 2
