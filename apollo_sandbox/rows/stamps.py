"""The several ways in which Apollo writes an instant, and other small shapes rows share."""

from __future__ import annotations

import json
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from apollo_sandbox.clock import DAY, MINUTE, SECOND

_EPOCH = date(1970, 1, 1)
_SECONDS = tuple(f"{second:02d}" for second in range(60))
_MINUTES = tuple(f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60))

Row = dict[str, Any]


def stamp(instant_ms: int) -> str:
    """Write `2026-01-31T09:30:00.000Z`, as creation and update times are."""
    return f"{_to_the_millisecond(instant_ms)}Z"


def offset_stamp(instant_ms: int) -> str:
    """Write `2026-01-31T09:30:00.000+00:00`, as nearly all other times are."""
    return f"{_to_the_millisecond(instant_ms)}+00:00"


def short_stamp(instant_ms: int) -> str:
    """Write `2026-01-31T09:30:00Z`, as a few endpoints do."""
    return f"{_to_the_millisecond(instant_ms)[:19]}Z"


def day(instant_ms: int) -> str:
    """Write `2026-01-31`."""
    return _day(instant_ms // DAY)


def _to_the_millisecond(instant_ms: int) -> str:
    # From tables, because every row shows several instants and datetime takes thrice as long.
    days, rest = divmod(instant_ms, DAY)
    minutes, rest = divmod(rest, MINUTE)
    seconds, thousandths = divmod(rest, SECOND)
    return f"{_day(days)}T{_MINUTES[minutes]}:{_SECONDS[seconds]}.{thousandths:03d}"


@lru_cache(4096)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).isoformat()


def keyed(row: Row, row_id: str) -> Row:
    """Add the three names under which some objects carry their one id."""
    return {"_id": row_id, **row, "id": row_id, "key": row_id}


def constants(table: str) -> Row:
    """Read a table of what is the same in every row of a kind: in each line a value, and the keys that have it."""
    lines = (line.partition(": ") for line in table.strip().splitlines())
    return {key: json.loads(value) for value, _, keys in lines for key in keys.split()}
