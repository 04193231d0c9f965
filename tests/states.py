"""How the tests reach into a state, and merge two as Meltano does."""

from __future__ import annotations

import json
from typing import Any

from tap_apollo.singer.memory import decoded, encoded


def bookmark(state: dict[str, Any], stream: str) -> dict[str, Any]:
    found: dict[str, Any] = state["bookmarks"][stream]
    return found


def place(state: dict[str, Any], stream: str) -> dict[str, Any]:
    """Where a stream's next run goes on; may be changed."""
    (found,) = bookmark(state, stream)["place"]
    assert isinstance(found, dict)
    return found


def parent_of(state: dict[str, Any], stream: str, parent: str) -> dict[str, Any]:
    """What a stream remembers of a parent's records: its walk, and what was asked about; may be changed."""
    found: dict[str, Any] = place(state, stream)["parents"][parent]
    return found


def placed(**streams: dict[str, Any]) -> dict[str, Any]:
    """Return a state with a place for some streams."""
    return {"bookmarks": {name: {"place": [where]} for name, where in streams.items()}}


def entries(grown: dict[str, dict[str, Any]]) -> list[Any]:
    """All that the runs of all days have noted of what only grows."""
    return [entry for runs in grown.values() for entry in runs.values()]


def spent(state: dict[str, Any] | None) -> int:
    """What a state says was spent."""
    return sum(entries((state or {}).get("bookmarks", {}).get("credit_spending", {}).get("days", {})))


def through_json(held: Any, kind: Any) -> Any:
    """Return what a later run reads of a place."""
    return decoded(json.loads(json.dumps(encoded(held))), kind)


def merged(older: Any, newer: Any) -> Any:
    """Return two states as Meltano merges them: an object goes into an object, all else in place of what was there."""
    if not (isinstance(older, dict) and isinstance(newer, dict)):
        return newer
    return {**older, **{key: merged(older[key], value) if key in older else value for key, value in newer.items()}}
