"""Apollo's rate windows, as the headers of each reply tell them.

Per team and endpoint action there are three fixed windows, each opened by its first request: a minute, an hour, 24
hours (recorded: nine headers; empty where a window is unlimited, absent on 401 and 403).
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MINUTE, HOUR, DAY = 60, 3600, 86_400

_HEADERS = {
    MINUTE: ("x-rate-limit-minute", "x-minute-requests-left"),
    HOUR: ("x-rate-limit-hourly", "x-hourly-requests-left"),
    DAY: ("x-rate-limit-24-hour", "x-24-hour-requests-left"),
}


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a reply says of one window.

    Attributes:
        seconds: The length of the window.
        limit: Requests that it allows.
        left: Requests that it still allows.
    """

    seconds: int
    limit: int
    left: int


def read_windows(headers: Mapping[str, str]) -> list[Reading]:
    """Return the limited windows that a reply tells of; none if it tells nothing."""
    readings = []
    for seconds, (limit, left) in _HEADERS.items():
        limit_text, left_text = headers.get(limit, ""), headers.get(left, "")
        if limit_text.isdecimal() and left_text.isdecimal():
            readings.append(Reading(seconds, int(limit_text), int(left_text)))
    return readings


def seconds_for(requests: int, windows: Iterable[Reading]) -> int:
    """Return the seconds that the windows make some requests take at most: each may have just been opened."""
    beyond = {window: requests - window.left for window in windows}
    return max(
        (math.ceil(count / window.limit) * window.seconds for window, count in beyond.items() if count > 0),
        default=0,
    )
