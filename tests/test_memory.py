"""What is remembered is read as it was written; what is of another form is refused, and crashes nothing."""

from __future__ import annotations

import copy
import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_apollo.paging import DateWindow, Frontier, Mark, ResumePoint, TimeMark, WindowResumePoint
from tap_apollo.singer.memory import (
    PLACE,
    Bookmark,
    ListPlace,
    Memory,
    Moment,
    StateError,
    WindowPlace,
    encoded,
)
from tests.states import through_json

WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
AT = "2026-01-01T00:00:00.000000+00:00"

Times = ListPlace[Moment]
Fronts = ListPlace[list[str]]


def key(row: dict[str, Any]) -> str:
    return str(row["at"])


def time_mark(value: str) -> Mark:
    return TimeMark(value, key)


def stopped_list() -> ListPlace[Moment]:
    place = ListPlace(Moment(AT), (), ("a", "b"), WHEN)
    place.note_resume_point(
        [ResumePoint(390, 1000, 395, TimeMark(AT, key), "contact_stage_ids=5f/newest", ("a", "b"), careful=True)]
    )
    return place


def stopped_windows() -> WindowPlace:
    place = WindowPlace(None, ("a",), WHEN, ((Moment(AT), "a"),), Moment(AT), Moment(AT))
    place.note_resume_point(WindowResumePoint((DateWindow(WHEN.date(), WHEN.date()),), 10, None, ("b",)))
    return place


def read(bookmark: Any, kind: Any) -> Any:
    return Memory(copy.deepcopy(bookmark), Bookmark[kind]).held.place[0]


LIST, WINDOW = (json.loads(json.dumps(encoded(one))) for one in (stopped_list(), stopped_windows()))


def test_what_is_written_is_read() -> None:
    place = through_json(stopped_list(), Times)
    assert place == stopped_list()
    (stop,) = place.stopped(time_mark)
    assert stop.mark.value == AT
    assert (stop.position, stop.total, stop.careful) == (390, 1000, True)
    windows = through_json(stopped_windows(), WindowPlace)
    assert windows == stopped_windows()
    assert windows.stopped() == WindowResumePoint((DateWindow(WHEN.date(), WHEN.date()),), 10, None, ("b",))
    frontier = ListPlace(Frontier(["a" * 12] * 3).value)
    assert through_json(frontier, Fronts) == frontier


def test_what_is_nothing_is_left_out() -> None:
    assert encoded(Bookmark((ListPlace(),))) == {PLACE: ({},)}
    assert read({}, Times) == ListPlace()


def test_where_a_walk_was_killed_after_its_last_page_none_is_gone_on_with() -> None:
    place = WindowPlace()
    place.note_resume_point(WindowResumePoint(()))
    assert through_json(place, WindowPlace).stopped() is None


def test_the_value_beside_the_place_is_written_and_never_read() -> None:
    bookmark: dict[str, Any] = {PLACE: [LIST], "replication_key": 7, "replication_key_value": "yesterday"}
    memory = Memory(bookmark, Bookmark[Times], "updated_at")
    memory.write()
    assert bookmark["replication_key"] == "updated_at"
    assert bookmark["replication_key_value"] == AT
    assert read(bookmark, Times) == stopped_list()


OLDER, UNKNOWN = "is of an older form", "cannot be used, as it is of an unknown form"


@pytest.mark.parametrize(
    ("bookmark", "reason"),
    [
        ({"replication_key_value": AT}, OLDER),
        ({"walk": {"version": 1, "known_ids": []}}, OLDER),
        ({PLACE: None}, UNKNOWN),
        ({PLACE: {}}, UNKNOWN),
        ({PLACE: []}, UNKNOWN),
        ({PLACE: [{}, {}]}, UNKNOWN),
        ({PLACE: [{}], "walk": {}}, UNKNOWN),
        *(
            ({PLACE: [place]}, UNKNOWN)
            for place in (
                {"version": 2},
                {"known_ids": "abc"},
                {**LIST, "resume_points": [{}]},
                {**LIST, "resume_points": [{**LIST["resume_points"][0], "position": -1}]},
                {**LIST, "resume_points": [{**LIST["resume_points"][0], "position": True}]},
                {**LIST, "resume_points": [{**LIST["resume_points"][0], "part": 5}]},
                {**LIST, "resume_points": [{**LIST["resume_points"][0], "mark": ["a"]}]},
                {**LIST, "covered": ["a" * 12]},
                {**LIST, "covered": {"at": AT}},
                {**LIST, "covered": "yesterday"},
                {**LIST, "covered": "0001-01-01T00:00:00+00:00"},
                {**LIST, "covered": "2026-02-30T00:00:00+00:00"},
                {**LIST, "walked_at": "2026-01-01"},
                WINDOW,
            )
        ),
    ],
)
def test_what_does_not_read_as_it_should_is_refused(bookmark: Any, reason: str) -> None:
    with pytest.raises(StateError, match=reason):
        read(bookmark, Times)


def test_what_stands_in_a_state_is_not_quoted() -> None:
    with pytest.raises(StateError) as refused:
        read({PLACE: [{"covered": "ada@example.com"}]}, Times)
    assert "ada" not in f"{refused.value}"


@pytest.mark.parametrize(
    "stop",
    [{}, {"windows": [["2026-01-02", "2026-01-01"]]}, {"windows": [["x", "y"]]}, {"windows": [["2026-01-02"]]}, 5],
)
def test_a_window_that_is_none_is_refused(stop: Any) -> None:
    with pytest.raises(StateError):
        read({PLACE: [{**WINDOW, "resume_point": stop}]}, WindowPlace)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab0-:", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "position"]), inner),
    max_leaves=4,
)


@given(data=st.data(), value=JSON)
def test_however_it_was_edited_it_is_read_or_refused(data: st.DataObject, value: Any) -> None:
    for original, kind in ((LIST, Times), (WINDOW, WindowPlace)):
        state = copy.deepcopy(original)
        node: Any = state
        while True:
            part = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if isinstance(node[part], (dict, list)) and node[part] and data.draw(st.booleans()):
                node = node[part]
                continue
            node[part] = value
            break
        try:
            read_place = read({PLACE: [state]}, kind)
        except StateError:
            continue
        if isinstance(read_place, WindowPlace):
            read_place.stopped()
        else:
            assert read_place.covered is None or time_mark(read_place.covered)
            read_place.stopped(time_mark)
