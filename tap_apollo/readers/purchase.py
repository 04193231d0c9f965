"""Streams whose requests cost credits: within the ledger's limits, and nothing twice.

One loop buys. It works off jobs, of which each is kept in the state until it is done: a search is a job of many pages,
a record to buy a job of one. A STATE comes before each try of a charged request. When the rows of its reply are
written, the job notes in the state what was bought. So a run that is killed has lost one request's worth at most.

A reply that came was paid for, whatever it holds: what can be read of it is written, the rest is said with what it
cost, and what was asked for is bought.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from typing_extensions import override

from tap_apollo.api.endpoint import missing
from tap_apollo.api.errors import GoneError, OutOfCreditsError, RedirectError, RequestError, UnknownReplyError
from tap_apollo.credits import LimitReachedError, Price, Purchases
from tap_apollo.paging import DISPLAY_LIMIT
from tap_apollo.readers.io import name_of
from tap_apollo.readers.lists import as_walked
from tap_apollo.readers.reader import Estimate, Reader
from tap_apollo.singer.conform import now
from tap_apollo.singer.memory import Buys, Nowhere
from tap_apollo.wording import counted

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tap_apollo.api.endpoint import Endpoint
    from tap_apollo.credits import Ledger
    from tap_apollo.paging import Record
    from tap_apollo.readers.io import StreamIO
    from tap_apollo.singer.memory import ByDay
    from tap_apollo.singer.stream import ApolloStream

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Order:
    """One charged request.

    Attributes:
        worst: The most credits that it can cost.
        parameters: The JSON body of a POST, the query of a GET; None: what the endpoint sends always.
        record_id: The record that it is about, where the endpoint's path holds its id.
    """

    worst: int
    parameters: Mapping[str, Any] | None = None
    record_id: str | None = None


class Job(Protocol):
    """Something to buy."""

    def order(self) -> Order | None:
        """Return the next request; None: the job is done.

        Raises:
            LimitReachedError: What it may cost does not fit the limits.
        """

    def cost(self, reply: Any) -> int:
        """Return the credits that a reply shows were charged; what it raises says that the reply does not show it."""

    def rows(self, reply: Any, parts: Parts) -> list[Record]:
        """Return the rows that can be read in a reply, each of its parts by itself."""

    def bought(self, rows: list[Record]) -> None:
        """Note in the state that what was asked for is bought, now that its rows are written."""

    def parts(self) -> list[Job]:
        """Return smaller jobs in place of one that Apollo refuses, of which only some may be why; by default none."""
        return []

    def refused(self, error: RequestError) -> None:
        """Take note that Apollo refuses the job, which is free; by default it ends the stream.

        Raises:
            RequestError: The others would be refused, too.
        """
        raise error


class Parts:
    """The parts of a reply, of which one that cannot be read costs no other.

    Attributes:
        error: Why the first of them could not be read; None: all could.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Begin to read a reply of an endpoint."""
        self.error: Exception | None = None
        self._endpoint = endpoint

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """Read one of them."""
        try:
            with self._endpoint.parsing():
                yield
        except UnknownReplyError as error:
            self.error = self.error or error

    def rows(self, job: Job, reply: Any) -> list[Record]:
        """Return the rows that can be read in a reply to a job: none, if there is a fault in the tap."""
        try:
            return job.rows(reply, self)
        except Exception as fault:  # noqa: BLE001
            self.error = fault
            return []

    def keyed(self, rows: list[Record], keys: Iterable[str]) -> int:
        """Return how many rows can be rows, and note if others cannot, as a part of their key is missing."""
        usable = sum(missing(row, keys) is None for row in rows)
        with self.part():
            if usable < len(rows):
                raise LookupError("a row has no key")
        return usable


#: A total that a search index gives at most, and then for any larger one: it tells nothing.
CAPPED_TOTAL = 10_000


@dataclasses.dataclass
class Pages:
    """The pages of a list of which each is paid for: none is bought unless rows are known to be missing.

    Attributes:
        per_page: How many rows a page is asked for with.
        page: The page to buy next.
        pages: How many there are, as far as that is known.
        seen: How many rows have come.
    """

    per_page: int
    page: int
    pages: int | None
    seen: int

    def came(self, rows: int | None, total: int | None) -> bool:
        """Take note of a page, and return whether it was the last.

        Rows are missing by the total, also where pages are smaller than asked for; without one, while pages are full.

        Args:
            rows: How many rows it has; None: that could not be read.
            total: How many rows it says that there are.
        """
        size = self.per_page if rows is None else rows
        self.seen = (self.seen or (self.page - 1) * self.per_page) + size
        if not size:
            self.pages = self.page
        elif total is not None and total != CAPPED_TOTAL and (rows is None or total >= self.seen):
            self.pages = self.page + math.ceil(max(0, total - self.seen) / size)
        elif self.pages is None or self.pages <= self.page:
            self.pages = self.page + (rows is not None and rows >= self.per_page)
        self.pages = min(self.pages, DISPLAY_LIMIT // self.per_page)
        self.page += 1
        return self.page > self.pages


class Jobs(Protocol):
    """What a stream has to buy, as its declaration says it."""

    @property
    def remembers(self) -> Any:
        """The kind of bookmark that holds all that is remembered."""

    @property
    def asks_for(self) -> str:
        """What is asked for, as the docs say it."""

    @property
    def sources(self) -> tuple[type[ApolloStream], ...]:
        """The streams whose records may name it."""

    def of(self, buying: Buying) -> Iterator[Job]:
        """Yield the jobs; whoever asks for the next has done those before."""

    def to_buy(self, buying: Buying) -> tuple[int, bool]:
        """Return how many units a run would buy at most without limits, and whether it may be more, asking for free."""

    def summary(self, buying: Buying) -> None:
        """Report what could not be bought."""


class Buying:
    """One run of a stream that buys.

    Attributes:
        io: What it reads with.
        price: What it pays.
        unit_price: The most that one unit can cost: a page, a record.
        left: What is left to buy, as the closing line says it.
        beyond: What is left beyond that.
    """

    def __init__(self, io: StreamIO, price: Price) -> None:
        """Begin to buy."""
        self.io = io
        self.price = price
        self.unit_price = price.at_most(io.config)
        self.left = ""
        self.beyond = ""

    @property
    def ledger(self) -> Ledger:
        """The run's ledger, which takes a request to open."""
        return self.io.services.ledger

    @property
    def spent(self) -> int:
        """The credits that the stream has spent in this run."""
        return self.ledger.spent[self.io.name]

    @property
    def today(self) -> datetime.date:
        """The day that the run began."""
        return self.io.services.today

    def allow(self, price: int) -> int:
        """Return how many units of a price may be bought now.

        Raises:
            LimitReachedError: Not one.
        """
        self._keep_to_max_pages()
        return self.ledger.affordable(price, self.io.name)

    def _keep_to_max_pages(self) -> None:
        if self.io.orders == self.io.max_pages:
            raise LimitReachedError(self.io.max_pages_told)

    def send(self, order: Order, cost: Callable[[Any], int] | None = None) -> Any:
        """Send a request that may cost credits, and return the reply; a STATE comes before each try.

        Args:
            order: The request.
            cost: Tells from a reply what it did cost; without it, it is the worst case.

        Raises:
            LimitReachedError: The worst case does not fit the limits.
        """
        self._keep_to_max_pages()
        services, ledger = self.io.services, self.ledger  # to open it takes a request, which must not wait for this one
        self.io.keep()
        self.io.orders += 1
        try:
            return self.io.ask(order.parameters, order.record_id, worst=order.worst, cost=cost)
        except LimitReachedError:  # it was not sent
            self.io.orders -= 1
            raise
        finally:
            if services.writer.is_mine:  # or else the run has ended, and the state is not to be touched
                ledger.write_to(services.state)

    def stop(self, limit: str) -> None:
        """Note a limit that was reached, and what is left to do."""
        self.io.stopped(limit, self.left or "what it had not come to")

    def remembered(self, *, refresh: bool = True) -> Purchases:
        """Return what was bought before.

        Args:
            refresh: Whether what is older than `credit_refresh_days` is forgotten.
        """
        days = self.io.config.get("credit_refresh_days") if refresh else None
        return Purchases(self.io.remembered.bought, self.io.services.run, self.today, days)

    def entry(self, grown: ByDay[T], nothing: T) -> T:
        """Return what this run has noted today of what only grows, changed in place; nothing at first."""
        return grown.setdefault(self.today, {}).setdefault(self.io.services.run, nothing)

    def source(self, stream: type[ApolloStream]) -> StreamIO:
        """Return what a stream is read with whose records name what to buy.

        Its place is kept in the buyer's state, so that neither disturbs the other. What was bought from it may be
        bought again once the whole of it is read again.
        """
        place, days = self.io.place, self.io.config.get("credit_refresh_days")
        place.source = place.source or stream.reads.place()
        # An earlier `start_date` is for streams that are free: it buys nothing.
        start = max(filter(None, (self.io.start, getattr(place.source, "since", None))), default=None)
        return self.io.of(stream, place.source, days, start)

    def records_of(self, stream: type[ApolloStream]) -> Iterator[list[Record]]:
        """Yield another stream's rows, page by page, on from where the last run was stopped.

        No page is asked for unless something on it could be paid for. The place stays before what is still to be asked
        for.
        """
        source = self.source(stream)
        unread = self.left = f"the records of {name_of(stream)} that are not read yet"
        self.beyond = f" and {unread}"
        tolerance = self.io.tolerance
        cursors = as_walked(source).cursors(
            source,
            before=lambda: self.allow(self.unit_price),
            advances=lambda: not tolerance.failed,
        )
        for cursor in cursors:
            for rows in cursor:
                yield rows
                self.left = unread
        self.left = self.beyond = ""


