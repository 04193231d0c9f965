"""Apollo's operations, as streams declare them or operations.json lists them, and the page of what becomes of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from scripts.stream_pages import WRITTEN
from tap_apollo.readers.derived import Derived
from tap_apollo.streams import STREAMS

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
        streams: The streams that send or cover it.
        reason: Why it need not be sent.
        documented: Whether Apollo's OpenAPI document has it.
    """

    verb: str
    path: str
    use: str
    streams: tuple[str, ...] = ()
    reason: str = ""
    documented: bool = True


def _declared() -> list[Operation]:
    """Return what the streams declare that they send, by path."""
    found: dict[tuple[str, str], Operation] = {}
    for name, stream in STREAMS.items():
        own = [] if isinstance(stream.reads, Derived) else [stream.endpoint]
        for one in [*own, *stream.reads.also_asks]:
            others = found[one.path, one.method].streams if (one.path, one.method) in found else ()
            operation = Operation(one.method, one.path, "read", (*others, name), documented=one.documented)
            found[one.path, one.method] = operation
    return [found[key] for key in sorted(found)]


def read_operations() -> list[Operation]:
    """Return all operations: those that streams declare, and the others, as the file lists them."""
    content = json.loads((Path(__file__).parent / "operations.json").read_text(encoding="utf-8"))

    def other(entry: dict[str, str], use: str, *, documented: bool) -> Operation:
        streams = (entry["stream"],) if "stream" in entry else ()
        return Operation(entry["verb"], entry["path"], use, streams, entry["reason"], documented)

    return [
        *_declared(),
        *(Operation(verb, path, "never") for verb, path in map(str.split, content["never"])),
        *(other(entry, "covered", documented=True) for entry in content["covered"]),
        *(other(entry, entry["use"], documented=False) for entry in content["undocumented"]),
    ]


def coverage_page(pages: dict[str, str]) -> str:
    """Return docs/coverage.md.

    Args:
        pages: Per stream the page that describes it.
    """
    operations = read_operations()

    def some(use: str, *, documented: bool = True) -> list[Operation]:
        return [one for one in operations if (one.use, one.documented) == (use, documented)]

    def link(streams: tuple[str, ...]) -> str:
        return ", ".join(f"[{stream}]({pages[stream]}#{stream})" for stream in streams)

    reads, covered, writes = some("read"), some("covered"), some("never")
    others = [one for one in operations if not one.documented]
    return _PAGE.format(
        written=WRITTEN,
        all=len(reads) + len(covered) + len(writes),
        reads=len(reads) + len(covered),
        used=len(reads),
        covered=len(covered),
        writes=len(writes),
        used_rows="\n".join(f"| {one.verb} {one.path} | {link(one.streams)} |" for one in reads),
        covered_rows="\n".join(f"| {one.verb} {one.path} | {link(one.streams)} | {one.reason} |" for one in covered),
        write_rows="\n".join(f"- {one.verb} {one.path}" for one in writes),
        other_rows="\n".join(f"| {one.verb} {one.path} | {link(one.streams)} | {one.reason} |" for one in others),
    )
