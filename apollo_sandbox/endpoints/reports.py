"""Analytics reports: figures that are made up, yet the same for the same question, with totals that add up."""

from __future__ import annotations

import calendar
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

from apollo_sandbox.clock import DAY, instant
from apollo_sandbox.errors import ApiError
from apollo_sandbox.ids import Kind
from apollo_sandbox.routing import Json, post
from apollo_sandbox.rows.stamps import day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from apollo_sandbox.services import Call
    from apollo_sandbox.world import World

_METRIC = re.compile(r"(num|percent|avg|sum)_[a-z_]+|custom_metric_[0-9a-f]+")
_MONTHS_REPORTED = 6
_LONGEST_MONTH = 31 * DAY

#: Filters that narrow some metrics only, and what those have in their names.
_SELECTIVE = {
    "emailer_campaign_ids": ("email", "sequence"),
    "email_account_ids": ("email",),
    "opportunity_stage_ids": ("opportunit", "deal"),
}


class Dimension(NamedTuple):
    """What a report is broken down by: its groups' keys and labels."""

    name: str
    groups: list[tuple[str, str]]
    limit: int | None

    @property
    def keys(self) -> list[str]:
        """Give the keys of all groups."""
        return [key for key, _ in self.groups]


@post("reports/sync_report")
def sync_report(call: Call) -> Json:
    """Give a figure for each group, pivot group and metric."""
    metrics = call.params.get("metrics")
    if not isinstance(metrics, list):
        raise ApiError(400, {"error": "param is missing or the value is empty: metrics"})
    names = [one.get("value") if isinstance(one, dict) else None for one in metrics]
    if not all(isinstance(name, str) and _METRIC.fullmatch(name) for name in names):
        raise ApiError(400, {"error": "Invalid metric type"})
    report = _Report(call, [str(name) for name in names])
    return {
        "response": {
            "table_response": report.table(),
            "group_by_total_response": report.group_totals() if call.params.flag("group_by_totals_selected") else {},
            "pivot_group_by_total_response": (
                report.pivot_totals() if call.params.flag("pivot_group_by_totals_selected") else {}
            ),
        },
        "incompatible_filters": report.incompatible,
        "goals": [],
    }


