"""What went wrong in a run, collected while the other streams go on, and whether the run counts as failed."""

from __future__ import annotations

import contextlib
import logging
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from singer_sdk.exceptions import RetriableAPIError

from tap_apollo.api.errors import (
    MAX_TRIES,
    ApolloError,
    CredentialsError,
    ForbiddenError,
    PassingError,
    SyncError,
    UnknownReplyError,
)
from tap_apollo.api.rate_limits import WaitTooLongError
from tap_apollo.paging import FilterIgnoredError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_apollo.api.client import Client


class SyncReport:
    """Collects the streams that were forbidden, incomplete or failed.

    Attributes:
        fatal: The error after which no stream can be read, if there was one.
        named: The streams of which something was said.
        read: The streams of which something was read, or would have been but for a limit.
    """

    def __init__(self, logger: logging.Logger, client: Client, *, strict: bool) -> None:
        """Start an empty report.

        Args:
            logger: Where each entry is said at once.
            client: Knows how to say what went wrong with a request.
            strict: Whether a forbidden or incomplete stream fails the run.
        """
        self._logger = logger
        self._client = client
        self._strict = strict
        self._failures: list[str] = []
        self._forbidden: set[str] = set()
        self.fatal: ApolloError | None = None
        self.named: set[str] = set()
        self.read: set[str] = set()

    def forbidden(self, stream: str, reason: str) -> None:
        """Note a stream that the key may not read: skipped, a failure under ``strict``."""
        self._forbidden.add(stream)
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

    @contextlib.contextmanager
    def containing(self, stream: str) -> Iterator[None]:
        """Take note of what ends a stream early, so that the other streams go on.

        A fault of the tap's own is said to be that, with its place. What the operating system refuses ends the run: a
        target that is gone, a disk that is full.
        """
        try:
            yield
        except CredentialsError as error:
            self.fatal = self.fatal or error
        except ForbiddenError as error:
            self.forbidden(stream, error.message)
        except UnknownReplyError as error:
            self.failed(stream, f"{error.message} Update tap-apollo, or deselect the stream.")
        except ApolloError as error:
            if error is not self.fatal:
                self.failed(stream, error.message, may_pass=isinstance(error, PassingError))
        except WaitTooLongError as error:
            self.incomplete(stream, self._client.waits_too_long(error))
        except FilterIgnoredError as error:
            self.failed(stream, f"Apollo ignores the filter {error}: nothing is loaded rather than the wrong records.")
        except (RetriableAPIError, requests.RequestException) as error:
            self.failed(stream, f"{self._client.describe(error)}, {MAX_TRIES} times in a row.", may_pass=True)
        except OSError:
            raise
        except Exception as fault:
            self._logger.debug("%s: the fault in full:", stream, exc_info=True)
            self.failed(stream, f"{fault_of(fault)} Please report it: the other streams are not concerned.")

    def raise_for_failures(self) -> None:
        """End the run with an error if anything in the report calls for one.

        Raises:
            ApolloError: The fatal error, the list of failed streams, or that all of them were forbidden.
        """
        if self.fatal is not None:
            raise self.fatal
        if self._failures:
            names = ", ".join(dict.fromkeys(self._failures))
            msg = f"The sync is not complete: see the messages above on {names}."
            raise SyncError(msg)
        if self._forbidden and self.named == self._forbidden and not self.read:
            names = ", ".join(sorted(self._forbidden))
            raise SyncError(f"Apollo refused everything that it was asked for: see the messages above on {names}.")

    def _note(self, stream: str, message: str) -> None:
        self.named.add(stream)
        if self._strict:
            self._failures.append(stream)
        self._logger.log(logging.ERROR if self._strict else logging.WARNING, message)


def fault_of(error: BaseException) -> str:
    """Say where in the tap's own code something went wrong: module and line, and no value.

    A fault of the tap is never said to be Apollo's.
    """
    here = Path(__file__).parent
    frames = [one for one in traceback.extract_tb(error.__traceback__) if here in Path(one.filename).parents]
    where = "tap-apollo"
    if frames:
        module = ".".join(Path(frames[-1].filename).relative_to(here.parent).with_suffix("").parts)
        where = f"{module}, line {frames[-1].lineno}"
    return f"there is a fault in {where} ({type(error).__name__})."
