"""Users, mailboxes, usage figures, analytics reports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from zlib import crc32

from apollo_sandbox.clock import DAY
from apollo_sandbox.errors import ApiError
from apollo_sandbox.ids import Kind
from apollo_sandbox.listing import Filters, Pager, find, read_page
from apollo_sandbox.rows import workspace
from apollo_sandbox.rows.stamps import day

if TYPE_CHECKING:
    from apollo_sandbox.entities import User
    from apollo_sandbox.services import Call

Json = dict[str, Any]

_METRIC = re.compile(r"(num|percent|avg|sum)_[a-z_]+|custom_metric_[0-9a-f]+")
_MONTHS_REPORTED = 6


def auth_health(_: Call) -> Json:
    """GET auth/health: undocumented, and the probe of many connectors."""
    return {"healthy": True, "is_logged_in": True}


def users_search(call: Call) -> Json:
    """GET users/search."""
    pager = Pager(call)
    filters: Filters[User] = Filters(call)
    found = find(call, call.world.users, filters, sortable=False)
    return {
        "pagination": pager.pagination(len(found[0].rows), echo=True),
        "users": [workspace.user_listed(call.world, one) for one in read_page(call, found, pager)],
        "num_fetch_result": None,
    }


def users_api_profile(call: Call) -> Json:
    """GET users/api_profile."""
    profile = workspace.user_profile(call.world, next(iter(call.world.users)))
    if call.params.flag("include_credit_usage"):
        profile.update(call.services.credits.profile())
    return profile


def email_accounts_index(call: Call) -> Json:
    """GET email_accounts."""
    world = call.world
    return {"email_accounts": [workspace.email_account(world, user) for user in world.users]}


def emailer_schedules_index(call: Call) -> Json:
    """GET emailer_schedules."""
    return {
        "emailer_schedules": [
            workspace.schedule(one, default=number == 0) for number, one in enumerate(call.world.catalog.schedules)
        ]
    }


def api_usage_stats(call: Call) -> Json:
    """POST usage_stats/api_usage_stats: keys are JSON arrays written as text."""
    return call.services.limiter.report()


def credit_usage_stats(call: Call) -> Json:
    """POST usage_stats/credit_usage_stats."""
    return call.services.credits.report()


def sync_report(call: Call) -> Json:
    """POST reports/sync_report: one cell per group, pivot and metric."""
    metrics = call.params.get("metrics")
    if not isinstance(metrics, list):
        raise ApiError(400, {"error": "param is missing or the value is empty: metrics"})
    names = [one.get("value") if isinstance(one, dict) else None for one in metrics]
    if not all(isinstance(name, str) and _METRIC.fullmatch(name) for name in names):
        raise ApiError(400, {"error": "Invalid metric type"})
    report = _Report(call, [str(name) for name in names])
    rows, columns = _dimension(call, "group_by"), _dimension(call, "pivot_group_by")
    totals = call.params.flag("group_by_totals_selected") and rows is not None
    pivot_totals = call.params.flag("pivot_group_by_totals_selected") and columns is not None
    return {
        "response": {
            "table_response": report.table(rows, columns),
            "group_by_total_response": report.total(rows) if totals else {},
            "pivot_group_by_total_response": report.total(columns) if pivot_totals else {},
        },
        "incompatible_filters": {},
        "goals": [],
    }


def _dimension(call: Call, name: str) -> tuple[str, int] | None:
    wanted = call.params.get(name)
    if not isinstance(wanted, list) or not wanted or not isinstance(wanted[0], dict):
        return None
    return str(wanted[0].get("name")), int(wanted[0].get("limit") or 0)


class _Report:
    """The figures of one report: made up, yet the same for the same question."""

    def __init__(self, call: Call, metrics: list[str]) -> None:
        self._world = call.world
        self._metrics = metrics

    def table(self, rows: tuple[str, int] | None, columns: tuple[str, int] | None, prefix: str = "") -> Json:
        if rows is None:
            return self._cells(prefix)
        name, limit = rows
        members = self._members(name)
        buckets = [
            {
                "key": key,
                "readable_key": text,
                **(self._cells(f"{prefix}{key}") if columns is None else self.table(columns, None, f"{prefix}{key}/")),
            }
            for key, text in (members[:limit] if limit else members)
        ]
        return {name: {"buckets": buckets}}

    def total(self, dimension: tuple[str, int] | None) -> Json:
        if dimension is None:
            return {}
        total = {"key": "total", "readable_key": "Total", **self._cells("total")}
        return {dimension[0]: {"buckets": [total]}}

    def _cells(self, place: str) -> Json:
        cells: Json = {}
        for metric in self._metrics:
            dice = self._world.ids.dice(Kind.REPORT, crc32(f"{place}/{metric}".encode()))
            if metric.startswith("percent_"):
                cells[metric] = dice.whole(0, 1000) / 1000
                cells[f"{metric}_denominator"] = dice.whole(1, 500)
            else:
                cells[metric] = dice.whole(0, 2000)
        return cells

    def _members(self, dimension: str) -> list[tuple[str, str]]:
        world = self._world
        if dimension == "smart_user_id":
            return [(user.id, f"{user.first_name} {user.last_name}") for user in world.users]
        if dimension in {"contact_stage_id", "contact_stage_ids"}:
            return [(stage.id, stage.name) for stage in world.catalog.contact_stages]
        if dimension in {"account_stage_id", "account_stage_ids"}:
            return [(stage.id, stage.name) for stage in world.catalog.account_stages]
        if dimension in {"emailer_campaign_id", "emailer_campaign_ids"}:
            return [(one.id, one.name) for one in world.sequences]
        if dimension.startswith("smart_datetime"):
            months = (world.start - 31 * back * DAY for back in range(_MONTHS_REPORTED))
            return [(f"{day(month)[:7]}-01", day(month)[:7]) for month in months][::-1]
        return []
