"""What Apollo counts: the reports that the setting asks for, as one row per cell."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import requests
from singer_sdk.exceptions import RetriableAPIError
from typing_extensions import override

from tap_apollo.api.endpoint import POST
from tap_apollo.api.errors import RequestError, UnknownReplyError
from tap_apollo.api.rate_limits import HOUR, WindowState
from tap_apollo.paging import Page, PageRequest, WholePages
from tap_apollo.readers.cursor import Cursor
from tap_apollo.readers.lists import WalkReader
from tap_apollo.readers.reader import Estimate
from tap_apollo.singer.conform import key_of, now
from tap_apollo.singer.memory import ReportsPlace
from tap_apollo.singer.stream import ApolloStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk.helpers.types import Record

    from tap_apollo.paging import Outcome, Walk
    from tap_apollo.readers.io import StreamIO

    #: The groups that a figure belongs to, as the reply describes them, by their dimensions.
    Place = Mapping[str, Mapping[str, Any]]

#: What Apollo requires in every request, and what stands for none of it.
NOTHING: dict[str, Any] = {
    "group_by": [],
    "pivot_group_by": [],
    "sorts": [],
    "filters": {},
    "group_by_totals_selected": False,
    "pivot_group_by_totals_selected": False,
}

#: The part of a reply that holds the figures of groups, and those that hold totals.
TABLE = "table_response"
TOTALS = ("group_by_total_response", "pivot_group_by_total_response")

#: The key of the group that holds the total, in those parts.
TOTAL = "total"

#: What Apollo allows (vendor's reference).
WINDOW = WindowState(HOUR, limit=5, left=5)


class Report:
    """One entry of the setting `analytics_reports`: the request that it makes, and the reply as rows.

    Attributes:
        name: Its name.
        body: The request.
    """

    def __init__(self, entry: Mapping[str, Any]) -> None:
        """Take an entry."""
        self.name: str = entry["name"]
        self.body = {**NOTHING, **{key: value for key, value in entry.items() if key != "name" and value is not None}}
        self._labels = {metric["value"]: metric.get("display_name") or metric["value"] for metric in entry["metrics"]}
        self._names = {label: name for name, label in self._labels.items()}
        self._row_dimension = _name_of(self.body["group_by"])
        self._column_dimension = _name_of(self.body["pivot_group_by"])

    def rows(self, reply: Mapping[str, Any]) -> Iterator[Record]:
        """Yield a row per cell, those of totals after those of groups.

        Raises:
            ValueError: Two groups have the same key.
        """
        response, ignored = reply["response"], ignored_filters(reply)
        common, known = {**self._asked, "read_at": now()}, set()
        for part in (TABLE, *TOTALS):
            table = response[TABLE] if part == TABLE else response.get(part) or {}
            for row in self._rows_of(table, in_totals=part != TABLE):
                if not row:  # no group, so no row: it is left out, and said
                    yield row
                    continue
                key = (row["row_key"], row["column_key"], row["metric"])
                if key not in known:
                    known.add(key)
                    beside = {**common, "incompatible_filters": _ignored_for(row["metric"], ignored)}
                    yield {"id": key_of(self.name, *key), **row, **beside}
                elif part == TABLE:  # both kinds of totals may hold the total of totals
                    raise ValueError("two groups have the same key")

    @property
    def _asked(self) -> dict[str, Any]:
        """What all rows say of the question."""
        span = self.body["filters"].get("smart_datetime_range") or {}
        return {
            "report": self.name,
            "row_dimension": self._row_dimension,
            "column_dimension": self._column_dimension,
            "date_range": self.body["date_ranges"][0]["modality"],
            "date_range_start": span.get("min"),
            "date_range_end": span.get("max"),
        }

    def _rows_of(self, table: Mapping[str, Any], *, in_totals: bool) -> Iterator[Record]:
        for place, figures in _figures(table, {}):
            if figures is None:
                yield {}
                continue
            column = place.get(self._column_dimension or "")
            row = next((group for name, group in place.items() if name != self._column_dimension), None)
            axes = {
                **_axis("row", self._row_dimension, row, in_totals=in_totals),
                **_axis("column", self._column_dimension, column, in_totals=in_totals),
            }
            beside = {f"{name}_denominator" for name in figures} - {*self._labels}
            for name, figure in figures.items():
                if name not in beside:
                    metric = name if name in self._labels else self._names.get(name, name)
                    yield {
                        **axes,
                        "metric": metric,
                        "metric_label": self._labels.get(metric, metric),
                        "value": _number(figure),
                        "value_text": _text(figure),
                        "denominator": _number(figures.get(f"{name}_denominator")),
                    }


class Reports(WalkReader):
    """The reports in the setting, a request each.

    The rate limit may stop a run between two reports, so the state says which one the next run begins with.
    """

    place = ReportsPlace

    @override
    def cursors(self, io: StreamIO, **options: Any) -> Iterator[Cursor]:
        reports = [Report(entry) for entry in io.config["analytics_reports"]]
        names = [report.name for report in reports]
        first = names.index(io.place.next) if io.place.next in names else 0
        walked = ReportsPass(io, [*reports[first:], *reports[:first]])
        yield Cursor(io, walked, fetch=walked.fetch)

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        """Tell how many requests the reports take; none is tried, as Apollo allows five an hour."""
        reports = len(io.config["analytics_reports"])
        if not reports:
            return Estimate(0, requests=0, note="`analytics_reports` names none")
        return Estimate(None, reports, note="not tried: Apollo allows 5 reports an hour", windows=(WINDOW,))


class ReportsPass:
    """One run's walk through the reports.

    Attributes:
        walk: The walk.
        resumed: Whether it goes on where another was stopped: no, it begins with another report.
    """

    resumed = False

    def __init__(self, io: StreamIO, reports: list[Report]) -> None:
        """Take the reports in the order in which to ask for them."""
        self._io = io
        self._reports = reports
        self._asked = 0
        self.walk: Walk = WholePages(len(reports))

    def progress(self, rows: list[Record]) -> None:  # noqa: ARG002
        """Note that the rows of a report are written."""
        self._begin_next_run_at(self._asked)
        self._io.save()

    def finish(self, outcome: Outcome) -> None:
        """Note nothing more."""

    def fetch(self, request: PageRequest) -> Page:
        """Ask for a report; one that Apollo refuses does not keep the others from being read."""
        self._asked = request.number
        io, report = self._io, self._reports[request.number - 1]
        try:
            reply = io.ask(report.body)
            with io.endpoint.parsing():
                rows = [*report.rows(reply)]
                ignored = ", ".join(
                    f"`{name}` ({', '.join(metrics)})" for name, metrics in ignored_filters(reply).items()
                )
        except (RequestError, UnknownReplyError) as error:
            io.report.failed(io.name, f"the report `{report.name}`: {error.message}")
            return Page([])
        except (RetriableAPIError, requests.RequestException):
            self._begin_next_run_at(request.number)  # after it: it may fail for ever, and the others be read
            raise
        if ignored:
            text = "%s: the report `%s` has filters that Apollo ignored, as they do not go with metrics of it: %s."
            io.logger.warning(text, io.name, report.name, ignored)
        return Page(rows, total=len(rows))

    def _begin_next_run_at(self, number: int) -> None:
        """Note in the state with which of the reports the next run begins; with the first if there are no more."""
        self._io.place.next = self._reports[number].name if number < len(self._reports) else None
        self._io.keep()


class AnalyticsReports(ApolloStream):
    """The cells of each report in ``analytics_reports``; without reports nothing is asked."""

    name = "analytics_reports"
    endpoint = POST("reports/sync_report", oauth="report_sync")
    reads = Reports()


def ignored_filters(reply: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the filters that Apollo ignored, each with the metrics that it does not go with."""
    ignored: dict[str, list[str]] = reply.get("incompatible_filters") or {}
    return ignored


