"""What costs no other: rows that cannot be rows, and records that cannot be read, of which several in a row do."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from tap_apollo.api.endpoint import missing
from tap_apollo.api.errors import ApolloError
from tap_apollo.paging import digest
from tap_apollo.report import fault_of
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_apollo.paging import Record

#: Records in a row that cannot be read, until the stream fails.
MOST_FAILURES = 5


class Tolerance:
    """Counts them.

    Attributes:
        gone: How many Apollo does not have.
        failed: How many could not be read for another reason.
        reason: Why the last of them could not, a sentence; empty if that has no words.
        unread: How many replies that were paid for could not be read, or not whole.
        unread_credits: What these have cost.
        unread_reason: Why the last of them could not, in sentences.
    """

    def __init__(self) -> None:
        """Count none."""
        self.gone = 0
        self.failed = 0
        self.reason = ""
        self.unread = 0
        self.unread_credits = 0
        self.unread_reason = ""
        self._in_a_row = 0

    @property
    def gave_up(self) -> bool:
        """Whether the last error was raised again."""
        return self._in_a_row >= MOST_FAILURES

    def note_read(self) -> None:
        """Note that one was read."""
        self._in_a_row = 0

    def note_gone(self) -> None:
        """Note that Apollo does not have one."""
        self.gone += 1

    def note_failed(self, error: Exception) -> None:
        """Note that one could not be read.

        Raises:
            Exception: The error, if several in a row could not be read: it is not the records.
        """
        self.failed += 1
        self.reason = _sentence(error)
        self._count_in_a_row(error)

    def note_unread(self, error: Exception, paid: int, *, whole: bool) -> None:
        """Note that a reply that was paid for could not be read: the whole of it, or a part.

        Raises:
            Exception: The error, if the whole of several in a row could not be read.
        """
        self.unread += 1
        self.unread_credits += paid
        self.unread_reason = _sentence(error) or f"{fault_of(error)} Please report it."
        if whole:
            self._count_in_a_row(error)

    def _count_in_a_row(self, error: Exception) -> None:
        self._in_a_row += 1
        if self.gave_up:
            raise error


def _sentence(error: Exception) -> str:
    return error.message if isinstance(error, ApolloError) else ""


class LeftOut:
    """Rows that cannot be rows, as a part of their key is missing: left out and counted, by stream and part.

    A list may be read twice: of rows that are alike, those count that came at once.
    """

    def __init__(self) -> None:
        """Count none."""
        self._rows: dict[tuple[str, str], collections.Counter[str]] = collections.defaultdict(collections.Counter)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(rows.total() for rows in self._rows.values())

    def without(self, stream: str, rows: list[Record], keys: Iterable[str]) -> list[Record]:
        """Return the rows of a reply that can be rows."""
        kept = [row for row in rows if missing(row, keys) is None]
        if len(kept) < len(rows):
            odd = collections.defaultdict[tuple[str, str], collections.Counter[str]](collections.Counter)
            for row in rows:
                if key := missing(row, keys):
                    odd[stream, key][digest(row)] += 1
            for where, some in odd.items():
                self._rows[where] |= some
        return kept

    def said(self) -> Iterator[tuple[str, str]]:
        """Yield the names of the streams, each with what was left out."""
        for (stream, key), rows in self._rows.items():
            number = rows.total()
            yield (
                stream,
                f"{counted(number, 'row')} without a usable `{key}` {'was' if number == 1 else 'were'} left out",
            )
