"""Every cell of every report is a row: on the sandbox, and in replies that the sandbox does not give."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import requests
import yaml

from apollo_sandbox import Sandbox, Settings
from scripts.write_docs import ROOT
from tap_apollo.api import client
from tap_apollo.api.errors import MAX_TRIES, SettingsError, SyncError, decode
from tap_apollo.api.rate_limits import HOUR
from tap_apollo.config.settings import DATE_RANGES, SETTINGS
from tap_apollo.paging import PageRequest
from tap_apollo.readers.io import StreamIO
from tap_apollo.singer.conform import key_of
from tap_apollo.streams.analytics import AnalyticsReports, Report, ReportsPass
from tap_apollo.tap import TapApollo
from tests.pace import Clock
from tests.singer import Sync, config_for, sync
from tests.states import place

if TYPE_CHECKING:
    from collections.abc import Iterator

ACTION = "reports/sync_report"
STREAM = "analytics_reports"

SENT, REPLIED, RATE = "num_emails_sent", "num_emails_replied", "percent_emails_replied"
CALLS = "num_phone_calls"
BY_USER = [{"name": "smart_user_id"}]
BY_STAGE = [{"name": "contact_stage_id"}]
BY_MONTH = [{"name": "smart_datetime_month"}]
TOTALS = {"group_by_totals_selected": True, "pivot_group_by_totals_selected": True}


def metric(value: str, **more: Any) -> dict[str, Any]:
    return {
        "value": value,
        "smart_datetime_reference": "activity_datetime",
        "smart_user_id_reference": "user_id",
        **more,
    }


def report(name: str, *metrics: str, **body: Any) -> dict[str, Any]:
    return {
        "name": name,
        "metrics": [metric(value) for value in metrics or (SENT,)],
        "date_ranges": [{"modality": "last_30_days"}],
        **body,
    }


def custom(first: str, last: str, **filters: Any) -> dict[str, Any]:
    return {
        "date_ranges": [{"modality": "custom_range"}],
        "filters": {**filters, "smart_datetime_range": {"min": first, "max": last}},
    }


@pytest.fixture
def own() -> Iterator[Sandbox]:
    """A sandbox of three users that gives as many reports as are asked for."""
    with Sandbox(Settings(contacts=60, users=3, limit=(f"{ACTION}=0/0/0",))).serve() as running:
        yield running


def read(sandbox: Sandbox, *reports: dict[str, Any], **settings: Any) -> Sync:
    return sync(sandbox, STREAM, "users", analytics_reports=[*reports], **settings)


def rows(sandbox: Sandbox, *reports: dict[str, Any]) -> list[dict[str, Any]]:
    run = read(sandbox, *reports)
    assert run.error is None
    return run.records[STREAM]


def cells(found: list[dict[str, Any]]) -> dict[tuple[str | None, ...], float]:
    keys = ("row_key", "column_key", "metric")
    return {tuple(row[key] for key in keys): row["value"] for row in found}


def answer(sandbox: Sandbox, entry: dict[str, Any]) -> Any:
    """What the sandbox says to a request that the test puts together itself."""
    body = {key: value for key, value in entry.items() if key != "name"}
    headers = {"x-api-key": sandbox.settings.api_key}
    return requests.post(f"{sandbox.url}/{ACTION}", json=body, headers=headers, timeout=20).json()["response"]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


class TestCells:
    def test_a_report_without_groups_is_a_row_per_metric(self, own: Sandbox) -> None:
        entry = report("flat", SENT, REPLIED)
        found = rows(own, entry)
        table = answer(own, entry)["table_response"]
        assert cells(found) == {(None, None, name): table[name] for name in (SENT, REPLIED)}
        for row in found:
            assert not row["is_row_total"]
            assert not row["is_column_total"]
            assert {row["row_label"], row["column_label"], row["row_dimension"], row["column_dimension"]} == {None}

    def test_groups_are_rows_with_their_keys_and_labels(self, own: Sandbox) -> None:
        entry = report("by user", SENT, REPLIED, group_by=BY_USER)
        found = rows(own, entry)
        buckets = answer(own, entry)["table_response"]["smart_user_id"]["buckets"]
        assert len(found) == 3 * 2
        assert cells(found) == {(one["key"], None, name): one[name] for one in buckets for name in (SENT, REPLIED)}
        names = {user.id: f"{user.first_name} {user.last_name}" for user in own.world.users}
        assert {row["row_key"]: row["row_label"] for row in found} == names
        assert {row["row_dimension"] for row in found} == {"smart_user_id"}

    def test_a_ratio_carries_its_denominator_which_is_no_row(self, own: Sandbox) -> None:
        entry = report("rate", SENT, RATE, group_by=BY_USER)
        found = rows(own, entry)
        buckets = {one["key"]: one for one in answer(own, entry)["table_response"]["smart_user_id"]["buckets"]}
        assert {row["metric"] for row in found} == {SENT, RATE}
        for row in found:
            expected = buckets[row["row_key"]][f"{RATE}_denominator"] if row["metric"] == RATE else None
            assert row["denominator"] == expected

    def test_a_pivot_gives_a_row_per_group_and_pivot_group(self, own: Sandbox) -> None:
        entry = report("pivot", group_by=BY_USER, pivot_group_by=BY_STAGE)
        found = rows(own, entry)
        expected = {
            (row["key"], column["key"], SENT): row[SENT]
            for column in answer(own, entry)["table_response"]["contact_stage_id"]["buckets"]
            for row in column["smart_user_id"]["buckets"]
        }
        assert len(expected) == 3 * len(own.world.catalog.contact_stages)
        assert cells(found) == expected
        stages = {stage.id: stage.name for stage in own.world.catalog.contact_stages}
        assert {row["column_key"]: row["column_label"] for row in found} == stages
        assert {(row["row_dimension"], row["column_dimension"]) for row in found} == {
            ("smart_user_id", "contact_stage_id"),
        }

    def test_totals_are_told_from_groups_and_are_the_sums_of_them(self, own: Sandbox) -> None:
        found = rows(own, report("totals", group_by=BY_USER, **TOTALS))
        totals = [row for row in found if row["is_row_total"]]
        assert [(row["row_key"], row["row_label"]) for row in totals] == [(None, "Total")]
        assert totals[0]["value"] == sum(row["value"] for row in found if not row["is_row_total"])
        assert not any(row["is_column_total"] for row in found)

    def test_the_totals_of_a_pivot_go_along_both_axes(self, own: Sandbox) -> None:
        found = rows(own, report("totals", group_by=BY_USER, pivot_group_by=BY_STAGE, **TOTALS))
        plain = [row for row in found if not row["is_row_total"] and not row["is_column_total"]]
        over_rows = [row for row in found if row["is_row_total"]]
        over_columns = [row for row in found if row["is_column_total"]]
        stages = len(own.world.catalog.contact_stages)
        assert (len(plain), len(over_rows), len(over_columns)) == (3 * stages, stages, 3)
        for total in over_rows:
            assert (total["row_key"], total["row_label"]) == (None, "Total")
            assert total["value"] == sum(row["value"] for row in plain if row["column_key"] == total["column_key"])
        for total in over_columns:
            assert (total["column_key"], total["column_label"]) == (None, "Total")
            assert total["value"] == sum(row["value"] for row in plain if row["row_key"] == total["row_key"])

    def test_groups_that_share_a_label_stay_apart(self, own: Sandbox) -> None:
        for user in own.world.users:
            user.first_name, user.last_name = "Kim", "Lee"
        found = rows(own, report("namesakes", group_by=BY_USER))
        assert {row["row_label"] for row in found} == {"Kim Lee"}
        assert {row["row_key"] for row in found} == {*own.world.users.ids}

    def test_months_are_keys_that_sort(self, own: Sandbox) -> None:
        found = rows(own, report("months", group_by=BY_MONTH, **custom("2024-01-01", "2024-03-31")))
        assert [row["row_key"] for row in found] == ["2024-01-01", "2024-02-01", "2024-03-01"]

    def test_every_key_is_whole_and_unique_and_every_row_fits_the_schema(self, own: Sandbox) -> None:
        run = read(
            own,
            report("a", SENT, RATE),
            report("b", SENT, RATE, group_by=BY_USER, **TOTALS),
            report("c", SENT, RATE, group_by=BY_USER, pivot_group_by=BY_STAGE, **TOTALS),
        )
        assert run.schemas[STREAM]["key_properties"] == ["id"]
        found = run.records[STREAM]
        assert len({row["id"] for row in found}) == len(found) == 2 * (1 + 4 + 3 * 9 + 9 + 3)
        assert all(
            row["id"] == key_of(row["report"], row["row_key"], row["column_key"], row["metric"]) for row in found
        )
        assert {*run.schemas[STREAM]["schema"]["properties"]} == {*run.records[STREAM][0]} | {"_unknown"}


class TestQuestion:
    def test_a_preset_is_named_and_has_no_dates(self, own: Sandbox) -> None:
        found = rows(own, report("a"), report("b", date_ranges=[{"modality": "all_time"}]))
        assert [(row["date_range"], row["date_range_start"], row["date_range_end"]) for row in found] == [
            ("last_30_days", None, None),
            ("all_time", None, None),
        ]
        assert found[0]["value"] != found[1]["value"]

    def test_a_custom_range_is_sent_and_stands_on_its_rows(self, own: Sandbox) -> None:
        first, second = custom("2024-01-01", "2024-03-31"), custom("2024-04-01", "2024-06-30")
        found = rows(own, report("first", **first), report("second", **second))
        assert [(row["date_range"], row["date_range_start"], row["date_range_end"]) for row in found] == [
            ("custom_range", "2024-01-01", "2024-03-31"),
            ("custom_range", "2024-04-01", "2024-06-30"),
        ]
        assert found[0]["value"] == answer(own, report("first", **first))["table_response"][SENT]
        assert found[0]["value"] != found[1]["value"]

    def test_everything_else_is_passed_through(self, own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[dict[str, Any]] = []
        ask = StreamIO.ask

        def kept(io: StreamIO, parameters: Any) -> Any:
            if io.name == STREAM:
                sent.append(dict(parameters))
            return ask(io, parameters)

        monkeypatch.setattr(StreamIO, "ask", kept)
        full = report(
            "full",
            group_by=[{"name": "smart_user_id", "limit": 2}],
            filters={"smart_user_id": ["current"]},
            sorts=[{"asc": True, "metric": metric(SENT)}],
            skip_group_by_values=[own.world.users.ids[0]],
            min_ratio_denominator=20,
            novelty={"deep": 1},
        )
        found = rows(own, full, report("bare", group_by=None))
        assert sent[0] == {
            **{key: value for key, value in full.items() if key != "name"},
            "pivot_group_by": [],
            "group_by_totals_selected": False,
            "pivot_group_by_totals_selected": False,
        }
        assert sent[1] == {
            "metrics": [metric(SENT)],
            "date_ranges": [{"modality": "last_30_days"}],
            "group_by": [],
            "pivot_group_by": [],
            "sorts": [],
            "filters": {},
            "group_by_totals_selected": False,
            "pivot_group_by_totals_selected": False,
        }
        kept_users = [row["row_key"] for row in found if row["report"] == "full"]
        assert {*kept_users} == {*own.world.users.ids[1:]}

    def test_two_reports_are_two_requests_and_their_rows_tell_them_apart(self, own: Sandbox) -> None:
        found = rows(own, report("sent"), report("calls", CALLS, group_by=BY_USER))
        assert own.ledger.requests[ACTION] == 2
        assert [row["report"] for row in found] == ["sent"] + 3 * ["calls"]

    def test_the_label_of_a_metric_is_what_the_setting_says(self, own: Sandbox) -> None:
        entry = {**report("labels"), "metrics": [metric(SENT, display_name="Sent"), metric(REPLIED)]}
        assert {row["metric"]: row["metric_label"] for row in rows(own, entry)} == {SENT: "Sent", REPLIED: REPLIED}

    def test_all_cells_of_a_report_were_read_at_one_moment(self, own: Sandbox) -> None:
        before = datetime.datetime.now(tz=datetime.timezone.utc)
        moments = {row["read_at"] for row in rows(own, report("a", SENT, RATE, group_by=BY_USER))}
        assert len(moments) == 1
        assert before <= datetime.datetime.fromisoformat(moments.pop())

    @pytest.mark.parametrize("settings", [{}, {"analytics_reports": []}, {"analytics_reports": None}])
    def test_without_reports_nothing_is_asked(self, own: Sandbox, settings: dict[str, Any]) -> None:
        run = sync(own, STREAM, **settings)
        assert run.error is None
        assert run.schemas.keys() == {STREAM}
        assert not run.records
        assert own.ledger.requests_total == 0


class TestWhatGoesWrong:
    @pytest.fixture(autouse=True)
    def _do_not_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))

    def test_filters_that_apollo_ignored_are_said_and_stand_on_the_rows(
        self, own: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = own.world.sequences.ids[0]
        run = read(
            own, report("mixed", SENT, CALLS, filters={"emailer_campaign_ids": [secret]}), report("plain", CALLS)
        )
        assert run.error is None
        [line] = warnings(caplog)
        assert line == (
            "analytics_reports: the report `mixed` has filters that Apollo ignored, as they do not go with metrics of "
            f"it: `emailer_campaign_ids` ({CALLS})."
        )
        assert secret not in caplog.text
        assert {(row["report"], row["metric"]): row["incompatible_filters"] for row in run.records[STREAM]} == {
            ("mixed", SENT): [],
            ("mixed", CALLS): ["emailer_campaign_ids"],
            ("plain", CALLS): [],
        }

    def test_a_refused_report_is_named_and_does_not_stop_the_others(
        self, own: Sandbox, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        run = read(own, report("first"), report("bad", "luck"), report("last"))
        assert isinstance(run.error, SyncError)
        assert STREAM in run.error.message
        assert [row["report"] for row in run.records[STREAM]] == ["first", "last"]
        assert run.records["users"]
        assert own.ledger.requests[ACTION] == 3
        [line] = warnings(caplog)
        assert line == (
            "Stream analytics_reports failed: the report `bad`: Apollo refuses the request to reports/sync_report "
            "(400): it names a metric that Apollo does not know. What it wrote before is valid."
        )
        assert not place(run.state, STREAM)
        read(own, report("first"), report("last"))
        counts = [line.rpartition(", ")[0] for line in caplog.messages if line.startswith(f"{STREAM}: ")]
        assert counts == [
            "analytics_reports: 2 records, up to the end, 3 requests",
            "analytics_reports: 2 of 2 records, 2 requests",
        ]

    def test_what_a_refused_report_lacks_is_said(self, own: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
        entry = report("bare")
        tap = TapApollo(config=config_for(own, analytics_reports=[entry]))
        stream = tap.streams[STREAM]
        assert isinstance(stream, AnalyticsReports)
        asked = Report(entry)
        del asked.body["metrics"]  # the settings are checked, so no user gets here
        assert ReportsPass(stream.io(), [asked]).fetch(PageRequest()).records == []
        tap.services.session.close()
        assert "(400): it lacks `metrics`." in warnings(caplog)[0]

    def test_a_forbidden_endpoint_skips_the_stream_after_one_request(self, caplog: pytest.LogCaptureFixture) -> None:
        with Sandbox(Settings(contacts=60, forbid=(ACTION,))).serve() as sandbox:
            run = read(sandbox, report("a"), report("b"))
            assert sandbox.ledger.statuses["422"] == sandbox.ledger.requests[ACTION] == 1
            strict = read(sandbox, report("a"), strict=True)
        assert run.error is None
        assert run.records.keys() == {"users"}
        skipped = [line for line in warnings(caplog) if "skipped" in line]
        assert len(skipped) == 2
        assert skipped[0].startswith("Stream analytics_reports was skipped: the credentials may not read")
        assert "api/v1/reports/sync_report" in skipped[0]
        assert isinstance(strict.error, SyncError)

    @pytest.mark.parametrize(
        "odd",
        [
            None,
            [],
            {},
            {"response": None},
            {"response": {}},
            {"response": {"table_response": None}},
            {"response": {"table_response": {}}, "incompatible_filters": 7},
            {"response": {"table_response": {"smart_user_id": {"buckets": [{"key": "a", SENT: 1}] * 2}}}},
        ],
        ids=json.dumps,
    )
    def test_a_reply_of_an_unknown_form_costs_its_report_only(
        self, own: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, odd: Any
    ) -> None:
        def first_is_odd(response: requests.Response) -> Any:
            body = response.request.body or b""
            is_odd = b"num_oddities" in (body if isinstance(body, bytes) else body.encode())
            return odd if is_odd and response.ok else decode(response)

        monkeypatch.setattr(client, "decode", first_is_odd)
        run = read(own, report("odd", "num_oddities", group_by=BY_USER), report("even"))
        assert isinstance(run.error, SyncError)
        assert [row["report"] for row in run.records[STREAM]] == ["even"]
        assert any(
            "the report `odd`: reports/sync_report gave a reply of an unknown form" in line for line in warnings(caplog)
        )

    def test_cells_that_are_gone_are_dropped_unless_a_report_was_refused(self, own: Sandbox) -> None:
        good, bad = report("good"), report("bad", "luck")

        def drops(*reports: dict[str, Any], **settings: Any) -> bool:
            types = [one["type"] for one in read(own, *reports, **settings).messages if one.get("stream") == STREAM]
            return bool(types[-1] == "ACTIVATE_VERSION")

        assert drops(good, detect_deletes=True)
        assert not drops(good, bad, detect_deletes=True)
        assert not drops(detect_deletes=True)
        assert not drops(good)

    def test_a_fault_that_lasts_ends_the_stream_and_the_next_run_begins_after_it(self, own: Sandbox) -> None:
        reports = [report(name) for name in ("first", "second", "third")]
        own.faults.add("status", action=ACTION, status=500, after=1, times=MAX_TRIES)
        run = read(own, *reports)
        assert isinstance(run.error, SyncError)
        assert [row["report"] for row in run.records[STREAM]] == ["first"]
        again = read(own, *reports, state=run.state)
        assert again.error is None
        assert [row["report"] for row in again.records[STREAM]] == ["third", "first", "second"]
        assert not place(again.state, STREAM)


class TestPace:
    """Apollo gives five reports an hour."""

    REPORTS = [report(name) for name in "abcdefg"]

    def test_more_wait_for_the_next_hour(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = Clock()
        clock.install(monkeypatch)
        with Sandbox(Settings(contacts=60), monotonic=clock.monotonic).serve() as sandbox:
            began = clock.now
            run = read(sandbox, *self.REPORTS)
            took = clock.now - began
            assert sandbox.ledger.requests[ACTION] == 7
            assert sandbox.ledger.rate_limited_total == 0
        assert run.error is None
        assert [row["report"] for row in run.records[STREAM]] == [*"abcdefg"]
        assert HOUR <= took < 2 * HOUR

    def test_past_max_wait_seconds_the_next_run_begins_with_what_was_left(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Sandbox(Settings(contacts=60)).serve() as sandbox:
            run = read(sandbox, *self.REPORTS, max_wait_seconds=60)
            assert sandbox.ledger.requests[ACTION] == 5
            assert sandbox.ledger.rate_limited_total == 0
            sandbox.reset()  # the hour is over
            again = read(sandbox, *self.REPORTS, max_wait_seconds=60, state=run.state)
            sandbox.reset()
            changed = read(sandbox, *self.REPORTS[:2], max_wait_seconds=60, state=run.state)
        assert run.error is None
        assert [row["report"] for row in run.records[STREAM]] == [*"abcde"]
        assert place(run.state, STREAM) == {"next": "f"}
        assert run.records["users"]
        assert [row["report"] for row in again.records[STREAM]] == [*"fgabc"]
        assert place(again.state, STREAM) == {"next": "d"}
        assert [row["report"] for row in changed.records[STREAM]] == ["a", "b"]
        incomplete = [line for line in warnings(caplog) if "incomplete" in line]
        assert len(incomplete) == 2
        assert "reports/sync_report is used up for another" in incomplete[0]

    @pytest.mark.parametrize(
        ("names", "records", "note", "minutes"),
        [
            ("", 0, "`analytics_reports` names none", 0),
            ("abcde", None, "not tried: Apollo allows 5 reports an hour", 1),
            ("abcdefghijk", None, "not tried: Apollo allows 5 reports an hour", 120),
        ],
    )
    def test_a_plan_tells_the_requests_and_uses_up_none(
        self, own: Sandbox, names: str, records: int | None, note: str, minutes: int
    ) -> None:
        tap = TapApollo(config=config_for(own, analytics_reports=[report(name) for name in names]))
        for stream in tap.streams.values():
            stream.selected = stream.name == STREAM
        [plan] = json.loads(tap.plan().to_json())["streams"]
        assert (plan["records"], plan["requests"], plan["credits"]) == (records, len(names), 0)
        assert plan["note"].startswith(note)
        assert plan["minutes"] == minutes
        assert own.ledger.requests_total == 0


class TestReply:
    """What the document allows and the sandbox does not send."""

    def rows(self, table: Any, **more: Any) -> list[dict[str, Any]]:
        entry = report("r", SENT, RATE, group_by=BY_USER, pivot_group_by=more.pop("pivot_group_by", []))
        reply = {"response": {"table_response": table, **more}, "incompatible_filters": {}}
        return [*Report(entry).rows(reply)]

    def grouped(self, *groups: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        return self.rows({"smart_user_id": {"buckets": [*groups]}}, **more)

    @pytest.mark.parametrize(
        ("figure", "value", "text"),
        [
            (0, 0, None),
            (0.15, 0.15, None),
            (None, None, None),
            ("1240", 1240, "1240"),
            ("loading", None, "loading"),
            ("2 h 5 min", None, "2 h 5 min"),
            ("inf", None, "inf"),
            ("", None, ""),
            (True, None, "true"),
            (10**400, None, None),
            ({"amount": 5}, None, '{"amount": 5}'),
            (["a"], None, '["a"]'),
        ],
    )
    def test_a_cell_that_is_no_number_is_kept(self, figure: Any, value: Any, text: str | None) -> None:
        [row] = self.grouped({"key": "a", "readable_key": "A", SENT: figure})
        assert (row["metric"], row["value"], row["value_text"]) == (SENT, value, text)

    @pytest.mark.parametrize(
        ("key", "row_key"),
        [("total", "total"), (None, "null"), ("", '""'), (7, "7"), (True, "true"), ("2024-01-01", "2024-01-01")],
    )
    def test_no_key_of_a_group_is_taken_for_a_total(self, key: Any, row_key: str) -> None:
        total = {"smart_user_id": {"buckets": [{"key": "total", "readable_key": "Total", SENT: 9}]}}
        found = self.grouped({"key": key, SENT: 9}, group_by_total_response=total)
        assert [(row["row_key"], row["row_label"], row["is_row_total"]) for row in found] == [
            (row_key, row_key, False),
            (None, "Total", True),
        ]

    def test_figures_that_were_not_asked_for_are_rows_too(self) -> None:
        [row] = self.grouped({"key": "a", "num_unasked": 3})
        assert (row["metric"], row["metric_label"], row["value"]) == ("num_unasked", "num_unasked", 3)

    def test_a_denominator_without_its_ratio_is_a_row(self) -> None:
        [row] = self.grouped({"key": "a", f"{RATE}_denominator": 3})
        assert (row["metric"], row["value"]) == (f"{RATE}_denominator", 3)

    def test_figures_under_a_label_are_those_of_its_metric(self) -> None:
        entry = {**report("r"), "metrics": [metric(SENT, display_name="Sent")]}
        [row] = Report(entry).rows({"response": {"table_response": {"Sent": 4}}})
        assert (row["metric"], row["metric_label"], row["value"]) == (SENT, "Sent", 4)

    def test_a_dimension_by_another_name_is_the_one_of_the_rows(self) -> None:
        [row] = self.rows({"user_id": {"buckets": [{"key": "a", SENT: 1}]}})
        assert (row["row_key"], row["is_row_total"]) == ("a", False)

    def test_the_total_of_totals_is_one_row_and_subtotals_beside_groups_are_totals(self) -> None:
        groups = [{"key": "u", SENT: 1}]
        grand = {"key": "total", SENT: 1}
        found = self.rows(
            {"contact_stage_id": {"buckets": [{"key": "s", SENT: 1, "smart_user_id": {"buckets": groups}}]}},
            pivot_group_by=BY_STAGE,
            group_by_total_response={"smart_user_id": {"buckets": [*groups, grand]}},
            pivot_group_by_total_response={"contact_stage_id": {"buckets": [{"key": "s", SENT: 1}, grand]}},
        )
        places = [(row["row_key"], row["column_key"], row["is_row_total"], row["is_column_total"]) for row in found]
        assert places == [
            ("u", "s", False, False),
            (None, "s", True, False),
            ("u", None, False, True),
            (None, None, True, True),
        ]

    def test_a_report_without_data_has_no_rows(self) -> None:
        assert self.rows({}) == self.grouped() == []


PAGE = (ROOT / "docs" / "analytics.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example() -> list[dict[str, Any]]:
    [block] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [extractor] = yaml.safe_load(block)["plugins"]["extractors"]
    with Sandbox(Settings()).serve() as sandbox:
        return rows(sandbox, *extractor["config"]["analytics_reports"])


class TestPage:
    """docs/analytics.md shows what the tap gives."""

    def table(self, first: str) -> list[list[str]]:
        """The cells of the table whose first column has that name, without the line under its head."""
        lines = PAGE[PAGE.index(f"| {first} |") :].partition("\n\n")[0].splitlines()
        head, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
        return [head, *body]

    def test_its_rows_are_those_of_its_configuration(self, example: list[dict[str, Any]]) -> None:
        head, *body = self.table("row_key")
        assert [[_written(row[column]) for column in head] for row in example] == body
        same = {"emails_by_month", "smart_datetime_month", "custom_range", "2026-07-01", "2026-09-30"}
        for row in example:
            columns = ("report", "row_dimension", "date_range", "date_range_start", "date_range_end")
            assert {row[column] for column in columns} == same

    def test_its_query_gives_its_chart_whatever_earlier_runs_left(
        self, example: list[dict[str, Any]], tmp_path: Path
    ) -> None:
        [query] = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
        stale = {**example[0], "row_key": "2026-06-01", "read_at": "2026-01-01T00:00:00.000000+00:00"}
        (tmp_path / "rows.json").write_text(json.dumps([*example, stale]), encoding="utf-8")
        with duckdb.connect() as connection:
            connection.execute("create schema apollo")
            load = "create table apollo.analytics_reports as select * from read_json(?)"
            connection.execute(load, [str(tmp_path / "rows.json")])
            result = connection.execute(query)
            names = [column[0] for column in result.description or ()]
            chart = [[_written(value) for value in row] for row in result.fetchall()]
        assert [names, *chart] == self.table("month")

    def test_it_names_every_key_and_every_preset(self) -> None:
        [_, *body] = self.table("key")
        named = {name for row in body for name in re.findall(r"`(\w+)`", row[0])}
        assert named == {*SETTINGS["properties"]["analytics_reports"]["items"]["properties"]}
        for preset in DATE_RANGES:
            assert f"`{preset}`" in PAGE or "`{}_`".format(preset.partition("_")[0]) in PAGE, preset


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:g}" if isinstance(value, (int, float)) else f"{value}"


A = report("a")
CUSTOM = [{"modality": "custom_range"}]


def between(first: Any, last: Any) -> dict[str, Any]:
    return {**A, "date_ranges": CUSTOM, "filters": {"smart_datetime_range": {"min": first, "max": last}}}


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (7, "Setting `analytics_reports.0` must be an object."),
        ({**A, "name": ""}, "Setting `analytics_reports.0.name` must not be empty."),
        ({key: A[key] for key in ("metrics", "date_ranges")}, "Setting `analytics_reports.0` needs `name`: add it."),
        ({key: A[key] for key in ("name", "date_ranges")}, "Setting `analytics_reports.0` needs `metrics`: add it."),
        ({key: A[key] for key in ("name", "metrics")}, "Setting `analytics_reports.0` needs `date_ranges`: add it."),
        ({**A, "metrics": []}, "the report `a` needs at least one metric in `metrics`: add it."),
        ({**A, "metrics": [SENT]}, "Setting `analytics_reports.0.metrics.0` must be an object."),
        (
            {**A, "metrics": [{"value": SENT}]},
            "`analytics_reports.0.metrics.0` needs `smart_datetime_reference` and `smart_user_id_reference`: add them.",
        ),
        ({**A, "metrics": [metric(SENT), metric(SENT)]}, f"the report `a` has the metric `{SENT}` twice: remove one."),
        ({**A, "date_ranges": []}, "needs one entry in `date_ranges`, such as {modality: last_30_days}, and has 0."),
        ({**A, "date_ranges": 2 * A["date_ranges"]}, "{modality: last_30_days}, and has 2."),
        (
            {**A, "date_ranges": [{"modality": "last_month"}]},
            "Setting `analytics_reports.0.date_ranges.0.modality` must be one of today, yesterday,",
        ),
        (
            {**A, "filters": {"smart_datetime_range": {"min": "2026-01-01", "max": "2026-01-31"}}},
            "the report `a` asks for last_30_days and for dates: set `modality` to custom_range, or remove",
        ),
        ({**A, "date_ranges": CUSTOM}, "asks for a custom_range: set `filters.smart_datetime_range` to {min, max}"),
        ({**between("2026-01-01", None)}, "asks for a custom_range: set `filters.smart_datetime_range` to {min, max}"),
        ({**between("2026-01-01", "2026-1-31")}, "its first day and its last, such as 2026-01-31."),
        ({**between("2026-01-01", "2026-02-30")}, "its first day and its last, such as 2026-01-31."),
        ({**between("2026-01-31T00:00:00Z", "2026-02-01")}, "its first day and its last, such as 2026-01-31."),
        (
            {**A, "date_ranges": CUSTOM, "filters": {"smart_datetime_range": ["2026-01-01", "2026-01-31"]}},
            "its first day and its last, such as 2026-01-31.",
        ),
        (between("2026-02-01", "2026-01-31"), "asks for a custom_range that ends before it begins: swap `min` and"),
        ({**A, "group_by": "smart_user_id"}, "Setting `analytics_reports.0.group_by` must be a list."),
        ({**A, "group_by": [{"limit": 1}]}, "Setting `analytics_reports.0.group_by.0` needs `name`: add it."),
        ({**A, "group_by": [{"name": "x", "limit": 0}]}, "`analytics_reports.0.group_by.0.limit` must be 1 or more."),
        ({**A, "group_by": BY_USER + BY_STAGE}, "has 2 entries in `group_by`, and Apollo takes one"),
        ({**A, "pivot_group_by": BY_USER}, "has `pivot_group_by` and no `group_by`: add `group_by`."),
        ({**A, "group_by": BY_USER, "pivot_group_by": BY_USER}, "has the same dimension in `group_by` and"),
        (
            {**A, "groupby": BY_USER},
            "the report `a` has `groupby`, which Apollo would ignore: did you mean `group_by`?",
        ),
        ({**A, "sorts": [{}]}, "Setting `analytics_reports.0.sorts.0` needs `asc`: add it."),
        ({**A, "filters": []}, "Setting `analytics_reports.0.filters` must be an object."),
        (
            {**A, "group_by_totals_selected": "yes"},
            "`analytics_reports.0.group_by_totals_selected` must be true or false.",
        ),
    ],
)
def test_a_bad_report_is_refused_in_one_line_before_any_request(
    entry: Any, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("a request was sent")

    monkeypatch.setattr(requests.Session, "send", refuse)
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k", "analytics_reports": [entry]})
    assert line in raised.value.message
    assert len(raised.value.message.splitlines()) == 1


def test_two_reports_need_two_names() -> None:
    with pytest.raises(SettingsError) as raised:
        TapApollo(config={"api_key": "k", "analytics_reports": [A, report("a", CALLS)]})
    assert raised.value.message == (
        "Setting `analytics_reports` holds two reports named `a`: give each a name of its own."
    )


@pytest.mark.parametrize(
    "entry",
    [
        between("2026-01-31", "2026-01-31"),
        {**A, "group_by": BY_USER, "pivot_group_by": BY_STAGE, "some_future_key": 1},
        {**A, "group_by": None, "filters": None, "sorts": []},
    ],
)
def test_a_good_report_is_taken(entry: dict[str, Any]) -> None:
    assert TapApollo(config={"api_key": "k", "analytics_reports": [entry]}).config["analytics_reports"] == [entry]