class Purchase(Reader):
    """A stream that buys; it exists only if `credit_streams` names it.

    Attributes:
        price: What a request costs at most.
    """

    takes_max_pages = True
    costs = True

    def __init__(self, price: Price, jobs: Jobs, *, probe: Mapping[str, Any] | None = MappingProxyType({})) -> None:
        """Declare what is bought.

        Args:
            price: What a request costs at most.
            jobs: What there is to buy.
            probe: A request that Apollo refuses as its reference says, so that it is free, and that would cost nothing
                if it did not; it tells whether the credentials may send it. None: nobody knows of one.
        """
        self.price = price
        self.jobs = jobs
        self.parents = jobs.sources
        self._probe = probe

    @property
    def remembers(self) -> Any:
        """The kind of bookmark that holds all that is remembered."""
        return self.jobs.remembers

    @override
    def rows(self, io: StreamIO) -> Iterator[list[Record]]:
        if io.services.trial:
            io.logger.info("%s: not tried, as that could cost credits.", io.name)
            return
        buying = Buying(io, self.price)
        dated = "purchased_at" in io.columns
        try:
            for rows in self.bought(buying):
                yield [{**row, "purchased_at": now()} for row in rows] if dated else rows
        except LimitReachedError as reached:
            buying.stop(f"{reached}")
        except OutOfCreditsError as error:
            buying.ledger.exhaust(error.kind)
            of = f" of `{error.kind}`" if error.kind else ""
            buying.stop(f"Apollo says that the team's credits{of} are used up")

    def bought(self, buying: Buying) -> Iterator[list[Record]]:
        """Yield the rows of each charged request; whoever asks for the next has written them."""
        for job in self.jobs.of(buying):
            yield from self._done(job, buying)
        buying.left = ""

    def _done(self, job: Job, buying: Buying) -> Iterator[list[Record]]:
        """Do a job: reserve, STATE, send, settle (which the client does for each try), deliver, remember."""
        io, tolerance = buying.io, buying.io.tolerance
        while order := job.order():
            before = buying.spent
            try:
                reply = buying.send(order, job.cost)
            except (OutOfCreditsError, RedirectError):
                raise
            except RequestError as error:
                yield from self._refused(job, error, buying)
                return
            paid, parts = buying.spent - before, Parts(io.endpoint)
            rows = parts.rows(job, reply)
            usable = parts.keyed(rows, io.stream.primary_keys)
            yield rows
            job.bought(rows)
            io.keep()
            unread, io.fault = parts.error or io.fault, None
            if unread is None or usable:
                tolerance.note_read()
            if unread:
                tolerance.note_unread(unread, paid, whole=not usable)

    def _refused(self, job: Job, error: RequestError, buying: Buying) -> Iterator[list[Record]]:
        """Do a job in parts that Apollo refuses as a whole, which is free: only some may be why."""
        parts = job.parts()
        if not parts:
            job.refused(error)
            return
        try:
            buying.allow(buying.unit_price)
        except LimitReachedError:  # as it would be in each run: none comes past this job
            buying.io.report.failed(buying.io.name, error.message)
            raise
        for part in parts:
            yield from self._done(part, buying)

    @override
    def summary(self, io: StreamIO) -> tuple[str, ...]:
        services = io.services
        if not services.has_ledger:  # it came to no request
            return ()
        io.save()
        self.jobs.summary(Buying(io, self.price))
        if unread := io.tolerance.unread:
            what = f"{counted(unread, 'reply', 'replies')} could not be read, or not whole, and cost"
            text = f"{what} {counted(io.tolerance.unread_credits, 'credit')}: {io.tolerance.unread_reason}"
            io.report.failed(io.name, f"{text} What was asked for counts as bought.")
        spent = services.ledger.spent[io.name]
        return counted(io.delivered, "record"), counted(io.orders, "request"), counted(spent, "credit")

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        buying = Buying(io, self.price)
        ledger = buying.ledger
        tried = self._probe is not None and ledger.limits.budget > 0
        if tried:
            with contextlib.suppress(RequestError):
                io.ask(self._probe, "0" if "{id}" in io.endpoint.path else None)
        units, at_least = self.most(buying)
        wanted, note = io.within_max_pages(math.ceil(units / self.price.batch))
        if note:
            units = wanted * self.price.batch
        try:
            affordable = ledger.affordable(buying.unit_price, io.name)
        except LimitReachedError:
            affordable = 0
        if affordable < units:
            wanted = math.ceil(affordable / self.price.batch)
            note = f"credits for {affordable:,} of {self.price.counted(units)}"
        return Estimate(None, wanted, at_least, units * buying.unit_price, note, tried=tried)

    def most(self, buying: Buying) -> tuple[int, bool]:
        """Return how many units a run may buy at most without limits on credits, and whether it may be more."""
        units, at_least = self.jobs.to_buy(buying)
        limit = buying.io.max_pages
        return (limit * self.price.batch, False) if at_least and limit is not None else (units, at_least)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A record to buy.

    Attributes:
        keys: All that it is known by; if one of them was bought, so was it.
        value: What it is asked for by: an id, a domain, details.
        contact_id: The contact that it is for, if it is for one.
    """

    keys: tuple[str, ...]
    value: Any
    contact_id: str | None = None


def not_bought(wanted: Iterable[Wanted], bought: Purchases) -> list[Wanted]:
    """Return what is still to be bought, each once, whatever it is called."""
    todo: list[Wanted] = []
    seen: set[str] = set()
    for one in wanted:
        if not any(key in seen or key in bought for key in one.keys):
            todo.append(one)
        seen.update(one.keys)
    return todo


class Records:
    """Records to buy, one or several a request, each once: those that the settings name, or another stream's."""

    remembers: Any = Buys[Nowhere]
    asks_for: str
    sources: tuple[type[ApolloStream], ...]

    def given(self, buying: Buying) -> list[Wanted] | None:  # noqa: ARG002
        """Return what the settings name; None if they leave it to another stream's records."""
        return None

    def source(self, buying: Buying) -> type[ApolloStream]:  # noqa: ARG002
        """Return the stream whose records name what to buy: by default the only one that can."""
        return self.sources[0]

    def named_by(self, record: Record, buying: Buying) -> Wanted | None:  # noqa: ARG002
        """Return what a record of the source names; None: nothing that can be bought."""
        return Wanted((record["id"],), record["id"])

    def order(self, batch: list[Wanted], buying: Buying) -> Order:
        """Return the request for some records: by default for one, by the id in the path."""
        return Order(buying.unit_price, record_id=batch[0].value)

    def rows(self, reply: Any, batch: list[Wanted], buying: Buying, parts: Parts) -> list[Record]:  # noqa: ARG002
        """Return the rows that can be read in a reply: the record that it holds, or none."""
        rows: list[Record] = []
        with parts.part():
            rows += buying.io.endpoint.record(reply)
        return rows

    def asked(self, batch: list[Wanted], rows: list[Record], buying: Buying) -> Iterable[str]:  # noqa: ARG002
        """Return the keys of what need not be asked for again: those not found included."""
        return [key for one in batch for key in one.keys]

    def cost(self, reply: Any, batch: list[Wanted], buying: Buying) -> int:  # noqa: ARG002
        """Return what a reply shows was charged: the price, or nothing if it holds nothing."""
        return buying.price.credits if reply[buying.io.endpoint.rows] else 0

    def of(self, buying: Buying) -> Iterator[Job]:
        """Yield the batches to buy that were not bought before."""
        bought, price = buying.remembered(), buying.price
        for some in self._wanted(buying):
            todo = not_bought(some, bought)
            batches = _Batches(self, buying, bought, len(todo))
            while todo:
                batches.say_left()
                size = min(price.batch, buying.allow(buying.unit_price))
                batch, todo = todo[:size], todo[size:]
                yield _Batch(batches, batch)

    def to_buy(self, buying: Buying) -> tuple[int, bool]:
        """Return how many records are to be bought at most, and whether it may be more."""
        given = self.given(buying)
        if given is not None:
            return len(not_bought(given, buying.remembered())), False
        source = buying.source(self.source(buying))
        look = source.stream.reads.estimate(source)
        return look.records or 0, look.at_least

    def summary(self, buying: Buying) -> None:
        """Report the records that Apollo does not know, and those that it refuses."""
        io, price, tolerance = buying.io, buying.price, buying.io.tolerance
        if tolerance.gone:
            text = "%s: Apollo does not know %s of the %s that were asked for."
            io.logger.warning(text, io.name, f"{tolerance.gone:,}", price.units)
        if tolerance.failed and not tolerance.gave_up:  # else that was said
            io.report.failed(io.name, f"{price.counted(tolerance.failed)} could not be bought: {tolerance.reason}")

    def _wanted(self, buying: Buying) -> Iterator[list[Wanted]]:
        """Yield what to buy, some at a time; whoever asks for more is done with those before."""
        given = self.given(buying)
        if given is not None:
            yield given
            return
        for records in buying.records_of(self.source(buying)):
            yield [one for one in (self.named_by(record, buying) for record in records) if one]


