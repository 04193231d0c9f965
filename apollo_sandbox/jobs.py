"""Work that Apollo finishes later: phone and waterfall enrichment, conversation exports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from apollo_sandbox.ids import Kind

if TYPE_CHECKING:
    from apollo_sandbox.clock import Clock
    from apollo_sandbox.entities import Conversation
    from apollo_sandbox.identities import Person
    from apollo_sandbox.ids import IdFactory

_SIGN_BIT = 1 << 63

T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """Something asked for at one moment and done at another."""

    subject: T
    asked: int
    done: int


@dataclass(frozen=True)
class Enrichment:
    """Whose phone numbers, or what of a waterfall, were asked for."""

    kind: str
    people: tuple[Person, ...]
    credits: int


class Jobs:
    """All jobs of this run."""

    def __init__(self, ids: IdFactory, clock: Clock, enrichment_ms: int, export_ms: int) -> None:
        """Take the given sandbox time for each kind of job."""
        self._ids = ids
        self._clock = clock
        self._enrichment_ms = enrichment_ms
        self._export_ms = export_ms
        self._requests = 0
        self.enrichments: dict[int, Job[Enrichment]] = {}
        self.exports: dict[str, Job[tuple[Conversation, ...]]] = {}

    def next_request_id(self) -> int:
        """Give a request id: any signed 64-bit number, often negative."""
        self._requests += 1
        bits = self._ids.bits(Kind.REQUEST, self._requests)
        return bits - 2 * _SIGN_BIT if bits & _SIGN_BIT else bits

    def enrich(self, request_id: int, enrichment: Enrichment) -> None:
        """Begin an enrichment whose result is fetched by its request id."""
        now = self._clock.now()
        self.enrichments[request_id] = Job(enrichment, now, now + self._enrichment_ms)

    def export(self, conversations: tuple[Conversation, ...]) -> str:
        """Begin an export; gives its id."""
        now = self._clock.now()
        export_id = self._ids.make(Kind.EXPORT, len(self.exports), now)
        self.exports[export_id] = Job(conversations, now, now + self._export_ms)
        return export_id
