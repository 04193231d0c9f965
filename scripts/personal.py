"""Which columns hold personal data, as scripts/personal.json marks them, and the tables of them in docs/privacy.md."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from pathlib import Path
from typing import Any

from tap_apollo import schemas

#: ``kinds`` tells what each kind of personal data is, ``personal`` names per stream the kind of each column that holds
#: any, ``not_personal`` the other columns, those of ``*`` in every stream.
MARKED: dict[str, Any] = json.loads((Path(__file__).parent / "personal.json").read_text(encoding="utf-8"))
PERSONAL: dict[str, dict[str, str]] = MARKED["personal"]


def personal_tables() -> str:
    """Return the kinds, and per stream the columns of each, in Markdown."""
    kinds: dict[str, str] = MARKED["kinds"]
    lines = ["| kind | what |", "|---|---|", *(f"| {kind} | {what} |" for kind, what in kinds.items()), ""]
    lines += ["| stream | columns |", "|---|---|"]
    only_unknown = []
    for stream, marked in PERSONAL.items():
        if [*marked] == [schemas.UNKNOWN]:
            only_unknown.append(stream)
            continue
        by_kind: dict[str, list[str]] = defaultdict(list)
        for column, kind in marked.items():
            by_kind[kind].append(f"`{column}`")
        cells = [f"{kind}: {', '.join(by_kind[kind])}" for kind in kinds if kind in by_kind]
        lines.append(f"| {stream} | {'<br>'.join(cells)} |")
    rest = f"Of {', '.join(only_unknown)} only `{schemas.UNKNOWN}` is marked."
    return "\n".join([*lines, "", *textwrap.wrap(rest, 120)])
