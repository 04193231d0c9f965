"""The pages about the streams: the index, and a page per group."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, cast

from tap_apollo import schemas
from tap_apollo.credits import PHONE_NUMBER
from tap_apollo.readers.derived import Derived
from tap_apollo.readers.io import name_of
from tap_apollo.readers.lists import FreeSearches, FrontierFirst, NewestFirst, Unordered
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.readers.purchase import Purchase
from tap_apollo.readers.windows import Windows
from tap_apollo.streams import GROUPS as STREAM_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_apollo.readers.reader import Reader
    from tap_apollo.singer.stream import ApolloStream
    from tap_apollo.tap import TapApollo

WRITTEN = "<!-- Written by `make docs` from the code; change it there. -->"


@dataclasses.dataclass(frozen=True)
class Group:
    """Streams that share a page.

    Attributes:
        key: The page's file name, without its ending.
        title: Its title.
        about: What the streams are about, one sentence.
        streams: Their names.
    """

    key: str
    title: str
    about: str
    streams: tuple[str, ...]


#: The title of each group, and what its streams are about.
_TITLES = {
    "crm": ("CRM", "What the team has saved: contacts, accounts, deals, and how they are sorted and described."),
    "engagement": (
        "Engagement",
        "What the team does to reach people: sequences, e-mails, tasks, calls, conversations.",
    ),
    "workspace": (
        "Workspace",
        "The team itself: users, mailboxes, what was used of limits and credits, and Apollo's own figures.",
    ),
    "prospecting": (
        "Prospecting and enrichment",
        "Apollo's own database: searches of people and companies, and what it knows of each.",
    ),
}

GROUPS = tuple(Group(key, *_TITLES[key], tuple(streams)) for key, streams in STREAM_GROUPS.items())


_INDEX = """\
Beside them:

- [columns.md](columns.md): what each column holds
- [relationships.md](relationships.md): which columns refer to which tables, as a diagram
- [left_out.md](left_out.md): what Apollo sends and the tap leaves out on purpose
- [coverage.md](coverage.md): which of Apollo's operations the streams use
- [behaviour.md](behaviour.md): how lists are read

A master key reads all streams; a stream that the credentials may not read is skipped with a warning that names the
scope (and fails the run if `strict` is set).

- **Requests a run** are those of the stream alone. A stream that asks about the records of another also reads the
  other's list. The names of custom fields take one more a run, for all streams that have them.
- **Credits**: a stream that costs credits exists only if `credit_streams` names it. Together they spend at most
  `credit_budget` a sync, which is 0 until you set it: [credits.md](credits.md).
