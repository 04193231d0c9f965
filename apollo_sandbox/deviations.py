"""How answers may differ from what Apollo documents: a table of deviations, each with what it changes.

They are faults that leave an answer readable. Several may be in force at once.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from apollo_sandbox import errors
from apollo_sandbox.clock import SECOND, instant
from apollo_sandbox.collection import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from apollo_sandbox.faults import Fault
    from apollo_sandbox.listing import Found, Pager
    from apollo_sandbox.params import Span
    from apollo_sandbox.services import Call

    Json = dict[str, Any]

_NULL_TOTAL = {"total_entries": None, "total_pages": None}


class Deviation(NamedTuple):
    """One way to differ.

    Attributes:
        what: What a client sees, for the docs.
        defaults: Its own defaults of a fault's options.
        pager: Changes which page is served, and what is said of it.
        total: Changes how many rows a list is said to have.
        span: Changes a range of time by which a list is filtered.
        found: Changes the order of a list.
        reply: Changes the answer.
    """

    what: str
    defaults: Mapping[str, Any] = {}
    pager: Callable[[Fault, Pager], None] | None = None
    total: Callable[[Fault, Call, int], int] | None = None
    span: Callable[[Fault, Span], None] | None = None
    found: Callable[[Fault, Found[Any]], Found[Any]] | None = None
    reply: Callable[[Fault, Call, Any], Any] | None = None


def _cap(fault: Fault, pager: Pager) -> None:
    pager.rows = min(pager.rows, fault.size)
    if fault.told:
        pager.per_page = pager.rows


def _limit(fault: Fault, pager: Pager) -> None:
    if pager.per_page > fault.size:
        raise errors.per_page_not_supported(short=False)


def _serve_first(_: Fault, pager: Pager) -> None:
    pager.served = 1


def _serve_before(_: Fault, pager: Pager) -> None:
    pager.served = max(1, pager.page - 1)


def _total_before(fault: Fault, call: Call, total: int) -> int:
    before = fault.totals.get(call.action, total)
    fault.totals[call.action] = total
    return before


def _no_total(fault: Fault, _: Call, body: Any) -> Any:
    if not isinstance(body, dict):
        return body
    if fault.value == "no_pagination":
        return {**body, "pagination": None} if "pagination" in body else body
    if fault.value == "gone":
        return {name: value for name, value in body.items() if name not in {"pagination", "total_entries"}}
    if "pagination" in body:
        return {**body, "pagination": {**body["pagination"], **_NULL_TOTAL}}
    return {**body, "total_entries": None} if "total_entries" in body else body


def _exclude_end(_: Fault, span: Span) -> None:
    end = instant(span.high_text)
    if end is not None:
        span.last = end - 1


def _cut_to_seconds(_: Fault, span: Span) -> None:
    span.first, span.last = (
        bound if math.isinf(bound) else bound // SECOND * SECOND for bound in (span.first, span.last)
    )


def _by_id(_: Fault, found: Found[Any]) -> Found[Any]:
    return replace(found, order=_sorted(found.order.rows, lambda row: row.id))


def _swapped(fault: Fault, found: Found[Any]) -> Found[Any]:
    rows = [*found.order.rows]
    for place, row in enumerate(found.order.rows):
        if fault.chooses(row.serial):
            rows[place], rows[-1 - place] = rows[-1 - place], rows[place]
    places = {row.id: place for place, row in enumerate(rows)}
    return replace(found, order=Order(rows, lambda row: places[row.id]))


def _future_first(fault: Fault, found: Found[Any]) -> Found[Any]:
    key = found.order.key
    return replace(found, order=_sorted(found.order.rows, lambda row: (fault.chooses(row.serial), key(row))))


def _sorted(rows: Iterable[Any], key: Callable[[Any], Any]) -> Order[Any]:
    return Order(sorted(rows, key=key), key)


def _refuse_after_last(fault: Fault, call: Call, body: Any) -> Any:
    beyond = call.params.whole("page", 1) > 1 or call.params.whole("skip", 0) > 0
    if beyond and not any(map(_are_records, _parts(body).values())):
        raise errors.no_such_page(fault.status)
    return body


def _hollow(fault: Fault, _: Call, body: Any) -> Any:
    if fault.value != "rows_null":
        return HOLLOW[fault.value]
    return {name: None if isinstance(value, list) else value for name, value in _parts(body).items()}


def _without_rows(_: Fault, __: Call, body: Any) -> Any:
    first = next((name for name, value in _parts(body).items() if _are_records(value)), None)
    return body if first is None else {name: value for name, value in body.items() if name != first}


def _hide(fault: Fault, call: Call, body: Any) -> Any:
    return _with_records(call, body, lambda number, row: [] if fault.chooses(number) else [row])


def _make_odd(fault: Fault, call: Call, body: Any) -> Any:
    return _with_records(call, body, lambda number, row: [ODD[fault.value](row) if fault.chooses(number) else row])


def _date_in_future(fault: Fault, call: Call, body: Any) -> Any:
    def change(number: int, row: Json) -> list[Any]:
        return [_stamps(row, lambda text: f"2099-01-01{text[10:]}") if fault.chooses(number) else row]

    return _with_records(call, body, change)


def _with_records(call: Call, body: Any, change: Callable[[int, Json], list[Any]]) -> Any:
    """Change the records of an answer, which are its first list of such, or its first that is one."""

    def changed(rows: list[Any]) -> list[Any]:
        return [new for place, row in enumerate(rows) for new in changed_one(place, row)]

    def changed_one(place: int, row: Any) -> list[Any]:
        return change(_number(call, row, place), row) if _is_record(row) else [row]

    if _are_records(body):
        return changed(body)
    for name, value in _parts(body).items():
        if _are_records(value):
            return {**body, name: changed(value)}
        if _is_record(value):
            return {**body, name: next(iter(changed([value])), value)}
    return body


def _is_record(value: object) -> bool:
    return isinstance(value, dict) and "id" in value


def _are_records(value: object) -> bool:
    return isinstance(value, list) and any(map(_is_record, value))


def _parts(body: object) -> Json:
    return body if isinstance(body, dict) else {}


def _number(call: Call, row: Json, place: int) -> int:
    """Give a record's number among those of its kind; where its id does not tell, its place in the answer."""
    number = call.world.ids.number(row["id"])
    return place if number is None else number


