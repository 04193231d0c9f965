"""What the team has used of its limits and credits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.credits import CREDIT_TYPES
from apollo_sandbox.rate_limits import REPORTED_ACTIONS
from apollo_sandbox.routing import Json, post

if TYPE_CHECKING:
    from apollo_sandbox.services import Call


@post("usage_stats/api_usage_stats", rows={"api_usage_stats": lambda _: REPORTED_ACTIONS})
def api_usage_stats(call: Call) -> Json:
    """Tell the use of the rate limits; keys are JSON arrays written as text."""
    return call.services.limiter.report()


@post("usage_stats/credit_usage_stats", rows={"credit_usage_stats": lambda _: CREDIT_TYPES})
def credit_usage_stats(call: Call) -> Json:
    """Tell the use of the credits."""
    return call.services.credits.report()
