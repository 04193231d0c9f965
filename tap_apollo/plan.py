"""The plan: what a sync would do, before it does it, by free requests only; read before run."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from typing import TYPE_CHECKING, Any

from tap_apollo.api.client import UNREADABLE
from tap_apollo.api.errors import ApolloError, CredentialsError
from tap_apollo.api.rate_limits import NAMES, seconds_for
from tap_apollo.readers.derived import Derived
from tap_apollo.streams import CREDIT_STREAMS
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tap_apollo.api.rate_limits import WindowState
    from tap_apollo.credits import Ledger
    from tap_apollo.readers.reader import Estimate
    from tap_apollo.services import Services
    from tap_apollo.singer.stream import ApolloStream

#: Columns of the table that hold numbers.
_NUMBERS = range(2, 6)


@dataclasses.dataclass(frozen=True)
class StreamPlan:
    """What a sync would do with one stream.

    Attributes:
        stream: Its name.
        estimate: What there is to read; None if it cannot be read.
        windows: What the rate windows of its endpoint have left.
        seconds: How long it takes.
        problem: Why it cannot be read; empty if it can.
    """

    stream: str
    estimate: Estimate | None
    windows: list[WindowState]
    seconds: float
    problem: str = ""

    @property
    def minutes(self) -> int:
        """How long it takes, in started minutes."""
        return math.ceil(self.seconds / 60)

    def to_json(self) -> dict[str, Any]:
        """Return the plan for machines."""
        known = self.estimate
        return {
            "stream": self.stream,
            "readable": None if known and not known.tried else known is not None,
            "problem": self.problem or None,
            "records": known.records if known else None,
            "requests": known.requests if known else 0,
            "at_least": known.at_least if known else False,
            "credits": known.credits if known else 0,
            "minutes": self.minutes,
            "note": (known.note if known else "") or None,
            "windows": {NAMES[one.seconds]: {"limit": one.limit, "left": one.left} for one in self.windows},
        }


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a sync would do.

    Attributes:
        streams: The selected streams, in the order in which they run.
        ledger: What may be spent; None if no selected stream costs credits, or none may be bought.
        refused: Why nothing may be bought; empty if something may.
    """

    streams: list[StreamPlan]
    ledger: Ledger | None
    refused: str = ""

    @property
    def requests(self) -> int:
        """Requests of the whole sync."""
        return sum(one.estimate.requests for one in self.streams if one.estimate)

    @property
    def minutes(self) -> int:
        """How long the sync takes, in started minutes: streams run side by side, but those that cost credits."""
        in_turn = sum(one.seconds for one in self.streams if one.stream in CREDIT_STREAMS)
        return math.ceil(max([in_turn, *(one.seconds for one in self.streams)]) / 60)

    @property
    def wanted(self) -> int:
        """Credits that the streams would cost without limits."""
        return sum(one.estimate.credits for one in self.streams if one.estimate)

    @property
    def at_least(self) -> bool:
        """Whether it may be more than what is known."""
        return any(one.estimate.at_least for one in self.streams if one.estimate)

    @property
    def is_open(self) -> bool:
        """Whether it is not known how much there is to buy."""
        return any(one.estimate.at_least for one in self.streams if one.estimate and one.stream in CREDIT_STREAMS)

    @property
    def credits(self) -> int:
        """The most credits that the sync can cost: never less than what a run costs in which no reply is lost."""
        room = self.ledger.most if self.ledger else 0
        return room if self.is_open else min(room, self.wanted)

    def to_json(self) -> str:
        """Return the plan for machines."""
        content: dict[str, Any] = {
            "streams": [one.to_json() for one in self.streams],
            "requests": self.requests,
            "minutes": self.minutes,
            "at_least": self.at_least,
            "credits": self.credits,
        }
        if self.ledger:
            limits = self.ledger.limits
            content["credit_limits"] = {
                "credit_budget": limits.budget,
                "credit_budget_per_cycle": limits.per_cycle,
                "spent_in_cycle": self.ledger.in_cycle,
                "credit_budget_per_month": limits.per_month,
                "spent_in_month": self.ledger.in_month,
                "balance": self.ledger.balance,
                "credit_reserve": limits.reserve,
            }
        return json.dumps(content, indent=2)

    def to_table(self) -> str:
        """Return the plan for people."""
        head = ("stream", "readable", "records", "requests", "minutes", "credits", "left of minute/hour/day", "")
        rows = [head, *map(_cells, self.streams)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        lines = [
            "  ".join(
                cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, "", *self._sums()])

    def _sums(self) -> Iterator[str]:
        least = "at least " if self.at_least else ""
        yield f"In all {least}{counted(self.requests, 'request')}, {least}{self.minutes:,} min."
        if self.ledger is None:
            yield f"At most 0 credits: {self.refused}" if self.refused else "No selected stream costs credits."
            return
        unknown = ", the limits', as it is not known how much there is to buy" if self.is_open else ""
        yield f"At most {counted(self.credits, 'credit')}{unknown}. {self.ledger.allowance()}"


def make_plan(streams: Iterable[ApolloStream], services: Services) -> Plan:
    """Plan a sync.

    Args:
        streams: The selected streams, in the order in which they run.
        services: What they share.

    Raises:
        ApolloError: The credentials are not accepted, or Apollo cannot be reached.
    """
    streams = [*streams]
    ledger, refused = None, ""
    if any(stream.reads.costs for stream in streams):
        try:
            ledger = services.ledger
        except ApolloError as error:
            if services.report.fatal or isinstance(error, CredentialsError):
                raise
            refused = error.message
    return Plan([_plan(stream, services) for stream in streams], ledger, refused)


def _plan(stream: ApolloStream, services: Services) -> StreamPlan:
    began = time.monotonic()
    estimate, problem = None, ""
    try:
        estimate = stream.reads.estimate(stream.io())
    except CredentialsError:
        raise
    except UNREADABLE as error:
        if error is services.report.fatal:
            raise
        problem = services.client.why(error)
    asks = not isinstance(stream.reads, Derived)
    windows = (asks and services.limiter.readings(stream.endpoint.path)) or [*(estimate.windows if estimate else ())]
    count = estimate.requests if estimate else 0
    seconds = max(seconds_for(count, windows), count * (time.monotonic() - began)) if count else 0
    return StreamPlan(stream.name, estimate, windows, seconds, problem)


def _cells(plan: StreamPlan) -> tuple[str, ...]:
    known = plan.estimate
    if known is None:
        return (plan.stream, "no", "-", "-", "-", "-", "", plan.problem)
    more = "+" if known.at_least else ""
    return (
        plan.stream,
        "yes" if known.tried else "not asked",
        "?" if known.records is None else f"{known.records:,}{more}",
        f"{known.requests:,}{more}",
        f"{plan.minutes if plan.minutes > 1 else '<1'}{more}",
        f"{known.credits:,}{more if plan.stream in CREDIT_STREAMS else ''}",
        _left(plan.windows),
        known.note,
    )


def _left(windows: Iterable[WindowState]) -> str:
    left = {one.seconds: one.left for one in windows}
    return "/".join(f"{left[seconds]:,}" if seconds in left else "-" for seconds in NAMES) if left else ""
