"""Streams that ask about each record of another stream, a request each: deselected unless the catalog selects them.

Such a stream reads its parent with a walk of its own, down to where its own last run had come, and without writing
what it reads. So it may be selected alone, or later than its parent, and neither disturbs the other.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import datetime
import functools
import math
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk import metrics
from singer_sdk.exceptions import RetriableAPIError
from typing_extensions import override

from tap_apollo.api.errors import GoneError, RedirectError, RequestError
from tap_apollo.paging import ListWalk, digest
from tap_apollo.readers.prefetch import Outlook, Reading
from tap_apollo.report import counted
from tap_apollo.singer.conform import is_bookmark
from tap_apollo.singer.stream import UNKNOWN_FORM, ApolloStream
from tap_apollo.streams.base import WALK
from tap_apollo.streams.tolerance import Tolerance

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterable, Iterator, Mapping

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.paging import Page, PageRequest
    from tap_apollo.services import Services
    from tap_apollo.streams.base import ResumableStream

#: Where a stream's state holds its place in each parent, and there, what was asked about.
PARENTS, ASKED = "parents", "asked"

#: What a walk leaves at its place in the state.
_PLACE = (WALK, "replication_key", "replication_key_value")

#: Requests after which a STATE comes although the page of parents is not done.
STATE_EVERY = 10


class Asked:
    """What of a parent's records was asked about, by keys that change with a record; in the state it is up to date.

    While a walk of the parent is not at its end, that is all since it began: the runs that it takes meet its first
    records again and again. ``since`` is when a walk first came to its end, and is not there before.
    """

    def __init__(self, parent: ResumableStream) -> None:
        """Take up what an earlier run left at the parent's place, unless it is none of that or too old."""
        keys, since = list[str](), None
        try:
            state = parent.place[ASKED]
            since = state.get("since")
            if since and parent.refresh_is_due(datetime.datetime.fromisoformat(since)):
                since = None
            else:
                keys = [key for key in state["keys"] if isinstance(key, str)]
        except (AttributeError, KeyError, TypeError, ValueError):
            since = None
        self._known = {*keys}
        self._state: dict[str, Any] = {"keys": keys}
        if since:
            self._state["since"] = since
        parent.place[ASKED] = self._state

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._known)

    def __contains__(self, key: str) -> bool:
        """Whether it was asked about."""
        return key in self._known

    def add(self, keys: Iterable[str]) -> None:
        """Note what was asked about, and is written."""
        new = [key for key in keys if key not in self._known]
        self._known.update(new)
        self._state["keys"] += new

    def keep(self, keys: Container[str]) -> None:
        """Forget all others."""
        self._state["keys"] = [key for key in self._state["keys"] if key in keys]
        self._known = {*self._state["keys"]}

    def ended(self, started: datetime.datetime) -> None:
        """Note that a walk came to its end, in a run that began at a moment."""
        self._state.setdefault("since", started.isoformat(timespec="seconds"))


