"""Marks: what a walk leaves behind so that a later one knows the ground it comes to has been covered."""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_apollo.paging.pages import Record
    from tap_apollo.paging.reader import Key

#: Apollo's search index lags behind its writes, so that a row can surface late with an earlier time.
SAFETY_MARGIN = datetime.timedelta(minutes=10)

#: How many of the most recently updated rows a frontier remembers.
FRONTIER_SIZE = 200


class Mark(Protocol):
    """Where a walk in descending order of last update began."""

    @property
    def value(self) -> str | list[str]:
        """What is kept of the mark between two runs."""

    def reached(self, rows: list[Record]) -> bool:
        """Whether a page has come to ground that the marked walk covered."""

    def covers(self, row: Record) -> bool:
        """Whether a row is as the marked walk delivered it."""


class TimeMark:
    """The update time of the first row."""

    def __init__(self, at: str, key: Key, margin: datetime.timedelta = SAFETY_MARGIN) -> None:
        """Mark a moment.

        Args:
            at: The update time, in the form that compares as text.
            key: The update time of a row, in that form.
            margin: How far below the mark rows may still be new.
        """
        self.at = at
        self._key = key
        self._floor = (datetime.datetime.fromisoformat(at) - margin).isoformat(timespec="microseconds")

    def reached(self, rows: list[Record]) -> bool:
        """Whether the page goes below the mark and its margin."""
        return any(map(self.covers, rows))

    def covers(self, row: Record) -> bool:
        """Whether the row was last updated below the mark and its margin."""
        at = self._key(row)
        return at is not None and at < self._floor

    @property
    def value(self) -> str:
        """The moment."""
        return self.at


class Frontier:
    """Digests of the most recently updated rows, for lists that sort by a time they do not show.

    On a list it does not belong to, a frontier is never reached: the walk goes on to the end.
    """

    def __init__(self, digests: Iterable[str]) -> None:
        """Remember rows by their digests, most recently updated first."""
        self.digests = list(dict.fromkeys(digests))[:FRONTIER_SIZE]
        self._members = frozenset(self.digests)

    def reached(self, rows: list[Record]) -> bool:
        """Whether the page holds nothing but remembered rows, unchanged."""
        return bool(rows) and all(map(self.covers, rows))

    def covers(self, row: Record) -> bool:
        """Whether the row is remembered, unchanged."""
        return digest(row) in self._members

    @property
    def value(self) -> list[str]:
        """The digests."""
        return self.digests


def digest(row: Record) -> str:
    """Return twelve hex digits that stand for a row's id and content."""
    return hashlib.blake2b(json.dumps(row, sort_keys=True).encode(), digest_size=6).hexdigest()
