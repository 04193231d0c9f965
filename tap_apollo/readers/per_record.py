"""Streams that ask about each record of another stream, a request each: deselected unless the catalog selects them.

Such a stream reads its parent with a walk of its own, down to where its own last run had come, and without writing
what it reads. So it may be selected alone, or later than its parent, and neither disturbs the other.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import RetriableAPIError
from typing_extensions import override

from tap_apollo import schemas
from tap_apollo.api.errors import (
    GoneError,
    NotFoundError,
    RedirectError,
    RequestError,
    UnknownReplyError,
    not_there,
)
from tap_apollo.paging import ListWalk, digest
from tap_apollo.readers.io import name_of
from tap_apollo.readers.lists import as_walked
from tap_apollo.readers.reader import Estimate, Reader
from tap_apollo.singer.conform import RecordConformer
from tap_apollo.singer.memory import AskedPlace, places_about
from tap_apollo.wording import counted

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping

    from tap_apollo.paging import Record
    from tap_apollo.readers.cursor import Pass
    from tap_apollo.readers.io import StreamIO
    from tap_apollo.singer.stream import ApolloStream

#: Requests after which a STATE comes although the page of parents is not done.
STATE_EVERY = 10


def the_record(io: StreamIO, records: list[Record], parent: StreamIO) -> list[Record]:  # noqa: ARG001
    """Ask about one record, whose id is in the path, and return it as its own endpoint shows it."""
    return io.endpoint.record(io.ask(record_id=records[0]["id"]))


def _any(record: Record) -> bool:  # noqa: ARG001
    return True


class PerRecord(Reader):
    """A stream that asks about the records of others.

    What belongs to one record, or to a batch of them, is asked for whole: if that takes several requests, a run passes
    ``max_pages`` by them.
    """

    on_by_default = False
    takes_max_pages = True
    takes_full_refresh_days = True

    def __init__(
        self,
        *parents: type[ApolloStream],
        ask: Callable[[StreamIO, list[Record], StreamIO], list[Record]] = the_record,
        about: Callable[[Record], bool] = _any,
        batches: Mapping[type[ApolloStream], int] | None = None,
        once: bool = False,
    ) -> None:
        """Declare what is asked.

        Args:
            *parents: The streams whose records it asks about.
            ask: Asks about some records of a parent, as many as a request may be for, and returns the rows.
            about: Whether Apollo can have anything about a record.
            batches: Most records to ask about in one request, per parent; one where that is not said.
            once: Whether a record is asked about once, and not again when it has changed.
        """
        self.parents = parents
        self.place = places_about({name_of(parent): parent.reads.place for parent in parents})
        self._ask = ask
        self._about = about
        self._batches = batches or {}
        self._once = once

    @override
    def rows(self, io: StreamIO) -> Iterator[list[Record]]:
        for parent, place in self._parents(io):
            asking = _Asking(self, io, parent, place)
            try:
                yield from asking.rows()
            finally:
                asking.end()
            if asking.limited:
                break

    def _parents(self, io: StreamIO) -> Iterator[tuple[StreamIO, AskedPlace[Any]]]:
        """Yield what each parent is read with, and what of it was asked about."""
        for parent in self.parents:
            name = name_of(parent)
            place = getattr(io.place.parents, name) or AskedPlace()
            place.begin(io.start, anew=io.start is not None and (place.since is None or io.start > place.since))
            place.walk = place.walk or parent.reads.place()
            setattr(io.place.parents, name, place)
            yield io.of(parent, place.walk, io.refresh_days, io.start), place

    def wants(self, record: Record) -> bool:
        """Whether Apollo can have anything about a record."""
        return self._about(record)

    def keys(self, parent: StreamIO) -> Callable[[Record], str]:
        """Return what gives the key that a record is remembered by: but for those asked once, it changes with it."""
        if self._once:
            return lambda record: str(record["id"])
        conform = RecordConformer(schemas.annotated(parent.name))
        return lambda record: digest(conform(record))

    def remembers_all_of(self, parent: StreamIO) -> bool:
        """Whether to remember what was asked about: if the parent gives again what has not changed."""
        return self._once or not as_walked(parent).tells_changes

    def batch_of(self, parent: StreamIO) -> int:
        """Return how many records of a parent a request may ask about."""
        return self._batches.get(parent.stream, 1)

    def ask(self, io: StreamIO, records: list[Record], parent: StreamIO) -> list[Record]:
        """Ask about some records, and return the rows.

        Raises:
            GoneError: The record is not there any more; other errors as those of ``StreamIO.ask``.
        """
        return self._ask(io, records, parent)

    def parent_names(self) -> str:
        """Return the parents' names, as a sentence has them."""
        *others, last = map(name_of, self.parents)
        return f"{', '.join(others)} and {last}" if others else last

    @override
    def summary(self, io: StreamIO) -> tuple[str, ...]:
        names, tolerance = self.parent_names(), io.tolerance
        if tolerance.failed and not tolerance.gave_up:  # else that was said
            text = f"{counted(tolerance.failed, 'record')} of {names} could not be asked about"
            text = f"{text}: {tolerance.reason}" if tolerance.reason else f"{text}."
            io.report.failed(io.name, text, may_pass=True)
        if tolerance.gone:
            gone = counted(tolerance.gone, "record")
            io.logger.warning("%s: Apollo does not have %s of %s any more.", io.name, gone, names)
        for (unit, shown), count in io.cut_short.items():
            io.incomplete(f"of {counted(count, unit)} {shown}")
        return f"{counted(io.delivered, 'record')} about {names}", counted(io.requests, "request")

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        """Ask what each parent has to come, and, to see whether that is allowed, about one record."""
        wanted = pages = known = 0
        at_least = tried = False
        for parent, place in self._parents(io):
            look = parent.stream.reads.estimate(parent)
            first = dataclasses.replace(next(as_walked(parent).start(parent).walk.pages()), per_page=1)
            some = [] if tried else parent.fetch(first).records[:1]
            if some:
                tried = True
                with contextlib.suppress(GoneError):
                    self.ask(io, some, parent)
            known += (
                math.ceil(len(Asked(place, parent)) / self.batch_of(parent)) if self.remembers_all_of(parent) else 0
            )
            wanted += math.ceil((look.records or 0) / self.batch_of(parent))
            pages, at_least = pages + look.requests, at_least or look.at_least
        if known:
            wanted, at_least = max(0, wanted - known), True
        note = f"with {pages:,} to read {self.parent_names()}"
        allowed, limited = io.within_max_pages(wanted)
        if limited:
            return Estimate(None, allowed + pages, note=f"{limited}; {note}")
        return Estimate(None, wanted + pages, at_least=at_least, note=note)


