"""A runner merges states, the newer into the older: no purchase is lost by it, and no place is mixed."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apollo_sandbox import Sandbox, Settings
from tap_apollo.credits import SPENDING
from tap_apollo.singer.memory import Memory, Spent, decoded
from tap_apollo.streams import STREAMS
from tests.conftest import REPORTS, UNLIMITED
from tests.singer import Sync, sync
from tests.states import merged

if TYPE_CHECKING:
    from collections.abc import Iterable

#: A stream of each kind of memory.
KINDS = (
    "contacts",
    "accounts",
    "deals",
    "outreach_emails",
    "contact_details",
    "notes",
    "deal_details",
    "analytics_reports",
    "organizations",
    "news_articles",
    "organization_enrichment",
    "person_details",
    "people_enrichment",
    "conversation_details",
    "conversation_exports",
    "enrichment_results",
)

PHONES = {"from": "contacts", "reveal_phone_number": True, "webhook_url": "https://example.com/hook"}

BUYING: dict[str, Any] = {
    "credit_streams": [name for name in KINDS if name in STREAMS and STREAMS[name].reads.costs],
    "organization_searches": [{"name": "all", "filters": {"organization_locations": ["United States"]}}],
    "people_searches": [{"name": "all", "filters": {"person_titles": ["Engineer"]}}],
    "people_enrichment": PHONES,
    "analytics_reports": REPORTS,
}


def small(seconds: int = 0) -> Sandbox:
    size = Settings(contacts=240, accounts=120, seed=5, enrichment_seconds=seconds, export_seconds=seconds)
    return Sandbox(dataclasses.replace(size, outreach_emails=220, conversations=12, limit=UNLIMITED))


def run(sandbox: Sandbox, state: dict[str, Any] | None, pages: int | None = None, **more: Any) -> Sync:
    limits = {"max_pages": dict.fromkeys(PAGED, pages)} if pages else {}
    sandbox.reset()
    done = sync(sandbox, *KINDS, state=state, credit_budget=100_000, max_wait_seconds=0, **limits, **BUYING, **more)
    assert done.states
    return done


PAGED = [name for name in KINDS if STREAMS[name].reads.takes_max_pages]


@pytest.fixture(scope="module")
def team() -> Iterator[Sandbox]:
    with small(seconds=10**6).serve() as running:
        yield running


@pytest.fixture(scope="module")
def states(team: Sandbox) -> list[dict[str, Any]]:
    """States from within and after runs: of a first sync in parts, of another, and of one from nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tap_apollo.streams.exports.Exports.patience", (0,))
        runs = [run(team, None, pages=1)]
        runs.extend(run(team, runs[-1].state, pages=pages) for pages in (2, None, None))
        runs.extend((run(team, None, pages=2), run(team, None)))
    found: list[dict[str, Any]] = [{"bookmarks": {}}]
    for one in runs:
        found += [*one.states[:: max(1, len(one.states) // 5)], one.state]
    return found


def held(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Read all that a state holds, as the streams do."""
    for name, bookmark in state["bookmarks"].items():
        if name == SPENDING:
            yield name, decoded(bookmark, Spent)
        else:
            yield name, Memory(bookmark, STREAMS[name].reads.remembers).held


def grown(state: dict[str, Any]) -> set[tuple[Any, ...]]:
    """All that only grows, as single facts: what was bought, found, ordered and ended."""
    return {
        (name, kind, day, fact)
        for name, bookmark in state["bookmarks"].items()
        for kind in bookmark.keys() & {"bought", "found", "pending", "ended"}
        for day, runs in bookmark[kind].items()
        for noted in runs.values()
        for fact in (digests_of(noted) if isinstance(noted, str) else noted)
    }


def digests_of(text: str) -> Iterator[str]:
    return (text[start : start + 8] for start in range(0, len(text), 8))


def spending(state: dict[str, Any]) -> dict[tuple[str, str], int]:
    days = state["bookmarks"].get(SPENDING, {}).get("days", {})
    return {(day, key): spent for day, runs in days.items() for key, spent in runs.items()}


def assert_never_null(part: Any) -> None:
    if isinstance(part, dict):
        for value in part.values():
            assert value is not None
            assert_never_null(value)


def test_there_is_a_state_of_each_kind(states: list[dict[str, Any]]) -> None:
    told = {name for state in states for name, bookmark in state["bookmarks"].items() if bookmark}
    assert told >= {*KINDS, SPENDING} - {"enrichment_results"}
    facts = {kind for state in states for _, kind, _, _ in grown(state)}
    assert facts >= {"bought", "found", "pending"}


@settings(max_examples=300)
@given(data=st.data())
def test_two_states_are_united_without_loss(data: st.DataObject, states: list[dict[str, Any]]) -> None:
    older, newer = data.draw(st.sampled_from(states)), data.draw(st.sampled_from(states))
    both = merged(older, newer)
    assert {name for name, _ in held(both)} == older["bookmarks"].keys() | newer["bookmarks"].keys()
    assert grown(both) >= grown(newer)
    assert spending(both) == {**spending(older), **spending(newer)}
    for bookmark in both["bookmarks"].values():
        assert_never_null({name: value for name, value in bookmark.items() if name != "place"})
    for name, bookmark in both["bookmarks"].items():
        assert bookmark.get("place") == (newer["bookmarks"].get(name) or older["bookmarks"].get(name, {})).get("place")


def of_different_runs(states: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    yield from itertools.permutations(states, 2)


def test_what_two_runs_bought_is_known_whichever_is_the_newer(states: list[dict[str, Any]]) -> None:
    """They are of different runs, and their entries therefore stand side by side."""
    for older, newer in of_different_runs([states[-1], states[len(states) // 2]]):
        assert grown(merged(older, newer)) >= grown(older) | grown(newer)


# The next run: a thin version of it, through the tap

READ = ("contacts", "outreach_emails", "contact_details", "deals", "organizations")


@pytest.fixture(scope="module")
def own() -> Iterator[Sandbox]:
    with small().serve() as running:
        yield running


@pytest.fixture(scope="module")
def ends(own: Sandbox) -> dict[str, dict[str, Any]]:
    """States of different runs: stopped early, later, read to the end, and read to the end from nothing."""
    early = read(own, None, pages=1).state
    later = read(own, early, pages=1).state
    ended = read(own, later).state
    return {"early": early, "later": later, "ended": ended, "anew": read(own, None).state}


def read(own: Sandbox, state: dict[str, Any] | None, pages: int | None = None) -> Sync:
    limits = {"max_pages": dict.fromkeys(READ, pages)} if pages else {}
    buying = {**BUYING, "credit_streams": ["organizations"], "credit_budget": 1000}
    own.reset()
    done = sync(own, *READ, state=state, **limits, **buying)
    assert done.error is None
    return done


@pytest.mark.parametrize("newer", ["early", "later", "ended", "anew"])
@pytest.mark.parametrize("older", ["early", "later", "ended", "anew"])
def test_the_next_run_delivers_what_it_would_from_the_newer(
    own: Sandbox, ends: dict[str, dict[str, Any]], older: str, newer: str
) -> None:
    alone = read(own, ends[newer])
    both = read(own, merged(ends[older], ends[newer]))
    for stream in READ:
        assert {*both.ids(stream)} == {*alone.ids(stream)}, stream


@pytest.mark.parametrize("first", READ)
def test_the_next_run_delivers_all_of_a_stream_that_only_the_other_state_knows(
    own: Sandbox, ends: dict[str, dict[str, Any]], first: str
) -> None:
    only = {"bookmarks": {first: ends["early"]["bookmarks"][first]}}
    rest = {"bookmarks": {name: kept for name, kept in ends["ended"]["bookmarks"].items() if name != first}}
    before = read(own, ends["early"]).ids(first)
    for older, newer in ((only, rest), (rest, only)):
        assert {*read(own, merged(older, newer)).ids(first)} == {*before}
