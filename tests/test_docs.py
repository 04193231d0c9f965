"""README, docs, meltano.yml and the catalog snapshot say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from scripts.hub_definition import definition, meltano_settings
from scripts.relationships import REFERENCES, Reference, drawn
from scripts.stream_pages import GROUPS
from scripts.write_docs import ROOT, pages
from tap_apollo import schemas
from tap_apollo.api.errors import SettingsError
from tap_apollo.config.settings import SETTINGS
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tap_apollo.tap import TapApollo

PROJECT = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
PLUGINS = {plugin["name"]: plugin for group in PROJECT["plugins"].values() for plugin in group}


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    command = [sys.executable, "-m", "tap_apollo", "--about", "--format=json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return meltano_settings(json.loads(printed)["settings"]["properties"])


@pytest.mark.parametrize(
    ("path", "text"), [pytest.param(*page, id=f"{page[0].relative_to(ROOT)}") for page in pages().items()]
)
def test_what_is_written_from_the_code_is_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make docs` and read the difference"


def test_meltano_declares_every_setting_of_the_tap(about: dict[str, Any]) -> None:
    assert [setting["name"] for setting in PLUGINS["tap-apollo"]["settings"]] == [*about]


CREDITS_PAGE = (ROOT / "docs" / "credits.md").read_text(encoding="utf-8")
CREDIT_EXAMPLES = {
    f"{extractor['name']}-{number}": extractor
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```$", CREDITS_PAGE, re.MULTILINE | re.DOTALL))
    for extractor in yaml.safe_load(block)["plugins"]["extractors"]
}


@pytest.mark.parametrize("extractor", CREDIT_EXAMPLES.values(), ids=CREDIT_EXAMPLES)
def test_the_configurations_of_the_credits_page_are_valid(extractor: dict[str, Any]) -> None:
    tap = TapApollo(config={"api_key": "k", **extractor["config"]})
    assert {pattern.removesuffix(".*") for pattern in extractor.get("select", ())} <= tap.streams.keys()
    assert {*extractor["config"].get("credit_streams", ())} <= tap.streams.keys()


def test_the_credits_page_has_a_price_for_every_stream_that_costs() -> None:
    assert len(CREDIT_EXAMPLES) == 5
    for name in CREDIT_STREAMS:
        assert f"\n| {name} | " in CREDITS_PAGE


KINDS = {"string": "string", "integer": "integer", "boolean": "boolean", "object": "object", "array": "array"}


@pytest.mark.parametrize("setting", PLUGINS["tap-apollo"]["settings"], ids=lambda setting: setting["name"])
def test_meltano_and_the_tap_agree_on_a_setting(setting: dict[str, Any], about: dict[str, Any]) -> None:
    node = about[setting["name"]]
    kind = "options" if "enum" in node else "date_iso8601" if node.get("format") else KINDS[node["type"][0]]
    assert setting["kind"] == kind
    assert setting.get("sensitive", False) == node.get("secret", False)
    assert setting.get("value") == node.get("default")
    assert [option["value"] for option in setting.get("options", ())] == node.get("enum", [])
    if setting["name"].partition(".")[0] in SETTINGS["properties"]:
        assert setting["label"] == node["title"]
        assert setting["description"] == node["description"]


def test_meltano_knows_what_the_tap_can_do() -> None:
    assert sorted(PLUGINS["tap-apollo"]["capabilities"]) == sorted(item.value for item in TapApollo.capabilities)


def test_meltano_and_the_hub_are_told_the_same() -> None:
    told, plugin = definition(), PLUGINS["tap-apollo"]
    for key in ("name", "namespace", "capabilities", "settings_group_validation", "select"):
        assert plugin[key] == told[key]

    def essence(setting: dict[str, Any]) -> dict[str, Any]:
        if (
            setting["name"].partition(".")[0] not in SETTINGS["properties"]
        ):  # the SDK's, which meltano.yml tells in fewer words
            return {key: value for key, value in setting.items() if key not in {"label", "description"}}
        return {**setting, "options": [option["value"] for option in setting.get("options", ())]}

    assert [*map(essence, plugin["settings"])] == [*map(essence, told["settings"])]


@pytest.mark.parametrize("group", definition()["settings_group_validation"], ids=lambda group: group[0])
def test_each_group_of_credentials_is_enough_and_no_part_of_it(group: list[str]) -> None:
    TapApollo(config=dict.fromkeys(group, "k"))
    for left_out in group:
        with pytest.raises(SettingsError):
            TapApollo(config=dict.fromkeys({*group} - {left_out}, "k"))


def test_meltano_accepts_the_project() -> None:
    schema = json.loads((resources.files("meltano") / "schemas" / "meltano.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert [*validator.iter_errors(PROJECT)] == []
    assert not validator.is_valid({**PROJECT, "plugins": {"extractors": [{"settings": []}]}})


def test_the_loader_is_pinned_below_the_duckdb_that_loses_rows() -> None:
    assert "duckdb>=1.2,<1.3" in PLUGINS["target-duckdb"]["pip_url"]


DOCS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def anchors(page: Path) -> set[str]:
    """Return the anchors that a reader of Markdown gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", DOCS, ids=lambda page: f"{page.relative_to(ROOT)}")
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_no_page_about_streams_is_left_over() -> None:
    assert {*(ROOT / "docs" / "streams").iterdir()} <= pages().keys()


