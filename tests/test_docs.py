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

from scripts.write_docs import ROOT, pages
from tap_apollo.settings import SETTINGS
from tap_apollo.streams import CREDIT_STREAMS
from tap_apollo.tap import TapApollo

PROJECT = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
PLUGINS = {plugin["name"]: plugin for group in PROJECT["plugins"].values() for plugin in group}


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    command = [sys.executable, "-m", "tap_apollo", "--about", "--format=json"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings: dict[str, Any] = json.loads(printed)["settings"]["properties"]
    return settings


@pytest.mark.parametrize(("path", "text"), [pytest.param(*page, id=page[0].name) for page in pages().items()])
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
    if setting["name"] in SETTINGS["properties"]:
        assert setting["label"] == node["title"]
        assert setting["description"] == node["description"]


def test_meltano_knows_what_the_tap_can_do() -> None:
    assert sorted(PLUGINS["tap-apollo"]["capabilities"]) == sorted(item.value for item in TapApollo.capabilities)


def test_meltano_accepts_the_project() -> None:
    schema = json.loads((resources.files("meltano") / "schemas" / "meltano.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(PROJECT, schema)


def test_the_loader_is_pinned_below_the_duckdb_that_loses_rows() -> None:
    assert "duckdb>=1.2,<1.3" in PLUGINS["target-duckdb"]["pip_url"]


def test_readme_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_readme_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"(?:^|`)make (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
