"""What went wrong in a run, collected while the other streams go on, and whether the run counts as failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tap_apollo.api.errors import SyncError

if TYPE_CHECKING:
    from tap_apollo.api.errors import ApolloError


class SyncReport:
    """Collects the streams that were forbidden, incomplete or failed.

    Attributes:
        fatal: The error after which no stream can be read, if there was one.
        named: The streams of which something was said.
    """

    def __init__(self, logger: logging.Logger, *, strict: bool) -> None:
        """Start an empty report.

        Args:
            logger: Where each entry is said at once.
            strict: Whether a forbidden or incomplete stream fails the run.
        """
        self._logger = logger
        self._strict = strict
        self._failures: list[str] = []
        self.fatal: ApolloError | None = None
        self.named: set[str] = set()

    def forbidden(self, stream: str, reason: str) -> None:
        """Note a stream that the key may not read: skipped, a failure under ``strict``."""
        self._note(stream, f"Stream {stream} was skipped: {reason} Or deselect the stream.")

    def incomplete(self, stream: str, reason: str) -> None:
        """Note a stream of which records are missing: a failure under ``strict``."""
        self._note(stream, f"Stream {stream} is incomplete: {reason}.")

    def failed(self, stream: str, reason: str, *, may_pass: bool = False) -> None:
        """Note a stream that ended early: always a failure.

        Args:
            stream: Its name.
            reason: Why, a sentence.
            may_pass: Whether another run may do better with nothing changed.
        """
        self._failures.append(stream)
        self.named.add(stream)
        again = "; run again" if may_pass else ""
        self._logger.error("Stream %s failed: %s What it wrote before is valid%s.", stream, reason, again)

    def raise_for_failures(self) -> None:
        """End the run with an error if anything in the report calls for one.

        Raises:
            ApolloError: The fatal error, or the list of failed streams.
        """
        if self.fatal is not None:
            raise self.fatal
        if self._failures:
            names = ", ".join(dict.fromkeys(self._failures))
            msg = f"The sync is not complete: see the messages above on {names}."
            raise SyncError(msg)

    def _note(self, stream: str, message: str) -> None:
        self.named.add(stream)
        if self._strict:
            self._failures.append(stream)
        self._logger.log(logging.ERROR if self._strict else logging.WARNING, message)


def counted(number: int, unit: str, units: str | None = None) -> str:
    """Return a number with what it counts, and its plural if that is irregular: ``1 request``, ``2,000 people``."""
    return f"{number:,} {unit if number == 1 else units or f'{unit}s'}"
