"""Apollo's operations, as scripts/operations.json lists them, and the page that tells what becomes of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from scripts.stream_pages import WRITTEN

_PAGE = """\
# Coverage

{written}

Apollo's OpenAPI document has {all} operations. {reads} of them read: {used} are used by a stream, {covered} give what a
stream reads otherwise. {writes} write, and are never sent. A test holds this list against the requests that a sync of
all streams sends.

## Used by a stream

| operation | stream |
| --- | --- |
{used_rows}

conversations/export has Apollo write a file to download and mail the user that it is there; it changes no record.

## Covered by another

| operation | stream | why |
| --- | --- | --- |
{covered_rows}

## Never sent

They create, change, send or remove.

{write_rows}

## Not in Apollo's document

Known from elsewhere. The tap sends none of them but POST oauth/token.

| operation | stream | why |
| --- | --- | --- |
{other_rows}
"""


class Operation(NamedTuple):
    """One of Apollo's operations.

    Attributes:
        verb: Its HTTP verb.
        path: Its path, with ``{id}`` for every part that varies.
        use: ``read``: a stream sends it. ``covered``: it reads what a stream reads otherwise. ``never``: it writes.
            ``credentials``: it is about tokens.
        stream: The stream that sends or covers it.
        reason: Why it need not be sent.
        documented: Whether Apollo's OpenAPI document has it.
    """

    verb: str
    path: str
    use: str
    stream: str = ""
    reason: str = ""
    documented: bool = True


def read_operations() -> list[Operation]:
    """Return the list."""
    content = json.loads((Path(__file__).parent / "operations.json").read_text(encoding="utf-8"))
    return [
        Operation(**entry, documented=part == "documented")
        for part in ("documented", "undocumented")
        for entry in content[part]
    ]


def coverage_page(pages: dict[str, str]) -> str:
    """Return docs/coverage.md.

    Args:
        pages: Per stream the page that describes it.
    """
    operations = read_operations()

    def some(use: str, *, documented: bool = True) -> list[Operation]:
        return [one for one in operations if (one.use, one.documented) == (use, documented)]

    def link(stream: str) -> str:
        return f"[{stream}]({pages[stream]}#{stream})"

    reads, covered, writes = some("read"), some("covered"), some("never")
    others = [one for one in operations if not one.documented]
    return _PAGE.format(
        written=WRITTEN,
        all=len(reads) + len(covered) + len(writes),
        reads=len(reads) + len(covered),
        used=len(reads),
        covered=len(covered),
        writes=len(writes),
        used_rows="\n".join(f"| {one.verb} {one.path} | {link(one.stream)} |" for one in reads),
        covered_rows="\n".join(f"| {one.verb} {one.path} | {link(one.stream)} | {one.reason} |" for one in covered),
        write_rows="\n".join(f"- {one.verb} {one.path}" for one in writes),
        other_rows="\n".join(
            f"| {one.verb} {one.path} | {link(one.stream) if one.stream else ''} | {one.reason} |" for one in others
        ),
    )
