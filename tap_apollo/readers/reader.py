"""What all ways of reading a stream have in common."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from tap_apollo.singer.memory import Bookmark, Nowhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_apollo.api.endpoint import Endpoint
    from tap_apollo.api.rate_limits import WindowState
    from tap_apollo.paging import Record
    from tap_apollo.readers.io import StreamIO
    from tap_apollo.singer.stream import ApolloStream


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a sync would read of a stream, as far as one or two free requests tell.

    Attributes:
        records: Records to come; None if that cannot be known.
        requests: Requests that they take.
        at_least: Whether there may be more of both.
        credits: The most that they cost, if nothing limits it; where there may be more, what is known of it.
        note: What else to know, half a sentence.
        windows: The rate windows of the endpoint, as far as they are known without asking.
        tried: Whether the endpoint was asked, so that it is known to be readable.
    """

    records: int | None
    requests: int
    at_least: bool = False
    credits: int = 0
    note: str = ""
    windows: tuple[WindowState, ...] = ()
    tried: bool = True


class Reader:
    """A way of reading a stream, a value of its declaration: it keeps nothing of a run.

    Attributes:
        on_by_default: Whether the stream is read unless the catalog deselects it.
        takes_max_pages: Whether the setting `max_pages` can limit it.
        takes_full_refresh_days: Whether the setting `full_refresh_days` can make it read everything again.
        finds_deletions: Whether a reading can tell which records are not there any more.
        costs: Whether it costs credits: then the stream exists only if `credit_streams` names it.
        parents: The streams whose records tell what to ask for.
        also_asks: Endpoints that it asks beside the stream's own and those of its parents.
        place: The kind of place that tells a later run where to go on.
    """

    on_by_default: ClassVar[bool] = True
    takes_max_pages: ClassVar[bool] = False
    takes_full_refresh_days: ClassVar[bool] = False
    finds_deletions: ClassVar[bool] = False
    costs: ClassVar[bool] = False
    also_asks: ClassVar[tuple[Endpoint, ...]] = ()

    parents: tuple[type[ApolloStream], ...] = ()

    place: Any = Nowhere

    @property
    def remembers(self) -> Any:
        """The kind of bookmark that holds all that is remembered."""
        return Bookmark[self.place]  # type: ignore[name-defined]

    def rows(self, io: StreamIO) -> Iterator[list[Record]]:
        """Yield rows, some at a time; whoever asks for more has written those before.

        Raises:
            ApolloError: The stream cannot be read to its end; other errors as those of ``Client.send``.
        """
        raise NotImplementedError

    def summary(self, io: StreamIO) -> tuple[str, ...]:
        """Report what came of the reading, and return the parts of the closing line; none: there is nothing to say."""
        raise NotImplementedError

    def estimate(self, io: StreamIO) -> Estimate:
        """Return what a sync would read, for the plan: by at most two requests, all of them free.

        Raises:
            ApolloError: The stream cannot be read.
        """
        raise NotImplementedError
