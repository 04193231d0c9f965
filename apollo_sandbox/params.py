"""Request parameters, from the query in Rails' notation and from the JSON body alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from apollo_sandbox.clock import DAY, instant
from apollo_sandbox.errors import not_a_range

if TYPE_CHECKING:
    from collections.abc import Iterable

_SEGMENT = re.compile(r"\[([^\]]*)\]")
_LEADING_NUMBER = re.compile(r"\s*([+-]?\d+)")


class Params:
    """The parameters of one request; a query parameter wins over the body's."""

    def __init__(self, query: Iterable[tuple[str, str]] = (), body: object = None) -> None:
        """Merge a query and a decoded JSON body, whose keys may be in Rails' notation too."""
        self._values: dict[str, Any] = {}
        if isinstance(body, dict):
            for key, value in body.items():
                _put(self._values, key, value)
        sent: dict[str, Any] = {}
        for key, value in query:
            _put(sent, key, value)
        self._values.update(sent)

    def get(self, name: str) -> Any:
        """Give a parameter as it was sent, or None."""
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        """Give a parameter as text; empty text counts as absent."""
        value = self._values.get(name)
        if value is None or value == "" or isinstance(value, (dict, list)):
            return None
        return str(value)

    def texts(self, name: str) -> list[str]:
        """Give a parameter as a list of texts, be it one value or several."""
        value = self._values.get(name)
        values = value if isinstance(value, list) else [value]
        return [str(one) for one in values if one is not None and one != ""]

    def whole(self, name: str, default: int) -> int:
        """Give a number as Ruby's `to_i` would read it."""
        value = self._values.get(name)
        if value is None or value == "":
            return default
        number = _LEADING_NUMBER.match(str(value))
        return int(number[1]) if number else 0

    def flag(self, name: str) -> bool:
        """Give a switch."""
        return str(self._values.get(name)).lower() in {"true", "1"}

    def span(self, name: str, low: str = "min", high: str = "max") -> Span | None:
        """Give a range of dates; a string in its place is an error, as it is to Apollo."""
        value = self._values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise not_a_range()
        span = Span(value.get(low), value.get(high))
        return span if span.given else None


class Span:
    """A range of time, open at either end; a bare date at its end includes that whole day."""

    def __init__(self, low: object, high: object) -> None:
        """Read both ends; what is no date leaves that end open."""
        self.low_text = _text(low)
        self.high_text = _text(high)
        first, last = instant(self.low_text), instant(self.high_text)
        self.first = float("-inf") if first is None else first
        self.last = float("inf") if last is None else last
        if last is not None and len(self.high_text) == len("2026-01-31"):
            self.last = last + DAY - 1

    @property
    def given(self) -> bool:
        """Tell whether either end was sent."""
        return bool(self.low_text or self.high_text)

    @property
    def key(self) -> tuple[float, float]:
        """Give what distinguishes this range from others."""
        return self.first, self.last

    def __contains__(self, moment: int | None) -> bool:
        """Tell whether an instant lies within, ends included."""
        return moment is not None and self.first <= moment <= self.last


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    """Store `a[b][]` where Rails would."""
    name, *_ = key.split("[", maxsplit=1)
    segments = _SEGMENT.findall(key)
    if not segments:
        target[name] = value
    elif segments == [""]:
        held = target.setdefault(name, [])
        if isinstance(held, list):
            held.extend(value if isinstance(value, list) else [value])
    else:
        _put(_within(target, name), _joined(segments), value)


def _within(target: dict[str, Any], name: str) -> dict[str, Any]:
    held = target.get(name)
    if not isinstance(held, dict):
        held = target[name] = {}
    return held


def _joined(segments: list[str]) -> str:
    first, *rest = segments
    return first + "".join(f"[{one}]" for one in rest)