- **On by default**: a stream that is off has to be selected. It takes a request per record, or per few.
"""

_PER_RECORD = """\
The streams that are off by default ask about each record of their parents. They read the parents' lists with a place of
their own in the state, whether the parents are selected or not, and need the parents' scopes too. With
`full_refresh_days` for such a stream, it asks about all records again after so many days.
"""

_CHARGED = """\
Streams that cost credits exist only if `credit_streams` names them, and spend at most `credit_budget` a sync, which is
0 until you set it: [credits.md](../credits.md). A stream that takes what it asks for from another needs the other's
scope too.
"""

_CHANGED = "that are new or have changed since its last run"

#: What is peculiar to streams that ask about the records of others: what they ask about, and in how many requests.
_ASKS_ABOUT = {
    "contact_sequence_activity": (
        f"contacts in sequences {_CHANGED}",
        "one per contact in a sequence that is new or has changed; where 50 events come, one more per sequence",
    ),
    "notes": (
        f"contacts, accounts and deals {_CHANGED}",
        "one per 100 contacts, per account and per deal that are new or have changed; more where they have many notes",
    ),
    "outreach_email_activities": (
        "the e-mails of the last `lookback_days` and those scheduled, on every run",
        "one per e-mail: of all the first time, then of the last `lookback_days`",
    ),
    "outreach_email_contents": ("e-mails that were sent, once each", "one per ten e-mails that were sent"),
}


#: How streams are read that are read like no other, and in how many requests.
_UNLIKE_OTHERS = {
    "analytics_reports": (
        "whole, one request a report: [analytics.md](../analytics.md)",
        "one per report in the setting, five an hour",
    ),
    "enrichment_results": ("what people_enrichment asked for and has not come yet", "one per result that is awaited"),
}


#: In how many requests a stream that costs credits is read, where its price does not tell.
_CHARGED_REQUESTS = {"conversation_exports": "one per export, and free ones that count and fetch"}


def stream_pages(tap: TapApollo) -> dict[str, str]:
    """Return docs/streams.md and the pages under docs/streams/, by their names."""
    return {
        "streams.md": _index(tap),
        **{f"streams/{group.key}.md": _page(tap, group) for group in GROUPS},
    }


def _index(tap: TapApollo) -> str:
    rows = [
        ("stream", "group", "requests a run", "credits", "on by default"),
        ("---",) * 5,
        *(
            (
                f"[{name}](streams/{group.key}.md#{name})",
                f"[{group.title}](streams/{group.key}.md)",
                _requests(cast("ApolloStream", tap.streams[name])),
                credits_of(cast("ApolloStream", tap.streams[name]).reads),
                _default(cast("ApolloStream", tap.streams[name])),
            )
            for group in GROUPS
            for name in group.streams
        ),
    ]
    return "\n".join(
        [
            "# Streams",
            "",
            WRITTEN,
            "",
            "A page per group tells each stream's endpoint and keys, how it is read, what it costs, and its scope:",
            "",
            *(f"- [{group.title}](streams/{group.key}.md). {group.about}" for group in GROUPS),
            "",
            _INDEX,
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
        ]
    )


def _page(tap: TapApollo, group: Group) -> str:
    lines = [f"# {group.title}", "", WRITTEN, "", f"{group.about} All streams: [streams.md](../streams.md).", ""]
    streams = [cast("ApolloStream", tap.streams[name]) for name in group.streams]
    if any(isinstance(stream.reads, PerRecord) for stream in streams):
        lines.append(_PER_RECORD)
    if any(stream.reads.costs for stream in streams):
        lines.append(_CHARGED)
    for stream in streams:
        lines += [f"## {stream.name}", "", f"{schemas.annotated(stream.name)['description']}", ""]
        lines += ["| | |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in _facts(stream)]
        lines += ["", f"[Columns](../columns.md#{stream.name})", ""]
    return "\n".join(lines)


def _facts(stream: ApolloStream) -> Iterator[tuple[str, str]]:
    reads, derived = stream.reads, isinstance(stream.reads, Derived)
    parents = ", ".join(map(name_of, reads.parents))
    yield "endpoint", f"none: comes with {parents}" if derived else f"{stream.endpoint.method} {stream.endpoint.path}"
    yield "primary key", ", ".join(stream.primary_keys)
    yield "replication", _replication(stream)
    if parents:
        yield "parents" if len(reads.parents) > 1 else "parent", parents
    if isinstance(reads, Purchase):
        yield "asks for", reads.jobs.asks_for
    yield "requests a run", _requests(stream)
    yield "credits", credits_of(stream.reads)
    if isinstance(reads, Purchase):
        yield "most a request", most_of(stream.name, reads)
        yield "free of credits", reads.price.free
    yield "on by default", _default(stream)
    key_scope, app_scope = (f"that of {parents}",) * 2 if derived else _access(stream)
    yield "API key scope", key_scope
    yield "OAuth scope", app_scope


def _replication(stream: ApolloStream) -> str:  # noqa: PLR0911
    key = stream.replication_key
    match stream.reads:
        case PerRecord(parents=parents):
            about = f"{' and '.join(map(name_of, parents))} {_CHANGED}"
            bookmark = f"; bookmark by `{key}`" if key else ""
            return f"asks about {_ASKS_ABOUT.get(stream.name, (about,))[0]}{bookmark}"
        case NewestFirst():
            return f"incremental by `{key}`, newest first"
        case FrontierFirst():
            return "incremental, newest first, whole once a day"
        case Windows():
            return f"incremental by `{key}`, date windows, with lookback"
        case Derived():
            return "with its parent"
        case FreeSearches(setting=setting):
            return f"whole: each search in `{setting}`"
        case Purchase(price=price):
            bookmark = f"; incremental by `{key}`" if key else ""
            return f"each {price.unit} is bought once{bookmark}"
    return _UNLIKE_OTHERS.get(stream.name, ("whole",))[0]


def _requests(stream: ApolloStream) -> str:  # noqa: PLR0911
    match stream.reads:
        case PerRecord(parents=parents):
            one = " or ".join(name_of(parent).removesuffix("s") for parent in parents)
            return _ASKS_ABOUT.get(stream.name, ("", f"one per {one} that is new or has changed"))[1]
        case NewestFirst():
            return "one per 100 the first time; then one per 100 that changed, and one more"
        case FrontierFirst():
            return "one per 100 the first time and once a day; then one per 100 that changed, and three more"
        case Windows():
            return "one per 100 the first time; then one per 100 of the last `lookback_days`"
        case Derived():
            return "none"
        case Purchase(price=price):
            per = f"one per {price.unit}" if price.batch == 1 else f"one per {price.batch:,} {price.units}"
            per = f"{per} {price.detail}" if price.unit == "page" else per
            return _CHARGED_REQUESTS.get(stream.name, per)
        case Unordered():
            return "one per 100, on every run"
        case FreeSearches():
            return "one per 100 people that a search finds, on every run"
    return _UNLIKE_OTHERS.get(stream.name, ("", "one"))[1]


def credits_of(reads: Reader, detail: str = "") -> str:
    """Return what a stream costs, with what else is known of the unit, if that is wanted."""
    if not isinstance(reads, Purchase):
        return "0"
    price = reads.price
    cost = f"{price.credits} per {price.unit} {detail}".rstrip()
    if price.surcharge:
        cost += f", {PHONE_NUMBER} more with a mobile number; waterfalls on top"
    return cost


def most_of(stream: str, reads: Purchase) -> str:
    """Return how much one request buys at most."""
    price = reads.price
    most = f"{price.batch:,} {price.unit if price.batch == 1 else price.units}"
    return f"{most}, or those of one day" if stream == "conversation_exports" else most


def _default(stream: ApolloStream) -> str:
    if stream.reads.costs:
        return "only if `credit_streams` names it"
    return "yes" if stream.selected_by_default else "no"


def _access(stream: ApolloStream) -> tuple[str, str]:
    """Return what an API key needs, and what an access token."""
    asked = [stream.endpoint, *stream.reads.also_asks]
    return (
        ", ".join(f"`{one.scope}`" if one.scope else "master key only" for one in asked),
        ", ".join(f"`{one.oauth}`" if one.oauth else "no app may" for one in asked),
    )
