"""Every column that may hold personal data is marked, and what the privacy page shows keeps it from the loader."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from apollo_sandbox import Sandbox, Settings
from scripts.personal import KINDS, NOT_PERSONAL, PERSONAL, marks_of
from scripts.write_docs import ROOT
from tap_apollo import schemas
from tap_apollo.api.errors import SettingsError
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tap_apollo.tap import TapApollo
from tests.conftest import BUYING, REPORTS, UNLIMITED
from tests.meltano import meltano
from tests.singer import Sync, config_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PAGE = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")


def columns(stream: str) -> Iterator[str]:
    """Yield the columns that could say something of a person: texts, lists, objects; no ids, moments or figures."""
    for name, node in schemas.annotated(stream)["properties"].items():
        plain = {"boolean", "integer", "number"} & {*node["type"]} or node.get("format")
        if not plain and not re.search(r"(^|_)(id|ids|at|cd|sid)$", name):
            yield name


class TestTheMarks:
    @pytest.mark.parametrize("stream", STREAMS)
    def test_every_column_is_marked_or_ruled_out(self, stream: str) -> None:
        undecided = {*columns(stream)} - marks_of(stream).keys()
        assert not undecided, (
            f'give each of these a line in tap_apollo/schemas/{stream}.json: `"{schemas.PERSONAL}"` with a kind of '
            f'scripts/personal.py, or `"{NOT_PERSONAL}"`: {sorted(undecided)}'
        )

    @pytest.mark.parametrize("stream", STREAMS)
    def test_what_is_marked_is_of_a_known_kind_and_can_be_left_out(self, stream: str) -> None:
        assert {*marks_of(stream).values()} <= {*KINDS, NOT_PERSONAL}
        assert not PERSONAL[stream].keys() & {*STREAMS[stream].primary_keys, STREAMS[stream].replication_key}

    @pytest.mark.parametrize("stream", STREAMS)
    def test_the_marks_do_not_leave_the_tap(self, stream: str) -> None:
        assert schemas.PERSONAL in json.dumps(schemas.annotated(stream))
        assert schemas.PERSONAL not in json.dumps(schemas.load(stream))


# What leaves the tap

ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
NUMBER = re.compile(r"\+\d{8,}")

EVERYTHING: dict[str, Any] = {
    **BUYING,
    "analytics_reports": REPORTS,
    "credit_budget": 100_000,
    "people_enrichment": {
        "from": "contacts",
        "reveal_personal_emails": True,
        "reveal_phone_number": True,
        "webhook_url": "https://hooks.example.com/apollo",
    },
}


@pytest.fixture(scope="module")
def own() -> Iterator[Sandbox]:
    with Sandbox(
        Settings(contacts=120, organizations=100, people=300, seed=3, limit=UNLIMITED, credits=10**6)
    ).serve() as up:
        yield up


@pytest.fixture(autouse=True)
def _no_rate_window_is_open(own: Sandbox) -> None:
    own.reset()


@pytest.fixture(scope="module")
def as_it_is(own: Sandbox) -> Sync:
    """Everything that the sandbox has, with nothing left out."""
    run = sync(own, *STREAMS, **EVERYTHING)
    assert run.error is None
    assert run.records.keys() == {*STREAMS}
    return run


@pytest.fixture(scope="module")
def secrets(as_it_is: Sync) -> set[str]:
    """The people's addresses, numbers and full names."""
    text = json.dumps(as_it_is.records)
    of_companies = json.dumps(
        [as_it_is.records[name] for name in ("accounts", "organizations", "organization_details")]
    )
    found = {*ADDRESS.findall(text)} | ({*NUMBER.findall(text)} - {*NUMBER.findall(of_companies)})
    for stream in ("contacts", "users", "person_details", "people_enrichment"):
        found |= {f"{row['first_name']} {row['last_name']}" for row in as_it_is.records[stream] if row.get("last_name")}
    assert len(found) > 300
    return found


def revealed(records: Any, secrets: Iterable[str]) -> set[str]:
    text = json.dumps(records, ensure_ascii=False)
    return {secret for secret in secrets if secret in text}


