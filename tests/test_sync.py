"""A whole sync of a sandbox: complete, valid, unique, in legal order, with a clean state."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tap_apollo import schemas
from tap_apollo.singer.conform import PLACEHOLDER_EMAIL, timestamp
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tests.conftest import BUYING, REPORTS
from tests.singer import Sync, sync
from tests.states import place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from apollo_sandbox import Sandbox

STREAM_NAMES = [*STREAMS]

SOME = dict.fromkeys(("news_articles", "organization_details", "organization_job_postings", "person_details"), 20)

#: Every stream, those that cost credits with a budget that is enough.
EVERYTHING: dict[str, Any] = {
    **BUYING,
    "analytics_reports": REPORTS,
    "people_enrichment": {
        "from": "contacts",
        "reveal_phone_number": True,
        "webhook_url": "https://hooks.example/apollo",
    },
    "credit_budget": 4_000,
    "max_pages": {**SOME, "people_enrichment": 3},
}


@pytest.fixture(scope="module")
def whole(sandbox: Sandbox) -> Sync:
    sandbox.reset()  # the rate windows that other tests have used
    return sync(sandbox, *STREAM_NAMES, **EVERYTHING)


def test_it_ends_well(whole: Sync) -> None:
    assert whole.error is None
    assert set(whole.schemas) == set(STREAM_NAMES)


def test_every_living_record_arrives(sandbox: Sandbox, whole: Sync) -> None:
    keys = {name: message["key_properties"] for name, message in whole.schemas.items()}
    arrived = {
        name: len({tuple(record[key] for key in keys[name]) for record in records})
        for name, records in whole.records.items()
    }
    assert {name: arrived.get(name) for name in sandbox.counts()} == sandbox.counts()
    assert arrived["people"] > 0


@pytest.mark.parametrize("stream", STREAM_NAMES)
def test_every_record_fits_its_schema(whole: Sync, stream: str) -> None:
    validator = jsonschema.Draft7Validator(whole.schemas[stream]["schema"])
    for record in whole.records[stream]:
        assert [*validator.iter_errors(record)] == []


@pytest.mark.parametrize("stream", STREAM_NAMES)
def test_every_primary_key_is_whole_and_unique(whole: Sync, stream: str) -> None:
    message = whole.schemas[stream]
    keys = [tuple(record[key] for key in message["key_properties"]) for record in whole.records[stream]]
    assert len(set(keys)) == len(keys) > 0
    assert all(part and isinstance(part, str) for key in keys for part in key)


def test_every_timestamp_is_written_in_one_format(whole: Sync) -> None:
    """jsonschema does not check formats by itself, and several formats would not compare."""

    def values(node: dict[str, Any], value: Any) -> Iterator[str]:
        if node.get("format") == "date-time" and value is not None:
            yield value
        if isinstance(value, dict):
            for name, child in node.get("properties", {}).items():
                yield from values(child, value.get(name))
        if isinstance(value, list):
            for item in value:
                yield from values(node["items"], item)

    for stream, records in whole.records.items():
        for record in records:
            for value in values(schemas.load(stream), record):
                assert value == timestamp(value), stream


def test_the_sandbox_sends_nothing_that_the_schemas_do_not_know(
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sync(sandbox, *STREAM_NAMES, **EVERYTHING)
    assert [line for line in caplog.messages if "not in the schema" in line or "loaded as null" in line] == []


def test_no_placeholder_reaches_the_warehouse(whole: Sync) -> None:
    assert PLACEHOLDER_EMAIL not in str(whole.messages)
    assert not re.search(r": '?loading'?[,}]", str(whole.records["sequences"]))


def test_each_schema_comes_once_and_before_its_records(whole: Sync) -> None:
    announced: list[str] = []
    for message in whole.messages:
        if message["type"] == "SCHEMA":
            assert message["stream"] not in announced
            announced.append(message["stream"])
        if message["type"] == "RECORD":
            assert message["stream"] in announced


def test_a_status_comes_before_the_state_that_covers_its_contact(whole: Sync) -> None:
    """Killed at any point, no contact is behind the bookmark whose statuses were not written."""
    covered: set[str] = set()
    statuses: set[str] = set()
    for message in whole.messages:
        if message.get("stream") == "contact_sequence_statuses" and message["type"] == "RECORD":
            assert message["record"]["contact_id"] not in covered
            statuses.add(message["record"]["contact_id"])
        if message.get("stream") == "contacts" and message["type"] == "RECORD":
            covered.add(message["record"]["id"])
            expected = bool(message["record"]["contact_campaign_statuses"])
            assert (message["record"]["id"] in statuses) == expected


def test_the_final_state_holds_bookmarks_and_nothing_of_the_run(whole: Sync) -> None:
    bookmarks = whole.state["bookmarks"]
    incremental = {"contacts": "updated_at", "outreach_emails": "due_at", "calls": "start_time"}
    for stream, key in {**incremental, "conversations": "start_time"}.items():
        assert bookmarks[stream].keys() == {"replication_key", "replication_key_value", "place"}
        assert not place(whole.state, stream).keys() & {"resume_point", "resume_points"}
        assert bookmarks[stream]["replication_key"] == key
        value = bookmarks[stream]["replication_key_value"]
        assert value == max(record[key] for record in whole.records[stream] if record[key] and record[key] <= value)
    assert all(marker not in str(bookmarks) for marker in ("progress_markers", "signpost", "starting_", "partitions"))
    assert all(
        bookmark in ({}, {"place": [{}]})
        for stream, bookmark in bookmarks.items()
        if stream != "credit_spending"
        and STREAMS[stream].selected_by_default
        and stream not in {*incremental, "accounts", "conversations", "enrichment_results", *CREDIT_STREAMS}
    )
    assert bookmarks["enrichment_results"].keys() <= {"place", "ended"}
    usual = {name: kept for name, kept in bookmarks.items() if name not in STREAMS or STREAMS[name].selected_by_default}
    assert len(json.dumps(usual)) < 20_000


def test_foreign_keys_join(whole: Sync) -> None:
    ids = {stream: {record.get("id") for record in records} for stream, records in whole.records.items()}
    for stream, column, target in [
        ("contacts", "account_id", "accounts"),
        ("contacts", "contact_stage_id", "contact_stages"),
        ("contacts", "owner_id", "users"),
        ("contact_sequence_statuses", "emailer_campaign_id", "sequences"),
        ("accounts", "account_stage_id", "account_stages"),
        ("deals", "account_id", "accounts"),
        ("deals", "opportunity_stage_id", "deal_stages"),
        ("outreach_emails", "contact_id", "contacts"),
        ("outreach_emails", "emailer_campaign_id", "sequences"),
        ("tasks", "contact_id", "contacts"),
        ("calls", "contact_id", "contacts"),
    ]:
        values = {record[column] for record in whole.records[stream] if record.get(column)}
        assert values, (stream, column)
        assert values <= ids[target], (stream, column)


def test_deals_have_a_moment_of_creation(whole: Sync) -> None:
    assert all(record["created_at"] for record in whole.records["deals"])
