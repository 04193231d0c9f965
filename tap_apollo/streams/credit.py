"""How a stream is read whose requests cost credits: within the ledger's limits, and nothing twice.

When the rows of a request are written, its stream notes in the state what was bought; a STATE comes before the next
charged request. So a run that is killed has lost one request's worth at most.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar, cast

from jsonschema import Draft7Validator
from singer_sdk import metrics
from typing_extensions import override

from tap_apollo.api.client import Call
from tap_apollo.api.errors import (
    ApolloError,
    GoneError,
    OutOfCreditsError,
    RedirectError,
    RequestError,
)
from tap_apollo.credits import LimitReachedError, Price, Purchases
from tap_apollo.readers.prefetch import Outlook, Reading
from tap_apollo.report import counted
from tap_apollo.singer.conform import now
from tap_apollo.singer.stream import ApolloStream, Metric
from tap_apollo.streams.base import ResumableStream
from tap_apollo.streams.tolerance import Tolerance

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.credits import Ledger
    from tap_apollo.paging import Page, PageRequest
    from tap_apollo.services import Services

#: Where a stream's state holds what was bought, and the walk of the stream that it takes its records from.
BOUGHT, SOURCE = "bought", "source"


_BOUGHT = {BOUGHT: {"type": "object", "additionalProperties": {"type": "string"}}, SOURCE: {"type": "object"}}


class CreditStream(ApolloStream):
    """A stream that buys; it exists only if `credit_streams` names it.

    Attributes:
        price: What a request costs at most.
    """

    state_partitioning_keys = ()

    price: ClassVar[Price]

    #: A request that Apollo is bound to refuse, so that it is free, and tells whether the credentials may send it.
    refused: ClassVar[Mapping[str, Any]] = {}

    #: What the stream's state may hold, as JSON Schema; anything else would make it buy twice.
    remembers: ClassVar[Mapping[str, Any]] = {}

    #: What is left to buy, as the closing line says it, and what is left beyond that.
    left = ""
    beyond = ""

    _worst = 0
    _requests = 0

    def __init__(self, tap: Tap, run: Services) -> None:
        """Bind the stream to its tap and to the run that it is part of."""
        super().__init__(tap, run)
        self._limits: list[tuple[str, str]] = []

    def purchases(self) -> Iterator[list[Record]]:
        """Yield the rows of each charged request; whoever asks for the next has written them."""
        raise NotImplementedError

    def cost_of(self, reply: Any) -> int:
        """Return the credits that a reply shows were charged: its unit's price, or nothing if it holds nothing."""
        return self.price.credits if reply[cast("str", self.endpoint.rows)] else 0

    def borrowed(self, source: ApolloStream) -> ApolloStream:
        """Return a stream object made to be read for this one: its place is kept in this one's state."""
        if isinstance(source, ResumableStream):
            # What was bought from it may be bought again once the whole of it is read again.
            source.borrow(self.stream_state.setdefault(SOURCE, {}), self.config.get("credit_refresh_days"))
        return source

    @property
    def unit_price(self) -> int:
        """The most that one unit can cost: a page, a record."""
        return self.price.credits

    @property
    def ledger(self) -> Ledger:
        """The run's ledger."""
        return self.run.ledger

    @property
    def owes(self) -> bool:
        """Whether something that was to be bought is still to be asked for: then the place in the source stays."""
        return False

    # The plan

    def to_buy(self) -> tuple[int, bool]:
        """Return how many units a sync would buy without limits, and whether more may come; free requests only."""
        raise NotImplementedError

    @override
    def outlook(self) -> Outlook:
        self._worst = 0
        with contextlib.suppress(RequestError):
            self.ask(self.refused, "0" if "{id}" in self.endpoint.path else None)
        units, at_least = self.to_buy()
        requests_wanted = math.ceil(units / self.price.batch)
        limit, note = self.max_pages, ""
        if limit is not None and requests_wanted > limit:
            requests_wanted, units, at_least = limit, limit * self.price.batch, False
            note = f"`max_pages` allows {limit:,} requests"
        try:
            affordable = self.ledger.affordable(self.unit_price)
        except LimitReachedError:
            affordable = 0
        if affordable < units:
            requests_wanted = math.ceil(affordable / self.price.batch)
            note = f"credits for {affordable:,} of {self.price.counted(units)}"
        return Outlook(None, requests_wanted, at_least, units * self.unit_price, note)

    # One request

    def buy(self, parameters: Mapping[str, Any], *, worst: int, record_id: str | None = None) -> Any:
        """Send a request that may cost credits, after a STATE with all that was bought so far, and return the reply.

        Args:
            parameters: The JSON body of a POST, the query of a GET.
            worst: The most credits it can cost.
            record_id: The record that it is about, where the path holds its id.

        Raises:
            LimitReachedError: The worst case does not fit the budget, or the stream's page limit is reached.
        """
        self.allow(1)
        self.checkpoint(about_to_cost=worst)
        self._worst = worst
        self._requests += 1
        try:
            return self.ask(parameters, record_id)
        finally:
            if self.run.baton.is_mine:  # or else the run has ended, and the state is not to be touched
                self.ledger.write_to(self.tap_state)

    def allow(self, price: int) -> int:
        """Return how many units of a price may be bought now.

        Raises:
            LimitReachedError: Not one.
        """
        if self._requests == self.max_pages:
            raise LimitReachedError(f"`max_pages.{self.name}` is {self.max_pages:,}")
        return self.ledger.affordable(price)

    @override
    def ask(self, parameters: Mapping[str, Any], record_id: str | None = None) -> Any:
        call = Call(
            self.endpoint,
            parameters,
            self.name,
            record_id=record_id,
            priority=self.priority,
            worst=self._worst,
            cost=self.cost_of,
        )
        return self.run.client.send(call)

    # The run

    @override
    def read(self, context: Context | None) -> Iterator[list[Record]]:
        if self.run.trial:
            self.logger.info("%s: not tried, as that could cost credits.", self.name)
            return
        try:
            self.check_state()
            yield from self.purchases()
        except LimitReachedError as reached:
            self.note_limit(f"{reached}")
        except OutOfCreditsError:
            self.ledger.exhaust()
            self.note_limit("Apollo says that the team's credits are used up")

    @override
    def ended(self, delivered: int, seconds: float) -> None:
        """Sum up: what came, what it cost, and, if limits ended it, which, and what is left to do."""
        if not self.run.has_ledger:  # it came to no request
            return
        self.checkpoint()
        spent = self.ledger.spent[self.name]
        self.sum_up(seconds, counted(delivered, "record"), counted(self._requests, "request"), counted(spent, "credit"))
        for limit, left in self._limits:
            self.limited(limit, left)
        point = metrics.Point("counter", Metric.CREDITS_SPENT, spent, {metrics.Tag.STREAM: self.name})  # type: ignore[arg-type]
        metrics.log(self.metrics_logger, point)

    def miss(self, reason: str) -> None:
        """Say that something that was to be bought cannot be known."""
        self.run.report.incomplete(self.name, reason)

    def note_limit(self, limit: str) -> None:
        """Note a limit that was reached, and what is left to do."""
        self._limits.append((limit, self.left or "what it had not come to"))

    def check_state(self) -> None:
        """Make sure that the state tells what was bought.

        Raises:
            ApolloError: It does not.
        """
        properties = {**_BOUGHT, **self.remembers}
        error = next(Draft7Validator({"properties": properties}).iter_errors(self.stream_state), None)
        if error:
            raise self.unusable(error)

    def unusable(self, error: Exception) -> ApolloError:
        """Return what to raise for a state that does not tell what was bought: rather nothing than all of it again."""
        return ApolloError(
            f"the state does not tell what was bought ({type(error).__name__}), and nothing is bought twice: "
            f"repair `bookmarks.{self.name}`, or remove it to buy anew.",
        )

    def checkpoint(self, about_to_cost: int = 0) -> None:
        """Write the state, which knows of everything that is written and paid for, and of what is paid next."""
        self.ledger.write_to(self.tap_state, about_to_cost)
        self.write_state()

    @override
    def shaped(self, row: Record, context: Context | None) -> Record:
        record = super().shaped(row, context)
        if "purchased_at" in self.schema["properties"]:
            record["purchased_at"] = now()
        return record

    @property
    def today(self) -> datetime.date:
        """The day that the run began."""
        return self.run.today


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A record to buy.

    Attributes:
        key: What it is remembered by.
        value: What it is asked for by: an id, a domain, details.
        contact_id: The contact that it is for, if it is for one.
        other_key: What it may have been bought by before.
    """

    key: str
    value: Any
    contact_id: str | None = None
    other_key: str | None = None

    @property
    def keys(self) -> list[str]:
        """All that it is remembered by."""
        return [self.key, *([self.other_key] if self.other_key else [])]


class RecordCreditStream(CreditStream):
    """A stream that buys records one by one, or several a request, each once."""

    def __init__(self, tap: Tap, run: Services) -> None:
        """Bind the stream to its tap and to the run that it is part of."""
        super().__init__(tap, run)
        self._tolerance = Tolerance()

    def given(self) -> list[Wanted] | None:
        """Return what the settings name; None if they leave it to another stream's records."""
        return None

    def source(self) -> ApolloStream:
        """Return an object of its own of the stream whose records name what to buy."""
        raise NotImplementedError

    def named_by(self, record: Record) -> Wanted | None:
        """Return what a record of the source names; None: nothing that can be bought."""
        return Wanted(record["id"], record["id"])

    def wanted(self) -> Iterator[list[Wanted]]:
        """Yield what to buy, some at a time; whoever asks for more is done with those before."""
        given = self.given()
        if given is not None:
            yield given
            return
        for records in read_for(self, self.borrowed(self.source())):
            yield [one for one in map(self.named_by, records) if one]

    def buy_batch(self, batch: list[Wanted], worst: int) -> Any:
        """Buy some records, as many as the price's batch at most, and return the reply: one, by the id in the path."""
        return self.buy(self.endpoint.parameters, worst=worst, record_id=batch[0].value)

    def rows_of(self, reply: Any, batch: list[Wanted]) -> list[Record]:  # noqa: ARG002
        """Return the rows in a reply: the record that it holds, or none."""
        record = reply[cast("str", self.endpoint.rows)]
        return [record] if record else []

    def asked(self, batch: list[Wanted], rows: list[Record]) -> Iterable[str]:  # noqa: ARG002
        """Return the keys of what need not be asked for again: those not found included."""
        return [key for one in batch for key in one.keys]

    @property
    @override
    def owes(self) -> bool:
        return bool(self._tolerance.failed)

    @override
    def purchases(self) -> Iterator[list[Record]]:
        bought = self.remembered()
        for some in self.wanted():
            todo = list({one.key: one for one in some if not any(key in bought for key in one.keys)}.values())
            left = len(todo)
            while todo:
                self.left = f"{self.price.counted(left)}{self.beyond}"
                size = min(self.price.batch, self.allow(self.unit_price))
                batch, todo = todo[:size], todo[size:]
                for part, rows in self._answers_to(batch):
                    yield rows
                    bought.add(self.asked(part, rows))
                    left -= len(part)
                    self.left = f"{self.price.counted(left)}{self.beyond}"

    def _answers_to(self, batch: list[Wanted]) -> Iterator[tuple[list[Wanted], list[Record]]]:
        """Buy some records; if Apollo refuses that, which is free, buy one by one: only some may be why.

        Yields:
            What was asked for in one request, and its rows; what is refused by itself is counted, and not yielded.
        """
        try:
            rows = self.rows_of(self.buy_batch(batch, len(batch) * self.unit_price), batch)
        except (OutOfCreditsError, RedirectError):
            raise
        except RequestError as error:
            if len(batch) > 1:
                try:
                    self.allow(self.unit_price)
                except LimitReachedError:  # as it would be in each run: none comes past this batch
                    self.run.report.failed(self.name, error.message)
                    raise
                for one in batch:
                    yield from self._answers_to([one])
                return
            if isinstance(error, GoneError) and self.price.batch == 1:  # else the endpoint says it, not the record
                self._tolerance.note_gone()
                yield batch, []
            else:
                self._tolerance.note_failed(error)
        else:
            self._tolerance.note_read()
            yield batch, rows

    @override
    def ended(self, delivered: int, seconds: float) -> None:
        super().ended(delivered, seconds)
        if self._tolerance.gone:
            text = "%s: Apollo does not know %s of the %s that were asked for."
            self.logger.warning(text, self.name, f"{self._tolerance.gone:,}", self.price.units)
        if self._tolerance.failed and not self._tolerance.gave_up:  # else that was said
            text = f"{self.price.counted(self._tolerance.failed)} could not be bought: {self._tolerance.reason}"
            self.run.report.failed(self.name, text)

    @override
    def to_buy(self) -> tuple[int, bool]:
        given = self.given()
        if given is not None:
            bought = self.remembered()
            return len({one.key for one in given} - {one.key for one in given if one.key in bought}), False
        source = self.borrowed(self.source())
        with source.needed():
            outlook = source.outlook()
        return outlook.records or 0, outlook.at_least

    def remembered(self, *, refresh: bool = True) -> Purchases:
        """Return what was bought before.

        Args:
            refresh: Whether what is older than `credit_refresh_days` is forgotten.
        """
        days = self.config.get("credit_refresh_days") if refresh else None
        try:
            return Purchases(self.stream_state.setdefault(BOUGHT, {}), self.today, days)
        except (AttributeError, TypeError, ValueError) as error:
            raise self.unusable(error) from error


