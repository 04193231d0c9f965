"""One odd value or row costs no other: what Apollo might send, in every kind of stream, through the whole tap."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from apollo_sandbox import Sandbox, Settings
from tap_apollo.api.client import Client
from tap_apollo.api.errors import SyncError
from tests.conftest import REPORTS
from tests.singer import sync
from tests.states import bookmark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    Upset = Callable[[str, Callable[[Any], object]], None]


#: A change to null; None: the change was made in place.
Null = object()


@pytest.fixture(scope="module")
def small() -> Iterator[Sandbox]:
    """A sandbox whose lists fit on a page, as no row may hide behind another page."""
    with Sandbox(Settings(contacts=40, users=3)).serve() as running:
        yield running


@pytest.fixture
def upset(monkeypatch: pytest.MonkeyPatch) -> Upset:
    """Let a change be made to each reply of an endpoint, before the tap decodes it."""

    def upset(path: str, change: Callable[[Any], object]) -> None:
        send = Client._send

        def changed(client: Client, request: requests.PreparedRequest, stream: str) -> requests.Response:
            response = send(client, request, stream)
            if urlsplit(str(request.url)).path.endswith(f"/{path}") and response.ok:
                reply = json.loads(response.content)
                new = change(reply)
                response._content = json.dumps(None if new is Null else reply if new is None else new).encode()
            return response

        monkeypatch.setattr(Client, "_send", changed)

    return upset


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]


HALF, ZERO = "x\ud83d", "x\0y"


class TestText:
    def test_half_a_character_is_replaced_wherever_it_stands_and_said_once_a_column(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        def change(reply: Any) -> None:
            for row in reply["contacts"]:
                row["title"] = HALF
                row["account"] = {"name": HALF}
                row["novelty"] = {HALF: [HALF]}

        upset("contacts/search", change)
        run = sync(small, "contacts", "users", strict=True)
        assert run.error is None
        assert len(run.records["contacts"]) == 40
        assert run.records["users"]
        for row in run.records["contacts"]:
            assert row["title"] == row["account"]["name"] == "x\ufffd"
            assert row["_unknown"] == {"novelty": {"x\ufffd": ["x\ufffd"]}}
        said = [line for line in warnings(caplog) if "half a character" in line]
        assert said == [
            f"contacts: a value of `{column}` holds half a character; it is loaded as U+FFFD."
            for column in ("title", "account", "novelty")
        ]

    def test_the_character_nul_is_dropped(self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture) -> None:
        upset(
            "emailer_messages/search",
            lambda reply: [row.update(subject=ZERO) for row in reply["emailer_messages"]] and None,
        )
        run = sync(small, "outreach_emails", strict=True)
        assert run.error is None
        assert {row["subject"] for row in run.records["outreach_emails"]} == {"xy"}
        (line,) = warnings(caplog)
        assert line == "outreach_emails: a value of `subject` holds the character NUL; it is loaded without."

    def test_the_label_and_the_options_of_a_custom_field_are_mended_in_schema_and_rows(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        def change(reply: Any) -> None:
            for field in reply["typed_custom_fields"]:
                field["name"] += HALF + ZERO
                for option in field.get("picklist_values") or ():
                    option["name"] += HALF

        upset("typed_custom_fields", change)
        run = sync(small, "contacts", strict=True)
        assert run.error is None
        columns = run.schemas["contacts"]["schema"]["properties"]["custom_fields"]["properties"]
        assert all(column["title"].endswith("x\ufffdxy") for column in columns.values())
        values = [value for row in run.records["contacts"] for value in (row["custom_fields"] or {}).values()]
        chosen = [option for value in values if isinstance(value, list) for option in value]
        assert chosen
        assert all(option.endswith("x\ufffd") for option in chosen)
        assert all("custom_fields: a value of `" in line for line in warnings(caplog))


#: Where each free list has its rows.
LISTS = {
    "contacts": ("contacts/search", "contacts"),
    "accounts": ("accounts/search", "accounts"),
    "deals": ("opportunities/search", "opportunities"),
    "tasks": ("tasks/search", "tasks"),
    "users": ("users/search", "users"),
    "sequences": ("emailer_campaigns/search", "emailer_campaigns"),
    "outreach_emails": ("emailer_messages/search", "emailer_messages"),
    "calls": ("phone_calls/search", "phone_calls"),
    "conversations": ("conversations/search", "conversations"),
    "contact_stages": ("contact_stages", "contact_stages"),
    "fields": ("fields", "fields"),
    "custom_fields": ("typed_custom_fields", "typed_custom_fields"),
    "email_accounts": ("email_accounts", "email_accounts"),
    "lists": ("labels", None),
}

ODD_ROWS: list[Any] = [None, "text", [], {}, {"id": None}, {"id": ""}, {"id": {"of": "a"}}]


class TestRows:
    @pytest.mark.parametrize("stream", LISTS)
    def test_one_that_cannot_be_a_row_costs_no_other_in_any_list(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture, stream: str
    ) -> None:
        path, key = LISTS[stream]
        before = sync(small, stream)

        def change(reply: Any) -> None:
            rows = reply[key] if key else reply
            if rows:  # of a page behind the last there are none
                rows.append(ODD_ROWS[[*LISTS].index(stream) % len(ODD_ROWS)])

        upset(path, change)
        caplog.set_level("INFO")
        run = sync(small, stream)
        assert run.error is None
        assert {*run.ids(stream)} == {*before.ids(stream)}
        assert f"Stream {stream} is incomplete: 1 row without a usable `id` was left out." in warnings(caplog)
        assert any('"missing_records","value":1' in line.replace(" ", "") for line in caplog.messages)
        strict = sync(small, stream, strict=True)
        assert isinstance(strict.error, SyncError)
        assert {*strict.ids(stream)} == {*before.ids(stream)}

    @pytest.mark.parametrize("stream", ["users", "contacts", "contact_stages"])
    def test_a_number_as_an_id_is_loaded_as_text(self, small: Sandbox, upset: Upset, stream: str) -> None:
        path, key = LISTS[stream]
        upset(path, lambda reply: [row.update(id=number) for number, row in enumerate(reply[key])].clear())
        run = sync(small, stream, strict=True)
        assert run.error is None
        assert {*run.ids(stream)} == {f"{number}" for number in range(len(run.records[stream]))}

    def test_a_status_without_its_sequence_costs_neither_the_contact_nor_the_other_statuses(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = sync(small, "contacts", "contact_sequence_statuses")
        odd = [{"status": "active"}, {"emailer_campaign_id": None}, {"emailer_campaign_id": {}}]

        def change(reply: Any) -> None:
            reply["contacts"][0]["contact_campaign_statuses"] += odd

        upset("contacts/search", change)
        run = sync(small, "contacts", "contact_sequence_statuses", detect_deletes=True)
        assert run.error is None
        assert len(run.records["contact_sequence_statuses"]) == len(before.records["contact_sequence_statuses"])
        assert len(run.records["contacts"]) == 40
        said = "is incomplete: 3 rows without a usable `emailer_campaign_id` were left out."
        assert f"Stream contact_sequence_statuses {said}" in warnings(caplog)
        assert [one["stream"] for one in run.messages if one["type"] == "ACTIVATE_VERSION"] == ["contacts"]
        assert isinstance(sync(small, "contacts", "contact_sequence_statuses", strict=True).error, SyncError)

    def test_nothing_is_deleted_where_a_row_was_left_out(self, small: Sandbox, upset: Upset) -> None:
        def activated() -> list[str]:
            run = sync(small, "users", detect_deletes=True)
            return [one["stream"] for one in run.messages if one["type"] == "ACTIVATE_VERSION"]

        assert activated() == ["users"]
        upset("users/search", lambda reply: reply["users"].append({"id": None}) if reply["users"] else None)
        assert activated() == []

    @pytest.mark.parametrize(
        ("stream", "path"),
        [
            ("contact_deals", "opportunities"),
            ("contact_sequence_activity", "activity_feed"),
            ("outreach_email_activities", "activities"),
            ("notes", "notes"),
        ],
    )
    def test_of_what_is_asked_per_record_only_the_odd_row_is_left_out(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture, stream: str, path: str
    ) -> None:
        before = sync(small, stream)
        key = "events" if path == "activity_feed" else path
        upset(path, lambda reply: reply[key].append(None) if reply[key] else None)
        run = sync(small, stream, strict=True)
        assert {*run.ids(stream)} == {*before.ids(stream)}
        (line,) = [line for line in warnings(caplog) if "left out" in line]
        assert re.fullmatch(rf"Stream {stream} is incomplete: \d+ rows? without a usable `id` w\w+ left out\.", line)
        assert isinstance(run.error, SyncError)

    def test_a_parents_odd_row_is_said_by_the_stream_that_asks_about_it(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        upset("contacts/search", lambda reply: reply["contacts"].append({"id": []}) if reply["contacts"] else None)
        run = sync(small, "contact_details")
        assert len(run.records["contact_details"]) == 40
        assert (
            "Stream contact_details is incomplete: contacts: 1 row without a usable `id` was left out."
        ) in warnings(caplog)

    def test_a_record_that_comes_without_its_id_is_left_out(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        odd = small.world.contacts.ids[0]
        upset(f"contacts/{odd}", lambda _: {"contact": ["not", "an", "object"]})
        run = sync(small, "contact_details")
        assert run.error is None
        assert {*run.ids("contact_details")} == {*small.world.contacts.ids} - {odd}
        assert "Stream contact_details is incomplete: 1 row without a usable `id` was left out." in warnings(caplog)

    def test_of_a_purchase_only_the_odd_row_is_left_out_and_nothing_is_paid_twice(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        def change(reply: Any) -> None:
            reply["organizations"][0:3] = [{"name": "no id"}, "text", {"id": {}}]

        settings: dict[str, Any] = {
            "credit_streams": ["organizations"],
            "credit_budget": 1,
            "organization_searches": [{"name": "us", "filters": {"organization_locations": ["United States"]}}],
        }
        upset("mixed_companies/search", change)
        run = sync(small, "organizations", **settings)
        assert len(run.records["organizations"]) == 97
        assert "Stream organizations is incomplete: 3 rows without a usable `id` were left out." in warnings(caplog)
        assert bookmark(run.state, "organizations")["place"][0]["searches"]["us"]["next"] == 2

    def test_of_a_report_only_the_odd_group_is_left_out(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = sync(small, "analytics_reports", analytics_reports=REPORTS)
        upset(
            "reports/sync_report",
            lambda reply: reply["response"]["table_response"]["contact_stage_id"]["buckets"].append(7),
        )
        run = sync(small, "analytics_reports", analytics_reports=REPORTS)
        assert run.error is None
        assert {*run.ids("analytics_reports")} == {*before.ids("analytics_reports")}
        assert "Stream analytics_reports is incomplete: 1 row without a usable `id` was left out." in warnings(caplog)


class TestDefinitions:
    """What is wrong with the definitions of custom fields costs no record."""

    @pytest.mark.parametrize("reply", [{}, None, [], {"typed_custom_fields": None}, "text"], ids=repr)
    def test_a_reply_of_another_form_leaves_custom_fields_null_and_is_named(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture, reply: Any
    ) -> None:
        upset("typed_custom_fields", lambda _: Null if reply is None else reply)
        run = sync(small, "contacts", "deals", strict=True)
        assert run.error is None
        for stream in ("contacts", "deals"):
            assert run.records[stream]
            assert not any(row.get("custom_fields") for row in run.records[stream])
            (line,) = [line for line in warnings(caplog) if line.startswith(f"{stream}: ")]
            assert re.fullmatch(
                rf"{stream}: `custom_fields` is null: typed_custom_fields gave a reply of an unknown form \(\w+\)\. "
                r"Run again, or set `custom_fields` to raw to do without\.",
                line,
            )
        assert any(row["typed_custom_fields"] for row in run.records["contacts"])

    def test_one_without_an_id_costs_its_own_column_only(
        self, small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = sync(small, "contacts")
        upset("typed_custom_fields", lambda reply: reply["typed_custom_fields"].append({"modality": "contact"}))
        run = sync(small, "contacts", strict=True)
        assert run.error is None
        custom_fields = [
            {row["id"]: row["custom_fields"] for row in one.records["contacts"] if row["typed_custom_fields"]}
            for one in (before, run)
        ]
        assert custom_fields[0] == custom_fields[1]
        assert any(custom_fields[0].values())
        assert warnings(caplog) == [
            "contacts: of custom_fields, which it needs, 1 row without a usable `id` was left out."
        ]


def test_an_odd_time_in_an_old_row_costs_nothing_in_two_nights(upset: Upset, caplog: pytest.LogCaptureFixture) -> None:
    with Sandbox(Settings(contacts=250, seed=3)).serve() as sandbox:
        old = {*sandbox.world.contacts.ids[120:124]}
        odd = dict(zip(sorted(old), ["2026-13-45T99:00:00Z", 1700000000, "0000-00-00", {}], strict=True))

        def change(reply: Any) -> None:
            for row in reply["contacts"]:
                row["updated_at"] = odd.get(row["id"], row["updated_at"])

        upset("contacts/search", change)
        first = sync(sandbox, "contacts", strict=True)
        assert len([line for line in warnings(caplog) if "`updated_at` is not a timestamp" in line]) == 1
        second = sync(sandbox, "contacts", state=first.state, strict=True)
        assert first.error is second.error is None
        assert {*first.ids("contacts")} == {*sandbox.world.contacts.ids}
        assert [row["updated_at"] for row in first.records["contacts"] if row["id"] in old] == [None] * 4


@pytest.mark.parametrize(("stream", "column"), [("outreach_emails", "due_at"), ("calls", "start_time")])
def test_an_odd_time_in_a_window_costs_nothing_in_two_nights(
    small: Sandbox, upset: Upset, caplog: pytest.LogCaptureFixture, stream: str, column: str
) -> None:
    path, key = LISTS[stream]
    before = sync(small, stream)
    odd: list[Any] = ["2016-12-31T23:59:60Z", "2026-13-45T99:00:00Z", 1700000000, {}, None]

    def change(reply: Any) -> None:
        for row, value in zip(reply[key or ""], odd, strict=False):
            row[column] = value

    upset(path, change)
    first = sync(small, stream, strict=True)
    second = sync(small, stream, state=first.state, full_refresh_days={stream: 0}, strict=True)
    for run in (first, second):
        assert run.error is None
        assert {*run.ids(stream)} == {*before.ids(stream)}
        times = [row[column] for row in run.records[stream]]
        assert "2016-12-31T23:59:59.000000+00:00" in times
        assert None in times
    assert len([line for line in warnings(caplog) if f"`{column}`" in line]) == 2