class Asked:
    """What of a parent's records was asked about, by keys that change with a record; in the state it is up to date.

    While a walk of the parent is not at its end, that is all since it began: the runs that it takes meet its first
    records again and again. ``ended_at`` is when a walk first came to its end, and is not there before.
    """

    def __init__(self, place: AskedPlace[Any], parent: StreamIO) -> None:
        """Take up what an earlier run left in the place, unless it is too old."""
        if place.ended_at and parent.refresh_is_due(place.ended_at):
            place.keys, place.ended_at = [], None
        self._place = place
        self._known = {*place.keys}

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
        self._place.keys += new

    def keep(self, keys: Container[str]) -> None:
        """Forget all others."""
        self._place.keys = [key for key in self._place.keys if key in keys]
        self._known = {*self._place.keys}

    def ended(self, started: datetime.datetime) -> None:
        """Note that a walk came to its end, in a run that began at a moment."""
        self._place.ended_at = self._place.ended_at or started


class _Asking:
    """One run's asking about one parent's records.

    If some could not be read, the next run reads the parent from where this one began: it knows the others.

    Attributes:
        limited: Whether the limit of requests ended it.
    """

    def __init__(self, reader: PerRecord, io: StreamIO, parent: StreamIO, place: AskedPlace[Any]) -> None:
        """Take up where the last run was."""
        self._reader = reader
        self._io = io
        self._parent = parent
        self._began_at = copy.copy(parent.place)
        self._failed = io.tolerance.failed
        self._asked = Asked(place, parent)
        self._key = reader.keys(parent)
        self._listed: list[Record] = []
        self._answered: Record | None = None
        self.limited = False

    @property
    def _owes(self) -> bool:
        """Whether a record could not be asked about."""
        return self._io.tolerance.failed > self._failed

    def end(self) -> None:
        """Go back to where the run began, if something is still to be asked about."""
        if self._owes:
            self._parent.place.become(self._began_at)
            self._io.keep()

    def rows(self) -> Iterator[list[Record]]:
        """Yield the rows about the parent's records; whoever asks for the next has written those before."""
        reader, parent = self._reader, self._parent
        walked = as_walked(parent).start(parent)
        cursor = as_walked(parent).cursor(parent, walked, advances=lambda: not self._owes)
        keep, comes_again = dict[str, None](), isinstance(walked.walk, ListWalk)
        for records in cursor:
            wanted = {self._key(record): record for record in records if reader.wants(record)}
            if comes_again or reader.remembers_all_of(parent):
                keep.update(dict.fromkeys(wanted))
            comes_again = comes_again and not _reaches_covered_ground(walked, records)
            all_asked = yield from self._about_a_page(wanted)
            if not all_asked:
                return
        if cursor.outcome and not self._owes:
            if not (walked.resumed and reader.remembers_all_of(parent)):
                self._asked.keep(keep)
            self._asked.ended(parent.started)
            parent.save()

    def _about_a_page(self, wanted: Mapping[str, Record]) -> Generator[list[Record], None, bool]:
        """Yield the rows about the records on a page, and return whether all of them could be asked about.

        Args:
            wanted: Records by the keys that they are remembered by.
        """
        io, batch = self._io, self._reader.batch_of(self._parent)
        self._listed = [*wanted.values()]
        todo = [key for key in wanted if key not in self._asked]
        covered_by_state = io.requests
        for start in range(0, len(todo), batch):
            self.limited = io.max_pages is not None and io.requests >= io.max_pages
            if self.limited:
                io.stopped(io.max_pages_told, f"the rest of {self._reader.parent_names()}")
            if self.limited or (io.services.trial and io.requests):
                return False
            # What is remembered makes a STATE long: then fewer of them.
            if io.requests - covered_by_state >= max(STATE_EVERY, len(self._asked) // 50):
                io.save()
                covered_by_state = io.requests
            keys = todo[start : start + batch]
            failed = io.tolerance.failed
            yield self._about([wanted[key] for key in keys])
            if io.tolerance.failed == failed:
                self._asked.add(keys)
                io.keep()
        return True

    def _about(self, records: list[Record]) -> list[Record]:
        """Return the rows about some records; those that have vanished, or cannot be read, are counted.

        Raises:
            ApolloError, RetriableAPIError: Several in a row cannot be read, or the endpoint is not there; other errors
                as those of ``StreamIO.ask``.
        """
        tolerance = self._io.tolerance
        try:
            rows = self._reader.ask(self._io, records, self._parent)
        except RedirectError:
            raise
        except (RequestError, RetriableAPIError, UnknownReplyError) as error:
            if len(records) > 1:
                return [row for record in records for row in self._about([record])]
            doubted = isinstance(error, NotFoundError) and error.doubtful
            known = not doubted or self._is_there(records[0])
            if isinstance(error, GoneError) and known:
                tolerance.note_gone()
            else:
                tolerance.note_failed(error)
            return []
        self._answered = records[0]
        tolerance.note_read()
        return rows

    def _is_there(self, missing: Record) -> bool:
        """Whether the endpoint is there, which its answer about another record tells; False if that is not known.

        Args:
            missing: The record that it was asked about.

        Raises:
            ApolloError: It has no answer about either: it is not there.
        """
        others = [self._answered] if self._answered else [one for one in self._listed if one is not missing]
        for other in others[:1]:
            try:
                self._reader.ask(self._io, [other], self._parent)
            except NotFoundError as error:
                if error.doubtful:
                    raise not_there(self._io.endpoint, error.status) from error
            except (RedirectError, RetriableAPIError):
                return False
            except (RequestError, UnknownReplyError):
                return True
            return True
        return False


def _reaches_covered_ground(walked: Pass, records: list[Record]) -> bool:
    """Whether a page goes down to where a later walk would stop."""
    walk = walked.walk
    return isinstance(walk, ListWalk) and walk.mark is not None and walk.mark.reached(records)
