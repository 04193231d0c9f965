"""The rules of one list, each with the case it is there for."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_apollo.paging import Page, PageRequest
from tap_apollo.paging.reader import Ids, ListReader, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    Edit = Callable[[list[str]], None]


def read(
    rows: list[str],
    edits: dict[int, Edit] | None = None,
    *,
    total: bool = True,
    own_page_size: int | None = None,
    **options: Any,
) -> tuple[list[str], list[PageRequest], ListReader]:
    """Read a list of names; a name's first letter is its sort value. Edits happen before the request of that number."""
    options = {"key": lambda row: str(row["id"])[0], "per_page": 10, **options}
    reader = ListReader({}, Tally(), **options)
    requests: list[PageRequest] = []
    delivered: list[str] = []
    while request := reader.next_request():
        if edit := (edits or {}).get(len(requests)):
            edit(rows)
        requests.append(request)
        per_page = own_page_size or request.per_page
        first = (request.number - 1) * per_page
        page = Page([{"id": row} for row in rows[first : first + per_page]], len(rows) if total else None, per_page)
        reader.take(page)
        delivered += [row["id"] for row in page.records]
    return delivered, requests, reader


def names(count: int) -> list[str]:
    """Names of which no two sort alike."""
    return [chr(0x4E00 + number) for number in range(count)]


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 20, 95])
def test_a_still_list_takes_no_request_too_many(length: int) -> None:
    delivered, requests, reader = read(names(length))
    assert delivered == names(length)
    assert len(requests) == max(1, -(-length // 10))
    assert reader.done


@pytest.mark.parametrize(("length", "requests"), [(0, 1), (9, 1), (10, 2), (11, 2), (20, 3)])
def test_without_a_total_a_page_that_is_not_full_is_the_last(length: int, requests: int) -> None:
    delivered, made, _ = read(names(length), total=False)
    assert len(delivered) == length
    assert len(made) == requests


def test_shrink_what_was_deleted_before_the_reader_is_gone_back_for() -> None:
    rows = names(40)

    def delete_three(rows: list[str]) -> None:
        del rows[2:5]

    delivered, requests, _ = read(rows, {2: delete_three})
    assert set(names(40)[5:]) <= set(delivered)
    assert [request.first for request in requests][:4] == [0, 10, 20, 16]


def test_shrink_deletions_hidden_by_insertions_cost_nothing() -> None:
    """Two in, two out: the total is as it was, and so are the unread rows."""
    rows = names(40)

    def swap(rows: list[str]) -> None:
        del rows[3:5]
        rows[0:0] = ["X", "Y"]

    delivered, requests, _ = read(rows, {2: swap})
    assert set(names(40)[5:]) <= set(delivered)
    assert len(requests) == 4


def test_an_insertion_brings_rows_twice_and_delivers_them_once() -> None:
    delivered, _, _ = read(names(30), {1: lambda rows: rows.insert(0, "X")})
    assert sorted(delivered) == names(30)


def test_ties_a_row_that_swapped_places_across_the_edge_is_found() -> None:
    rows = [*names(9), "Ta", "Tb", *names(30)[9:]]

    def swap(rows: list[str]) -> None:
        rows[9], rows[10] = rows[10], rows[9]

    delivered, requests, _ = read([*rows], {1: swap})
    assert sorted(delivered) == sorted(rows)
    assert [(request.first, request.per_page) for request in requests][:3] == [(0, 10), (10, 10), (9, 9)]


def test_ties_a_row_that_swapped_places_while_the_list_shrank_is_found() -> None:
    """The page begins before the position, and the row that comes twice stands between: there, too, it tells."""
    rows = [*names(26), "Ta", "Tb", "Tc"]

    def swap_and_delete(rows: list[str]) -> None:
        rows[27], rows[28] = rows[28], rows[27]
        del rows[0]

    delivered, requests, _ = read(rows, {1: swap_and_delete}, position=21, per_page=9)
    assert [(request.first, request.per_page) for request in requests][:2] == [(21, 7), (27, 9)]
    assert {"Ta", "Tb", "Tc"} <= set(delivered)


@pytest.mark.parametrize("seed", range(20))
def test_ties_once_known_to_move_are_held_whole_by_one_page(seed: int) -> None:
    ties = [f"{chr(0x4E00 + group)}{member}" for group in range(200) for member in "abc"]
    random = Random(seed)

    def shuffle(rows: list[str]) -> None:
        rows.sort(key=lambda row: (row[0], random.random()))

    delivered, requests, _ = read([*ties], dict.fromkeys(range(500), shuffle), careful=True, per_page=100)
    assert sorted(delivered) == ties
    assert len(requests) <= 8


def test_ties_longer_than_a_page_do_not_stop_the_reader() -> None:
    delivered, _, reader = read([f"T{number:02}" for number in range(35)], careful=True)
    assert len(delivered) == 35
    assert reader.done


def test_a_list_may_have_a_page_size_of_its_own() -> None:
    delivered, requests, _ = read(names(23), own_page_size=4)
    assert delivered == names(23)
    assert [request.number for request in requests] == [1, 2, 3, 4, 5, 6]


def test_past_what_apollo_shows_the_list_is_out_of_reach() -> None:
    delivered, _, reader = read(names(51), display_limit=50)
    assert len(delivered) == 50
    assert reader.out_of_reach
    assert not read(names(50), display_limit=50)[2].out_of_reach


def test_near_the_limit_smaller_pages_reach_up_to_it() -> None:
    delivered, requests, reader = read(names(60), display_limit=50, position=45, careful=True)
    assert delivered[-5:] == names(60)[45:50]
    assert max(request.number * request.per_page for request in requests) <= 50
    assert reader.out_of_reach


def test_an_empty_page_ends_a_list_whose_total_lies() -> None:
    reader = ListReader({}, Tally(), per_page=10)
    assert reader.next_request()
    reader.take(Page([], total=1000))
    assert reader.next_request() is None


def test_a_later_run_goes_on_before_the_rows_that_may_be_tied() -> None:
    _, _, reader = read([*names(8), "Ta", "Tb"])
    assert reader.position == 10
    assert reader.resume_at == 8


@pytest.mark.parametrize("seed", range(20))
def test_where_ties_move_unseen_a_later_run_goes_on_a_page_earlier(seed: int) -> None:
    """A list that does not show what it sorts by: the first run resume_points among tied rows."""
    rows, random = names(60), Random(seed)
    first = ListReader({}, Tally(), per_page=10, position=15, careful=True)
    request = first.next_request()
    assert request
    seen = rows[request.first : request.first + request.per_page]
    first.take(Page([{"id": row} for row in seen], total=60))
    delivered = [*rows[:15], *seen]

    tie = slice(first.position - 5, first.position + 5)
    tied = rows[tie]
    random.shuffle(tied)
    rows[tie] = tied
    later, _, _ = read(rows, key=None, position=first.resume_at, careful=True)
    assert {*delivered, *later} == {*rows}


PACKED = st.binary(min_size=12, max_size=12).map(bytes.hex)


@given(st.lists(PACKED | st.text("0aA", max_size=26), unique=True), st.lists(PACKED | st.text("0aA", max_size=26)))
def test_ids_are_remembered_as_by_a_set(known: list[str], others: list[str]) -> None:
    ids = Ids()
    for record_id in known:
        ids.add(record_id)
    assert len(ids) == len(known)
    assert [one in ids for one in known + others] == [True] * len(known) + [one in known for one in others]


def test_an_id_that_stands_across_two_others_is_not_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ids, "_BUCKETS", 1)
    ids = Ids()
    for record_id in ("00" * 6 + "ff" * 6, "00" * 6 + "11" * 6):
        ids.add(record_id)
    assert "ff" * 6 + "00" * 6 not in ids
    assert "00" * 6 + "11" * 6 in ids
