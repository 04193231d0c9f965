"""Custom fields come by name, typed and described, and none is lost."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from apollo_sandbox import Sandbox, Settings
from apollo_sandbox.catalog import CustomField
from tap_apollo import schemas
from tap_apollo.singer.custom_fields import LONGEST, CustomFieldLabels, names
from tap_apollo.tap import TapApollo

from .singer import Sync, config_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterator

CARRIERS = {"contacts": "contact", "accounts": "account", "deals": "opportunity"}


@pytest.fixture(scope="module")
def whole(sandbox: Sandbox) -> Sync:
    return sync(sandbox, *CARRIERS, "custom_fields")


@pytest.fixture
def own() -> Iterator[Sandbox]:
    with Sandbox(Settings(contacts=150, seed=2)).serve() as running:
        yield running


def field(number: int, name: str | None, kind: str = "string", modality: str = "contact") -> dict[str, Any]:
    return {"id": f"{number:024x}", "name": name, "type": kind, "modality": modality}


def add(sandbox: Sandbox, name: str) -> str:
    """Define a contact field and give every contact a value of it."""
    catalog = sandbox.world.catalog
    added = CustomField("f" * 24, name, "contact", "string", 0, ())
    catalog.custom_fields = (*catalog.custom_fields, added)
    catalog._fields_of["contact"] = (*catalog._fields_of["contact"], added)
    return added.id


def columns(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["properties"]["custom_fields"].get("properties", {})
    return found


class TestNames:
    @pytest.mark.parametrize(
        ("label", "name"),
        [
            ("Lead score", "lead_score"),
            ("  Budget (2026), € ", "budget_2026"),
            ("Größe", "größe"),
            ('a"b.c', "a_b_c"),
            ("2026 plan", "field_2026_plan"),
            ("%%%", f"field_{1:024x}"),
            ("", f"field_{1:024x}"),
            (None, f"field_{1:024x}"),
            ("x" * 99, "x" * LONGEST),
            ("й" * 99, "й" * (LONGEST // 2)),
        ],
    )
    def test_are_labels_as_far_as_columns_bear_them(self, label: str | None, name: str) -> None:
        assert names([field(1, label)]) == {f"{1:024x}": name}

    def test_of_two_alike_the_older_keeps_it_whatever_the_order(self) -> None:
        older, newer = field(1, "Tier"), field(2, "tier!")
        wanted = {older["id"]: "tier", newer["id"]: f"tier_{newer['id']}"}
        assert names([older, newer]) == names([newer, older]) == wanted

    def test_fit_a_column_of_postgresql_with_their_ids_too(self) -> None:
        fields = [field(number, "Предпочтительный канал связи покупателя") for number in range(3)]
        flattened = [f"custom_fields__{name}" for name in names(fields).values()]
        assert all(len(name.encode()) <= 63 for name in flattened)
        assert len({*flattened}) == 3

    def test_stay_when_a_field_is_added(self) -> None:
        fields = [field(number, name) for number, name in enumerate(["Tier", "Score", "tier", "Tier "])]
        before = names(fields)
        after = names([field(99, "Score"), *fields, field(98, "Tier")])
        assert {key: after[key] for key in before} == before
        assert len({*after.values()}) == len(after)


def test_a_value_of_another_type_is_null_and_said_and_one_of_no_field_is_left_out() -> None:
    labels = CustomFieldLabels([field(1, "Score", "number"), field(2, "Odd", "novelty")], "contact")
    values = {f"{1:024x}": "many", f"{2:024x}": {"deep": 1}, "unknown": 3}
    assert labels.resolve(values) == {"score": None, "odd": '{"deep": 1}'}
    (news,) = labels.warnings()
    assert news.startswith(
        "a value of `custom_fields.score` is not a number; it is loaded as null, and as it came in `ty"
    )
    assert labels.warnings() == []


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "text",
        {},
        {"modality": "contact", "name": "No id", "type": "string"},
        {**field(2, "Bad"), "id": None},
        {**field(2, "Bad"), "id": {"of": "it"}},
    ],
    ids=str,
)
def test_a_definition_that_cannot_be_used_costs_no_other(bad: Any) -> None:
    labels = CustomFieldLabels([field(1, "Score", "number"), bad], "contact")
    assert labels.properties.keys() == {"score"}
    assert labels.resolve({f"{1:024x}": 3}) == {"score": 3}


def test_whatever_a_definition_says_a_field_with_an_id_has_a_name() -> None:
    odd: list[Any] = [None, 7, [], {}, ["a"], {"a": 1}]
    fields: list[dict[str, Any]] = [
        {"id": number, "name": value, "type": value, "modality": "contact", "picklist_values": value}
        for number, value in enumerate(odd)
    ]
    labels = CustomFieldLabels(fields, "contact")
    assert labels.properties.keys() == {f"field_{number}" for number in range(len(odd))}
    assert labels.resolve({f"{number}": "x" for number in range(len(odd))}) == dict.fromkeys(labels.properties, "x")


def test_an_option_that_cannot_be_used_costs_no_other() -> None:
    options = [{"id": "a", "name": "A"}, None, "text", {"name": "No id"}, {"id": "b"}, {"id": 7, "name": "Seven"}]
    labels = CustomFieldLabels([{**field(1, "Tier", "picklist"), "picklist_values": options}], "contact")
    assert labels.resolve({f"{1:024x}": ["a", "b", "7", "c"]}) == {"tier": ["A", "b", "Seven", "c"]}


def test_a_field_may_be_named_with_its_modality() -> None:
    labels = CustomFieldLabels([field(1, "Score", "number"), field(2, "Tier")], "contact")
    assert labels.resolve({f"contact.{1:024x}": 3, f"{2:024x}": "a"}) == {"score": 3, "tier": "a"}
    assert labels.resolve({f"{1:024x}": 4, f"contact.{1:024x}": 3}) == {"score": 4}
    assert labels.resolve({"contact.unknown": 3, "": 1, ".": 2}) == {}


def test_they_come_by_name_typed_and_with_the_options_named(whole: Sync) -> None:
    fields = {field["id"]: field for field in whole.records["custom_fields"]}
    seen = set()
    for stream in CARRIERS:
        for record in whole.records[stream]:
            raw = record["typed_custom_fields"]
            assert len(record.get("custom_fields") or {}) == len(raw)
            for field_id, value in raw.items():
                defined = fields[field_id]
                named = record["custom_fields"][defined["name"].lower().replace(" ", "_")]
                seen.add(defined["type"])
                if defined["type"] == "picklist":
                    options = {option["id"]: option["name"] for option in defined["picklist_values"]}
                    assert named == [options[item] for item in value]
                elif defined["type"] == "number":
                    assert isinstance(named, (int, float))
                elif defined["type"] == "boolean":
                    assert isinstance(named, bool)
                elif defined["type"] == "date":
                    assert re.fullmatch(r"\d{4}-\d\d-\d\d", named)
    assert {"picklist", "number", "boolean", "date", "string"} <= seen


def test_the_schema_has_each_typed_and_described(whole: Sync) -> None:
    for stream, modality in CARRIERS.items():
        found = columns(whole.schemas[stream]["schema"])
        defined = {one["name"]: one for one in whole.records["custom_fields"] if one["modality"] == modality}
        assert {column["title"] for column in found.values()} == defined.keys()
        assert all(defined[column["title"]]["id"] in column["description"] for column in found.values())
        for record in whole.records[stream]:
            strict = {"properties": found, "additionalProperties": False}
            jsonschema.validate(record["custom_fields"] or {}, strict)
    assert columns(whole.schemas["contacts"]["schema"])["lead_score"]["type"] == ["number", "null"]
    assert columns(whole.schemas["contacts"]["schema"])["last_survey"]["format"] == "date-time"


def test_raw_they_are_only_apollos_map(sandbox: Sandbox) -> None:
    before = sandbox.ledger.as_dict()["requests"].get("typed_custom_fields/index", 0)
    run = sync(sandbox, "contacts", custom_fields="raw")
    assert any(record["typed_custom_fields"] for record in run.records["contacts"])
    assert not any(record.get("custom_fields") for record in run.records["contacts"])
    assert not columns(run.schemas["contacts"]["schema"])
    assert sandbox.ledger.as_dict()["requests"].get("typed_custom_fields/index", 0) == before


def discovered(config: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    TapApollo(config=config, validate_config=False, setup_mapper=False).run_discovery()
    catalog: dict[str, Any] = json.loads(capsys.readouterr().out)
    return catalog


def stream_of(catalog: dict[str, Any], name: str) -> dict[str, Any]:
    return next(stream for stream in catalog["streams"] if stream["tap_stream_id"] == name)


def test_where_nobody_wants_them_they_are_not_asked_for(own: Sandbox) -> None:
    own.faults.add("status", action="typed_custom_fields/index", status=500)
    assert sync(own, "contact_sequence_statuses").error is None
    catalog = TapApollo(config=config_for(own)).catalog_dict
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] in ([], ["properties", "custom_fields"]):
                entry["metadata"]["selected"] = not entry["breadcrumb"] and stream["tap_stream_id"] == "contacts"
    run = sync(own, catalog=catalog)
    assert run.error is None
    assert len(run.records["contacts"]) == 150
    assert "custom_fields" not in run.schemas["contacts"]["schema"]["properties"]


class TestDiscovery:
    def test_with_a_key_the_catalog_has_them(self, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
        catalog = discovered(config_for(sandbox), capsys)
        assert "lead_score" in columns(stream_of(catalog, "contacts")["schema"])
        assert "tier" in columns(stream_of(catalog, "accounts")["schema"])

    def test_without_a_key_it_has_everything_else(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert not columns(stream_of(discovered({}, capsys), "contacts")["schema"])

    @pytest.mark.parametrize(
        "fault", [{"kind": "status", "status": 500}, {"kind": "html"}, {"kind": "status", "status": 429}], ids=str
    )
    def test_where_they_cannot_be_read_it_does_without_and_says_so_at_once(
        self,
        own: Sandbox,
        fault: dict[str, Any],
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        own.faults.add(action="typed_custom_fields/index", times=1, **fault)
        assert not columns(stream_of(discovered(config_for(own), capsys), "contacts")["schema"])
        assert "The catalog has no custom fields" in caplog.text

    def test_where_apollo_is_not_there_it_does_without(
        self,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        config = {"api_key": "k", "api_url": "http://127.0.0.1:9/api/v1"}
        assert not columns(stream_of(discovered(config, capsys), "contacts")["schema"])
        assert "Apollo cannot be reached" in caplog.text


def test_a_field_that_is_younger_than_the_catalog_arrives(own: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = discovered(config_for(own), capsys)
    contacts = stream_of(catalog, "contacts")
    contacts["schema"]["properties"]["title"]["description"] = "ours"
    known = contacts["schema"]["properties"]["custom_fields"]["properties"]
    known["lead_score"] = {"type": ["string", "null"], "format": "date"}  # as it was before it was made anew
    del contacts["schema"]["properties"]["_unknown"]  # as the catalog of an older version
    for stream in catalog["streams"]:
        chosen = stream["tap_stream_id"] == "contacts"
        stream["metadata"][-1 if stream["metadata"][-1]["breadcrumb"] == [] else 0]["metadata"]["selected"] = chosen
    added = add(own, "Shoe size")
    run = sync(own, catalog=catalog)
    assert run.records.keys() == {"contacts"}
    schema = run.schemas["contacts"]["schema"]
    assert columns(schema)["shoe_size"]["description"].endswith(f"id {added}).")
    assert columns(schema)["lead_score"]["type"] == ["number", "null"]
    assert "format" not in columns(schema)["lead_score"]
    assert schema["properties"]["title"]["description"] == "ours"  # what a catalog says of a column holds
    validator = jsonschema.Draft7Validator(schema)
    assert not [error for record in run.records["contacts"] for error in validator.iter_errors(record)]
    assert "_unknown" in schema["properties"]
    values = [record["custom_fields"] or {} for record in run.records["contacts"]]
    assert any("shoe_size" in value for value in values)


def test_of_a_catalog_that_leaves_columns_out_none_is_added(own: Sandbox) -> None:
    catalog = TapApollo(config=config_for(own)).catalog_dict
    (users,) = [stream for stream in catalog["streams"] if stream["tap_stream_id"] == "users"]
    del users["schema"]["properties"]["email"]  # as if it were younger than the catalog
    users["metadata"] = [one for one in users["metadata"] if one["breadcrumb"] != ["properties", "email"]]
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            wanted = entry["breadcrumb"] in ([], ["properties", "id"], ["properties", "name"])
            entry["metadata"]["selected"] = stream is users and wanted
    run = sync(own, catalog=catalog)
    assert run.records.keys() == {"users"}
    assert {column for record in run.records["users"] for column in record} == {"id", "name"}
    assert run.schemas["users"]["schema"]["properties"].keys() == {"id", "name"}


def test_of_an_older_catalog_types_and_keys_are_those_of_the_tap(own: Sandbox) -> None:
    catalog = TapApollo(config=config_for(own)).catalog_dict
    chosen = {stream["tap_stream_id"]: stream for stream in catalog["streams"]}
    accounts, activity = chosen["accounts"], chosen["contact_sequence_activity"]
    columns = accounts["schema"]["properties"]
    columns["num_contacts"] = {"type": ["string", "null"], "description": "ours"}
    columns["created_at"] = {"type": ["integer", "null"]}
    columns["name"] = {"type": ["object", "null"], "properties": {"first": {"type": "string"}}}
    columns["domain"] = {"type": ["string", "null"], "format": "date"}
    columns["gone"] = {"type": ["string", "null"]}
    accounts["replication_key"] = "created_at"
    activity["key_properties"] = ["contact_id", "type", "occurred_at", "sequence_id", "emailer_message_id"]
    del activity["schema"]["properties"]["id"]
    activity["metadata"] = [one for one in activity["metadata"] if one["breadcrumb"] != ["properties", "id"]]
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            left_out = stream is activity and entry["breadcrumb"] == ["properties", "reason"]
            entry["metadata"]["selected"] = stream in (accounts, activity) and not left_out
        for entry in activity["metadata"] if stream is activity else ():
            if not entry["breadcrumb"]:
                entry["metadata"]["table-key-properties"] = activity["key_properties"]
    run = sync(own, catalog=catalog)
    assert run.error is None
    schema, shipped = run.schemas["accounts"]["schema"]["properties"], schemas.load("accounts")["properties"]
    for name in ("num_contacts", "created_at", "name", "domain"):
        assert {**schema[name], "description": ""} == {**shipped[name], "description": ""}
    assert schema["num_contacts"]["description"] == "ours"
    assert "gone" in schema
    assert run.schemas["contact_sequence_activity"]["key_properties"] == ["id"]
    assert "id" in run.schemas["contact_sequence_activity"]["schema"]["properties"]
    for stream in ("accounts", "contact_sequence_activity"):
        validator = jsonschema.Draft7Validator(run.schemas[stream]["schema"])
        assert run.records[stream]
        assert not [error for record in run.records[stream] for error in validator.iter_errors(record)]
        assert all(record["id"] for record in run.records[stream])
        assert "reason" not in run.records["contact_sequence_activity"][0]


def test_flattened_each_is_a_column_of_its_own(sandbox: Sandbox) -> None:
    run = sync(sandbox, "accounts", flattening_enabled=True, flattening_max_depth=1)
    assert "custom_fields__yearly_spend" in run.schemas["accounts"]["schema"]["properties"]
    assert any(record.get("custom_fields__yearly_spend") for record in run.records["accounts"])
