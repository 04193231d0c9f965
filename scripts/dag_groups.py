"""The groups of streams that the DAGs run in tasks of their own, and the streams that are optional there."""

from __future__ import annotations

from tap_apollo.readers.derived import Derived
from tap_apollo.readers.io import name_of
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.streams import CREDIT_STREAMS, GROUPS, STREAMS

#: Per group of streams that share a page of the docs, the group of the DAGs that they are in.
_BY_PAGE = {"crm": "records", "prospecting": "records", "engagement": "emails", "workspace": "workspace"}

#: The streams that are in another.
_ELSEWHERE = {
    "tasks": "activities",
    "calls": "activities",
    "fields": "workspace",
    "email_accounts": "emails",
    "credit_usage_stats": "records",  # the ledger asks it
}

#: The group of what costs credits, and of what that is found by: a group counts what it spends in its own state.
_CHARGED = "records"


def group_of(stream: str) -> str:
    """Return the group that a stream is in: with the streams whose lists it reads, so that no other group does."""
    reads = STREAMS[stream].reads
    if reads.costs or any(stream in map(name_of, one.reads.parents) for one in CREDIT_STREAMS.values()):
        return _CHARGED
    if isinstance(reads, PerRecord | Derived):
        return group_of(name_of(reads.parents[0]))
    page = next(page for page, streams in GROUPS.items() if stream in streams)
    return _ELSEWHERE.get(stream, _BY_PAGE[page])


def dag_groups() -> str:
    """Return the groups, and the optional streams, in Python."""
    groups: dict[str, list[str]] = {name: [] for name in ("records", "emails", "activities", "workspace")}
    for stream in STREAMS:
        groups[group_of(stream)].append(stream)
    lines = ["GROUPS = {"]
    for name, streams in groups.items():
        lines += [f'    "{name}": [', *(f'        "{stream}",' for stream in streams), "    ],"]
    lines += ["}", "", "#: Streams that take a request per record, or per few: read only if the variable names them."]
    lines += ["OPTIONAL = {", *(f'    "{name}",' for name, one in STREAMS.items() if not one.selected_by_default), "}"]
    return "\n".join(lines)
