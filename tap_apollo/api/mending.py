"""Text that no database takes, half a character or the character NUL: mended where replies are decoded, for all."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

#: Half of a pair by which JSON may write a character: ``\ud83d`` without its other half.
_HALF = re.compile("[\ud800-\udfff]")

#: Digits of a number that is certainly beyond all others.
_MOST_DIGITS = 309


def read(content: bytes, rows: str | None = None) -> tuple[Any, list[str]]:
    """Return a reply, decoded and mended, and what is to be said of that: a line for each column.

    Nearly all replies need none of it, and are looked at once for that: the decoder refuses half a character.

    Args:
        content: The reply.
        rows: Where it holds its rows, if not at its top.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        reply = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        reply = json.loads(content.decode("utf-8-sig", "replace"), parse_int=_whole, strict=False)
    else:
        if b"\\u0000" not in content:
            return reply, []
    mending = _Mending(rows)
    return mending.mended(reply, ()), [*mending.said]


def _whole(digits: str) -> float:
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


class _Mending:
    """Mends the values of one reply, and remembers in which columns it did so."""

    def __init__(self, rows: str | None) -> None:
        self._rows = rows
        self.said = dict[str, None]()

    def mended(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, list):
            return [self.mended(item, path) for item in value]
        if isinstance(value, dict):
            named = ((self._text(name, (*path, name)), item) for name, item in value.items())
            return {name: self.mended(item, (*path, name)) for name, item in named}
        return value

    def _text(self, text: str, path: tuple[str, ...]) -> str:
        if _HALF.search(text):
            self._say("half a character; it is loaded as U+FFFD", path)
            text = _HALF.sub("\ufffd", text)
        if "\0" in text:
            self._say("the character NUL; it is loaded without", path)
            text = text.replace("\0", "")
        return text

    def _say(self, what: str, path: tuple[str, ...]) -> None:
        column = path[1] if len(path) > 1 and path[0] == self._rows else path[0] if path else "the reply"
        column = _HALF.sub("\ufffd", column).replace("\0", "")
        self.said[f"a value of `{column}` holds {what}"] = None
