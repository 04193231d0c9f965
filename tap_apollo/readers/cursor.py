"""The one loop that drives a walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_apollo.paging import Outcome, Page, PageRequest, Record, Walk
    from tap_apollo.readers.io import StreamIO
    from tap_apollo.readers.prefetch import LookAhead


class Pass(Protocol):
    """One run's walk through a stream, and what of it is kept for later runs."""

    @property
    def walk(self) -> Walk:
        """What decides which pages to read."""

    @property
    def resumed(self) -> bool:
        """Whether it goes on where another walk was stopped."""

    def progress(self, rows: list[Record]) -> None:
        """Note in the place where a later run goes on, now that some rows are written, and write a STATE."""

    def finish(self, outcome: Outcome) -> None:
        """Note in the place what a walk has covered that came to its end."""


class Fleeting:
    """A walk of which nothing is kept.

    Attributes:
        walk: The walk.
        resumed: Whether it goes on where another was stopped: no.
    """

    resumed = False

    def __init__(self, walk: Walk) -> None:
        """Take the walk."""
        self.walk = walk

    def progress(self, rows: list[Record]) -> None:
        """Note nothing."""

    def finish(self, outcome: Outcome) -> None:
        """Note nothing."""


class Cursor:
    """Drives a walk through its pages: iterate for the rows of each.

    Attributes:
        pages: How many pages have been read.
        outcome: How the walk ended, once the rows of its last page are written; None if it was stopped before.
        limited: Whether the page limit stopped it.
    """

    def __init__(
        self,
        io: StreamIO,
        walked: Pass,
        limit: int | None = None,
        *,
        ahead: LookAhead | None = None,
        fetch: Callable[[PageRequest], Page] | None = None,
        before: Callable[[], object] | None = None,
        advances: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare to drive.

        Args:
            io: What to read with.
            walked: The walk, and its place.
            limit: Most pages to read.
            ahead: What has asked for pages before the walk wants them.
            fetch: Asks for a page, where that is not what ``StreamIO.fetch`` does.
            before: Called before each request; what it raises ends the walk.
            advances: Whether all that came so far is dealt with; if not, the place stays before it.
        """
        self._io = io
        self._pass = walked
        self._limit = limit
        self._ahead = ahead
        self._fetch = fetch
        self._before = before
        self._advances = advances
        self._said = False
        self.pages = 0
        self.outcome: Outcome | None = None
        self.limited = False

    def __iter__(self) -> Iterator[list[Record]]:
        """Read: whoever asks for the next page has written the rows of the one before."""
        io, walk = self._io, self._pass.walk
        steps = walk.pages()
        outcome: Outcome | None = None
        try:
            request: PageRequest | None = next(steps)
        except StopIteration as end:
            request, outcome = None, end.value
        while request and self.pages != self._limit:
            page = self._page(request)
            self.pages += 1
            io.pages += 1
            try:
                request = steps.send(page)  # which may take rows out of the page
            except StopIteration as end:
                request, outcome = None, end.value
            yield page.records
            if io.keeps_place and self._advances():
                self._pass.progress(page.records)
            self._say_if_restarted()
        self.outcome, self.limited = outcome, outcome is None
        if outcome:
            self._end(outcome)

    def _page(self, request: PageRequest) -> Page:
        if self._before:
            self._before()
        if self._fetch:
            return self._fetch(request)
        if self._ahead:
            left = None if self._limit is None else self._limit - self.pages - 1
            self._ahead.fill(request, self._pass.walk, left)
        return self._io.fetch(request, self._ahead)

    def _say_if_restarted(self) -> None:
        if (why := self._pass.walk.restarted) and not self._said and self._io.needed_by is None:
            self._said = True
            self._io.logger.warning("%s: %s; reading everything.", self._io.name, why)

    def _end(self, outcome: Outcome) -> None:
        io = self._io
        if outcome.shortfall:
            io.incomplete(outcome.shortfall)
        io.missing, io.deletions_proven = outcome.missing, outcome.proves_deletions
        if io.keeps_place and self._advances():
            self._pass.finish(outcome)

    def came(self) -> str:
        """Return what came, as the closing line says it; empty if nothing was read."""
        outcome, delivered = self.outcome, self._io.delivered
        if outcome is None:
            return f"{counted(delivered, 'record')}, not read to the end" if self.pages else ""
        if outcome.verified or outcome.missing:
            return f"{min(outcome.seen, outcome.total or 0):,} of {counted(outcome.total or 0, 'record')}"
        return f"{counted(delivered, 'record')}, {'up to the end' if outcome.whole else 'all that is new'}"
