"""The page of relationships: Mermaid diagrams of what the schemas say refers to what."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from scripts.stream_pages import GROUPS, WRITTEN, Group
from tap_apollo import schemas
from tap_apollo.streams import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: How a description says that a column refers to another table.
_REFERS = re.compile(r"(the latter )?(each )?references `(\w+)\.(\w+)`", re.IGNORECASE)

#: The table to which nearly every other refers.
_EVERYWHERE = "users"


_TEXT = f"""\
Which tables a join connects. The diagrams are made from the columns' descriptions in the catalog.

- A table is a stream. It lists the columns of its primary key (`PK`) and those that refer to another table (`FK`), with
  the column that they refer to. A table without columns is described in another group.
- A line is a column that refers to another table. Its end there tells how many rows the column names: exactly one, one
  or none, or any number for a list of ids.
- Two kinds of lines are left out, as they would hide the others: those from other groups to {_EVERYWHERE}, to which
  nearly every table refers; and in a table with more about the rows of another (`contact_details`), those that the
  other (`contacts`) has too.
- A column may name a row that is not there: Apollo deletes records without a trace, and the other table may be of a
  stream that is not selected or costs credits. A company's id is also `organizations.organization_id`, a person's also
  `people.id`.
- Parts of nested objects refer to tables too; their descriptions in the catalog say so.

## Overview

The tables to which others refer, and the columns by which they name one row of each other.
"""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A column that refers to another table.

    Attributes:
        stream: The table.
        column: The column.
        target: The table that it refers to.
        key: The column there.
        many: Whether it refers to any number of rows.
        optional: Whether it may be null.
    """

    stream: str
    column: str
    target: str
    key: str
    many: bool
    optional: bool

    @property
    def line(self) -> str:
        """The relation in Mermaid."""
        left = "}o" if self.many else "|o" if self.optional else "||"
        right = "o|" if STREAMS[self.stream].primary_keys == (self.column,) else "o{"
        return f"    {self.target} {left}--{right} {self.stream} : {self.column}"


def references_of(stream: str) -> list[Reference]:
    """Return what the descriptions of a stream's columns say."""
    return [
        Reference(stream, column, target, key, many=bool(each), optional=bool(latter) or "null" in node["type"])
        for column, node in schemas.annotated(stream)["properties"].items()
        for latter, each, target, key in _REFERS.findall(node["description"])
    ]


REFERENCES = {name: references_of(name) for name in STREAMS}


def drawn(reference: Reference) -> bool:
    """Whether a reference has a line: see the page."""
    own = [one for one in REFERENCES[reference.stream] if STREAMS[one.stream].primary_keys == (one.column,)]
    told = {(other.column, other.target) for one in own for other in REFERENCES[one.target]}
    afar = not any({_EVERYWHERE, reference.stream} <= {*group.streams} for group in GROUPS)
    return not (reference.target == _EVERYWHERE and afar) and (reference.column, reference.target) not in told


def relationships_page() -> str:
    """Return docs/relationships.md."""
    sections = [line for group in GROUPS for line in _section(group)]
    return "\n".join(["# Relationships", "", WRITTEN, "", _TEXT, *_diagram(_overview()), *sections])


def _section(group: Group) -> Iterator[str]:
    yield from (f"## {group.title}", "", f"{group.about} [The streams](streams/{group.key}.md).", "")
    lines: list[str] = []
    for name in group.streams:
        lines += [f"    {name} {{", *(f"        {line}" for line in _columns(name)), "    }"]
    lines += [one.line for name in group.streams for one in REFERENCES[name] if drawn(one)]
    yield from _diagram(lines)


def _columns(stream: str) -> Iterator[str]:
    """Yield the columns of a table that are keys, in Mermaid."""
    primary = STREAMS[stream].primary_keys
    found: dict[str, list[Reference]] = {column: [] for column in primary}
    for one in REFERENCES[stream]:
        found.setdefault(one.column, []).append(one)
    properties = schemas.annotated(stream)["properties"]
    for column, references in found.items():
        keys = [*(["PK"] if column in primary else []), *(["FK"] if references else [])]
        targets = ", ".join(f"{one.target}.{one.key}" for one in references)
        remark = f' "{targets}"' if targets else ""
        yield f"{_kind(properties[column])} {column} {', '.join(keys)}{remark}"


def _kind(node: dict[str, Any]) -> str:
    kinds = node["type"] if isinstance(node["type"], list) else [node["type"]]
    kind = str(next(kind for kind in kinds if kind != "null"))
    return f"{_kind(node['items'])}[]" if kind == "array" else kind


def _overview() -> list[str]:
    """Return the lines between the tables to which others refer: one per pair, without lists of ids."""
    hubs = {one.target for references in REFERENCES.values() for one in references}
    pairs: dict[tuple[str, str], list[str]] = {}
    for name in STREAMS:
        for one in REFERENCES[name]:
            if {name, one.target} <= hubs and name != one.target and not one.many and drawn(one):
                pairs.setdefault((one.target, name), []).append(one.column)
    return [f'    {target} |o--o{{ {name} : "{", ".join(columns)}"' for (target, name), columns in pairs.items()]


def _diagram(lines: Iterable[str]) -> list[str]:
    return ["```mermaid", "erDiagram", *lines, "```", ""]
