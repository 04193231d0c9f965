"""Several streams at once: one of them works at a time, the others wait for Apollo.

A stream holds the writer lock while it conforms records, writes messages and changes the state. It releases the lock
while it waits for a reply or a rate window. So one thread at a time writes messages and states, in legal order,
without a lock in any stream. Requests are sent from where they arise, as many at once as the setting allows. Where
they compete, the stream that comes first goes first: one stream runs as fast as it can, and the next fills the gaps.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class StoppedError(BaseException):
    """The run is over: raised in a thread that wants to go on."""


class WriterLock:
    """A lock that a thread holds while it works and releases while it waits.

    Threads that never took it are not concerned.
    """

    def __init__(self) -> None:
        """Let nobody hold it."""
        self._lock = threading.RLock()  # a signal may come while the main thread closes it
        self._holder: int | None = None
        self._closed = False

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Work."""
        self._take()
        try:
            yield
        finally:
            if self.is_mine:
                self._release()

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Wait for something, while others work.

        Raises:
            StoppedError: The run has ended, before or meanwhile.
        """
        if not self.is_mine:
            yield
            return
        self._release()
        if self._closed:
            raise StoppedError
        try:
            yield
        except (KeyboardInterrupt, SystemExit):  # which end the run, and are not to be hidden by its end
            with contextlib.suppress(StoppedError):
                self._take()
            raise
        except BaseException:
            self._take()
            raise
        else:
            self._take()

    def close(self, patience: float = -1) -> bool:
        """End the run: whoever works comes to where he would wait, and nobody goes on from there.

        Args:
            patience: Seconds to wait for that; without them, as long as it takes.

        Returns:
            Whether nobody works any more.
        """
        self._closed = True
        if self.is_mine:
            return True
        if free := self._lock.acquire(timeout=patience):
            self._lock.release()
        return free

    @property
    def is_mine(self) -> bool:
        """Whether the calling thread holds it."""
        return self._holder == threading.get_ident()

    def _take(self) -> None:
        self._lock.acquire()
        if self._closed:
            self._lock.release()
            raise StoppedError
        self._holder = threading.get_ident()

    def _release(self) -> None:
        self._holder = None
        self._lock.release()


class PrioritySemaphore:
    """A semaphore with an order: so many requests may be in flight at once, those of the first stream first."""

    def __init__(self, count: int) -> None:
        """Take the most requests in flight."""
        self._free = count
        self._waiting: list[tuple[int, int]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._trying = False
        self._answered = False

    @contextlib.contextmanager
    def slot(self, priority: int) -> Iterator[None]:
        """Wait for a free slot and keep it.

        Args:
            priority: Who goes first among those that wait: the lowest.
        """
        with self._changed:
            mine = (priority, next(self._order))
            heapq.heappush(self._waiting, mine)
            self._changed.wait_for(lambda: self._free > 0 and self._waiting[0] == mine)
            heapq.heappop(self._waiting)
            self._free -= 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone_at_first(self) -> Iterator[None]:
        """Let one request be tried until Apollo has answered one: a wrong key or address is met once, not by each."""
        with self._changed:
            self._changed.wait_for(lambda: self._answered or not self._trying)
            alone = self._trying = not self._answered
        try:
            yield
        finally:
            if alone:
                with self._changed:
                    self._trying = False
                    self._changed.notify_all()

    def answered(self) -> None:
        """Note that Apollo has answered, and knows the credentials."""
        with self._changed:
            self._answered = True
            self._changed.notify_all()


def side_by_side(jobs: Sequence[Callable[[], None]], writer: WriterLock) -> None:
    """Run jobs side by side until all are done, or one fails.

    Raises:
        BaseException: What the first failing job raised; the others have stopped where they would have waited.
    """
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def work(job: Callable[[], None]) -> None:
        failure: BaseException | None = None
        try:
            with writer.held():
                job()
        except StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001
            failure = error
        ended.put(failure)

    try:
        for job in jobs:  # a daemon: it may still wait for a window, an hour, say, when the run has ended
            threading.Thread(target=work, args=(job,), daemon=True).start()
        for _ in jobs:
            if failure := ended.get():
                raise failure
    finally:
        writer.close()
