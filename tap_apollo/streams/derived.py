"""Streams whose rows come out of the records of another, without requests of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from typing_extensions import override

from tap_apollo.readers.prefetch import Outlook
from tap_apollo.report import counted
from tap_apollo.singer.stream import ApolloStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Record


class DerivedStream(ApolloStream):
    """A stream whose rows come out of the records of another, without requests of its own.

    Its parent hands each record over before it writes it, so that no STATE covers a record whose rows are not out.
    """

    path = ""
    state_partitioning_keys = ()  # one bookmark, not one per parent record

    _written = 0

    @property
    def _parent(self) -> str:
        return cast("str", cast("Any", self.parent_stream_type).name)

    def derive(self, record: Record) -> Iterable[Record]:
        """Return the rows that a record of the parent holds."""
        raise NotImplementedError

    @override
    def outlook(self) -> Outlook:
        return Outlook(None, requests=0, note=f"comes with {self._parent}")

    def open(self) -> None:
        """Announce the stream; to be called before the first record."""
        self.number_version()
        self._write_schema_message()

    def feed(self, record: Record) -> None:
        """Write the rows that a record of the parent holds."""
        for row in self.derive(record):
            self._write_record_message(self.shaped(row, None))
            self._written += 1

    def close(self) -> None:
        """Sum up; to be called after the last record."""
        self.logger.info("%s: %s, out of %s", self.name, counted(self._written, "record"), self._parent)
