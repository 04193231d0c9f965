"""Write what is taken from the code: README's table of settings, two pages of docs/, the tests' catalog snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_apollo import schemas
from tap_apollo.settings import SETTINGS
from tap_apollo.streams import STREAMS
from tap_apollo.streams.base import DerivedStream, FrontierStream, NewestFirstStream, WindowedStream
from tap_apollo.tap import TapApollo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_apollo.client import ApolloStream

ROOT = Path(__file__).resolve().parent.parent

_SETTINGS_BEGIN, _SETTINGS_END = "<!-- settings -->", "<!-- /settings -->"

_WRITTEN = "<!-- Written by `make docs` from the code; change it there. -->"


def streams_page(tap: TapApollo) -> str:
    """Return docs/streams.md: per stream the endpoint, the keys, how it is read and what gives access to it."""
    rows = [
        ("stream", "endpoint", "primary key", "read", "API key scope", "OAuth scope"),
        ("---",) * 6,
    ]
    for name, kind in STREAMS.items():
        stream = tap.streams[name]
        assert isinstance(stream, kind)
        if isinstance(stream, DerivedStream):
            access = ("none: comes with contacts", "", "")
        else:
            scope = f"`{stream.scope}`" if stream.scope else "master key only"
            access = (f"{stream.http_method} {stream.endpoint}", scope, f"`{stream.oauth_scope}`")
        rows.append((stream.name, access[0], ", ".join(stream.primary_keys), _reading(stream), *access[1:]))
    return "\n".join(
        [
            "# Streams",
            "",
            _WRITTEN,
            "",
            "None of these costs a credit. A master key reads all of them; a stream that the credentials may not read",
            "is skipped with a warning that names the scope (and fails the run if `strict` is set).",
            "What each column holds: [columns.md](columns.md). How lists are read: [behaviour.md](behaviour.md).",
            "",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
        ]
    )


def _reading(stream: ApolloStream) -> str:
    if isinstance(stream, NewestFirstStream):
        return f"incremental by `{stream.replication_key}`, newest first"
    if isinstance(stream, FrontierStream):
        return "incremental, newest first, whole once a day"
    if isinstance(stream, WindowedStream):
        return f"incremental by `{stream.replication_key}`, date windows, with lookback"
    if isinstance(stream, DerivedStream):
        return "with its parent"
    return "whole"


def columns_page() -> str:
    """Return docs/columns.md: per stream each column, and what Apollo sends that is left out on purpose."""
    lines = ["# Columns", "", _WRITTEN, ""]
    for name in STREAMS:
        schema = schemas.annotated(name)
        lines += [f"## {name}", "", schema["description"], "", "| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| {column} | {_type(node)} | {node['description'].replace('|', '/')} |"
            for column, node in schema["properties"].items()
        ]
        left_out = sorted({*_left_out(schema, "")})
        if left_out:
            lines += ["", "Left out on purpose:", ""]
            lines += [f"- `{path}`: {reason}" for path, reason in left_out]
        lines.append("")
    return "\n".join(lines)


def _type(node: dict[str, Any]) -> str:
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    kind = next(kind for kind in kinds if kind != "null")
    if kind == "array":
        return f"array of {_type(node['items'])}s"
    return str(node.get("format", kind))


def _left_out(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, reason in node.get(schemas.LEFT_OUT, {}).items():
        yield f"{path}{name}", reason
    for name, child in node.get("properties", {}).items():
        yield from _left_out(child, f"{path}{name}.")
    if "items" in node:
        yield from _left_out(node["items"], f"{path.removesuffix('.')}[].")


def snapshot(tap: TapApollo) -> str:
    """Return the catalog in the form in which a change of it is easy to review: one line per property."""
    lines = []
    for entry in tap.catalog_dict["streams"]:
        keys = f"key {', '.join(entry['key_properties'])}, replication {entry.get('replication_key')}"
        lines.append(f"{entry['tap_stream_id']}: {keys}, {entry['replication_method']}")
        lines += [f"  {line}" for line in _properties(entry["schema"], "")]
    return "\n".join([*lines, ""])


def _properties(node: dict[str, Any], path: str) -> Iterator[str]:
    for name, child in node.get("properties", {}).items():
        yield f"{path}{name}: {_type(child)}{'' if 'null' in child['type'] else ', never null'}"
        inner = child
        while "items" in inner:
            inner = inner["items"]
        yield from _properties(inner, f"{path}{name}.")


def readme(text: str) -> str:
    """Return README.md with its table of settings as the code has them."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, node in SETTINGS["properties"].items():
        default = f"`{json.dumps(node['default'])}`" if "default" in node else ""
        rows.append(f"| `{name}`{' (secret)' if node.get('secret') else ''} | {default} | {node['description']} |")
    head, _, rest = text.partition(_SETTINGS_BEGIN)
    _, _, tail = rest.partition(_SETTINGS_END)
    return "\n".join([f"{head}{_SETTINGS_BEGIN}", *rows, f"{_SETTINGS_END}{tail}"])


def pages() -> dict[Path, str]:
    """Return every file that is written from the code, with its text."""
    tap = TapApollo(config={}, validate_config=False)
    return {
        ROOT / "README.md": readme((ROOT / "README.md").read_text(encoding="utf-8")),
        ROOT / "docs" / "streams.md": streams_page(tap),
        ROOT / "docs" / "columns.md": columns_page(),
        ROOT / "tests" / "snapshots" / "catalog.txt": snapshot(tap),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
