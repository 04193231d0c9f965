"""Which columns hold personal data, as the schemas mark them, and the tables of them in docs/privacy.md."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict

from tap_apollo import schemas
from tap_apollo.streams import STREAMS

#: What a schema says of a column that holds nothing personal.
NOT_PERSONAL = "no"

#: What a schema may say of others, and what that means.
KINDS = {
    "name": "who it is",
    "email": "an e-mail address, or several",
    "phone": "a telephone number, or several",
    "address": "where they live or are",
    "profile": "a page, a picture or an id of theirs elsewhere",
    "work": "what they do, and where they did it",
    "text": "what people wrote or said, or what was written of them",
    "person": "several of these, of one person or more, in a nested value",
    "open": "whatever your team or Apollo puts there",
}


def marks_of(stream: str) -> dict[str, str]:
    """Return what a stream's schema says of its columns: a kind, or that they are not personal."""
    columns = schemas.annotated(stream)["properties"].items()
    return {name: node[schemas.PERSONAL] for name, node in columns if schemas.PERSONAL in node}


#: Per stream the kind of each column that holds personal data.
PERSONAL: dict[str, dict[str, str]] = {
    stream: {column: kind for column, kind in marks_of(stream).items() if kind != NOT_PERSONAL} for stream in STREAMS
}


def personal_tables() -> str:
    """Return the kinds, and per stream the columns of each, in Markdown."""
    lines = ["| kind | what |", "|---|---|", *(f"| {kind} | {what} |" for kind, what in KINDS.items()), ""]
    lines += ["| stream | columns |", "|---|---|"]
    only_unknown = []
    for stream, marked in PERSONAL.items():
        if [*marked] == [schemas.UNKNOWN]:
            only_unknown.append(stream)
            continue
        by_kind: dict[str, list[str]] = defaultdict(list)
        for column, kind in marked.items():
            by_kind[kind].append(f"`{column}`")
        cells = [f"{kind}: {', '.join(by_kind[kind])}" for kind in KINDS if kind in by_kind]
        lines.append(f"| {stream} | {'<br>'.join(cells)} |")
    rest = f"Of {', '.join(only_unknown)} only `{schemas.UNKNOWN}` is marked."
    return "\n".join([*lines, "", *textwrap.wrap(rest, 120)])


def personal_list() -> str:
    """Return docs/personal.json: what is marked, for programs."""
    return f"{json.dumps(PERSONAL, indent=2)}\n"