class _Batches:
    """What all batches of one lot share: whom they ask, and how many records are left."""

    def __init__(self, records: Records, buying: Buying, bought: Purchases, left: int) -> None:
        self.records = records
        self.buying = buying
        self.bought = bought
        self.left = left

    def say_left(self) -> None:
        self.buying.left = f"{self.buying.price.counted(self.left)}{self.buying.beyond}"


class _Batch:
    """Some records to buy by one request."""

    def __init__(self, batches: _Batches, wanted: list[Wanted]) -> None:
        self._of = batches
        self._records = batches.records
        self._buying = batches.buying
        self._wanted = wanted
        self._done = False

    def order(self) -> Order | None:
        return None if self._done else self._records.order(self._wanted, self._buying)

    def cost(self, reply: Any) -> int:
        return self._records.cost(reply, self._wanted, self._buying)

    def rows(self, reply: Any, parts: Parts) -> list[Record]:
        return self._records.rows(reply, self._wanted, self._buying, parts)

    def bought(self, rows: list[Record]) -> None:
        self._done = True
        self._of.bought.add(self._records.asked(self._wanted, rows, self._buying))
        self._of.left -= len(self._wanted)
        self._of.say_left()

    def parts(self) -> list[Job]:
        return [_Batch(self._of, [one]) for one in self._wanted] if len(self._wanted) > 1 else []

    def refused(self, error: RequestError) -> None:
        tolerance = self._buying.io.tolerance
        if isinstance(error, GoneError) and self._buying.price.batch == 1:  # else the endpoint says it, not the record
            tolerance.note_gone()
            self.bought([])
        else:
            tolerance.note_failed(error)
