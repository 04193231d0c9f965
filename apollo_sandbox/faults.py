"""Faults on demand: what goes wrong, where, and how often."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from apollo_sandbox.deviations import DEVIATIONS, VALUES
from apollo_sandbox.errors import REFUSALS
from apollo_sandbox.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from apollo_sandbox.ids import Dice

#: Faults that spoil a request, of which one strikes at a time.
SPOILING = {
    "status": "an error of the given `status` (503), with a `body` of `json` or `html`",
    "cloudflare": "a 403 page of HTML from the network in front of Apollo",
    "reset": "the connection is reset",
    "timeout": "nothing for `seconds`, then the connection is reset",
    "cut_body": "half of the body, then the connection is closed",
    "html": "a page of HTML with status 200",
    "error_in_200": "an error object with status 200",
    "redirect": "a redirect to `location`, on another host",
    "refused": f"a refusal with `error_details`; `value` says why: {', '.join(f'`{one}`' for one in REFUSALS)}",
    "slow": "the right answer, `seconds` late",
}
KINDS = (*SPOILING, *DEVIATIONS)
_DEFAULTS = {
    "refused": {"status": 0, "value": "ip"},
    **{kind: deviation.defaults for kind, deviation in DEVIATIONS.items()},
}
_VALUES = {"refused": tuple(REFUSALS), **VALUES}


@dataclass
class Fault:
    """One thing that goes wrong, and when it does.

    Attributes:
        seen: Requests that it could have struck.
        fired: Requests that it struck.
        totals: The true total of the last answer it struck, by action.
    """

    kind: str
    action: str = "*"
    after: int = 0
    every: int = 1
    times: int = 0
    probability: float = 1.0
    status: int = 503
    body: str = "json"
    seconds: float = 1.0
    by: int = 10
    location: str = "https://elsewhere.example/"
    executed: bool = False
    size: int = 1
    place: int = 0
    value: str = ""
    told: bool = True
    seen: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)
    totals: dict[str, int] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.kind not in KINDS:
            message = f"fault kind must be one of {', '.join(KINDS)}, not {self.kind!r}"
            raise SettingsError(message)
        for name in ("every", "size"):
            if getattr(self, name) < 1:
                message = f"fault {name} must be at least 1, not {getattr(self, name)}"
                raise SettingsError(message)
        values = _VALUES.get(self.kind, (self.value,))
        if self.value not in values:
            message = f"fault value must be one of {', '.join(values)}, not {self.value!r}"
            raise SettingsError(message)

    def strikes(self, action: str, dice: Dice) -> bool:
        """Count a request, and tell whether it is one that fails."""
        if self.action not in {"*", action}:
            return False
        self.seen += 1
        if self.seen <= self.after or (self.seen - self.after - 1) % self.every:
            return False
        if self.times and self.fired >= self.times:
            return False
        if not dice.chance(self.probability):
            return False
        self.fired += 1
        return True

    def chooses(self, number: int) -> bool:
        """Tell whether a record of this number is one that is concerned."""
        return number % self.size == self.place % self.size


_OPTIONS: dict[str, Any] = {one.name: one.default for one in fields(Fault) if one.init}


def read_fault(spec: str | Mapping[str, Any]) -> Fault:
    """Read a fault from `kind=status,status=503,times=2` or from an object with such keys."""
    if isinstance(spec, str):
        pairs = [part.partition("=") for part in spec.split(",") if part.strip()]
        spec = {name.strip(): value.strip() for name, _, value in pairs}
    unknown = set(spec) - set(_OPTIONS)
    if unknown:
        message = f"fault has no option {', '.join(sorted(unknown))}; it has {', '.join(_OPTIONS)}"
        raise SettingsError(message)
    if "kind" not in spec:
        message = f"fault needs a kind: one of {', '.join(KINDS)}"
        raise SettingsError(message)
    given = {name: _option(name, value) for name, value in spec.items()}
    return Fault(**{**_DEFAULTS.get(given["kind"], {}), **given})


def _option(name: str, value: object) -> Any:
    kind = type(_OPTIONS[name]) if name != "kind" else str
    if kind is bool:
        return str(value).lower() in {"1", "true", "yes"}
    try:
        return kind(value)
    except (TypeError, ValueError):
        message = f"fault {name} must be a number, not {value!r}"
        raise SettingsError(message) from None


class FaultBox:
    """The faults in force; may be changed while the sandbox is serving."""

    def __init__(self, dice: Dice, specs: Iterable[str] = ()) -> None:
        """Start with the given specs."""
        self._dice = dice
        self._lock = threading.Lock()
        self._faults = [read_fault(spec) for spec in specs]

    def add(self, kind: str, **options: Any) -> Fault:
        """Put a fault in force."""
        return self.add_spec({"kind": kind, **options})

    def add_spec(self, spec: str | Mapping[str, Any]) -> Fault:
        """Put a fault in force that is written as text or as an object."""
        fault = read_fault(spec)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """End all faults."""
        with self._lock:
            self._faults.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Give all faults in force, with how often each has struck."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def draw(self, action: str) -> tuple[Fault | None, list[Fault]]:
        """Give the first fault that spoils this request, which those after it do not see, and all deviations."""
        with self._lock:
            deviations = [one for one in self._faults if one.kind in DEVIATIONS]
            spoiling = (one for one in self._faults if one.kind not in DEVIATIONS)
            return (
                next((one for one in spoiling if one.strikes(action, self._dice)), None),
                [one for one in deviations if one.strikes(action, self._dice)],
            )