def deselecting(config: dict[str, Any], rules: Iterable[str]) -> dict[str, Any]:
    """Return the catalog as Meltano makes it of rules such as ``!contacts.account.phone``."""
    catalog: dict[str, Any] = json.loads(json.dumps(TapApollo(config=config).catalog_dict))
    excluded = {tuple(rule.removeprefix("!").split(".")) for rule in rules if rule.startswith("!")}
    for entry in catalog["streams"]:
        for item in entry["metadata"]:
            path = (entry["tap_stream_id"], *(part for part in item["breadcrumb"] if part != "properties"))
            if path in excluded:
                item["metadata"]["selected"] = False
                excluded.discard(path)
    assert not excluded
    return catalog


def blocks(kind: str, language: str = "yaml") -> list[str]:
    return re.findall(rf"<!-- {kind} -->\n```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def extractor(block: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(block)["plugins"]["extractors"][0]
    return found


MAPS = [extractor(block)["config"] for block in blocks("map")]


class TestWhatLeavesTheTap:
    def test_without_what_is_marked_no_person_is_left(self, own: Sandbox, secrets: set[str]) -> None:
        config = config_for(own, **EVERYTHING)
        rules = [f"!{stream}.{column}" for stream, marked in PERSONAL.items() for column in marked]
        run = sync(own, *STREAMS, catalog=deselecting(config, rules), **EVERYTHING)
        assert run.error is None
        assert run.records.keys() == {*STREAMS}
        for stream, rows in run.records.items():
            assert not revealed(rows, secrets), stream
        assert not ADDRESS.search(json.dumps(run.records))
        for stream, schema in run.schemas.items():
            assert not {*schema["schema"]["properties"]} & {*PERSONAL[stream]}

    @pytest.mark.parametrize("stream", [name for name, marked in PERSONAL.items() if len(marked) > 1])
    def test_each_stream_by_itself_is_as_clean_when_mapped(
        self, own: Sandbox, as_it_is: Sync, secrets: set[str], stream: str
    ) -> None:
        """The maps are those of the SDK, applied to the rows that came without."""
        stream_map = dict.fromkeys(PERSONAL[stream], "__NULL__")
        tap = TapApollo(config=config_for(own, **EVERYTHING, stream_maps={stream: stream_map}))
        (mapped,) = tap.mapper.stream_maps[stream]
        rows = [mapped.transform(row) for row in as_it_is.records[stream]]
        assert all(rows)
        assert not revealed(rows, secrets)

    def test_state_holds_no_person(self, as_it_is: Sync, secrets: set[str]) -> None:
        assert not revealed(as_it_is.state, secrets)

    def test_log_holds_no_person(self, own: Sandbox, secrets: set[str], caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", logger="tap-apollo")
        own.faults.add("status", action="contacts/search", status=500, times=1)
        sync(own, **EVERYTHING)
        assert not revealed([record.getMessage() for record in caplog.records], secrets)


class TestThePage:
    def test_columns_and_parts_of_objects_are_deselected(self, own: Sandbox, as_it_is: Sync) -> None:
        rules = extractor(blocks("select")[0])["select"]
        run = sync(own, "contacts", catalog=deselecting(config_for(own), rules))
        with_account = [row for row in run.records["contacts"] if row.get("account")]
        assert with_account
        assert not any({"phone", "sanitized_phone", "primary_phone"} & {*row["account"]} for row in with_account)
        assert any((row.get("account") or {}).get("phone") for row in as_it_is.records["contacts"])
        assert not {"email", "contact_emails", "phone_numbers"} & {*run.records["contacts"][0]}

    def test_hashed_addresses_join_and_nobody_is_named(self, own: Sandbox, as_it_is: Sync, secrets: set[str]) -> None:
        run = sync(own, "contacts", "outreach_emails", **MAPS[0])
        assert run.error is None
        assert not revealed(run.records, secrets)
        assert not ADDRESS.search(json.dumps(run.records))
        contacts = {row["email"] for row in run.records["contacts"]} - {None}
        written_to = {row["to_email"] for row in run.records["outreach_emails"]} - {None}
        assert contacts & written_to
        assert {len(digest) for digest in contacts} == {64}
        assert len(contacts) == len({row["email"] for row in as_it_is.records["contacts"]} - {None})
        assert run.state["bookmarks"]["contacts"]["replication_key_value"]

    def test_lists_and_objects_are_rebuilt(self, own: Sandbox) -> None:
        run = sync(own, "contacts", **MAPS[1])
        assert run.error is None
        rows = run.records["contacts"]
        assert not ADDRESS.search(json.dumps(rows))
        assert not NUMBER.search(json.dumps([{**row, "organization": None} for row in rows]))
        assert any(row["contact_emails"] and len(row["contact_emails"][0]["email"]) == 64 for row in rows)
        assert any(row["phone_numbers"] for row in rows)
        assert all({*row["account"]} == {"id", "domain"} for row in rows if row.get("account"))
        assert {label for row in rows for label in row["custom_fields"] or ()} == {"lead_score", "persona"}

    def test_only_what_is_named_comes_through(self, own: Sandbox, secrets: set[str]) -> None:
        run = sync(own, "contacts", **MAPS[2])
        named = {*MAPS[2]["stream_maps"]["contacts"]} - {"__else__"}
        assert {*run.schemas["contacts"]["schema"]["properties"]} == named
        assert all({*row} == named for row in run.records["contacts"])
        assert not revealed(run.records, secrets)
        assert run.schemas["contacts"]["schema"]["properties"]["updated_at"]["format"] == "date-time"

    def test_only_what_is_named_comes_through_an_old_catalog_too(self, own: Sandbox, secrets: set[str]) -> None:
        catalog = deselecting(config_for(own), ())
        for entry in catalog["streams"]:
            entry["schema"]["properties"].pop("email", None)
            entry["metadata"] = [item for item in entry["metadata"] if "email" not in item["breadcrumb"]]
        run = sync(own, "contacts", catalog=catalog, **MAPS[2])
        assert all({*row} == {*MAPS[2]["stream_maps"]["contacts"]} - {"__else__"} for row in run.records["contacts"])
        assert not revealed(run.records, secrets)

    def test_a_map_of_a_part_is_refused(self, own: Sandbox) -> None:
        with pytest.raises(SettingsError, match=r"removes `account\.phone`, which is no column of contacts"):
            sync(own, "contacts", stream_maps={"contacts": {"account.phone": "__NULL__"}})

    @pytest.mark.parametrize("maps", [{"notes": {"content": "__NULL__"}}, {"*": {"email": "__NULL__"}}])
    def test_a_map_may_be_of_a_deselected_stream(self, own: Sandbox, maps: dict[str, dict[str, str]]) -> None:
        run = sync(own, "users", "lists", stream_maps=maps)
        assert run.error is None
        assert run.records["lists"]
        assert ("email" in run.records["users"][0]) == ("*" not in maps)

    def test_the_examples_are_there(self) -> None:
        assert len(MAPS) == 3
        assert len(blocks("select")) == 1

    @pytest.mark.skipif(not shutil.which("jq"), reason="the page's command needs jq")
    def test_meltano_leaves_out_everything_that_the_command_prints(
        self, project: Path, own: Sandbox, secrets: set[str]
    ) -> None:
        (command,) = blocks("everything", "sh")
        printed = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S602
        rules = yaml.safe_load(printed)
        assert len(rules) == sum(map(len, PERSONAL.values()))
        rules = [rule for rule in rules if rule[1:].partition(".")[0] not in CREDIT_STREAMS]
        folder = project / "private"
        folder.mkdir()
        environment = {
            "TAP_APOLLO_API_URL": own.url,
            "TAP_APOLLO__SELECT": json.dumps(["*.*", *rules]),
            "TARGET_JSONL_DESTINATION_PATH": str(folder),
        }
        meltano(project, "run", "--install", "--full-refresh", "tap-apollo", "target-jsonl", **environment)
        arrived = {file.stem: file.read_text(encoding="utf-8") for file in folder.glob("*.jsonl")}
        assert {"contacts", "contact_details", "notes", "outreach_emails", "task_details"} <= arrived.keys()
        for stream, text in arrived.items():
            assert not {secret for secret in secrets if secret in text}, stream
