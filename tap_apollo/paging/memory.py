"""What is kept between two runs of a walk, as JSON: written and read here, checked value by value.

State may come from an older version, from another account, or from an editor. What does not read as it should is
refused as a whole, and the walk begins anew: that costs requests, while a wrong cursor would cost records.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from tap_apollo.paging.marks import Mark
from tap_apollo.paging.walks import Stop
from tap_apollo.paging.windows import DateWindow, WindowStop

#: Raised by one whenever the form changes: a state of another form is not understood, and not guessed at.
VERSION = 1

#: Makes a mark of what its ``to_state`` gave; raises if it did not.
ReadMark = Callable[[Mapping[str, Any]], Mark]


class StateError(ValueError):
    """The state cannot be used; the message says why, in half a sentence."""


@dataclasses.dataclass(frozen=True)
class ListMemory:
    """What a list walk remembers.

    Attributes:
        covered: The mark of the last walk that came to its end.
        stops: Where walks since then were stopped, the latest first.
        witnesses: Ids by which the list is recognized.
        walked_at: When the list was last walked whole.
    """

    covered: Mark | None = None
    stops: tuple[Stop, ...] = ()
    witnesses: tuple[str, ...] = ()
    walked_at: datetime.datetime | None = None

    def to_state(self) -> dict[str, Any]:
        """Return the memory as JSON; without stops it says so, as a runner may merge it into one that had some."""
        state: dict[str, Any] = {"version": VERSION, "witnesses": list(self.witnesses)}
        state["stops"] = [stop.to_state() for stop in self.stops]
        if self.covered:
            state["covered"] = self.covered.to_state()
        if self.walked_at:
            state["walked_at"] = self.walked_at.isoformat(timespec="seconds")
        return state

    @classmethod
    def from_state(cls, state: Any, read_mark: ReadMark | None) -> ListMemory:
        """Read a memory.

        Args:
            state: What ``to_state`` gave, through JSON.
            read_mark: Reads the stream's kind of mark; None for lists in no order of update.

        Raises:
            StateError: It did not.
        """
        with _Checked(state) as known:
            covered = known.get("covered")
            return cls(
                covered=read_mark(covered) if read_mark and covered is not None else None,
                stops=tuple(_stop(stop, read_mark) for stop in known.get("stops", [])),
                witnesses=_texts(known["witnesses"]),
                walked_at=_moment(known["walked_at"]) if "walked_at" in known else None,
            )


@dataclasses.dataclass(frozen=True)
class WindowMemory:
    """What a walk by windows remembers.

    Attributes:
        stop: Where the last walk was stopped, if it was.
        witnesses: Ids by which the list is recognized.
        walked_at: When the list was last walked whole.
        latest: While a walk is stopped: the latest rows that it has seen, each its replication value and id.
        began: While a walk is stopped: when it began; no bookmark of it may be later.
    """

    stop: WindowStop | None = None
    witnesses: tuple[str, ...] = ()
    walked_at: datetime.datetime | None = None
    latest: tuple[tuple[str, str], ...] = ()
    began: str | None = None

    def to_state(self) -> dict[str, Any]:
        """Return the memory as JSON; without a stop it says so, as a runner may merge it into one that had one."""
        state: dict[str, Any] = {"version": VERSION, "witnesses": list(self.witnesses), "stop": None}
        if self.stop:
            state["stop"] = {
                "windows": [[f"{window.first}", f"{window.last}"] for window in self.stop.windows],
                "position": self.stop.position,
                "total": self.stop.total,
                "witnesses": list(self.stop.witnesses),
            }
            state["latest"] = [list(row) for row in self.latest]
            if self.began:
                state["began"] = self.began
        if self.walked_at:
            state["walked_at"] = self.walked_at.isoformat(timespec="seconds")
        return state

    @classmethod
    def from_state(cls, state: Any) -> WindowMemory:
        """Read a memory.

        Raises:
            StateError: It is not what ``to_state`` gave.
        """
        with _Checked(state) as known:
            stop = known.get("stop")
            return cls(
                stop=None
                if stop is None or not stop["windows"]  # its last page was delivered, and then the run was killed
                else WindowStop(
                    windows=tuple(_window(first, last) for first, last in stop["windows"]),
                    position=_count(stop["position"]),
                    total=None if stop["total"] is None else _count(stop["total"]),
                    witnesses=_texts(stop["witnesses"]),
                ),
                witnesses=_texts(known["witnesses"]),
                walked_at=_moment(known["walked_at"]) if "walked_at" in known else None,
                latest=tuple(_pair(row) for row in known.get("latest", ())) if stop else (),
                began=known["began"] if stop and "began" in known and _moment(known["began"]) else None,
            )


class _Checked:
    """Gives a state of this version, and turns whatever is wrong with it into a StateError."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def __enter__(self) -> Mapping[str, Any]:
        if not isinstance(self._state, dict) or "version" not in self._state:
            raise StateError("it is of an older version")
        if self._state["version"] != VERSION:
            raise StateError(f"it is of version {self._state['version']}, not {VERSION}")
        return self._state

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)) and not isinstance(
            error,
            StateError,
        ):
            raise StateError("it is damaged") from error


def _stop(state: Mapping[str, Any], read_mark: ReadMark | None) -> Stop:
    part = state.get("part", "")
    if not isinstance(part, str):
        raise TypeError
    return Stop(
        position=_count(state["position"]),
        total=None if state["total"] is None else _count(state["total"]),
        count=_count(state["count"]),
        mark=read_mark(state["mark"]) if read_mark else None,
        part=part,
        witnesses=_texts(state["witnesses"]),
        careful=state.get("careful", False) is True,
    )


def _window(first: str, last: str) -> DateWindow:
    window = DateWindow(datetime.date.fromisoformat(first), datetime.date.fromisoformat(last))
    if window.first > window.last:
        raise ValueError
    return window


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError
    return value


def _texts(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError
    return tuple(values)


def _pair(values: Any) -> tuple[str, str]:
    first, second = _texts(values)
    return first, second


def _moment(value: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment
