"""Streams whose rows come out of the records of another, without requests of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

from tap_apollo.readers.io import name_of
from tap_apollo.readers.reader import Estimate, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_apollo.paging import Record
    from tap_apollo.readers.io import StreamIO
    from tap_apollo.singer.stream import ApolloStream


class Derived(Reader):
    """A stream whose rows come out of the records of its parent.

    Its parent hands each record over before it writes it, so that no STATE covers a record whose rows are not out.
    """

    def __init__(self, parent: type[ApolloStream], rows_of: Callable[[Record], Iterable[Record]]) -> None:
        """Declare what the rows are.

        Args:
            parent: The stream whose records hold the rows.
            rows_of: Returns the rows that a record holds.
        """
        self.parent = parent
        self.parents = (parent,)
        self.rows_of = rows_of

    @override
    def rows(self, io: StreamIO) -> Iterator[list[Record]]:
        yield from ()

    @override
    def summary(self, io: StreamIO) -> tuple[str, ...]:
        return ()

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        return Estimate(None, requests=0, note=f"comes with {name_of(self.parent)}")
