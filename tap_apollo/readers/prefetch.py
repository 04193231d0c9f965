"""How a stream is read: page by page as a walk wants them, some asked for ahead; and what to expect of it."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.helpers.types import Record

    from tap_apollo.api.rate_limits import WindowState
    from tap_apollo.paging import Outcome, Page, PageRequest, Walk


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What a sync would read of a stream, as far as one or two free requests tell.

    Attributes:
        records: Records to come; None if that cannot be known.
        requests: Requests that they take.
        at_least: Whether there may be more of both.
        credits: The most that they cost, if nothing limits it.
        note: What else to know, half a sentence.
        windows: The rate windows of the endpoint, as far as they are known without asking.
    """

    records: int | None
    requests: int
    at_least: bool = False
    credits: int = 0
    note: str = ""
    windows: tuple[WindowState, ...] = ()


class Reading:
    """One walk through a stream: iterate for the rows of each page that the walk wants.

    Attributes:
        walk: The walk.
        pages: How many pages have been read.
        outcome: How the walk ended, once the rows of its last page are taken; None if it was stopped before.
        limited: Whether the limit stopped it.
    """

    def __init__(
        self,
        walk: Walk,
        fetch: Callable[[PageRequest], Page],
        limit: int | None = None,
        ahead: LookAhead | None = None,
    ) -> None:
        """Prepare to read.

        Args:
            walk: What decides which pages to read.
            fetch: Asks Apollo for a page.
            limit: Most pages to read.
            ahead: What has asked for pages before the walk wants them; without it, ``fetch`` is called for each.
        """
        self.walk = walk
        self._fetch = fetch
        self._limit = limit
        self._ahead = ahead
        self.pages = 0
        self.outcome: Outcome | None = None
        self.limited = False

    def __iter__(self) -> Iterator[list[Record]]:
        """Read: whoever asks for the next page has delivered the rows of the one before."""
        steps = self.walk.pages()
        page, outcome = None, None
        try:
            request: PageRequest | None = next(steps)
        except StopIteration as end:
            request, outcome = None, end.value
        while request and self.pages != self._limit:
            if self._ahead:
                left = None if self._limit is None else self._limit - self.pages - 1
                self._ahead.fill(request, self.walk, left)
            page = self._fetch(request)
            self.pages += 1
            try:
                request = steps.send(page)  # which may take rows out of the page
            except StopIteration as end:
                request, outcome = None, end.value
            yield page.records
        self.outcome, self.limited = outcome, outcome is None


class LookAhead:
    """Sends requests for the pages that a walk is going to want, while those before are worked on.

    Pages that were asked for side by side may have been served in any order, so a row can slip from one to another.
    Only the count at the end proves that none did, so only walks that count tell what they will want.
    """

    def __init__(
        self,
        send: Callable[[PageRequest], Any],
        depth: int,
        room: Callable[[], float],
    ) -> None:
        """Prepare to look ahead.

        Args:
            send: Asks Apollo for a page; called from several threads.
            depth: Most pages to have asked for at once, the one that is wanted included.
            room: Tells how many requests the rate windows bear now: the last ones are for pages that are wanted.
        """
        self._send = send
        self._depth = depth
        self._room = room
        self._asked: list[tuple[PageRequest, Future[Any]]] = []

    def fill(self, wanted: PageRequest, walk: Walk, most: int | None) -> None:
        """Ask for the page that is wanted and for those after it, where that is not done yet.

        Args:
            wanted: The page that is wanted now.
            walk: What knows the pages after it.
            most: Most pages after it that the page limit allows.
        """
        count = self._depth - 1 if most is None else min(self._depth - 1, most)
        coming = walk.ahead(count) if count > 0 else []
        asked, self._asked, room = self._asked, [], self._room()
        for request in [wanted, *coming] if coming or asked else []:
            known = next((one for one in asked if one[0].is_like(request)), None)
            if known is None and request is not wanted and room <= 1:
                break
            room -= known is None
            self._asked.append(known or self._begun(request))

    def take(self, wanted: PageRequest) -> Future[Any] | None:
        """Return the reply to come for a page, if it was asked for."""
        if self._asked and self._asked[0][0].is_like(wanted):
            return self._asked.pop(0)[1]
        return None

    def _begun(self, request: PageRequest) -> tuple[PageRequest, Future[Any]]:
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(self._send(request))
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)

        # No pool: its threads are waited for at the end of the process, and one may wait for a window, an hour, say.
        threading.Thread(target=work, daemon=True).start()
        return request, future