def _ignored_for(metric: str, ignored: Mapping[str, list[str]]) -> list[str]:
    return [name for name, metrics in ignored.items() if metric in metrics]


def _figures(table: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, dict[str, Any] | None]]:
    """Yield the figures of a table by their places, however deep its groups are nested; None for what is no group."""
    figures = {}
    for name, value in table.items():
        if isinstance(value, dict) and isinstance(value.get("buckets"), list):
            for group in value["buckets"]:
                if isinstance(group, dict):
                    yield from _figures(group, {**place, name: group})
                else:
                    yield {}, None
        elif not (place and name in {"key", "readable_key"}):
            figures[name] = value
    yield place, figures


def _axis(axis: str, dimension: str | None, group: Mapping[str, Any] | None, *, in_totals: bool) -> Record:
    """Return the columns that say where on an axis a cell stands."""
    if in_totals and group and group.get("key") == TOTAL:
        group = None
    if group is None:
        is_total = dimension is not None
        return {f"{axis}_key": None, f"{axis}_label": "Total" if is_total else None, f"is_{axis}_total": is_total}
    key = group.get("key")
    key = key if key and isinstance(key, str) else json.dumps(key)  # never empty: loaders may take that for null
    label = group.get("readable_key")
    return {f"{axis}_key": key, f"{axis}_label": key if label is None else label, f"is_{axis}_total": False}


def _name_of(dimensions: list[Mapping[str, Any]]) -> str | None:
    return dimensions[0]["name"] if dimensions else None


def _number(figure: Any) -> float | None:
    if isinstance(figure, bool):
        return None
    try:
        number = float(figure) if isinstance(figure, str) else figure
        return number if isinstance(number, (int, float)) and math.isfinite(number) else None
    except (OverflowError, ValueError):
        return None


def _text(figure: Any) -> str | None:
    """Return what Apollo sent in place of a number."""
    if figure is None or (isinstance(figure, (int, float)) and not isinstance(figure, bool)):
        return None
    return figure if isinstance(figure, str) else json.dumps(figure)
