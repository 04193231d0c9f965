"""State that was not written by this version, for this walk, is refused as a whole and never crashes the reader."""

from __future__ import annotations

import copy
import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_apollo.paging import (
    DateWindow,
    Frontier,
    ListMemory,
    StateError,
    Stop,
    TimeMark,
    WindowMemory,
    WindowStop,
)

WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
AT = "2026-01-01T00:00:00.000000+00:00"


def key(row: dict[str, Any]) -> str:
    return str(row["at"])


def read_mark(state: Any) -> TimeMark:
    return TimeMark(state["at"], key)


def written_again(memory: type[ListMemory | WindowMemory], state: Any) -> dict[str, Any]:
    """Read a state, and return what would be written of it."""
    read = WindowMemory.from_state(state) if memory is WindowMemory else ListMemory.from_state(state, read_mark)
    return read.to_state()


LIST = ListMemory(
    TimeMark(AT, key),
    (Stop(390, 1000, 395, TimeMark(AT, key), "contact_stage_ids=5f/newest", ("a", "b")),),
    ("a", "b"),
    WHEN,
).to_state()
WINDOW = WindowMemory(WindowStop((DateWindow(WHEN.date(), WHEN.date()),), 10, None, ("b",)), ("a",), WHEN).to_state()


def test_what_is_written_is_read() -> None:
    assert ListMemory.from_state(json.loads(json.dumps(LIST)), read_mark).to_state() == LIST
    assert WindowMemory.from_state(json.loads(json.dumps(WINDOW))).to_state() == WINDOW
    frontier = ListMemory(Frontier(["a" * 12] * 3)).to_state()
    assert ListMemory.from_state(frontier, lambda state: Frontier(state["digests"])).to_state() == frontier


def test_where_a_runner_merges_states_the_stop_of_a_walk_does_not_outlive_it() -> None:
    """As Meltano does after a full refresh: it puts the new state's entries over those of the old."""
    ended = ListMemory(TimeMark(AT, key), (), ("c",), WHEN)
    assert not ListMemory.from_state({**LIST, **ended.to_state()}, read_mark).stops
    by_dates = WindowMemory(None, ("c",), WHEN)
    assert WindowMemory.from_state({**WINDOW, **by_dates.to_state()}) == by_dates


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (None, "older version"),
        ({}, "older version"),
        ([], "older version"),
        ({"version": 0}, "version 0"),
        ({"version": 1}, "damaged"),
        ({"version": 1, "witnesses": "abc"}, "damaged"),
        ({**LIST, "stops": [{}]}, "damaged"),
        ({**LIST, "stops": [{**LIST["stops"][0], "position": -1}]}, "damaged"),
        ({**LIST, "stops": [{**LIST["stops"][0], "position": True}]}, "damaged"),
        ({**LIST, "stops": [{**LIST["stops"][0], "part": 5}]}, "damaged"),
        ({**LIST, "covered": {"at": "yesterday"}}, "damaged"),
        ({**LIST, "walked_at": "2026-01-01"}, "damaged"),
    ],
)
def test_what_does_not_read_as_it_should_is_refused(state: Any, reason: str) -> None:
    with pytest.raises(StateError, match=reason):
        ListMemory.from_state(state, read_mark)


@pytest.mark.parametrize(
    "stop",
    [{}, {"windows": [["2026-01-02", "2026-01-01"]], "position": 0, "total": None}, {"windows": [["x", "y"]]}, 5],
)
def test_a_window_that_is_none_is_refused(stop: Any) -> None:
    with pytest.raises(StateError):
        WindowMemory.from_state({**WINDOW, "stop": stop})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("ab0-:", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "position"]), inner),
    max_leaves=4,
)


@given(data=st.data(), value=JSON)
def test_however_it_was_edited_it_is_read_or_refused(data: st.DataObject, value: Any) -> None:
    for original, memory in ((LIST, ListMemory), (WINDOW, WindowMemory)):
        state = copy.deepcopy(original)
        node: Any = state
        while True:
            place = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if isinstance(node[place], (dict, list)) and node[place] and data.draw(st.booleans()):
                node = node[place]
                continue
            node[place] = value
            break

        written, refused = {}, ""
        try:
            written = written_again(memory, state)
        except StateError as error:
            refused = str(error)
        assert refused.startswith("it is ") or written_again(memory, json.loads(json.dumps(written))) == written