def _stamps(row: Json, change: Callable[[str], Any]) -> Any:
    return _leaves(row, lambda _, value: change(value) if _is_stamp(value) else value)


def _is_stamp(value: object) -> bool:
    return isinstance(value, str) and "T" in value and instant(value) is not None


def _texts(row: Json, suffix: str) -> Any:
    def change(name: str, value: object) -> object:
        is_text = isinstance(value, str) and not name.endswith(("id", "ids", "key")) and not _is_stamp(value)
        return f"{value}{suffix}" if is_text else value

    return _leaves(row, change)


def _leaves(value: Any, change: Callable[[str, Any], Any], name: str = "") -> Any:
    """Change every value of a row by its name, those of nested objects and lists too."""
    if isinstance(value, dict):
        return {inner: _leaves(held, change, inner) for inner, held in value.items()}
    if isinstance(value, list):
        return [_leaves(held, change, name) for held in value]
    return change(name, value)


#: What an odd row may be instead of what it is.
ODD: dict[str, Callable[[Json], Any]] = {
    "id_null": lambda row: {**row, "id": None},
    "id_empty": lambda row: {**row, "id": ""},
    "id_integer": lambda row: {**row, "id": zlib.crc32(str(row["id"]).encode())},
    "id_missing": lambda row: {name: value for name, value in row.items() if name != "id"},
    "null": lambda _: None,
    "text": lambda _: "a text in place of a record",
    "bad_times": lambda row: _stamps(row, lambda _: "2026-13-45T99:00:00Z"),
    "leap_seconds": lambda row: _stamps(row, lambda text: f"{text[:10]}T23:59:60Z"),
    "epochs": lambda row: _stamps(row, lambda text: (instant(text) or 0) // SECOND),
    "nul": lambda row: _texts(row, "\0"),
    "surrogate": lambda row: _texts(row, "\ud83d"),
    "huge": lambda row: _leaves(row, lambda _, value: 2**70 if type(value) is int else value),
}

#: What an answer may be that holds nothing.
HOLLOW: dict[str, Any] = {"object": {}, "list": [], "null": None, "rows_null": None}

DEVIATIONS = {
    "page_cap": Deviation(
        "at most `size` (25) rows a page, whatever is asked for; with `told=false`, `per_page` says what was asked",
        {"size": 25},
        pager=_cap,
    ),
    "page_limit": Deviation("422 for more than `size` (25) rows a page", {"size": 25}, pager=_limit),
    "page_ignored": Deviation("page 1, whatever page is asked for", pager=_serve_first),
    "repeat_page": Deviation("the rows of the page before", pager=_serve_before),
    "last_page": Deviation(
        "a `status` (422) in place of the empty page behind the last", {"status": 422}, reply=_refuse_after_last
    ),
    "hidden_rows": Deviation(
        "one record in `size` (50) is left out after its page was cut, though the total counts it",
        {"size": 50},
        reply=_hide,
    ),
    "total": Deviation("a total that is wrong by `by`", total=lambda fault, _, total: max(0, total + fault.by)),
    "total_cap": Deviation(
        "a total of `size` (10000) at most", {"size": 10_000}, total=lambda fault, _, total: min(total, fault.size)
    ),
    "total_late": Deviation("the total of the answer before", total=_total_before),
    "total_absent": Deviation(
        "a total that is null; with `value=gone`, nothing is said of pages, with `value=no_pagination`, null",
        {"value": "null"},
        reply=_no_total,
    ),
    "window_exclusive": Deviation("the end of a range of time is not within it", span=_exclude_end),
    "window_seconds": Deviation("both ends of a range of time are cut to the second", span=_cut_to_seconds),
    "sort_ignored": Deviation("newest created first, whatever order is asked for", found=_by_id),
    "sort_reversed": Deviation(
        "the order that is asked for, from its other end",
        found=lambda _, found: replace(found, descending=not found.descending),
    ),
    "swapped_rows": Deviation(
        "one record in `size` (10) changes places with the one as far from the list's other end",
        {"size": 10},
        found=_swapped,
    ),
    "odd_row": Deviation(
        f"the record numbered `place` (0), and each `size`-th (1,000,000th) after it, is odd by its `value`: "
        f"{', '.join(f'`{name}`' for name in ODD)}",
        {"size": 1_000_000, "value": "id_null"},
        reply=_make_odd,
    ),
    "future_row": Deviation(
        "the record numbered `place` (0), and each `size`-th (1,000,000th) after it, is dated in 2099",
        {"size": 1_000_000},
        found=_future_first,
        reply=_date_in_future,
    ),
    "hollow": Deviation(
        "an answer that is an empty `object` or `list` or `null`, as `value` says, or whose lists are (`rows_null`)",
        {"value": "object"},
        reply=_hollow,
    ),
    "rows_gone": Deviation("an answer without its first list of records", reply=_without_rows),
    "clock": Deviation("a `Date` that is `seconds` (3600) ahead of this machine's clock", {"seconds": 3600.0}),
}

#: What `value` may be, of those deviations that take one.
VALUES = {"odd_row": tuple(ODD), "hollow": tuple(HOLLOW), "total_absent": ("null", "gone", "no_pagination")}
