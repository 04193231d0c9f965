"""Write what is taken from the code: pages of docs/, parts of others, MeltanoHub's definition, a catalog snapshot."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apollo_sandbox import Settings
from apollo_sandbox.deviations import DEVIATIONS
from apollo_sandbox.faults import SPOILING
from scripts.dag_groups import dag_groups
from scripts.hub_definition import hub_definition
from scripts.operations import coverage_page
from scripts.overview import counts, example_definition, meltano_selection, price_table, streams_table
from scripts.personal import personal_list, personal_tables
from scripts.relationships import relationships_page
from scripts.stream_pages import GROUPS, WRITTEN, stream_pages
from tap_apollo import schemas
from tap_apollo.config.settings import SETTINGS
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tap_apollo.tap import TapApollo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent


def columns_page() -> str:
    """Return docs/columns.md: per stream each column."""
    lines = [
        "# Columns",
        "",
        WRITTEN,
        "",
        "What Apollo sends and the tap leaves out on purpose: [left_out.md](left_out.md). Which columns refer to which",
        "tables, as a diagram: [relationships.md](relationships.md).",
        "",
    ]
    for name in STREAMS:
        schema = schemas.annotated(name)
        lines += [f"## {name}", "", schema["description"], "", "| column | type | meaning |", "|---|---|---|"]
        lines += [
            f"| {column} | {_type(node)} | {node['description'].replace('|', '/')} |"
            for column, node in schema["properties"].items()
        ]
        lines.append("")
    return "\n".join(lines)


def left_out_page() -> str:
    """Return docs/left_out.md: what Apollo sends that is left out on purpose."""
    return "\n".join(
        [
            "# What is left out on purpose",
            "",
            WRITTEN,
            "",
            "Properties that Apollo sends and the tap leaves out: duplicates, secrets, and what only its app needs.",
            "`[]` is an entry of a list. What else Apollo sends and the tap does not know is in the column `_unknown`.",
            "",
            "| stream | property | reason |",
            "| --- | --- | --- |",
            *(
                f"| [{name}](columns.md#{name}) | `{path}` | {reason} |"
                for name in STREAMS
                for path, reason in sorted({*_left_out(schemas.annotated(name), "")})
            ),
            "",
        ]
    )


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


def settings_table() -> str:
    """Return the tap's settings in Markdown."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, node in SETTINGS["properties"].items():
        default = f"`{json.dumps(node['default'])}`" if "default" in node else ""
        mark = " (secret)" if node.get("secret") else ""
        rows.append(f"| `{name}`{mark} | {default} | {node['description']} |")
    return "\n".join(rows)


def switches_table() -> str:
    """Return the sandbox's settings, as options of its command, in Markdown."""
    rows = ["| option | default | meaning |", "|---|---|---|"]
    for one in dataclasses.fields(Settings):
        match one.default:
            case None:
                default = "derived"
            case False:
                default = "off"
            case ():
                default = "none"
            case value:
                default = f"`{value}`"
        rows.append(f"| `--{one.name.replace('_', '-')}` | {default} | {one.metadata['help']} |")
    return "\n".join(rows)


def faults_table(kinds: Mapping[str, str]) -> str:
    """Return kinds of faults that the sandbox knows, in Markdown."""
    rows = [f"| `{kind}` | {what} |" for kind, what in kinds.items()]
    return "\n".join(["| kind | what happens |", "|---|---|", *rows])


def with_parts(path: Path, **parts: str) -> str:
    """Return a file written by hand, with each part anew between its marks.

    They are `<!-- name -->` and `<!-- /name -->`, within a line or on lines of their own, or, where `#` begins a
    comment, `# make docs: name` and `# end of name` on lines of their own.
    """
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = (f"<!-- {name} -->", f"<!-- /{name} -->")
        if path.suffix != ".md":
            begin, end = (f"# make docs: {name}", f"# end of {name}")
        marked = re.compile(rf"({re.escape(begin)})(\n?).*?( *{re.escape(end)})", re.DOTALL)
        (match,) = marked.finditer(text)  # a file has each part once
        text = f"{text[: match.start()]}{match[1]}{match[2]}{part}{match[2]}{match[3]}{text[match.end() :]}"
    return text


def pages() -> dict[Path, str]:
    """Return every file that is written from the code, with its text."""
    tap = TapApollo(config={"credit_streams": [*CREDIT_STREAMS]}, validate_config=False)
    docs = {
        **stream_pages(tap),
        "columns.md": columns_page(),
        "coverage.md": coverage_page({name: f"streams/{group.key}.md" for group in GROUPS for name in group.streams}),
        "left_out.md": left_out_page(),
        "personal.json": personal_list(),
        "relationships.md": relationships_page(),
    }
    some = {
        "README.md": {
            "definition": example_definition(),
            "settings": settings_table(),
            **counts(),
            "streams": streams_table(),
        },
        "docs/credits.md": {"charged": counts()["charged"], "prices": price_table()},
        "docs/privacy.md": {"personal": personal_tables()},
        "docs/sandbox.md": {
            "switches": switches_table(),
            "faults": faults_table(SPOILING),
            "deviations": faults_table({kind: deviation.what for kind, deviation in DEVIATIONS.items()}),
        },
        "meltano.yml": {"select": meltano_selection()},
        "orchestrate/dags/apollo_groups.py": {"groups": dag_groups()},
    }
    return {
        **{ROOT / name: with_parts(ROOT / name, **parts) for name, parts in some.items()},
        **{ROOT / "docs" / name: text for name, text in docs.items()},
        ROOT / "hub" / "extractors" / "tap-apollo.yml": hub_definition(),
        ROOT / "tests" / "snapshots" / "catalog.txt": snapshot(tap),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