def test_every_stream_is_on_exactly_one_group_page() -> None:
    assert sorted(name for group in GROUPS for name in group.streams) == sorted(STREAMS)
    written = [
        heading
        for page in (ROOT / "docs" / "streams").glob("*.md")
        for heading in re.findall(r"^## (\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(written) == sorted(STREAMS)


RELATIONSHIPS = (ROOT / "docs" / "relationships.md").read_text(encoding="utf-8")
ALL_REFERENCES = [one for references in REFERENCES.values() for one in references]


@pytest.mark.parametrize("reference", ALL_REFERENCES, ids=lambda one: f"{one.stream}.{one.column}")
def test_a_reference_leads_to_the_key_of_a_table_and_is_in_a_diagram(reference: Reference) -> None:
    assert STREAMS[reference.target].primary_keys == (reference.key,)
    assert reference.key in schemas.annotated(reference.target)["properties"]
    assert reference.many == ("array" in schemas.annotated(reference.stream)["properties"][reference.column]["type"])
    table = re.search(rf"^    {reference.stream} {{\n(.*?)^    }}$", RELATIONSHIPS, re.MULTILINE | re.DOTALL)
    assert table
    assert re.search(
        rf"^ +\S+ {reference.column} .*FK \"{reference.target}\.{reference.key}\"$", table[1], re.MULTILINE
    )
    assert RELATIONSHIPS.count(f"{reference.line}\n") == drawn(reference)


def test_nested_references_lead_to_the_key_of_a_table_too() -> None:
    found = re.findall(
        r"[Rr]eferences `(\w+)\.(\w+)`", "".join(json.dumps(schemas.annotated(name)) for name in STREAMS)
    )
    assert len(found) > len(ALL_REFERENCES)
    for target, key in found:
        assert STREAMS[target].primary_keys == (key,)


def test_the_diagrams_are_of_the_form_that_mermaid_reads() -> None:
    """Not the parser itself, which needs Node: each line is of one of the kinds that these diagrams use."""
    entity, column = r"    \w+ \{", r'        \w+(\[\])? \w+ (PK|FK|PK, FK)( "[\w.]+")?'
    relation = r'    \w+ (\|\||\|o|\}o)--(o\{|o\|) \w+ : (\w+|"[\w, ]+")'
    diagrams = re.findall(r"^```mermaid\nerDiagram\n(.*?)^```$", RELATIONSHIPS, re.MULTILINE | re.DOTALL)
    assert len(diagrams) == 1 + len(GROUPS)
    for diagram in diagrams:
        tables = re.sub(rf"^{entity}\n(?:{column}\n)+    \}}\n", "", diagram, flags=re.MULTILINE)
        assert re.fullmatch(rf"(?:{relation}\n)+", tables)


def test_every_table_is_in_a_diagram() -> None:
    assert sorted(re.findall(r"^    (\w+) {$", RELATIONSHIPS, re.MULTILINE)) == sorted(STREAMS)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_commands_exist(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    called = re.findall(r"(?:^|`)make ([\w./= ]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert called
    for target in (word for word in " ".join(called).split() if "=" not in word):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_layout_names_every_module_of_the_tap() -> None:
    rows = re.findall(r"^\| (`.+?) \|", CONTRIBUTING.split("## Add a stream")[0], re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w/.]+)`", row)}
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "tap_apollo").iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert named == there


def test_what_contributors_are_pointed_to_exists() -> None:
    for name in re.findall(r"`((?:\w+/)+[\w.-]*)`", CONTRIBUTING):
        assert any((folder / name).exists() for folder in (ROOT, ROOT / "tap_apollo", ROOT / "apollo_sandbox")), name