def read_for(buyer: CreditStream, source: ApolloStream) -> Iterator[list[Record]]:
    """Yield another stream's rows for one that buys what they name, page by page, on from where it was stopped.

    The place in the source is kept in the buyer's state, so that neither disturbs the other, and no page is asked for
    unless something on it could be paid for.

    Args:
        buyer: The stream that buys.
        source: A borrowed stream object, not the one that the run reads.
    """
    source.priority = buyer.priority

    def fetch(request: PageRequest) -> Page:
        buyer.allow(buyer.unit_price)
        with source.needed():
            return source.fetch(request)

    unread = buyer.left = f"the records of {source.name} that are not read yet"
    buyer.beyond = f" and {unread}"
    contexts: Iterable[Context | None] = source.partitions or (None,)
    for context in contexts:
        walk = source.new_walk(context)
        reading = Reading(walk, fetch, source.page_limit(context))
        for rows in reading:
            yield rows
            if not buyer.owes:
                source.page_delivered(rows)
            buyer.left = unread
        if reading.outcome and reading.outcome.shortfall:
            buyer.miss(f"{source.name}: {reading.outcome.shortfall}")
        if reading.outcome and not buyer.owes and isinstance(source, ResumableStream):
            source.remember(walk, reading.outcome)
    buyer.left = buyer.beyond = ""
