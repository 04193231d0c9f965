"""The parts a running sandbox is made of, and one request as an endpoint sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apollo_sandbox.clock import SECOND, Clock
from apollo_sandbox.credits import CreditMeter
from apollo_sandbox.deviations import DEVIATIONS
from apollo_sandbox.edits import Colleagues
from apollo_sandbox.faults import FaultBox
from apollo_sandbox.genesis import create_world
from apollo_sandbox.ids import Dice, Kind
from apollo_sandbox.jobs import Jobs
from apollo_sandbox.oauth import TokenIssuer
from apollo_sandbox.rate_limits import RateLimiter
from apollo_sandbox.usage_log import UsageLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from apollo_sandbox.faults import Fault
    from apollo_sandbox.params import Params
    from apollo_sandbox.settings import Settings
    from apollo_sandbox.world import World


class Services:
    """Everything behind the endpoints, wired together once."""

    def __init__(self, settings: Settings, monotonic: Callable[[], float]) -> None:
        """Create the team and everything that watches over its use."""
        self.settings = settings
        self.clock = Clock(settings.start_ms, settings.clock_speed, monotonic)
        self.usage_log = UsageLog()
        self.limiter = RateLimiter(settings.plan, self.clock, settings.limit)
        self.credits = CreditMeter(settings, self.clock, self.usage_log)
        self.oauth = TokenIssuer(settings, self.clock)
        self.world = create_world(settings, self.clock)
        self.colleagues = Colleagues(self.world, settings.edits_per_request)
        self.faults = FaultBox(self.world.ids.dice(Kind.FAULT, 0), settings.fault)
        self.jobs = Jobs(
            self.world.ids,
            self.clock,
            int(settings.enrichment_seconds * SECOND),
            int(settings.export_seconds * SECOND),
        )
        self.luck = self.world.ids.dice(Kind.REQUEST, 0)

    def reset(self) -> None:
        """Forget what clients did: the usage log and the rate windows."""
        self.usage_log.reset()
        self.limiter.reset()


@dataclass
class Call:
    """One request, as an endpoint sees it.

    Attributes:
        services: What there is to answer it with.
        action: Apollo's name of the endpoint, under which it is counted, limited and charged.
        params: Its parameters, of query and body.
        path: The parts of its path that vary.
        origin: Scheme, host and port by which it came, for URLs in the answer.
        deviations: How its answer differs from what Apollo documents.
    """

    services: Services
    action: str
    params: Params
    path: Mapping[str, str]
    origin: str
    deviations: Sequence[Fault]

    @property
    def world(self) -> World:
        """Give the team's data."""
        return self.services.world

    def charge(self, amount: int, records: list[str], kind: str = "lead_credit", **more: int) -> None:
        """Take credits of a kind for the answer, and more of others, or refuse."""
        self.services.credits.charge(self.action, {kind: amount, **more}, records)

    def deviating(self, place: str) -> Iterator[tuple[Any, Fault]]:
        """Give what this answer's deviations change at a place of theirs, each with its fault."""
        for fault in self.deviations:
            change = getattr(DEVIATIONS[fault.kind], place)
            if change is not None:
                yield change, fault

    @property
    def luck(self) -> Dice:
        """Give the dice of this run of the sandbox, which no two requests share."""
        return self.services.luck