class _Report:
    """One report: the figures of its smallest cells, and sums of them."""

    def __init__(self, call: Call, metrics: list[str]) -> None:
        self._world = call.world
        self._metrics = metrics
        filters = call.params.get("filters")
        self._filters: Mapping[str, Any] = filters if isinstance(filters, dict) else {}
        self._modality = _first(call, "date_ranges").get("modality")
        self._skipped = set(call.params.texts("skip_group_by_values"))
        self._least = call.params.get("min_ratio_denominator") or 0
        self._sort = _first(call, "sorts")
        self._rows = self._dimension(_first(call, "group_by"), self._skipped)
        self._columns = self._dimension(_first(call, "pivot_group_by"), set()) if self._rows else None

    def table(self) -> Json:
        """Give the cells: the groups, within those of the pivot if there is one."""
        if self._rows is None:
            return self._figures([""], [""])
        if self._columns is None:
            return self._buckets(self._rows, lambda key: self._figures([key], [""]), self._sort)
        rows = self._rows
        return self._buckets(
            self._columns,
            lambda column: self._buckets(rows, lambda row: self._figures([row], [column]), self._sort),
        )

    def group_totals(self) -> Json:
        """Give one total over all groups; with a pivot, the total of each group."""
        if self._rows is None:
            return {}
        if self._columns is None:
            total = {"key": "total", "readable_key": "Total", **self._figures(self._rows.keys, [""])}
            return {self._rows.name: {"buckets": [total]}}
        columns = self._columns.keys
        return self._buckets(self._rows, lambda row: self._figures([row], columns), self._sort)

    def pivot_totals(self) -> Json:
        """Give the total of each group of the pivot."""
        if self._rows is None or self._columns is None:
            return {}
        rows = self._rows.keys
        return self._buckets(self._columns, lambda column: self._figures(rows, [column]))

    @property
    def incompatible(self) -> dict[str, list[str]]:
        """Give the filters that were ignored, each with the metrics that it does not narrow."""
        ignored = {name: [one for one in self._metrics if not _goes_with(name, one)] for name in self._filters}
        return {name: metrics for name, metrics in ignored.items() if metrics}

    def _buckets(self, dimension: Dimension, content: Callable[[str], Json], sort: Json | None = None) -> Json:
        buckets = [{"key": key, "readable_key": text, **content(key)} for key, text in dimension.groups]
        metric = (sort or {}).get("metric")
        if isinstance(metric, dict) and metric.get("value") in self._metrics:
            buckets.sort(key=lambda bucket: bucket[metric["value"]] or 0, reverse=not (sort or {}).get("asc"))
        return {dimension.name: {"buckets": buckets[: dimension.limit]}}

    def _figures(self, rows: Iterable[str], columns: Iterable[str]) -> Json:
        """Give each metric over some of the smallest cells."""
        places = [f"{row}/{column}" for row in rows for column in columns]
        figures: Json = {}
        for metric in self._metrics:
            parts = [self._figure(metric, place) for place in places]
            if metric.startswith("percent_"):
                among = sum(whole for _, whole in parts)
                enough = among > 0 and among >= self._least
                figures[metric] = round(sum(part for part, _ in parts) / among, 3) if enough else None
                figures[f"{metric}_denominator"] = among
            elif metric.startswith("avg_"):
                figures[metric] = round(sum(part for part, _ in parts) / len(parts), 2) if parts else None
            else:
                figures[metric] = sum(part for part, _ in parts)
        return figures

    def _figure(self, metric: str, place: str) -> tuple[int, int]:
        """Give the figure of one smallest cell, and among how many it is."""
        applied = {name: value for name, value in self._filters.items() if _goes_with(name, metric)}
        question = json.dumps([self._modality, applied, metric, place], sort_keys=True)
        dice = self._world.ids.dice(Kind.REPORT, crc32(question.encode()))
        among = dice.whole(1, 500)
        return dice.whole(0, among), among

    def _dimension(self, wanted: Json, skipped: set[str]) -> Dimension | None:
        name = wanted.get("name")
        if name is None:
            return None
        groups = [(key, text) for key, text in self._groups(str(name)) if key not in skipped]
        return Dimension(str(name), groups, int(wanted.get("limit") or 0) or None)

    def _groups(self, dimension: str) -> list[tuple[str, str]]:
        world = self._world
        if dimension == "smart_user_id":
            return [(user.id, user.name) for user in world.users]
        if dimension in {"contact_stage_id", "contact_stage_ids"}:
            return [(stage.id, stage.name) for stage in world.catalog.contact_stages]
        if dimension in {"account_stage_id", "account_stage_ids"}:
            return [(stage.id, stage.name) for stage in world.catalog.account_stages]
        if dimension in {"emailer_campaign_id", "emailer_campaign_ids"}:
            return [(one.id, one.name) for one in world.sequences]
        if dimension.startswith("smart_datetime"):
            return [(f"{month}-01", _month(month)) for month in self._months(world)]
        return []

    def _months(self, world: World) -> list[str]:
        """Give the months of a custom range, else the last few."""
        span = self._filters.get("smart_datetime_range") if self._modality == "custom_range" else None
        first = instant(str(span.get("min"))) if isinstance(span, dict) else None
        last = instant(str(span.get("max"))) if isinstance(span, dict) else None
        if first is None or last is None:
            back = (world.start - _LONGEST_MONTH * number for number in range(_MONTHS_REPORTED))
            return sorted({day(moment)[:7] for moment in back})
        return sorted({day(moment)[:7] for moment in range(first, last + 1, DAY)})


def _first(call: Call, name: str) -> Json:
    """Give the first object of a list, which is all that Apollo looks at."""
    wanted = call.params.get(name)
    first = wanted[0] if isinstance(wanted, list) and wanted else None
    return first if isinstance(first, dict) else {}


def _goes_with(filtered: str, metric: str) -> bool:
    words = _SELECTIVE.get(filtered)
    return words is None or any(word in metric for word in words)


def _month(text: str) -> str:
    """Write `Jan 2024`."""
    year, _, number = text.partition("-")
    return f"{calendar.month_abbr[int(number)]} {year}"
