"""Records that cannot be read one by one: a single one stops no stream, several in a row do."""

from __future__ import annotations

from tap_apollo.api.errors import ApolloError

#: Records in a row that cannot be read, until the stream fails.
MOST_FAILURES = 5


class Tolerance:
    """Counts them.

    Attributes:
        gone: How many Apollo does not have.
        failed: How many could not be read for another reason.
        reason: Why the last of them could not, a sentence; empty if that has no words.
    """

    def __init__(self) -> None:
        """Count none."""
        self.gone = 0
        self.failed = 0
        self.reason = ""
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
        self.reason = error.message if isinstance(error, ApolloError) else ""
        self._in_a_row += 1
        if self.gave_up:
            raise error
