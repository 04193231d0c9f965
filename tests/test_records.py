"""Every value comes out as its schema says, whatever Apollo sends."""

from __future__ import annotations

import dataclasses
import datetime
import json
import math
from typing import Any, ClassVar

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_apollo import schemas
from tap_apollo.api import mending
from tap_apollo.api.endpoint import GET, MANY, at_once, by_number
from tap_apollo.api.errors import UnknownReplyError
from tap_apollo.readers.tolerance import LeftOut
from tap_apollo.singer.conform import PLACEHOLDER_EMAIL, RecordConformer, moment, moment_of, timestamp
from tap_apollo.streams import STREAMS
from tap_apollo.streams.workspace import ApiUsageStats, unfolded

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "owner_id": {"type": ["string", "null"]},
        "email": {"type": ["string", "null"]},
        "rate": {"type": ["number", "null"]},
        "count": {"type": ["integer", "null"]},
        "flag": {"type": ["boolean", "null"]},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "day": {"type": ["string", "null"], "format": "date"},
        "emails": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
        "nested": {
            "type": ["object", "null"],
            "properties": {
                "at": {"type": ["string", "null"], "format": "date-time"},
                "owner_id": {"type": ["string", "null"]},
            },
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
        ({"at": "2026-13-45T99:00:00Z"}, "`at` is not a timestamp"),
        ({"at": "0000-01-01T00:00:00.000Z"}, "`at` is not a timestamp"),
        ({"at": "0001-01-01T00:00:00+08:00"}, "`at` is not a timestamp"),
        ({"at": "2024-01-26T23:21:22,406Z0"}, "`at` is not a timestamp"),
        ({"at": {}}, "`at` is not a timestamp"),
        ({"day": "0000-00-00"}, "`day` is not a date"),
        ({"count": 2**63}, "`count` is past 64 bits"),
        ({"count": -(2**63) - 1}, "`count` is past 64 bits"),
        ({"count": 1e30}, "`count` is past 64 bits"),
        ({"count": f"{2**64}"}, "`count` is past 64 bits"),
        ({"count": math.inf}, "`count` is not a whole number"),
        ({"count": math.nan}, "`count` is not a whole number"),
        ({"count": True}, "`count` is not a whole number"),
        ({"rate": math.inf}, "`rate` is not a number"),
        ({"owner_id": {"id": 1}}, "`owner_id` is not text"),
        ({"nested": {"owner_id": ["a"]}}, "`nested.owner_id` is not text"),
    ],
)
def test_a_value_of_another_type_is_null_and_said_once(given_: dict[str, Any], what: str) -> None:
    shape = RecordConformer(SCHEMA)
    for _ in range(2):
        jsonschema.validate(shape(given_), SCHEMA)
    assert shape.warnings() == [f"a value of {what}; it is loaded as null"]
    assert shape.warnings() == []


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("2016-12-31T23:59:60.500Z", "2016-12-31T23:59:59.500000+00:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000+00:00"),
        ("2026-01-01T00:00:60Z", "2026-01-01T00:00:59.000000+00:00"),
        ("2016-12-31T23:59:60+0100", "2016-12-31T22:59:59.000000+00:00"),
    ],
)
def test_a_leap_second_is_the_second_before_and_said_once(given_: str, wanted: str) -> None:
    shape = RecordConformer(SCHEMA)
    assert [shape({"at": given_})["at"] for _ in range(2)] == [wanted, wanted]
    assert shape.warnings() == ["a value of `at` has a leap second; it is loaded as the second before"]
    assert moment(given_) == wanted


