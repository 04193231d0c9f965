"""The pages about the streams: the index, and a page per group."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

from tap_apollo import schemas
from tap_apollo.credits import PHONE_NUMBER
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.base import FrontierStream, ListStream, NewestFirstStream
from tap_apollo.streams.conversations import ConversationExports, FindExport
from tap_apollo.streams.credit import CreditStream
from tap_apollo.streams.derived import DerivedStream
from tap_apollo.streams.enrichment import EnrichmentResults, PeopleEnrichment
from tap_apollo.streams.per_record import PerRecordStream
from tap_apollo.streams.windowed import WindowedStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk import Stream

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


GROUPS = (
    Group(
        "crm",
        "CRM",
        "What the team has saved: contacts, accounts, deals, and how they are sorted and described.",
        (
            "contacts",
            "contact_details",
            "contact_deals",
            "contact_stages",
            "accounts",
            "account_details",
            "account_stages",
            "deals",
            "deal_details",
            "deal_stages",
            "lists",
            "fields",
            "custom_fields",
            "notes",
        ),
    ),
    Group(
        "engagement",
        "Engagement",
        "What the team does to reach people: sequences, e-mails, tasks, calls, conversations.",
        (
            "sequences",
            "contact_sequence_statuses",
            "contact_sequence_activity",
            "email_schedules",
            "outreach_emails",
            "outreach_email_activities",
            "outreach_email_contents",
            "tasks",
            "task_details",
            "calls",
            "conversations",
            "conversation_details",
            "conversation_exports",
        ),
    ),
    Group(
        "workspace",
        "Workspace",
        "The team itself: users, mailboxes, what was used of limits and credits, and Apollo's own figures.",
        (
            "users",
            "user_profile",
            "email_accounts",
            "api_usage_stats",
            "credit_usage_stats",
            "analytics_reports",
        ),
    ),
    Group(
        "prospecting",
        "Prospecting and enrichment",
        "Apollo's own database: searches of people and companies, and what it knows of each.",
        (
            "people",
            "organizations",
            "organization_details",
            "organization_job_postings",
            "news_articles",
            "organization_enrichment",
            "person_details",
            "people_enrichment",
            "enrichment_results",
        ),
    ),
)


#: What each stream that costs credits asks for, and the streams that it takes that from.
_ASKS_FOR: dict[str, tuple[str, tuple[str, ...]]] = {
    "organizations": ("`organization_searches`", ()),
    "organization_details": ("`organization_ids`, or what organizations found", ("organizations",)),
    "organization_job_postings": ("`organization_ids`, or what organizations found", ("organizations",)),
    "news_articles": ("`organization_ids`, or what organizations found", ("organizations",)),
    "organization_enrichment": ("`domains`, or the domains of accounts", ("accounts",)),
    "person_details": ("`person_ids`, or what people finds", ("people",)),
    "people_enrichment": (
        "`people_enrichment`: persons in the setting, contacts, or what people finds",
        ("contacts", "people"),
    ),
    "conversation_details": ("conversations", ("conversations",)),
    "conversation_exports": (
        "conversations, counted; user_profile, whom Apollo tells",
        ("conversations", "user_profile"),
    ),
}


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

#: What each stream that asks about the records of others asks about, and in how many requests.
_ASKS_ABOUT = {
    "contact_details": (f"contacts {_CHANGED}", "one per contact that is new or has changed"),
    "contact_deals": (f"contacts {_CHANGED}", "one per contact that is new or has changed"),
    "contact_sequence_activity": (
        f"contacts in sequences {_CHANGED}",
        "one per contact in a sequence that is new or has changed; where 50 events come, one more per sequence",
    ),
    "account_details": (f"accounts {_CHANGED}", "one per account that is new or has changed"),
    "deal_details": (f"deals {_CHANGED}", "one per deal that is new or has changed"),
    "task_details": (f"tasks {_CHANGED}", "one per task that is new or has changed"),
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
    "people": ("whole: each search in `people_searches`", "one per 100 people that a search finds, on every run"),
    "enrichment_results": ("what people_enrichment asked for and has not come yet", "one per result that is awaited"),
}


#: In how many requests a stream that costs credits is read, where its price does not tell.
_CHARGED_REQUESTS = {
    "organizations": "one per page of 100 companies",
    "news_articles": "one per page of 25 articles; 100 companies share a request",
    "conversation_exports": "one per export, and free ones that count and fetch",
}


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
                _requests(tap.streams[name]),
                _credits(tap.streams[name]),
                _default(tap.streams[name]),
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
    streams = [tap.streams[name] for name in group.streams]
    if any(isinstance(stream, PerRecordStream) for stream in streams):
        lines.append(_PER_RECORD)
    if any(isinstance(stream, CreditStream) for stream in streams):
        lines.append(_CHARGED)
    for stream in streams:
        lines += [f"## {stream.name}", "", f"{schemas.annotated(stream.name)['description']}", ""]
        lines += ["| | |", "| --- | --- |"]
        lines += [f"| {name} | {value} |" for name, value in _facts(stream)]
        lines += ["", f"[Columns](../columns.md#{stream.name})", ""]
    return "\n".join(lines)


def _facts(stream: Stream) -> Iterator[tuple[str, str]]:
    assert isinstance(stream, ApolloStream)
    derived = isinstance(stream, DerivedStream)
    yield "endpoint", "none: comes with contacts" if derived else f"{stream.endpoint.method} {stream.endpoint.path}"
    yield "primary key", ", ".join(stream.primary_keys)
    yield "replication", _replication(stream)
    parents = _parents_of(stream)
    if parents:
        yield "parents" if len(parents) > 1 else "parent", ", ".join(parents)
    if isinstance(stream, CreditStream):
        yield "asks for", _ASKS_FOR[stream.name][0]
    yield "requests a run", _requests(stream)
    yield "credits", _credits(stream)
    if isinstance(stream, CreditStream):
        yield "most a request", _most(stream)
        yield "free of credits", stream.price.free
    yield "on by default", _default(stream)
    key_scope, app_scope = ("that of contacts",) * 2 if derived else _access(stream)
    yield "API key scope", key_scope
    yield "OAuth scope", app_scope


def _parents_of(stream: ApolloStream) -> tuple[str, ...]:
    """Return the streams whose records a stream asks about or comes with."""
    if isinstance(stream, PerRecordStream):
        return tuple(cast("str", cast("Any", parent).name) for parent in stream.parents)
    if isinstance(stream, DerivedStream):
        assert stream.parent_stream_type
        return (cast("str", cast("Any", stream.parent_stream_type).name),)
    if isinstance(stream, CreditStream):
        return _ASKS_FOR[stream.name][1]
    return ("people_enrichment",) if isinstance(stream, EnrichmentResults) else ()


def _replication(stream: ApolloStream) -> str:  # noqa: PLR0911
    if isinstance(stream, PerRecordStream):
        bookmark = f"; bookmark by `{stream.replication_key}`" if stream.replication_key else ""
        return f"asks about {_ASKS_ABOUT[stream.name][0]}{bookmark}"
    if isinstance(stream, NewestFirstStream):
        return f"incremental by `{stream.replication_key}`, newest first"
    if isinstance(stream, FrontierStream):
        return "incremental, newest first, whole once a day"
    if isinstance(stream, WindowedStream):
        return f"incremental by `{stream.replication_key}`, date windows, with lookback"
    if isinstance(stream, DerivedStream):
        return "with its parent"
    if isinstance(stream, CreditStream):
        bookmark = f"; incremental by `{stream.replication_key}`" if stream.replication_key else ""
        return f"each {stream.price.unit} is bought once{bookmark}"
    return _UNLIKE_OTHERS.get(stream.name, ("whole",))[0]


def _requests(stream: Stream) -> str:  # noqa: PLR0911
    if isinstance(stream, PerRecordStream):
        return _ASKS_ABOUT[stream.name][1]
    if isinstance(stream, NewestFirstStream):
        return "one per 100 the first time; then one per 100 that changed, and one more"
    if isinstance(stream, FrontierStream):
        return "one per 100 the first time and once a day; then one per 100 that changed, and three more"
    if isinstance(stream, WindowedStream):
        return "one per 100 the first time; then one per 100 of the last `lookback_days`"
    if isinstance(stream, DerivedStream):
        return "none"
    if isinstance(stream, CreditStream):
        price = stream.price
        per = f"one per {price.unit}" if price.batch == 1 else f"one per {price.batch:,} {price.units}"
        return _CHARGED_REQUESTS.get(stream.name, per)
    if isinstance(stream, ListStream):
        return "one per 100, on every run"
    return _UNLIKE_OTHERS.get(stream.name, ("", "one"))[1]


def _credits(stream: Stream) -> str:
    if not isinstance(stream, CreditStream):
        return "0"
    cost = f"{stream.price.credits} per {stream.price.unit}"
    if isinstance(stream, PeopleEnrichment):
        cost += f", {PHONE_NUMBER} more with a mobile number; waterfalls on top"
    return cost


def _most(stream: CreditStream) -> str:
    price = stream.price
    most = f"{price.batch:,} {price.unit if price.batch == 1 else price.units}"
    return f"{most}, or those of one day" if isinstance(stream, ConversationExports) else most


def _default(stream: Stream) -> str:
    if isinstance(stream, CreditStream):
        return "only if `credit_streams` names it"
    return "yes" if stream.selected_by_default else "no"


def _access(stream: ApolloStream) -> tuple[str, str]:
    """Return what an API key needs, and what an access token."""
    asked = [stream.endpoint, *([FindExport.endpoint] if isinstance(stream, ConversationExports) else [])]
    return (
        ", ".join(f"`{one.scope}`" if one.scope else "master key only" for one in asked),
        ", ".join(f"`{one.oauth}`" if one.oauth else "no app may" for one in asked),
    )