class PerRecordStream(ApolloStream):
    """A stream that asks about the records of others.

    What belongs to one record, or to a batch of them, is asked for whole: if that takes several requests, a run passes
    ``max_pages`` by them.

    Attributes:
        parents: The streams whose records it asks about.
        batch: Most records to ask about in one request.
    """

    selected_by_default = False
    state_partitioning_keys = ()

    parents: ClassVar[tuple[type[ResumableStream], ...]]
    batch: ClassVar[int] = 1

    _requests = 0
    _limited = False

    def __init__(self, tap: Tap, run: Services) -> None:
        """Bind the stream to its tap and to the run that it is part of."""
        super().__init__(tap, run)
        self._tolerance = Tolerance()

    def asks_about(self, record: Record) -> bool:  # noqa: ARG002
        """Return whether Apollo can have anything about a record."""
        return True

    def key(self, record: Record, parent: ResumableStream) -> str:
        """Return what a record is remembered by: by default it is asked about again once it has changed."""
        return digest(parent.shape(record))

    def remembers_all_of(self, parent: ResumableStream) -> bool:
        """Return whether to remember what was asked about: if the parent gives again what has not changed."""
        return not parent.tells_changes

    def batch_of(self, parent: ResumableStream) -> int:  # noqa: ARG002
        """Return how many records of a parent a request may ask about."""
        return self.batch

    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:  # noqa: ARG002
        """Ask about records, as many as a request may be for, and return the rows: by default the one in the reply.

        Raises:
            GoneError: The record is not there any more; other errors as those of ``ask``.
        """
        return [self.about(records[0])[cast("str", self.endpoint.rows)]]

    def about(self, record: Record) -> Any:
        """Return the reply to a request that has the record's id in its path."""
        return self.ask(self.endpoint.parameters, record["id"])

    @override
    def ask(self, parameters: Mapping[str, Any], record_id: str | None = None) -> Any:
        self._requests += 1
        return super().ask(parameters, record_id)

    # The run

    @override
    def read(self, context: Context | None) -> Iterator[list[Record]]:
        with metrics.http_request_counter(self.name, self.endpoint.path) as requests_sent:
            try:
                for parent in self._parents():
                    yield from self._rows_for(parent)
                    if self._limited:
                        break
            finally:
                requests_sent.increment(self._requests)

    def _rows_for(self, parent: ResumableStream) -> Iterator[list[Record]]:
        """Yield the rows about a parent's records; whoever asks for the next has written those before.

        If some could not be read, the next run reads the parent from where this one began: it knows the others.
        """
        place = {name: copy.deepcopy(parent.place[name]) for name in _PLACE if name in parent.place}
        failed = self._tolerance.failed
        try:
            yield from self._rows_of_one_walk(parent)
        finally:
            if self._tolerance.failed > failed:
                for name in _PLACE:
                    parent.place.pop(name, None)
                parent.place.update(place)

    def _rows_of_one_walk(self, parent: ResumableStream) -> Iterator[list[Record]]:
        asked, failed = Asked(parent), self._tolerance.failed
        reading = Reading(parent.new_walk(None), functools.partial(_needed, parent), parent.page_limit(None))
        keep, comes_again = dict[str, None](), isinstance(reading.walk, ListWalk)
        for records in reading:
            wanted = {self.key(record, parent): record for record in records if self.asks_about(record)}
            if comes_again or self.remembers_all_of(parent):
                keep.update(dict.fromkeys(wanted))
            comes_again = comes_again and not _reaches_covered_ground(cast("ListWalk", reading.walk), records)
            all_asked = yield from self._rows_of_one_page(wanted, parent, asked)
            if not all_asked:
                return
            parent.page_delivered(records)
        if reading.outcome:
            if reading.outcome.shortfall:
                self.run.report.incomplete(self.name, f"{parent.name}: {reading.outcome.shortfall}")
            if self._tolerance.failed > failed:
                return
            parent.remember(reading.walk, reading.outcome)
            if not (parent.resumed and self.remembers_all_of(parent)):
                asked.keep(keep)
            asked.ended(parent.started)
            self.write_state()

    def _rows_of_one_page(
        self,
        wanted: Mapping[str, Record],
        parent: ResumableStream,
        asked: Asked,
    ) -> Generator[list[Record], None, bool]:
        """Yield the rows about the records on a page, and return whether all of them could be asked about.

        Args:
            wanted: Records by the keys that they are remembered by.
            parent: The stream that the records are of.
            asked: What need not be asked about again.
        """
        todo = [key for key in wanted if key not in asked]
        covered_by_state = self._requests
        for start in range(0, len(todo), self.batch_of(parent)):
            self._limited = self.max_pages is not None and self._requests >= self.max_pages
            if self._limited or (self.run.trial and self._requests):
                return False
            # What is remembered makes a STATE long: then fewer of them.
            if self._requests - covered_by_state >= max(STATE_EVERY, len(asked) // 50):
                self.write_state()
                covered_by_state = self._requests
            keys = todo[start : start + self.batch_of(parent)]
            failed = self._tolerance.failed
            yield self._rows([wanted[key] for key in keys], parent)
            if self._tolerance.failed == failed:
                asked.add(keys)
        return True

    def _parents(self) -> Iterator[ResumableStream]:
        """Yield the parents, each an object of this stream's own, whose place is in this stream's state."""
        places = self.stream_state.setdefault(PARENTS, {})
        if not isinstance(places, dict):
            places = self.stream_state[PARENTS] = {}
        for parent_type in self.parents:
            parent = self.sibling(parent_type)
            parent.priority = self.priority
            place = places.setdefault(parent.name, {})
            if not isinstance(place, dict) or not is_bookmark(place.get("replication_key_value")):
                places[parent.name] = {}
                self.logger.warning(
                    "%s: its state of %s cannot be used; asking about all of them.", self.name, parent.name
                )
            parent.borrow(places[parent.name], self.full_refresh_days)
            yield parent

    def _rows(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        """Return the rows about some records; those that have vanished, or cannot be read, are counted.

        Raises:
            RequestError, RetriableAPIError: Several in a row cannot be read; other errors as those of ``ask``.
        """
        try:
            rows = self.rows_about(records, parent)
        except RedirectError:
            raise
        except (RequestError, RetriableAPIError, *UNKNOWN_FORM) as error:
            if len(records) > 1:
                return [row for record in records for row in self._rows([record], parent)]
            if isinstance(error, GoneError):
                self._tolerance.note_gone()
            else:
                self._tolerance.note_failed(error)
            return []
        self._tolerance.note_read()
        return rows

    @property
    def _parent_names(self) -> str:
        *others, last = (cast("Any", parent).name for parent in self.parents)
        return f"{', '.join(others)} and {last}" if others else last

    @override
    def ended(self, delivered: int, seconds: float) -> None:
        names = self._parent_names
        if self._tolerance.failed and not self._tolerance.gave_up:  # else that was said
            text = f"{counted(self._tolerance.failed, 'record')} of {names} could not be asked about"
            text = f"{text}: {self._tolerance.reason}" if self._tolerance.reason else f"{text}."
            self.run.report.failed(self.name, text, may_pass=True)
        if self._tolerance.gone:
            gone = counted(self._tolerance.gone, "record")
            self.logger.warning("%s: Apollo does not have %s of %s any more.", self.name, gone, names)
        if self._limited:
            self.limited(f"`max_pages.{self.name}` is {self.max_pages:,}", f"the rest of {names}")
        self.sum_up(seconds, f"{counted(delivered, 'record')} about {names}", counted(self._requests, "request"))

    # The plan

    @override
    def outlook(self) -> Outlook:
        """Ask what each parent has to come, and, to see whether that is allowed, about one record."""
        wanted = pages = known = 0
        at_least = tried = False
        for parent in self._parents():
            with parent.needed():
                look = parent.outlook()
                first = dataclasses.replace(next(parent.new_walk(None).pages()), per_page=1)
                some = [] if tried else parent.fetch(first).records[:1]
            if some:
                tried = True
                with contextlib.suppress(GoneError):
                    self.rows_about(some, parent)
            known += math.ceil(len(Asked(parent)) / self.batch_of(parent)) if self.remembers_all_of(parent) else 0
            wanted += math.ceil((look.records or 0) / self.batch_of(parent))
            pages, at_least = pages + look.requests, at_least or look.at_least
        if known:
            wanted, at_least = max(0, wanted - known), True
        note = f"with {pages:,} to read {self._parent_names}"
        limit = self.max_pages
        if limit is not None and wanted > limit:
            return Outlook(None, limit + pages, note=f"`max_pages` allows {limit:,} of {wanted:,} requests; {note}")
        return Outlook(None, wanted + pages, at_least=at_least, note=note)


def _needed(parent: ResumableStream, request: PageRequest) -> Page:
    """Return a page of a stream that is read because another needs it."""
    with parent.needed():
        return parent.fetch(request)


def _reaches_covered_ground(walk: ListWalk, records: list[Record]) -> bool:
    """Whether a page goes down to where a later walk would stop."""
    return walk.mark is not None and walk.mark.reached(records)
