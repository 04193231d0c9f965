"""From Apollo's rows to rows of one type each, as the stream's schema says.

Apollo mixes timestamp formats, leaves keys out, writes "loading" where a number will be and a made-up address where
an e-mail was not revealed. ``RecordConformer`` is compiled once from a schema and then applied to every record.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import re
from typing import TYPE_CHECKING, Any

from tap_apollo import schemas
from tap_apollo.api.endpoint import id_of
from tap_apollo.schemas import LEFT_OUT, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_apollo.singer.stream import ApolloStream

    Convert = Callable[[Any], Any]

    #: The type whose values stay as they are, and what converts those of others, null excepted.
    Conversion = tuple[type | None, Convert]

#: What Apollo sends in place of an address that the team has not revealed.
PLACEHOLDER_EMAIL = "email_not_unlocked@domain.com"

#: What Apollo sends in place of a statistic it is still computing.
PLACEHOLDER_NUMBER = "loading"


#: The lengths of ``2024-01-26T23:21:22.406Z`` and ``2024-01-26T23:21:22.406+00:00``, as nearly all are written.
_USUAL = frozenset({24, 29})

_FRACTION = re.compile(r"\.(\d+)")
_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")

#: A second that clocks add to a minute now and then, ``23:59:60``, and that no database knows.
_LEAP_SECOND = re.compile(r"(\d\d:\d\d):60")

#: The types of values of which none is, or holds, a number.
_WITHOUT_NUMBERS = frozenset({str, bool, type(None)})

#: The whole numbers that a column can hold.
_WHOLE = range(-(2**63), 2**63)


def timestamp(value: str) -> str:
    """Return a timestamp in the one format the tap writes, ``2024-01-26T23:21:22.406000+00:00``.

    Fixed width and always UTC, so that comparing two of them as text compares the moments. A leap second is the second
    before it.

    Raises:
        ValueError: The text is no ISO 8601 date or timestamp.
    """
    if len(value) in _USUAL and value[4:20:3] == "--T::." and value[23:] in {"Z", "+00:00"}:
        try:
            datetime.datetime.fromisoformat(value[:23])
        except ValueError:  # the long way may know better
            pass
        else:
            return f"{value[:23]}000+00:00"
    # Python 3.10 reads fractions of three and six digits and offsets with a colon only.
    if ":60" in value:
        value = _LEAP_SECOND.sub(r"\1:59", value)
    value = _FRACTION.sub(lambda match: f".{match[1][:6]:0<6}", _OFFSET.sub(r"\1:\2", value.replace("Z", "+00:00")))
    moment = datetime.datetime.fromisoformat(value)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    try:
        return moment.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds")
    except OverflowError as error:
        raise ValueError("the moment is out of range in UTC") from error


def moment(value: Any) -> str | None:
    """Return a timestamp in the format that the tap writes; None if there is none that can be read."""
    try:
        return timestamp(value)
    except (AttributeError, LookupError, TypeError, ValueError):
        return None


def moment_of(column: str) -> Callable[[Mapping[str, Any]], str | None]:
    """Return what gives the timestamp in a column of a row, as ``moment`` does."""
    return lambda row: moment(row.get(column))


def key_of(*parts: Any) -> str:
    """Return the key of a row that is known by several parts, of which any may be absent: a digest of them as JSON.

    So no column of a key is ever null, nor empty, which loaders that go by CSV make null.
    """
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def now() -> str:
    """Return the moment in the format that the tap writes."""
    return datetime.datetime.now(tz=datetime.timezone.utc).isoformat(timespec="microseconds")


class Conform:
    """How a stream's rows become records, a value of its declaration."""

    def __init__(self, then: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Declare it.

        Args:
            then: What completes a record that is in the form of the schema.
        """
        self.then = then

    def bind(self, stream: ApolloStream) -> Conformed:
        """Return what does it for the stream of a run."""
        return Conformed(self, stream)


class Conformed:
    """Brings the rows of one stream into the form of its schema, as the stream declares it."""

    def __init__(self, conform: Conform, stream: ApolloStream) -> None:
        """Compile the schema."""
        self._conform = RecordConformer(schemas.annotated(stream.name), always=stream.replication_key)
        self._then = conform.then

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a row as it goes to the warehouse."""
        record = self._conform(row)
        if self._then:
            self._then(record)
        return record

    def warnings(self) -> list[str]:
        """Return, once each, what is to be said of values since the last call."""
        return self._conform.warnings()

    def learned(self) -> dict[str, dict[str, Any]]:
        """Return what the SCHEMA has beside what the tap ships: the properties of columns that are objects.

        Raises:
            ApolloError: It cannot be read; other errors as those of ``Client.send``.
        """
        return {}


class MendedError(ValueError):
    """A value is not as it should be, and is loaded all the same, as another one."""

    def __init__(self, what: str, value: Any) -> None:
        """Say what becomes of it.

        Args:
            what: What is wrong with the value and what it is loaded as, after "a value of `column`".
            value: What it is loaded as.
        """
        super().__init__(what)
        self.what = what
        self.value = value


class RecordConformer:
    """Conforms records as a schema says, and remembers what it could not keep as it came."""

    def __init__(self, schema: Mapping[str, Any], always: str | None = None) -> None:
        """Compile a schema.

        Args:
            always: A property that each record has, null if need be.
            schema: JSON Schema of a record. ``x-left-out`` of an object names properties to drop without a word; a
                property ``_unknown`` takes those that it does not know.
        """
        self._reported: set[str] = set()
        self._warnings: list[str] = []
        self._conversions = self._properties("", schema)
        self._bearable = self._saying(UNKNOWN, "object", _bearable)
        self._left_out = frozenset(schema.get(LEFT_OUT, ()))
        self._rest: dict[str, Any] = {name: None for name in (UNKNOWN, always) if name in self._conversions}

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record with the schema's properties only, each of its type or null."""
        conversions, conformed = self._conversions, self._rest.copy()
        for name, value in record.items():
            if name in conversions:
                kind, convert = conversions[name]
                conformed[name] = value if value is None or type(value) is kind else convert(value)
            elif name not in self._left_out:
                self._keep(name, self._bearable(value), conformed)
        return conformed

    def warnings(self) -> list[str]:
        """Return, once each, what is new since the last call: unknown properties and values of another type."""
        if not self._warnings:
            return self._warnings
        warnings, self._warnings = self._warnings, []
        return warnings

    def _keep(self, name: str, value: Any, conformed: dict[str, Any]) -> None:
        """Put a property that the schema does not know where none is lost."""
        conformed[UNKNOWN] = {**(conformed.get(UNKNOWN) or {}), name: value}
        if name not in self._reported:
            self._reported.add(name)
            self._warnings.append(f"property `{name}` is not in the schema; it stands in `{UNKNOWN}`")

    def _properties(self, path: str, schema: Mapping[str, Any]) -> dict[str, Conversion]:
        return {name: self._property(f"{path}{name}", node) for name, node in schema.get("properties", {}).items()}

    def _property(self, path: str, schema: Mapping[str, Any]) -> Conversion:
        """Return what conforms the values of one property."""
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        kind = next(name for name in kinds if name != "null")
        plain: type | None = None
        if kind == "object":
            bearable = self._saying(path, kind, _bearable)
            convert = _object(self._properties(f"{path}.", schema), frozenset(schema.get(LEFT_OUT, ())), bearable)
        elif kind == "array":
            convert = _array(self._property(f"{path}[]", schema["items"]))
        else:
            plain, convert = _SCALARS[schema.get("format", kind)]
            if plain is str and "mail" in path:  # where the placeholder may stand
                plain = None
            if convert is _string and re.search(r"(^|[._])id$", path):
                convert = _id
        return plain, self._saying(path, schema.get("format", kind), convert)

    def _saying(self, path: str, kind: str, convert: Convert) -> Convert:
        """Return what converts the values of a property, and says once what becomes of others."""

        def conform(value: Any) -> Any:
            try:
                return convert(value)
            except MendedError as mended:
                what, loaded = mended.what, mended.value
            except (OverflowError, TypeError, ValueError):
                what, loaded = f"is not {KINDS[kind]}; it is loaded as null", None
            if path not in self._reported:
                self._reported.add(path)
                self._warnings.append(f"a value of `{path}` {what}")
            return loaded

        return conform


def _object(conversions: Mapping[str, Conversion], left_out: frozenset[str], bearable: Convert) -> Convert:
    def convert(value: Any) -> dict[str, Any]:
        if value == []:  # an empty map, as Apollo writes it in places
            return {}
        if not isinstance(value, dict):
            raise TypeError
        converted = {}
        for name, item in value.items():
            if name in conversions:
                kind, convert = conversions[name]
                converted[name] = item if item is None or type(item) is kind else convert(item)
            elif name not in left_out:  # unknown ones are kept: the object lands in one semi-structured column
                converted[name] = item if type(item) in _WITHOUT_NUMBERS else bearable(item)
        return converted

    return convert


def _array(item: Conversion) -> Convert:
    kind, convert = item

    def convert_all(value: Any) -> list[Any]:
        # A bare value where a list belongs is a list of one.
        elements = value if isinstance(value, list) else [value]
        return [one if one is None or type(one) is kind else convert(one) for one in elements]

    return convert_all


def _bearable(value: Any) -> Any:
    """Return a value of any kind as it came, if all databases can hold its numbers.

    Raises:
        MendedError: They cannot.
    """
    if _is_bearable(value):
        return value
    raise MendedError("holds a number past 64 bits; it is loaded as text", _bounded(value))


def _is_bearable(value: Any) -> bool:
    kind = type(value)
    if kind in _WITHOUT_NUMBERS:
        return True
    if kind is dict or kind is list:
        return all(map(_is_bearable, value.values() if kind is dict else value))
    return value in _WHOLE if kind is int else math.isfinite(value)


def _bounded(value: Any) -> Any:
    """Return a value with the numbers in it that are past 64 bits, or infinite, as text."""
    if isinstance(value, dict):
        return {name: _bounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    return value if _is_bearable(value) else f"{value}"


def _id(value: Any) -> str:
    text = id_of(value)
    if text is None:
        raise TypeError
    return text


def _string(value: Any) -> str | None:
    if isinstance(value, str):
        return None if value == PLACEHOLDER_EMAIL else value
    return json.dumps(value)


def _number(value: Any) -> float | None:
    if value == PLACEHOLDER_NUMBER:
        return None
    number = float(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise TypeError
    return number if isinstance(number, float) or number in _WHOLE else float(number)


def _integer(value: Any) -> int | None:
    if type(value) is int and value in _WHOLE:
        return value
    if value == PLACEHOLDER_NUMBER:
        return None
    number = int(value) if isinstance(value, str) or (isinstance(value, float) and value.is_integer()) else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError
    if number not in _WHOLE:
        raise MendedError("is past 64 bits; it is loaded as null", None)
    return number


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in {"true", "false"}:
        return value == "true"
    raise TypeError


def _timestamp(value: Any) -> str | None:
    if not isinstance(value, str):
        raise TypeError
    if not value:
        return None
    read = timestamp(value)
    if ":60" in value:
        raise MendedError("has a leap second; it is loaded as the second before", read)
    return read


def _date(value: Any) -> str | None:
    if not isinstance(value, str):
        raise TypeError
    return timestamp(value)[:10] if value else None


_SCALARS: dict[str, Conversion] = {
    "string": (str, _string),
    "number": (None, _number),
    "integer": (None, _integer),
    "boolean": (bool, _boolean),
    "date-time": (None, _timestamp),
    "date": (None, _date),
}

#: The types of JSON Schema, and the formats of text, in the words of a message.
KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "date": "a date",
    "date-time": "a timestamp",
    "integer": "a whole number",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
