"""Every value comes out as its schema says, whatever Apollo sends."""

from __future__ import annotations

import datetime
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_apollo import schemas
from tap_apollo.singer.conform import PLACEHOLDER_EMAIL, RecordConformer, timestamp
from tap_apollo.streams import STREAMS

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "email": {"type": ["string", "null"]},
        "rate": {"type": ["number", "null"]},
        "count": {"type": ["integer", "null"]},
        "flag": {"type": ["boolean", "null"]},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "day": {"type": ["string", "null"], "format": "date"},
        "emails": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
        "nested": {
            "type": ["object", "null"],
            "properties": {"at": {"type": ["string", "null"], "format": "date-time"}},
            "x-left-out": {"secret": "a secret"},
        },
        "open": {"type": ["object", "null"], "additionalProperties": True},
        "_unknown": {"type": ["object", "null"], "additionalProperties": True},
    },
    "x-left-out": {"token": "a secret"},
}


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ({"email": PLACEHOLDER_EMAIL}, {"email": None}),
        ({"email": 12}, {"email": "12"}),
        ({"email": True}, {"email": "true"}),
        ({"emails": [PLACEHOLDER_EMAIL, "a"]}, {"emails": [None, "a"]}),
        ({"emails": "a"}, {"emails": ["a"]}),
        ({"emails": None}, {"emails": None}),
        ({"rate": "loading"}, {"rate": None}),
        ({"rate": 0}, {"rate": 0}),
        ({"rate": "0.5"}, {"rate": 0.5}),
        ({"count": "loading"}, {"count": None}),
        ({"count": 3.0}, {"count": 3}),
        ({"count": "3"}, {"count": 3}),
        ({"flag": "true"}, {"flag": True}),
        ({"flag": "false"}, {"flag": False}),
        ({"at": "2024-01-26T23:21:22.406Z"}, {"at": "2024-01-26T23:21:22.406000+00:00"}),
        ({"at": "2025-12-31T23:59:59.000+00:00"}, {"at": "2025-12-31T23:59:59.000000+00:00"}),
        ({"at": "2026-07-28T10:26:55Z"}, {"at": "2026-07-28T10:26:55.000000+00:00"}),
        ({"at": "2026-07-28T10:26:55+02:00"}, {"at": "2026-07-28T08:26:55.000000+00:00"}),
        ({"at": "2024-01-26T23:21:22.4+00:00"}, {"at": "2024-01-26T23:21:22.400000+00:00"}),
        ({"at": "2024-01-26T23:21:22.406123456+0000"}, {"at": "2024-01-26T23:21:22.406123+00:00"}),
        ({"at": "2025-08-07"}, {"at": "2025-08-07T00:00:00.000000+00:00"}),
        ({"at": ""}, {"at": None}),
        ({"day": "2025-08-07"}, {"day": "2025-08-07"}),
        ({"day": "2025-08-07T23:00:00Z"}, {"day": "2025-08-07"}),
        ({"nested": {"at": "2025-08-07", "new": 1}}, {"nested": {"at": "2025-08-07T00:00:00.000000+00:00", "new": 1}}),
        ({"nested": {"secret": "s"}}, {"nested": {}}),
        ({"nested": []}, {"nested": {}}),
        ({"open": {"a": [1]}}, {"open": {"a": [1]}}),
        ({"token": "s"}, {}),
    ],
)
def test_what_apollo_sends_becomes_the_type_of_its_column(given_: dict[str, Any], wanted: dict[str, Any]) -> None:
    shape = RecordConformer(SCHEMA)
    assert shape(given_) == {"_unknown": None, **wanted}
    assert shape.warnings() == []


@pytest.mark.parametrize(
    ("given_", "what"),
    [
        ({"rate": "n/a"}, "`rate` is not a number"),
        ({"rate": "nan"}, "`rate` is not a number"),
        ({"rate": True}, "`rate` is not a number"),
        ({"count": 1.5}, "`count` is not a whole number"),
        ({"flag": "maybe"}, "`flag` is not true or false"),
        ({"flag": 1}, "`flag` is not true or false"),
        ({"at": "soon"}, "`at` is not a timestamp"),
        ({"at": "9999-12-31T23:59:59.000-08:00"}, "`at` is not a timestamp"),
        ({"rate": 10**400}, "`rate` is not a number"),
        ({"at": 1700000000}, "`at` is not a timestamp"),
        ({"day": "soon"}, "`day` is not a date"),
        ({"nested": "x"}, "`nested` is not an object"),
        ({"nested": {"at": "soon"}}, "`nested.at` is not a timestamp"),
    ],
)
def test_a_value_of_another_type_is_null_and_said_once(given_: dict[str, Any], what: str) -> None:
    shape = RecordConformer(SCHEMA)
    for _ in range(2):
        jsonschema.validate(shape(given_), SCHEMA)
    assert shape.warnings() == [f"a value of {what}; it is loaded as null"]
    assert shape.warnings() == []


def test_an_unknown_property_is_kept_and_said_once() -> None:
    shape = RecordConformer(SCHEMA)
    assert shape({"id": "1", "novelty": {"deep": [1]}, "other": None}) == {
        "id": "1",
        "_unknown": {"novelty": {"deep": [1]}, "other": None},
    }
    assert shape({"id": "2", "novelty": "y"}) == {"id": "2", "_unknown": {"novelty": "y"}}
    assert shape({"id": "3"}) == {"id": "3", "_unknown": None}
    assert [line.split(" is ")[0] for line in shape.warnings()] == ["property `novelty`", "property `other`"]


@given(st.datetimes(timezones=st.just(datetime.timezone.utc)), st.datetimes(timezones=st.just(datetime.timezone.utc)))
def test_timestamps_compare_as_text_as_the_moments_do(one: datetime.datetime, other: datetime.datetime) -> None:
    assert (timestamp(one.isoformat()) < timestamp(other.isoformat())) == (one < other)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abc0 é", max_size=9)
    | st.sampled_from([PLACEHOLDER_EMAIL, "loading", "2024-01-26T23:21:22.406Z", "2025-08-07", "true", "1e400"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "secret", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "token", "novelty"]), JSON))
def test_whatever_comes_the_row_fits_the_schema(record: dict[str, Any]) -> None:
    record["id"] = "1"
    shaped = RecordConformer(SCHEMA)(record)
    jsonschema.validate(json.loads(json.dumps(shaped, allow_nan=False)), SCHEMA)
    assert shaped.keys() <= SCHEMA["properties"].keys()


@pytest.mark.parametrize("stream", STREAMS)
def test_every_schema_is_valid_typed_and_described(stream: str) -> None:
    schema = schemas.load(stream)
    jsonschema.Draft7Validator.check_schema(schema)

    def check(node: dict[str, Any], path: str) -> None:
        kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
        assert len([kind for kind in kinds if kind != "null"]) == 1, path
        for name, child in node.get("properties", {}).items():
            assert child.get("description"), f"{path}.{name}"
            check(child, f"{path}.{name}")
        if "items" in node:
            check(node["items"], f"{path}[]")

    check(schema, stream)
