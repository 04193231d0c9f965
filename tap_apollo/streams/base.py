"""How a stream is read, where that is more than a list: newest first, by date windows, out of another's rows."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import sys
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tap_apollo.client import ApolloStream, PagedStream
from tap_apollo.paging import DateWindow, date_windows, whole_list, windowed
from tap_apollo.records import timestamp

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.custom_fields import CustomFieldLabels
    from tap_apollo.paging import Outcome, Walk


class IncrementalStream(PagedStream):
    """A list with a replication key, whose bookmark moves only when a walk has read all it set out to read."""

    @override
    def walk_ended(self, outcome: Outcome, context: Context | None) -> None:
        """Cap the bookmark: at the head of a complete walk, at where it stood after any other."""
        super().walk_ended(outcome, context)
        cap = self.head(outcome) if outcome.complete else self.since(context) or timestamp("1970-01-01")
        self.state_manager.write_replication_key_signpost(cap, context=context)

    def head(self, outcome: Outcome) -> str | None:  # noqa: ARG002
        """Return the latest bookmark that a complete walk allows; None for the moment the run began."""
        return None

    def since(self, context: Context | None) -> str | None:
        """The bookmark or the start date, whichever is later."""
        since = self.get_starting_timestamp(context)
        return None if since is None else timestamp(since.isoformat())


class NewestFirstStream(IncrementalStream):
    """A list in descending order of its replication key, read down to the bookmark."""

    @override
    def new_walk(self, context: Context | None) -> Walk:
        since = self.since(context)
        if since is None:
            return whole_list(max_pages=self.max_pages)
        return whole_list(below=lambda record: (self._key(record) or since) < since, max_pages=self.max_pages)

    @override
    def head(self, outcome: Outcome) -> str | None:
        return self._key(outcome.first) if outcome.first else None

    def _key(self, record: Record) -> str | None:
        value = record.get(cast("str", self.replication_key))
        return None if value is None else timestamp(value)


class WindowedStream(IncrementalStream):
    """A list read by windows of days, from ``lookback_days`` before the bookmark.

    Attributes:
        days_ahead: How far the last window reaches past today; the bookmark never passes the start of the run.
    """

    window_days: ClassVar[int] = 30
    days_ahead: ClassVar[int] = 1

    def window_parameters(self, window: DateWindow) -> Mapping[str, Any]:
        """Return the filters that select a window."""
        raise NotImplementedError

    @override
    def new_walk(self, context: Context | None) -> Walk:
        first = self._first_day(context)
        if first is None:
            return whole_list(max_pages=self.max_pages)
        today = datetime.datetime.now(tz=datetime.timezone.utc).date()
        windows = [*date_windows(first, today, self.window_days)]
        if windows:
            last = today + datetime.timedelta(days=self.days_ahead)
            windows[-1] = dataclasses.replace(windows[-1], last=last)
        return windowed(map(self.window_parameters, windows), max_pages=self.max_pages)

    def _first_day(self, context: Context | None) -> datetime.date | None:
        """The day ``lookback_days`` before the bookmark, none before the start date; None for the very first."""
        since = self.get_starting_timestamp(context)
        if since is None:
            return None
        first = timestamp((since - datetime.timedelta(days=self.config["lookback_days"])).isoformat())
        if start := self.config.get("start_date"):
            first = max(first, timestamp(start))
        return datetime.date.fromisoformat(first[:10])


class CustomFieldsMixin(ApolloStream):
    """A stream whose records carry custom fields: adds them by label.

    Attributes:
        modality: What Apollo calls this kind of record in the definitions of custom fields.
    """

    modality: ClassVar[str]

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        record = super().post_process(row, context)
        if record and (values := record.get("typed_custom_fields")) and self._labels:
            record["custom_fields"] = self._labels.resolve(values)
        return record

    @functools.cached_property
    def _labels(self) -> CustomFieldLabels | None:
        return self._tap.custom_field_labels(self.modality)


class DerivedStream(ApolloStream):
    """A stream whose rows come out of the records of another, without requests of its own.

    The parent hands over each record before it writes it, so that no STATE covers a record whose rows are not out.
    """

    state_partitioning_keys = ()  # one bookmark, not one per parent record

    def derive(self, record: Record) -> Iterable[Record]:
        """Return the rows that a record of the parent holds."""
        raise NotImplementedError

    def open(self) -> None:
        """Announce the stream; to be called before the first record."""
        if self.selected:
            self._write_schema_message()

    def feed(self, record: Record) -> None:
        """Write the rows that a record of the parent holds."""
        if self.selected:
            for row in self.derive(record):
                if shaped := self.post_process(row):
                    self._write_record_message(shaped)
