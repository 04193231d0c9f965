"""What clients did to the sandbox: the figures a test asserts on."""

from __future__ import annotations

from collections import Counter
from typing import Any


class UsageLog:
    """Requests, answers and credits since the start, or since the last reset."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.requests: Counter[str] = Counter()
        self.rate_limited: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.charges: list[dict[str, Any]] = []
        self.max_in_flight = 0
        self._in_flight = 0

    def reset(self) -> None:
        """Forget everything but the requests now in flight."""
        for counter in (self.requests, self.rate_limited, self.statuses, self.faults):
            counter.clear()
        self.charges.clear()
        self.max_in_flight = self._in_flight

    @property
    def credits_spent(self) -> int:
        """Give the sum of all charges."""
        return sum(charge["credits"] for charge in self.charges)

    @property
    def charged_twice(self) -> dict[str, dict[str, int]]:
        """Give the records that were charged for more than once, by endpoint, and how often."""
        times = Counter((charge["endpoint"], record) for charge in self.charges for record in charge["records"])
        twice: dict[str, dict[str, int]] = {}
        for (endpoint, record), number in times.items():
            if number > 1:
                twice.setdefault(endpoint, {})[record] = number
        return twice

    @property
    def requests_total(self) -> int:
        """Give the number of requests."""
        return sum(self.requests.values())

    @property
    def rate_limited_total(self) -> int:
        """Give the number of 429s."""
        return sum(self.rate_limited.values())

    def arrived(self, action: str) -> None:
        """Note a request."""
        self.requests[action] += 1
        self._in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def answered(self, status: str) -> None:
        """Note how a request ended."""
        self.statuses[status] += 1
        self._in_flight -= 1

    def charged(self, action: str, amount: int, records: list[str], when: str) -> None:
        """Note a charge."""
        self.charges.append({"endpoint": action, "credits": amount, "records": records, "charged_at": when})

    def as_dict(self) -> dict[str, Any]:
        """Give everything, as `GET /_sandbox/ledger` does."""
        by_endpoint: Counter[str] = Counter()
        for charge in self.charges:
            by_endpoint[charge["endpoint"]] += charge["credits"]
        return {
            "requests": dict(self.requests),
            "requests_total": self.requests_total,
            "statuses": dict(self.statuses),
            "rate_limited": dict(self.rate_limited),
            "rate_limited_total": self.rate_limited_total,
            "credits_spent": self.credits_spent,
            "credits_by_endpoint": dict(by_endpoint),
            "charged_twice": self.charged_twice,
            "charges": [dict(charge) for charge in self.charges],
            "faults": dict(self.faults),
            "max_in_flight": self.max_in_flight,
        }
