"""Object ids and the dice that decide everything about a row.

An id looks like Apollo's (24 hex digits, the first eight the creation second) and can be read
back into what it names, so that millions of rows need no table of ids.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_MASK = (1 << 64) - 1
_KIND_SHIFT = 56
_UNIT = 2.0**-53
_FACTOR, _ADDEND = 0x5851F42D4C957F2D, 0x14057B7EF767814F
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


class Kind(IntEnum):
    """What an id names."""

    TEAM = 1
    USER = 2
    CONTACT = 3
    ACCOUNT = 4
    DEAL = 5
    PERSON = 6
    ORGANIZATION = 7
    CONTACT_STAGE = 8
    ACCOUNT_STAGE = 9
    DEAL_STAGE = 10
    PIPELINE = 11
    LABEL = 12
    FIELD = 13
    OPTION = 14
    SEQUENCE = 15
    STEP = 16
    TOUCH = 17
    OUTREACH_EMAIL = 18
    TASK = 19
    CALL = 20
    CONVERSATION = 21
    NOTE = 22
    SCHEDULE = 23
    EMAIL_ACCOUNT = 24
    CAMPAIGN_STATUS = 25
    CONTACT_ROLE = 26
    JOB_POSTING = 27
    NEWS = 28
    EXPORT = 29
    EMPLOYMENT = 30
    PHONE_NUMBER = 31
    INDUSTRY = 32
    FUNDING = 33
    REQUEST = 34
    REPORT = 35
    EDIT = 36
    SETTING = 37
    RULESET = 38
    PARTICIPANT = 39
    FAULT = 40


def is_object_id(text: object) -> bool:
    """Tell whether `text` has the form of an id, whatever it names."""
    return isinstance(text, str) and _OBJECT_ID.fullmatch(text) is not None


def scramble(value: int) -> int:
    """Map 64 bits onto 64 bits, reversibly and without visible pattern (splitmix64)."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def unscramble(value: int) -> int:
    """Undo `scramble`."""
    value = ((value ^ (value >> 31) ^ (value >> 62)) * 0x319642B2D24D8EC3) & _MASK
    value = ((value ^ (value >> 27) ^ (value >> 54)) * 0x96DE1B173F119089) & _MASK
    return value ^ (value >> 30) ^ (value >> 60)


class Dice:
    """Random numbers that depend only on the seed and the thing they are drawn for.

    A congruential generator over 64 bits: good enough for made-up data, the same in every version
    of Python, and a hundred times cheaper to begin than `random.Random`.
    """

    __slots__ = ("_state",)

    def __init__(self, bits: int) -> None:
        """Begin with 64 well mixed bits."""
        self._state = bits & _MASK

    def random(self) -> float:
        """Give a number from 0 to below 1."""
        self._state = state = (self._state * _FACTOR + _ADDEND) & _MASK
        return (state >> 11) * _UNIT

    # A row draws dozens of numbers, so the next two take the step above in place.

    def chance(self, probability: float) -> bool:
        """Be true that often."""
        self._state = state = (self._state * _FACTOR + _ADDEND) & _MASK
        return (state >> 11) * _UNIT < probability

    def pick(self, options: Sequence[T]) -> T:
        """Choose one, all equally likely."""
        self._state = state = (self._state * _FACTOR + _ADDEND) & _MASK
        return options[(state >> 11) * len(options) >> 53]

    def whole(self, low: int, high: int) -> int:
        """Give an integer from `low` to `high`, both included."""
        return low + int(self.random() * (high - low + 1))

    def digits(self, count: int) -> str:
        """Give that many hexadecimal digits."""
        return "".join(self.pick("0123456789abcdef") for _ in range(count))


class Identity(NamedTuple):
    """What every record has: its id, its number among those of its kind, and when it was created."""

    id: str
    serial: int
    created: int


class IdFactory:
    """Makes and reads ids, and hands out the dice, for one seed."""

    def __init__(self, seed: int) -> None:
        """Tie everything to `seed`."""
        self._salt = scramble(seed + 1)

    def make(self, kind: Kind, serial: int, created_ms: int) -> str:
        """Give the id of the `serial`th thing of a kind."""
        return f"{created_ms // 1000:08x}{self.bits(kind, serial):016x}"

    def identity(self, kind: Kind, serial: int, created_ms: int) -> Identity:
        """Give the identity of the `serial`th record of a kind."""
        return Identity(self.make(kind, serial, created_ms), serial, created_ms)

    def read(self, text: str, kind: Kind) -> int | None:
        """Give the serial of the thing of this kind that `text` names, if it does."""
        return self.number(text) if self._bits_of(text) >> _KIND_SHIFT == kind else None

    def number(self, text: object) -> int | None:
        """Give the serial of the thing of any kind that `text` names, if it is an id."""
        return self._bits_of(text) & ((1 << _KIND_SHIFT) - 1) if is_object_id(text) else None

    def _bits_of(self, text: object) -> int:
        return unscramble(int(str(text)[8:], 16)) ^ self._salt if is_object_id(text) else 0

    def bits(self, kind: Kind, serial: int) -> int:
        """Give 64 bits that belong to this thing: the cheapest dice."""
        return scramble((kind << _KIND_SHIFT | serial) ^ self._salt)

    def dice(self, kind: Kind, serial: int, turn: int = 0) -> Dice:
        """Give the dice of this thing; another `turn` gives it other luck."""
        return Dice(self.bits(kind, serial) ^ scramble(turn))
