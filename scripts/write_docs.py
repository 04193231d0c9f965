"""Write what is taken from the code: README's table of settings, two pages of docs/, the tests' catalog snapshot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_apollo import schemas
from tap_apollo.client import ApolloStream
from tap_apollo.credits import PHONE_NUMBER
from tap_apollo.settings import SETTINGS
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tap_apollo.streams.base import DerivedStream, FrontierStream, NewestFirstStream, WindowedStream
from tap_apollo.streams.conversations import ConversationExports, FindExport
from tap_apollo.streams.credit import CreditStream
from tap_apollo.streams.enrichment import EnrichmentResults, PeopleEnrichment
from tap_apollo.tap import TapApollo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Stream

ROOT = Path(__file__).resolve().parent.parent

_SETTINGS_BEGIN, _SETTINGS_END = "<!-- settings -->", "<!-- /settings -->"

_WRITTEN = "<!-- Written by `make docs` from the code; change it there. -->"


#: What each stream that costs credits asks for.
_ASKS_FOR = {
    "organizations": "`organization_searches`",
    "organization_details": "`organization_ids`, or what organizations found",
    "organization_job_postings": "`organization_ids`, or what organizations found",
    "news_articles": "`organization_ids`, or what organizations found",
    "organization_enrichment": "`domains`, or the domains of accounts",
    "person_details": "`person_ids`, or what people finds",
    "people_enrichment": "`people_enrichment`: persons in the setting, contacts, or what people finds",
    "conversation_details": "conversations",
    "conversation_exports": "conversations, counted; user_profile, whom Apollo tells",
}


def streams_page(tap: TapApollo) -> str:
    """Return docs/streams.md: per stream the endpoint, the keys, how it is read and what gives access to it."""
    free = [
        ("stream", "endpoint", "primary key", "read", "API key scope", "OAuth scope"),
        ("---",) * 6,
        *(_free_row(tap.streams[name]) for name in STREAMS if name not in CREDIT_STREAMS),
    ]
    charged = [
        (
            "stream",
            "endpoint",
            "primary key",
            "credits",
            "most a request",
            "free",
            "asks for",
            "API key scope",
            "OAuth scope",
        ),
        ("---",) * 9,
        *(_charged_row(tap.streams[name]) for name in CREDIT_STREAMS),
    ]
    return "\n".join(
        [
            "# Streams",
            "",
            _WRITTEN,
            "",
            "A master key reads all of them; a stream that the credentials may not read is skipped with a warning that",
            "names the scope (and fails the run if `strict` is set).",
            "What each column holds: [columns.md](columns.md). How lists are read: [behaviour.md](behaviour.md).",
            "",
            "## Free streams",
            "",
            *(f"| {' | '.join(row)} |" for row in free),
            "",
            "## Streams that cost credits",
            "",
            "They exist only if `credit_streams` names them, and spend at most `credit_budget` a sync, which is 0",
            "until you set it: [credits.md](credits.md). A stream that takes what it asks for from another needs the",
            "other's scope too.",
            "",
            *(f"| {' | '.join(row)} |" for row in charged),
            "",
        ]
    )


def _free_row(stream: Stream) -> tuple[str, ...]:
    assert isinstance(stream, ApolloStream)
    keys = ", ".join(stream.primary_keys)
    if isinstance(stream, DerivedStream):
        return (stream.name, "none: comes with contacts", keys, _reading(stream), "", "")
    return (stream.name, f"{stream.http_method} {stream.endpoint}", keys, _reading(stream), *_access(stream))


def _charged_row(stream: Stream) -> tuple[str, ...]:
    assert isinstance(stream, CreditStream)
    price, scopes = stream.price, _access(stream)
    cost = f"{price.credits} per {price.unit}"
    most = f"{price.batch:,} {price.unit if price.batch == 1 else price.units}"
    if isinstance(stream, PeopleEnrichment):
        cost += f", {PHONE_NUMBER} more with a mobile number; waterfalls on top"
    if isinstance(stream, ConversationExports):
        most += ", or those of one day"
        scopes = (f"{scopes[0]}, `{FindExport.scope}`", f"{scopes[1]}, `{FindExport.oauth_scope}`")
    return (
        stream.name,
        f"{stream.http_method} {stream.endpoint}",
        ", ".join(stream.primary_keys),
        cost,
        most,
        price.free,
        _ASKS_FOR[stream.name],
        *scopes,
    )


def _access(stream: ApolloStream) -> tuple[str, str]:
    return (f"`{stream.scope}`" if stream.scope else "master key only", f"`{stream.oauth_scope}`")


def _reading(stream: ApolloStream) -> str:
    if isinstance(stream, NewestFirstStream):
        return f"incremental by `{stream.replication_key}`, newest first"
    if isinstance(stream, FrontierStream):
        return "incremental, newest first, whole once a day"
    if isinstance(stream, WindowedStream):
        return f"incremental by `{stream.replication_key}`, date windows, with lookback"
    if isinstance(stream, DerivedStream):
        return "with its parent"
    if isinstance(stream, EnrichmentResults):
        return "what people_enrichment asked for and has not come yet"
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
        inside = [inner for inner, child in node.get("properties", {}).items() if child.get("secret")]
        mark = " (secret)" if node.get("secret") else "".join(f" (`{inner}` is secret)" for inner in inside)
        rows.append(f"| `{name}`{mark} | {default} | {node['description']} |")
    head, _, rest = text.partition(_SETTINGS_BEGIN)
    _, _, tail = rest.partition(_SETTINGS_END)
    return "\n".join([f"{head}{_SETTINGS_BEGIN}", *rows, f"{_SETTINGS_END}{tail}"])


def pages() -> dict[Path, str]:
    """Return every file that is written from the code, with its text."""
    tap = TapApollo(config={"credit_streams": [*CREDIT_STREAMS]}, validate_config=False)
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