@pytest.mark.parametrize("odd", [None, 1700000000, 1e99, {"x": 1}, [*"2024-01-26T23:21:22.406Z"], "", "soon", "\ud83d"])
def test_no_row_stops_what_reads_its_time(odd: Any) -> None:
    assert moment(odd) is moment_of("at")({"at": odd}) is moment_of("at")({}) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        (10**40, f"{10**40}"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_where_any_value_may_stand_a_number_past_64_bits_is_text_and_said_once(number: Any, text: str) -> None:
    shape = RecordConformer(SCHEMA)
    odd, mended = {"a": [1, number], "b": 2}, {"a": [1, text], "b": 2}
    for _ in range(2):
        record = shape({"open": odd, "nested": {"new": number}, "novelty": odd})
        assert record == {"open": mended, "nested": {"new": text}, "_unknown": {"novelty": mended}}
    assert [line for line in shape.warnings() if "property" not in line] == [
        f"a value of `{column}` holds a number past 64 bits; it is loaded as text"
        for column in ("open", "nested", "_unknown")
    ]


def test_numbers_that_a_column_can_hold_are_kept() -> None:
    shape = RecordConformer(SCHEMA)
    record = {"count": 2**63 - 1, "rate": -(2**63), "open": {"a": [2**63 - 1, -(2**63), 0.5, True, None]}}
    assert shape(record) == {**record, "_unknown": None}
    assert shape({"rate": 10**30, "owner_id": 7})["rate"] == 1e30
    assert shape({"owner_id": 7})["owner_id"] == shape({"owner_id": 7.0})["owner_id"] == "7"
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
    | st.sampled_from([2**63, -(2**63) - 1, 10**400])
    | st.floats()
    | st.text("abc0 é", max_size=9)
    | st.sampled_from([PLACEHOLDER_EMAIL, "loading", "2024-01-26T23:21:22.406Z", "2025-08-07", "true", "1e400"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["at", "secret", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def _bounded(digits: str) -> int:
    assert -(2**63) <= int(digits) < 2**63
    return int(digits)


@given(st.dictionaries(st.sampled_from([*SCHEMA["properties"], "token", "novelty"]), JSON))
def test_whatever_comes_the_row_fits_the_schema(record: dict[str, Any]) -> None:
    record["id"] = "1"
    shaped = RecordConformer(SCHEMA)(record)
    written = json.loads(json.dumps(shaped, allow_nan=False), parse_int=_bounded)
    jsonschema.validate(written, SCHEMA)
    assert shaped.keys() <= SCHEMA["properties"].keys()


class TestRows:
    """What cannot be a row costs no other."""

    LIST = GET("things", rows="things", paged=by_number)
    BAD: ClassVar[tuple[Any, ...]] = (
        None,
        7,
        "text",
        [],
        ["a"],
        {},
        {"id": None},
        {"id": ""},
        {"id": {}},
        {"id": ["a"]},
        {"id": True},
        {"id": 0.5},
    )

    @pytest.mark.parametrize("bad", BAD, ids=repr)
    @pytest.mark.parametrize("paged", [by_number, at_once])
    def test_a_page_leaves_out_and_counts_what_cannot_be_a_row(self, bad: Any, paged: Any) -> None:
        reply = {"things": [{"id": "a"}, bad, {"id": "b"}], "pagination": {"total_entries": 3}}
        page = dataclasses.replace(self.LIST, paged=paged).page(reply)
        assert ([row["id"] for row in page.records], page.left_out) == (["a", "b"], 1)

    @pytest.mark.parametrize(("number", "text"), [(7, "7"), (7.0, "7"), (-1, "-1"), (2**70, f"{2**70}"), (0, "0")])
    def test_a_number_as_an_id_becomes_its_text(self, number: Any, text: str) -> None:
        page = self.LIST.page({"things": [{"id": number}]})
        assert (page.records, page.left_out) == ([{"id": text}], 0)

    def test_a_reply_without_any_usable_id_is_of_an_unknown_form(self) -> None:
        with pytest.raises(UnknownReplyError):
            self.LIST.page({"things": [{"name": "a"}] * MANY})
        assert self.LIST.page({"things": [{"name": "a"}] * (MANY - 1)}).left_out == MANY - 1

    @pytest.mark.parametrize("odd", [None, "many", [], {}, math.nan, math.inf, True])
    def test_what_a_page_says_of_itself_may_be_anything(self, odd: Any) -> None:
        for pagination in (odd, {"total_entries": odd, "per_page": odd}):
            page = self.LIST.page({"things": [{"id": "a"}], "pagination": pagination, "breadcrumbs": odd})
            assert (page.records, page.total, page.per_page) == ([{"id": "a"}], None, None)

    def test_elsewhere_what_is_no_object_is_a_row_without_anything(self) -> None:
        assert self.LIST.records({"things": [{"a": 1}, None, "x"]}) == [{"a": 1}, {}, {}]
        one = GET("things/{id}", rows="thing")
        assert [one.record({"thing": thing}) for thing in ({"a": 1}, "x", None, {})] == [[{"a": 1}], [{}], [], []]

    def test_they_are_counted_by_stream_and_part_of_the_key_once_if_a_list_is_read_twice(self) -> None:
        left_out, keys = LeftOut(), ("contact_id", "id")
        rows: list[Any] = [{"contact_id": "c", "id": "a"}, {"contact_id": "c"}, {"contact_id": "c"}, {"id": "b"}]
        for _ in range(2):
            assert left_out.without("things", rows, keys) == rows[:1]
        assert left_out.without("others", [{"id": 1}], ("id",)) == [{"id": "1"}]
        assert [*left_out.said()] == [
            ("things", "2 rows without a usable `id` were left out"),
            ("things", "1 row without a usable `contact_id` was left out"),
        ]
        assert left_out.count == 3

    def test_a_limit_without_a_name_costs_no_other(self) -> None:
        windows = {"minute": {"limit": 1}, "hour": None, "day": "x"}
        rows = unfolded({'["api/v1/contacts", "search"]': windows, "odd": windows, "[1]": {}, '["a", "b"]': 7})
        found = ApiUsageStats.endpoint.page({'["api/v1/contacts", "search"]': windows, "odd": windows, '["a", "b"]': 7})
        assert [row.get("action") for row in rows] == ["search", None, None, "b"]
        assert [(row["action"], row.get("minute_limit")) for row in found.records] == [("search", 1), ("b", None)]
        assert found.left_out == 1


class TestReply:
    """What no database takes is mended where a reply is decoded."""

    @pytest.mark.parametrize(
        ("value", "wanted"),
        [
            ("x\ud83d", "x\ufffd"),
            ("\ude00x", "\ufffdx"),
            ("\ud83d\ude00", "\U0001f600"),
            ("a\0b", "ab"),
            ("\\ud83d", "\\ud83d"),
            ({"\ud83d": {"\0a": ["\ud83d"]}}, {"\ufffd": {"a": ["\ufffd"]}}),
        ],
    )
    def test_text_is_mended(self, value: Any, wanted: Any) -> None:
        reply, _ = mending.read(json.dumps({"rows": [{"a": value, "b": "c"}]}).encode())
        assert reply == {"rows": [{"a": wanted, "b": "c"}]}
        assert json.loads(json.dumps(reply).encode()) == reply

    def test_it_is_said_once_a_column(self) -> None:
        rows = [{"a": "\ud83d", "b": {"c": ["\ud83d", "\0"]}}, {"a": "\ud83d"}]
        half, zero = "holds half a character; it is loaded as U+FFFD", "holds the character NUL; it is loaded without"
        wanted = [f"a value of `a` {half}", f"a value of `b` {half}", f"a value of `b` {zero}"]
        assert mending.read(json.dumps({"rows": rows}).encode(), "rows")[1] == wanted
        assert mending.read(json.dumps(rows).encode())[1] == wanted
        assert mending.read(b'{"\\u0000a": 1}')[1] == [f"a value of `a` {zero}"]
        assert mending.read(b'"\\u0000"')[1] == [f"a value of `the reply` {zero}"]
        assert mending.read(b'{"a": "plain \\u00e9", "b": 1}')[1] == []

    @pytest.mark.parametrize(
        "number", ["1" * 5000, "-" + "1" * 5000, "1e400", "NaN", "Infinity", "9223372036854775808"]
    )
    def test_no_number_makes_a_reply_unreadable(self, number: str) -> None:
        reply, said = mending.read(
            f'{{"rows": [{{"count": {number}, "rate": {number}, "open": {{"a": {number}}}}}]}}'.encode()
        )
        record = RecordConformer(SCHEMA)(reply["rows"][0])
        assert record["count"] is None
        assert isinstance(record["open"]["a"], str)
        assert said == []

    def test_a_reply_with_raw_control_characters_or_bytes_that_are_no_text_is_read(self) -> None:
        assert mending.read(b'{"a": "x\0y\nz"}')[0] == {"a": "xy\nz"}
        assert mending.read(b'{"a": "\xff"}')[0] == {"a": "\ufffd"}

    @pytest.mark.parametrize("content", [b"", b"<html>", b'{"a": "b', b"\0"])
    def test_what_is_not_json_stays_that(self, content: bytes) -> None:
        with pytest.raises(ValueError, match="line 1"):
            mending.read(content)


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
