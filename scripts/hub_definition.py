"""The tap's definition for MeltanoHub, from what ``tap-apollo --about`` prints and the index of the streams."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from typing import Any

import yaml

from tap_apollo.streams import STREAMS

#: What nobody can read off the code. The hub names variants after the owner of a plugin's repository.
WRITTEN_BY_HAND: dict[str, Any] = {
    "domain_url": "https://docs.apollo.io",
    "keywords": ["api", "meltano_sdk"],
    "label": "Apollo.io",
    "maintenance_status": "beta",
    "quality": "unknown",
    "variant": "original",
}

#: The settings of which one group is needed.
CREDENTIALS = [["api_key"], ["access_token"], ["refresh_token", "client_id", "client_secret"]]

_WRITTEN = "# Written by `make docs` from the code; change it there.\n"


@functools.cache
def about() -> dict[str, Any]:
    """Return what the tap tells about itself."""
    command = [sys.executable, "-m", "tap_apollo", "--about", "--format=json"]
    told: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return told


def definition() -> dict[str, Any]:
    """Return the definition."""
    told = about()
    return {
        **WRITTEN_BY_HAND,
        "name": told["name"],
        "namespace": told["name"].replace("-", "_"),
        "pip_url": told["name"],
        "executable": told["name"],
        "description": told["description"],
        "capabilities": sorted(told["capabilities"]),
        "supported_python_versions": told["supported_python_versions"],
        "settings_group_validation": CREDENTIALS,
        "settings": [_setting(name, node) for name, node in meltano_settings(told["settings"]["properties"]).items()],
        "select": selection(),
    }


def selection() -> list[str]:
    """Return what Meltano is to select: all streams but those that are off by default."""
    return ["*.*", *(f"!{name}.*" for name, one in sorted(STREAMS.items()) if not one.selected_by_default)]


def meltano_settings(properties: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the settings as Meltano is told of them: of a secret object its secret parts, each a setting of its own.

    Meltano 4.4 cannot print an object that is given in meltano.yml and hidden as a whole: `meltano config print` ends
    in a TypeError, and with `--format=env` the parts come in plain text.
    """
    found = {}
    for name, node in properties.items():
        parts = {f"{name}.{part}": child for part, child in node.get("properties", {}).items() if child.get("secret")}
        found[name] = {**node, "secret": node.get("secret", False) and not parts}
        found.update(parts)
    return found


def _setting(name: str, node: dict[str, Any]) -> dict[str, Any]:
    setting = {
        "name": name,
        "label": node["title"],
        "description": node["description"],
        "kind": next(kind for kind in node["type"] if kind != "null"),
    }
    if node.get("secret"):
        setting["sensitive"] = True
    if node.get("format") == "date-time":
        setting["kind"] = "date_iso8601"
    if "enum" in node:
        setting["kind"] = "options"
        setting["options"] = [{"label": value.title(), "value": value} for value in node["enum"]]
    if "default" in node:
        setting["value"] = node["default"]
    return setting


def hub_definition() -> str:
    """Return the definition in the form in which the hub keeps them: YAML with its keys sorted."""
    return _WRITTEN + yaml.safe_dump(definition(), allow_unicode=True)
