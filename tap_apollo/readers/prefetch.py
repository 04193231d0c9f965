"""Pages that are asked for before a walk wants them."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_apollo.paging import PageRequest, Walk


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
