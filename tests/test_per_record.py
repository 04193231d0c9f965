"""Streams that ask about each record of another: all of them, only what has changed, and on from where they stopped."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import itertools
import json
import re
import signal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from apollo_sandbox import Sandbox, Settings, errors, pipeline
from apollo_sandbox.app import ENDPOINTS
from apollo_sandbox.ids import Kind
from apollo_sandbox.replies import Reply
from apollo_sandbox.rows import companies, deals, emails, persons
from tap_apollo.api.client import Client
from tap_apollo.api.errors import MAX_TRIES, ApolloError, SyncError
from tap_apollo.readers.io import name_of
from tap_apollo.readers.per_record import STATE_EVERY, PerRecord
from tap_apollo.readers.tolerance import MOST_FAILURES
from tap_apollo.singer.conform import key_of, timestamp
from tap_apollo.streams import REFRESHED, STREAMS, sequences
from tap_apollo.tap import TapApollo
from tests.pace import Clock
from tests.singer import Sync, _Keep, config_for, sync, sync_with
from tests.states import parent_of, place
from tests.test_faults import LASTING, PASSING
from tests.test_resume import Seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.singerlib import Message

    from apollo_sandbox.world import World
    from tap_apollo.singer.stream import ApolloStream

Key = tuple[str, ...]
#: What some columns of a row have to hold.
Values = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Case:
    """One stream: where it asks, whose records it asks about, and what it has to find in a world.

    Attributes:
        action: Its endpoint.
        parents: The streams it reads, and their endpoints.
        rows: The rows of a world by their keys.
        subjects: The ids that it has to ask about.
        batch: How many it asks about at once.
        exact: Whether a plan can know the number of requests.
    """

    action: str
    parents: dict[str, str]
    rows: Callable[[World], dict[Key, Values]]
    subjects: Callable[[World], list[str]]
    batch: int = 1
    exact: bool = True


def _contact_details(world: World) -> dict[Key, Values]:
    found: dict[Key, Values] = {}
    for contact in world.contacts:
        row = persons.contact_shown(world, contact)
        found[contact.id,] = {"name": row["name"], "updated_at": timestamp(row["updated_at"])}
    return found


def _contact_deals(world: World) -> dict[Key, Values]:
    return {
        (contact.id, deal.id): {
            "amount": deal.amount,
            "num_contacts": len(deal.contacts),
            "opportunity_contact_roles": deals.deal_of_contact(world, deal)["opportunity_contact_roles"],
        }
        for deal in world.deals
        for contact in deal.contacts
        if contact in world.contacts
    }


def _contact_sequence_activity(world: World) -> dict[Key, Values]:
    found: dict[Key, Values] = {}
    for contact in world.contacts:
        for enrollment in contact.enrollments:
            sent = [
                one for one in world.outreach_emails if one.contact is contact and one.sequence is enrollment.sequence
            ]
            for event in emails.sequence_activity(world, enrollment, sent):
                email = event.get("emailer_message_id")
                parts = (contact.id, event["type"], timestamp(event["occurred_at"]), event["sequence_id"], email)
                found[key_of(*parts),] = {
                    **dict(zip(sequences.KEY_PARTS, parts, strict=True)),
                    "sequence_name": enrollment.sequence.name,
                }
    return found


def _account_details(world: World) -> dict[Key, Values]:
    shown = {(one.id,): companies.account_shown(world, one) for one in world.accounts}
    names = ("name", "domain", "num_contacts", "account_stage_id")
    return {key: {name: row[name] for name in names} for key, row in shown.items()}


def _deal_details(world: World) -> dict[Key, Values]:
    return {
        (deal.id,): {"amount": deal.amount, "num_contacts": len(deal.contacts), "next_step": row["next_step"]}
        for deal in world.deals
        for row in [deals.deal_shown(world, deal)]
    }


def _task_details(world: World) -> dict[Key, Values]:
    shown = {(task.id,): deals.task_shown(world, task) for task in world.tasks}
    return {key: {name: row[name] for name in ("title", "note_text", "creator_id")} for key, row in shown.items()}


def _notes(world: World) -> dict[Key, Values]:
    owners: list[tuple[Kind, str, Any]] = [
        (Kind.CONTACT, "contact", world.contacts),
        (Kind.ACCOUNT, "account", world.accounts),
        (Kind.DEAL, "opportunity", world.deals),
    ]
    return {
        (note["id"],): {"content": note["content"], f"{name}_id": owner.id, "updated_at": timestamp(note["updated_at"])}
        for kind, name, collection in owners
        for owner in collection
        for note in deals.notes_about(world, kind, owner.serial, {name: owner.id})
    }


def _outreach_email_activities(world: World) -> dict[Key, Values]:
    return {
        (email.id,): {
            "emailer_message_id": email.id,
            "num_opens": int(emails.OPENED in events),
            "num_clicks": int(emails.CLICKED in events),
        }
        for email in world.outreach_emails
        for events in [emails.email_events(world, email)]
    }


def _outreach_email_contents(world: World) -> dict[Key, Values]:
    return {
        (email.id,): {"body": row["body"], "subject": row["subject"], "status": "completed"}
        for email in world.outreach_emails
        if email.status == "completed"
        for row in [emails.email_content(world, email, "plain")]
    }


#: The sandbox's names of the endpoints, by verb and path.
ACTIONS = {(verb, one.path): one.action for one in ENDPOINTS for verb in one.verbs}


def action_of(stream: type[ApolloStream]) -> str:
    return ACTIONS[stream.endpoint.method, stream.endpoint.path]


def plain(stream: type[ApolloStream]) -> Case:
    """Return the case of a stream that asks about each record of its parents, and gets a row with the record's id."""
    parents = {name_of(one): action_of(one) for one in stream.reads.parents}

    def subjects(world: World) -> list[str]:
        return [one for parent in parents for one in getattr(world, parent).ids]

    return Case(action_of(stream), parents, lambda world: {(one,): {} for one in subjects(world)}, subjects)


#: What differs from that, or is known more exactly.
PECULIAR: dict[str, dict[str, Any]] = {
    "contact_details": {"rows": _contact_details},
    "contact_deals": {"rows": _contact_deals},
    "contact_sequence_activity": {
        "rows": _contact_sequence_activity,
        "subjects": lambda world: [one.id for one in world.contacts if one.enrollments],
        "exact": False,
    },
    "account_details": {"rows": _account_details},
    "deal_details": {"rows": _deal_details},
    "notes": {"rows": _notes, "batch": 100, "exact": False},
    "outreach_email_activities": {"rows": _outreach_email_activities},
    "outreach_email_contents": {
        "rows": _outreach_email_contents,
        "subjects": lambda world: [one.id for one in world.outreach_emails if one.status == "completed"],
        "batch": 10,
        "exact": False,
    },
    "task_details": {"rows": _task_details},
}

CASES = {
    name: dataclasses.replace(plain(stream), **PECULIAR.get(name, {}))
    for name, stream in STREAMS.items()
    if isinstance(stream.reads, PerRecord)
}

#: The streams whose records they ask about.
PARENTS = {parent for case in CASES.values() for parent in case.parents}

#: Those that ask about a record at a time, of which Apollo says so if it has gone.
ONE_BY_ONE = [name for name, case in CASES.items() if case.batch == 1]

SMALL: dict[str, Any] = {
    "contacts": 45,
    "accounts": 14,
    "deals": 16,
    "tasks": 15,
    "outreach_emails": 45,
    "sequences": 5,
    "seed": 3,
    "plan": "unlimited",
}
#: Of each more than a page.
BIG: dict[str, Any] = {**SMALL, "contacts": 125, "accounts": 112, "deals": 110, "tasks": 108, "outreach_emails": 115}
TINY: dict[str, Any] = {**SMALL, "contacts": 14, "accounts": 4, "deals": 5, "tasks": 6, "outreach_emails": 24}


class Asked(list[tuple[str, str]]):
    """Which records were asked about, by stream, in order: what the ledger of the sandbox does not tell.

    Attributes:
        first: Called once, as the first request of a per-record stream is on its way, with the ids it asks about.
    """

    first: Callable[[list[str]], None] | None = None

    def note(self, stream: str, url: str, body: bytes | None) -> None:
        if isinstance(STREAMS[stream].reads, PerRecord):
            ids = re.findall(r"\b[0-9a-f]{24}\b", url)
            if body:
                sent = json.loads(body)
                ids += sent.get("ids", []) + [sent[name] for name in ("contact_id",) if name in sent]
            self += [(stream, one) for one in ids]
            first, self.first = self.first, None
            if first:
                first(ids)

    def of(self, stream: str) -> list[str]:
        return [one for name, one in self if name == stream]

    def take(self, stream: str) -> list[str]:
        """Return what was asked about, and begin anew."""
        found = self.of(stream)
        self.clear()
        return found


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    notes, send = Asked(), Client._send

    def noting(client: Client, request: Any, stream: str) -> Any:
        notes.note(stream, request.url, request.body)
        return send(client, request, stream)

    monkeypatch.setattr(Client, "_send", noting)
    return notes


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries are not waited for; the window of a 429 that does not say how long is over at once."""
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr("tap_apollo.api.client.refused_for", lambda reply: 0 if reply.status_code == 429 else None)
    monkeypatch.setattr("tap_apollo.api.rate_limits.MARGIN", 0)


@contextlib.contextmanager
def apollo(seconds: Callable[[], float] | None = None, **settings: Any) -> Iterator[Sandbox]:
    more = {} if seconds is None else {"monotonic": seconds}
    with Sandbox(Settings(**{**SMALL, **settings}), **more).serve() as running:
        yield running


def _shared(sizes: dict[str, Any]) -> Iterator[Sandbox]:
    with apollo(**sizes) as running:
        yield running


@pytest.fixture(scope="module")
def _small() -> Iterator[Sandbox]:
    yield from _shared(SMALL)


@pytest.fixture(scope="module")
def _big() -> Iterator[Sandbox]:
    yield from _shared(BIG)


@pytest.fixture(scope="module")
def _tiny() -> Iterator[Sandbox]:
    yield from _shared(TINY)


def _fresh(sandbox: Sandbox) -> Sandbox:
    sandbox.faults.clear()
    sandbox.reset()
    return sandbox


@pytest.fixture
def team(_small: Sandbox) -> Sandbox:
    """A team that no test changes."""
    return _fresh(_small)


@pytest.fixture
def big(_big: Sandbox) -> Sandbox:
    """A team that no test changes, with more than a page of everything."""
    return _fresh(_big)


@pytest.fixture
def tiny(_tiny: Sandbox) -> Iterator[Sandbox]:
    """A team that no test changes, with little of everything."""
    yield _fresh(_tiny)
    _tiny.faults.clear()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def own(seconds: Seconds) -> Iterator[Sandbox]:
    """A team that the test may change."""
    with apollo(seconds) as running:
        yield running


every_stream = pytest.mark.parametrize("stream", CASES)


@contextlib.contextmanager
def only(*streams: str) -> Iterator[None]:
    """Let a tap know some streams and what they look up: to describe all takes it longer than most runs here."""
    known = {name: STREAMS[name] for name in STREAMS if name in {*streams, "custom_fields", "sequences"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tap_apollo.tap.STREAMS", known)
        yield


def read(sandbox: Sandbox, *streams: str, state: dict[str, Any] | None = None, **settings: Any) -> Sync:
    """Sync; the state goes through JSON, as a target would keep it."""
    with only(*streams):
        return sync(sandbox, *streams, state=through_json(state), **settings)


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def keys(stream: str, *runs: Sync) -> list[Key]:
    names = STREAMS[stream].primary_keys
    return [tuple(row[name] for name in names) for run in runs for row in run.records[stream]]


def requests(sandbox: Sandbox, stream: str) -> int:
    return int(sandbox.ledger.requests[CASES[stream].action])


def said(caplog: pytest.LogCaptureFixture, what: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if what in record.getMessage()]


def wrong_values(stream: str, world: World, *runs: Sync) -> dict[Key, Values]:
    """What the last row of each key holds that is not as it is in the world."""
    rows = {key: row for run in runs for key, row in zip(keys(stream, run), run.records[stream], strict=True)}
    expected = CASES[stream].rows(world)
    return {key: want for key, want in expected.items() if {name: rows[key].get(name) for name in want} != want}


def looked_back_at(sandbox: Sandbox, stream: str, state: dict[str, Any], days: int) -> set[str]:
    """The e-mails that a run asks about again in any case, as what became of them does not show in the list."""
    if stream != "outreach_email_activities":
        return set()
    bookmark = parent_of(state, stream, "outreach_emails")["walk"]["bookmark"]
    day = datetime.date.fromisoformat(bookmark[:10]) - datetime.timedelta(days=days)
    since = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.timezone.utc).timestamp() * 1000
    return {email.id for email in sandbox.world.outreach_emails if email.due >= since}


def test_these_are_the_per_record_streams() -> None:
    assert CASES
    assert PECULIAR.keys() <= CASES.keys()


# Everything


@every_stream
def test_everything_there_is_arrives_once(big: Sandbox, stream: str, asked: Asked) -> None:
    case = CASES[stream]
    expected = case.rows(big.world)
    run = read(big, stream)
    assert run.error is None
    assert len(expected) > 15
    assert sorted(keys(stream, run)) == sorted(expected)
    assert wrong_values(stream, big.world, run) == {}
    assert set(asked.of(stream)) == set(case.subjects(big.world))
    if stream != "notes":  # a batch of contacts has more notes than a page
        assert len(asked.of(stream)) == len(case.subjects(big.world))
    assert not [row for row in run.records[stream] for name in STREAMS[stream].primary_keys if row[name] is None]


def test_texts_of_emails_are_asked_for_by_ten_and_only_of_sent_ones(big: Sandbox) -> None:
    read(big, "outreach_email_contents")
    statuses = [email.status for email in big.world.outreach_emails]
    assert {"scheduled", "failed"} <= {*statuses}
    first, rest = statuses_by_page(big)
    assert requests(big, "outreach_email_contents") == -(-first // 10) + -(-rest // 10)


def statuses_by_page(sandbox: Sandbox) -> tuple[int, int]:
    """How many sent e-mails stand on the first page of the list, and after it."""
    rows = sandbox.world.outreach_emails.order("default").rows[::-1]
    sent = [email.status == "completed" for email in rows]
    return sum(sent[:100]), sum(sent[100:])


def test_notes_of_contacts_are_asked_for_by_the_hundred(big: Sandbox, asked: Asked) -> None:
    sent: list[set[str]] = []
    asked.first = lambda ids: sent.append({*ids})
    read(big, "notes")
    world = big.world
    assert len(sent[0]) == 100
    assert sent[0] < {*world.contacts.ids}
    one_by_one = len(world.accounts) + len(world.deals)
    notes = sum(1 for values in CASES["notes"].rows(world).values() if "contact_id" in values)
    assert requests(big, "notes") <= one_by_one + 2 + notes // 100 + 1
    assert requests(big, "notes") >= one_by_one + 2


def test_notes_begin_with_the_start_date(team: Sandbox) -> None:
    expected = {
        key
        for kind, name, collection in (
            (Kind.ACCOUNT, "account", team.world.accounts),
            (Kind.DEAL, "opportunity", team.world.deals),
        )
        for owner in collection
        for note in deals.notes_about(team.world, kind, owner.serial, {name: owner.id})
        if note["created_at"][:10] >= "2025-06-01"
        for key in [(note["id"],)]
    }
    run = read(team, "notes", start_date="2025-06-01T00:00:00Z")
    found = {(row["id"],) for row in run.records["notes"] if not row["contact_id"]}
    assert found == expected
    assert min(row["created_at"] for row in run.records["notes"]) >= "2025-06-01"


# Alone, and not by default


@every_stream
def test_alone_it_reads_its_parent_without_writing_it(team: Sandbox, stream: str) -> None:
    run = read(team, stream)
    assert {message["stream"] for message in run.messages if "stream" in message} == {stream}
    assert {name for state in run.states for name in state["bookmarks"]} == {stream}
    assert {*team.ledger.requests} == {CASES[stream].action, *CASES[stream].parents.values()} | (
        {"typed_custom_fields/index"} & {*team.ledger.requests}
    )


def test_it_does_not_disturb_its_parent(team: Sandbox) -> None:
    alone = read(team, *PARENTS)
    together = read(team, *PARENTS, *CASES)
    for parent, rows in alone.records.items():
        assert {row["id"] for row in rows} == {*together.ids(parent)}
        kept = [run.state["bookmarks"][parent].get("replication_key_value") for run in (alone, together)]
        assert kept[0] == kept[1]
    for stream, case in CASES.items():
        assert {*keys(stream, together)} == {*case.rows(team.world)}


def test_it_is_not_selected_by_default(tiny: Sandbox) -> None:
    catalog = TapApollo(config=config_for(tiny)).catalog_dict
    selected = {
        entry["tap_stream_id"]: metadata["metadata"].get("selected-by-default")
        for entry in catalog["streams"]
        for metadata in entry["metadata"]
        if metadata["breadcrumb"] in ([], ())
    }
    assert {name for name, default in selected.items() if default is False} >= {*CASES}
    assert selected["contacts"] is not False
    run = sync(tiny, catalog=catalog)
    assert run.records["contacts"]
    assert not {case.action for case in CASES.values()} & {*tiny.ledger.requests}
    assert not {*CASES} & {*run.schemas}


def test_it_says_nothing_of_deleted_records(team: Sandbox) -> None:
    run = read(team, "contact_details", "notes", detect_deletes=True)
    assert {message["type"] for message in run.messages} == {"SCHEMA", "RECORD", "STATE"}
    assert not [message for message in run.messages if message.get("version")]


def test_a_test_of_the_connection_asks_about_one_record(tiny: Sandbox) -> None:
    tap = TapApollo(config=config_for(tiny))
    for name, stream in tap.streams.items():
        stream.selected = name in CASES
    assert tap.run_connection_test()
    tap.services.session.close()
    assert {name: requests(tiny, name) for name in CASES} == dict.fromkeys(CASES, 1)


# What has changed


@every_stream
def test_an_idle_run_asks_nothing_again(big: Sandbox, stream: str, asked: Asked) -> None:
    first = read(big, stream, lookback_days=5)
    asked.clear()
    second = read(big, stream, state=first.state, lookback_days=5)
    assert second.error is None
    again = asked.take(stream)
    assert {*again} == looked_back_at(big, stream, first.state, 5)
    assert len(again) < 20
    read(big, stream, state=second.state, lookback_days=5)
    assert {*asked.of(stream)} == {*again}


@pytest.mark.parametrize(
    ("stream", "most"),
    [("contact_details", 100), ("account_details", 100), ("outreach_email_activities", 0), ("deal_details", 110)],
)
def test_the_state_keeps_only_what_the_parent_may_give_again(big: Sandbox, stream: str, most: int) -> None:
    (asked,) = place(read(big, stream).state, stream)["parents"].values()
    assert len(asked.get("keys", ())) <= most


def touch(sandbox: Sandbox, stream: str, which: int) -> set[str]:
    """Change one record of each parent, and return their ids."""
    world, ids = sandbox.world, set[str]()
    for parent in CASES[stream].parents:
        if parent == "outreach_emails":
            email = [one for one in world.outreach_emails if one.status == "scheduled"][which]
            with world.outreach_emails.changing(email):
                email.status, email.completed = "completed", email.due
            ids.add(email.id)
            continue
        subjects = {*CASES[stream].subjects(world)}
        one = [one for one in getattr(world, parent).ids if one in subjects][which]
        getattr(world, f"touch_{parent.removesuffix('s')}")(one)
        ids.add(one)
    return ids


@every_stream
def test_only_what_has_changed_is_asked_about_again(own: Sandbox, seconds: Seconds, stream: str, asked: Asked) -> None:
    runs = [read(own, stream, lookback_days=5)]
    for which in (2, 0):
        seconds.passed += 3600
        changed = touch(own, stream, which)
        asked.clear()
        runs.append(read(own, stream, state=runs[-1].state, lookback_days=5))
        also = looked_back_at(own, stream, runs[-2].state, 5)
        if stream == "notes":  # deals are listed with a copy of their account
            also |= {deal.id for deal in own.world.deals if deal.account and deal.account.id in changed}
        assert changed <= {*asked.of(stream)} <= changed | also
        assert len(asked.of(stream)) == len({*asked.of(stream)})
        assert wrong_values(stream, own.world, *runs) == {}


@pytest.mark.parametrize("stream", ["contact_details", "account_details", "deal_details", "task_details", "notes"])
def test_what_is_new_is_asked_about(own: Sandbox, seconds: Seconds, stream: str, asked: Asked) -> None:
    state = read(own, stream).state
    seconds.passed += 3600
    new = {getattr(own.world, f"add_{parent.removesuffix('s')}")() for parent in CASES[stream].parents}
    asked.clear()
    run = read(own, stream, state=state)
    assert new <= {*asked.of(stream)}
    # A new contact counts at its account, and a new deal is shown with it: that account has changed.
    assert len({*asked.of(stream)} - new) <= 1
    assert stream == "notes" or {(one,) for one in new} <= {*keys(stream, run)}


def test_those_changed_within_ten_minutes_of_the_bookmark_are_not_asked_about_forever(
    own: Sandbox,
    seconds: Seconds,
    asked: Asked,
) -> None:
    state = read(own, "contact_details").state
    seconds.passed += 3600
    for contact in own.world.contacts.ids[:20]:
        own.world.touch_contact(contact)
        seconds.passed += 1
    asked.clear()
    state = read(own, "contact_details", state=state).state
    assert sorted(asked.take("contact_details")) == sorted(own.world.contacts.ids[:20])
    for _ in range(2):
        state = read(own, "contact_details", state=state).state
        assert not asked.take("contact_details")
    seconds.passed += 5  # still within the margin
    own.world.touch_contact(own.world.contacts.ids[3])
    read(own, "contact_details", state=state)
    assert asked.of("contact_details") == [own.world.contacts.ids[3]]


def test_a_deal_that_changed_back_is_asked_about_again(own: Sandbox, asked: Asked) -> None:
    deal = next(iter(own.world.deals))
    before = deal.stage
    state = read(own, "deal_details").state
    for stage in (0 if before else 1, before):
        own.world.touch_deal(deal.id, stage=stage)
        deal.revision = 0  # which would show
        asked.clear()
        state = read(own, "deal_details", state=state).state
        assert asked.of("deal_details") == [deal.id]


# Limits


#: A number of requests that takes several runs, within pages and across their edges.
LIMITS = {
    "contact_sequence_activity": 7,
    "notes": 47,
    "outreach_email_contents": 3,
}


def chain(
    sandbox: Sandbox,
    stream: str,
    limit: int,
    caplog: pytest.LogCaptureFixture,
    between: Callable[[], None] = lambda: None,
    **settings: Any,
) -> list[Sync]:
    """Run after run, until one is not stopped by the limit."""
    runs: list[Sync] = []
    state = settings.pop("state", None)
    for _ in range(60):
        caplog.clear()
        before = requests(sandbox, stream)
        runs.append(read(sandbox, stream, state=state, max_pages={stream: limit}, **settings))
        state = runs[-1].state
        assert runs[-1].error is None
        sent = requests(sandbox, stream) - before
        assert sent <= limit + (stream == "notes")  # a batch of contacts may have two pages of notes
        line = f"{stream} stopped at a limit: `max_pages.{stream}` is {limit:,}. Left for the next run: the rest of "
        assert bool(said(caplog, "max_pages")) == bool(said(caplog, line))
        if not said(caplog, line):
            return runs
        assert sent >= limit
        between()
    pytest.fail("no end")


@every_stream
def test_runs_of_a_few_requests_ask_about_everything_once(
    big: Sandbox,
    stream: str,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = CASES[stream]
    runs = chain(big, stream, LIMITS.get(stream, 45), caplog)
    assert len(runs) >= 3
    assert sorted(keys(stream, *runs)) == sorted(case.rows(big.world))
    if stream == "notes":
        assert {*asked} == {(stream, one) for one in case.subjects(big.world)}
        assert max(collections.Counter(asked).values()) <= 2
    else:
        assert sorted(asked.of(stream)) == sorted(case.subjects(big.world))
    asked.clear()
    read(big, stream, state=runs[-1].state)
    assert stream == "outreach_email_activities" or not asked


@pytest.mark.parametrize("stream", ["contact_details", "account_details", "deal_details", "task_details"])
def test_while_people_work_runs_of_a_few_requests_come_to_everything(
    stream: str,
    seconds: Seconds,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind = stream.removesuffix("_details")
    with apollo(seconds, **BIG) as sandbox:
        ids = getattr(sandbox.world, f"{kind}s").ids
        edits = iter(range(5, 120, 20))

        def work() -> None:
            seconds.passed += 3600
            number = next(edits, None)
            if number is not None:
                getattr(sandbox.world, f"touch_{kind}")(ids[number])
                getattr(sandbox.world, f"delete_{kind}")(ids[number + 1])
                getattr(sandbox.world, f"add_{kind}")()

        runs = chain(sandbox, stream, 30, caplog, work)
        runs += chain(sandbox, stream, 30, caplog, state=runs[-1].state)
        assert {*CASES[stream].rows(sandbox.world)} <= {*keys(stream, *runs)}
        assert wrong_values(stream, sandbox.world, *runs) == {}
    # Deals and tasks carry copies of others, which are edited here, or come from another place of the list.
    assert len(asked) <= len(ids) + 12


def test_notes_of_one_request_a_run_come_to_accounts_and_deals(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with apollo(**TINY) as sandbox:
        runs = [read(sandbox, "notes", max_pages={"notes": 1})]
        assert not sandbox.ledger.requests["opportunities/search"]
        runs += chain(sandbox, "notes", 1, caplog, state=runs[-1].state)
        assert {*keys("notes", *runs)} == {*_notes(sandbox.world)}
        assert len(runs) == 1 + 4 + 5


def test_those_that_have_vanished_count_for_the_limit(own: Sandbox, asked: Asked) -> None:
    def vanish(_: list[str]) -> None:
        for contact in own.world.contacts.ids:
            own.world.delete_contact(contact)

    asked.first = vanish
    read(own, "contact_details", max_pages={"contact_details": 5})
    assert requests(own, "contact_details") == 5


def test_the_limit_of_the_parent_is_its_own(big: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    run = read(big, "contact_details", max_pages={"contacts": 1})
    assert len(run.records["contact_details"]) == 100
    rest = read(big, "contact_details", state=run.state, max_pages={"contacts": 3})
    assert sorted(keys("contact_details", run, rest)) == sorted(_contact_details(big.world))
    assert not said(caplog, "stopped at")


# Kills


class Watching(_Keep):
    """Keeps with each STATE how many records had been asked about."""

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self.asked = asked
        self.marks: list[int] = []
        self.after: int | None = None
        self.tap: TapApollo | None = None

    def write_message(self, message: Message) -> None:
        if self.after is not None and len(self.messages) >= self.after:
            self.after = None
            if self.tap is not None:
                self.tap._handle_termination(signal.SIGTERM, None)
            raise KeyboardInterrupt
        super().write_message(message)
        if self.messages[-1]["type"] == "STATE":
            self.marks.append(len(self.asked))


def watched(sandbox: Sandbox, stream: str, writer: Watching, *, gently: bool = False) -> Sync:
    with only(stream):
        tap = TapApollo(config=config_for(sandbox), message_writer=writer)
        streams = tap.streams
    if gently:
        writer.tap = tap
    for name, one in streams.items():
        one.selected = name == stream
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        tap.sync_all()
    tap.services.session.close()
    return Sync(writer.messages, None)


@pytest.mark.matrix
@every_stream
@pytest.mark.parametrize("size", ["small", "big"])
def test_from_every_state_a_run_completes_what_was_written_before_it(
    size: str,
    stream: str,
    asked: Asked,
    request: pytest.FixtureRequest,
) -> None:
    """A kill may come at any message: the target has what was written up to some STATE, and maybe more."""
    sandbox = request.getfixturevalue("team" if size == "small" else "big")
    whole = {*CASES[stream].rows(sandbox.world)}
    writer = Watching(asked)
    run = watched(sandbox, stream, writer)
    batch = CASES[stream].batch
    assert max(after - before for before, after in itertools.pairwise([0, *writer.marks])) <= STATE_EVERY * batch
    everything = [*asked.of(stream)]
    positions = [number for number, message in enumerate(run.messages) if message["type"] == "STATE"]
    cuts = [*zip(positions, writer.marks, strict=True)]
    if size == "big":  # a page ends at the 100th record
        cuts = [cut for cut in cuts if 85 <= cut[1] <= 125][:4]
    for position, mark in cuts:
        asked.clear()
        before = Sync(run.messages[: position + 1], None)
        rest = read(sandbox, stream, state=before.state, lookback_days=0)
        assert rest.error is None
        assert {*keys(stream, before, rest)} == whole
        if mark < len(everything):
            assert sorted(asked.of(stream)) == sorted(everything[mark:])


@pytest.mark.parametrize("gently", [True, False], ids=["terminated", "killed"])
@pytest.mark.parametrize("stream", ["contact_details", "deal_details", "outreach_email_contents"])
def test_a_kill_costs_a_few_requests(team: Sandbox, stream: str, asked: Asked, *, gently: bool) -> None:
    for after in (2, 9, 14):
        asked.clear()
        writer = Watching(asked)
        writer.after = after
        first = watched(team, stream, writer, gently=gently)
        assert len(asked) < len(CASES[stream].subjects(team.world))
        second = read(team, stream, state=first.states[-1] if first.states else None)
        assert {*keys(stream, first, second)} == {*CASES[stream].rows(team.world)}
        twice = [one for one, times in collections.Counter(asked).items() if times > 1]
        most = 1 if gently else STATE_EVERY + 1
        assert len(twice) <= most * CASES[stream].batch
        assert max(collections.Counter(asked).values()) <= 2


# Those that vanish


@every_stream
def test_a_record_that_vanishes_before_it_is_asked_about_is_skipped_and_counted(
    own: Sandbox,
    stream: str,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    parent, *_ = CASES[stream].parents
    named = parent if CASES[stream].batch == 1 else ""  # a batch does not say which of its records have gone
    collection = getattr(own.world, parent)
    gone: list[str] = []

    def vanish(ids: list[str]) -> None:
        gone.extend([one for one in CASES[stream].subjects(own.world) if one not in ids and collection.get(one)][-3:])
        if stream == "notes":  # all are asked for at once
            gone.extend(ids[:3])
        for one in gone:
            collection.remove(collection.get(one))

    asked.first = vanish
    run = read(own, stream, strict=True)
    assert run.error is None
    assert len(gone) == 3
    assert {*gone} <= {*asked.of(stream)}
    assert {*keys(stream, run)} == {*CASES[stream].rows(own.world)}
    lines = [f"{stream}: Apollo does not have 3 records of {named} any more."] if named else []
    assert said(caplog, " any more.") == lines
    assert len([record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]) == len(lines)
    asked.clear()
    read(own, stream, state=run.state)
    assert not {*gone} & {*asked.of(stream)}


@pytest.mark.parametrize("stream", ["notes", "outreach_email_contents"])
def test_a_batch_that_holds_one_that_vanished_is_asked_for_one_by_one(tiny: Sandbox, stream: str) -> None:
    whole = read(tiny, stream)
    before = requests(tiny, stream)
    tiny.faults.add("status", action=CASES[stream].action, status=404, times=1)
    run = read(tiny, stream)
    assert run.error is None
    assert sorted(keys(stream, run)) == sorted(keys(stream, whole))
    assert requests(tiny, stream) == 2 * before + (10 if stream == "outreach_email_contents" else 14)


# Endpoints that are not there

#: How an endpoint answers that is not there.
NOT_THERE: list[dict[str, Any]] = [{"status": 404}, {"status": 410}, {"status": 404, "body": "html"}]


@pytest.mark.matrix
@every_stream
@pytest.mark.parametrize("answer", NOT_THERE, ids=str)
def test_an_endpoint_that_is_not_there_fails_the_stream_and_is_read_when_it_is_back(
    tiny: Sandbox, stream: str, answer: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    tiny.faults.add("status", action=CASES[stream].action, **answer)
    run = read(tiny, stream, "users")
    assert isinstance(run.error, SyncError)
    assert run.records.keys() == {"users"}
    path, status = STREAMS[stream].endpoint.path, answer["status"]
    lines = [record.getMessage() for record in caplog.records if record.levelname in {"WARNING", "ERROR"}]
    reason = f"Apollo does not have {path} ({status}): check `api_url`."
    assert lines == [f"Stream {stream} failed: {reason} What it wrote before is valid."]
    assert requests(tiny, stream) == (2 if CASES[stream].batch == 1 else 3)
    assert not run.state["bookmarks"].get(stream)

    tiny.faults.clear()
    again = read(tiny, stream, state=run.state)
    assert again.error is None
    assert sorted(keys(stream, again)) == sorted(CASES[stream].rows(tiny.world))


@pytest.mark.matrix
@pytest.mark.parametrize("words", ["Not Found", "Something went wrong."])
@every_stream
def test_one_that_goes_after_a_while_loses_nothing(
    tiny: Sandbox, stream: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deal that is not there is told in the words of an endpoint that is not."""
    monkeypatch.setitem(pipeline._INSTEAD, "status", lambda fault: Reply({"error": words}, fault.status))
    before = read(tiny, stream, max_pages={stream: 1})
    tiny.faults.add("status", action=CASES[stream].action, status=404, after=1)
    run = read(tiny, stream, state=before.state)
    assert isinstance(run.error, SyncError)
    tiny.faults.clear()
    again = read(tiny, stream, state=run.state)
    assert again.error is None
    assert {*keys(stream, before, run, again)} == {*CASES[stream].rows(tiny.world)}


@pytest.mark.parametrize("words", ["Not Found", "No such page."])
@pytest.mark.parametrize("stream", [name for name in ONE_BY_ONE if name != "deal_details"])
def test_an_answer_that_does_not_come_once_is_asked_for_again(
    tiny: Sandbox, stream: str, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(pipeline._INSTEAD, "status", lambda fault: Reply({"error": words}, fault.status))
    tiny.faults.add("status", action=CASES[stream].action, status=404, times=1)
    run = read(tiny, stream)
    assert isinstance(run.error, SyncError)
    assert not said(caplog, " any more")
    again = read(tiny, stream, state=run.state)
    assert again.error is None
    assert {*keys(stream, run, again)} == {*CASES[stream].rows(tiny.world)}


def test_a_deal_is_gone_if_another_is_there(
    own: Sandbox, asked: Asked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(pipeline._INSTEAD, "status", lambda fault: Reply(errors.not_found().body, fault.status))
    own.faults.add("status", action="opportunities/show", status=404, times=1)
    run = read(own, "deal_details", strict=True)
    assert run.error is None
    assert said(caplog, "Apollo does not have 1 record of deals any more.")
    times = collections.Counter(asked.take("deal_details"))
    assert sorted(times.values()) == [*[1] * 15, 2]
    assert not read(own, "deal_details", state=run.state).records["deal_details"]
    assert not asked


def test_the_only_deal_is_asked_about_again_as_no_other_can_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pipeline._INSTEAD, "status", lambda fault: Reply(errors.not_found().body, fault.status))
    with apollo(**{**TINY, "deals": 1}) as sandbox:
        sandbox.faults.add("status", action="opportunities/show", status=404, times=1)
        run = read(sandbox, "deal_details")
        assert isinstance(run.error, SyncError)
        assert len(read(sandbox, "deal_details", state=run.state).records["deal_details"]) == 1


@pytest.mark.parametrize(
    ("fault", "gone"),
    [({"kind": "status", "status": 422}, 1), ({"kind": "status", "status": 500}, 0), ({"kind": "error_in_200"}, 0)],
    ids=str,
)
def test_what_another_answers_tells_whether_a_deal_is_gone(
    tiny: Sandbox, fault: dict[str, Any], gone: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Any answer of Apollo's own is one of an endpoint that is there; what is none leaves it open."""
    monkeypatch.setattr(Client, "max_tries", 1)
    monkeypatch.setitem(pipeline._INSTEAD, "status", lambda fault: Reply({"error": "Not Found"}, fault.status))
    tiny.faults.add("status", action="opportunities/show", status=404, times=1)
    tiny.faults.add(action="opportunities/show", times=1, **fault)
    run = read(tiny, "deal_details")
    assert (run.error is None) == bool(gone)
    assert bool(said(caplog, "Apollo does not have 1 record of deals any more.")) == bool(gone)
    assert len(read(tiny, "deal_details", state=run.state).records["deal_details"]) == 1 - gone


@pytest.mark.parametrize("stream", ["task_details", "notes"])
def test_one_that_the_vendor_does_not_document_is_skipped_if_it_is_not_there(
    tiny: Sandbox, stream: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = dataclasses.replace(STREAMS[stream].endpoint, documented=False)
    monkeypatch.setattr(STREAMS[stream], "endpoint", endpoint)
    tiny.faults.add("status", action=CASES[stream].action, status=404)
    run = read(tiny, stream, "users")
    assert run.error is None
    reason = f"Apollo does not have {endpoint.path} (404), which it does not document: check `api_url`."
    assert said(caplog, "was skipped") == [f"Stream {stream} was skipped: {reason} Or deselect the stream."]
    assert isinstance(read(tiny, stream, "users", strict=True).error, SyncError)


# Scopes


@every_stream
def test_one_that_is_forbidden_is_skipped_with_its_scope_named(stream: str, caplog: pytest.LogCaptureFixture) -> None:
    with apollo(**TINY, forbid=(CASES[stream].action,)) as sandbox:
        run = read(sandbox, stream, "users")
        assert run.error is None
        assert run.records.keys() == {"users"}
        (line,) = said(caplog, "was skipped")
        assert line.startswith(f"Stream {stream} was skipped: the credentials may not read ")
        assert (STREAMS[stream].endpoint.scope or "only a master key may") in line
        assert "needed" not in line
        assert requests(sandbox, stream) == 1
        strict = read(sandbox, stream, "users", strict=True)
        assert isinstance(strict.error, SyncError)
        assert strict.records["users"]


@every_stream
def test_one_whose_parent_is_forbidden_says_so(stream: str, caplog: pytest.LogCaptureFixture) -> None:
    parent, action = [*CASES[stream].parents.items()][-1]
    with apollo(**TINY, forbid=(action,)) as sandbox:
        run = read(sandbox, stream, "users")
        assert run.error is None
        assert run.records["users"]
        (line,) = said(caplog, f"Stream {stream} was skipped")
        assert f"the credentials may not read {action} (403, API_INACCESSIBLE)" in line
        assert str(STREAMS[parent].endpoint.scope) in line
        assert len(CASES[stream].parents) > 1 or not requests(sandbox, stream)
        assert isinstance(read(sandbox, stream, strict=True).error, SyncError)


def test_an_app_is_told_what_no_app_may_read(tiny: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    config = {"api_url": tiny.url, "access_token": tiny.settings.access_token}
    run = sync_with(config, ["outreach_email_activities", "contact_details"])
    assert run.error is None
    assert run.records.keys() == {"contact_details"}
    (line,) = said(caplog, "was skipped")
    assert line == (
        "Stream outreach_email_activities was skipped: the credentials may not read "
        "emailer_messages/{id}/activities (403, API_INACCESSIBLE): no app may; use a master key. Or deselect the "
        "stream."
    )


# Faults


#: One of each way in which streams ask: by the path, by a body, in batches, by pages.
WAYS = ["contact_details", "contact_sequence_activity", "outreach_email_contents", "notes"]


@pytest.mark.parametrize(
    ("stream", "fault"),
    [(stream, fault) for stream in CASES for fault in PASSING if stream in WAYS or fault in {"500", "429"}],
)
def test_what_passes_is_survived(tiny: Sandbox, stream: str, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    after = 0 if CASES[stream].batch > 1 else 1
    tiny.faults.add(**PASSING[fault], action=CASES[stream].action, after=after, times=2)
    run = read(tiny, stream)
    assert run.error is None
    assert tiny.ledger.faults.total() == 2
    assert sorted(keys(stream, run)) == sorted(CASES[stream].rows(tiny.world))
    assert not said(caplog, "incomplete")


@pytest.mark.parametrize(
    ("stream", "fault"),
    [(stream, fault) for stream in CASES for fault in LASTING if stream in WAYS or fault == "500"],
)
def test_what_lasts_fails_one_stream_and_the_next_run_goes_on(
    tiny: Sandbox,
    stream: str,
    fault: str,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
) -> None:
    after = 1 if CASES[stream].batch > 1 else 3
    tiny.faults.add(**LASTING[fault], action=CASES[stream].action, after=after)
    run = read(tiny, stream, "users", custom_fields="raw")
    assert isinstance(run.error, SyncError)
    assert run.records["users"]
    assert len(said(caplog, f"Stream {stream} failed: ")) == 1
    done = {*asked.of(stream)[: after * CASES[stream].batch]} if stream != "notes" else {*tiny.world.contacts.ids}
    tries = 1 if fault == "redirect" else MAX_TRIES
    if fault in {"500", "error in 200"}:  # it might be the record: then the next is tried
        assert after + tries <= requests(tiny, stream) <= after + tries * (MOST_FAILURES + 1)
    else:
        assert requests(tiny, stream) == after + tries

    tiny.faults.clear()
    asked.clear()
    again = read(tiny, stream, state=run.state)
    assert again.error is None
    assert sorted(keys(stream, run, again)) == sorted(CASES[stream].rows(tiny.world))
    assert not done & {*asked.of(stream)}


@pytest.mark.parametrize("stream", ["contact_details", "outreach_email_contents", "notes"])
def test_a_parent_that_cannot_be_read_fails_the_stream_and_says_so(
    tiny: Sandbox,
    stream: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    action = [*CASES[stream].parents.values()][-1]
    tiny.faults.add("status", action=action, status=500)
    run = read(tiny, stream, "users")
    assert isinstance(run.error, SyncError)
    assert run.records["users"]
    (line,) = said(caplog, f"Stream {stream} failed")
    assert f"{action} is needed, and cannot be read: server error (500)." in line
    assert line.endswith("run again.")


def test_requests_are_counted_like_those_of_others(tiny: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    read(tiny, "contact_details")
    assert _counted(caplog, "contact_details") == len(tiny.world.contacts)
    assert any("contact_details: 14 records about contacts, 14 requests" in line for line in caplog.messages)
    caplog.clear()
    tiny.faults.add("redirect", action="contacts/show", after=5)
    read(tiny, "contact_details")
    assert _counted(caplog, "contact_details") == 6


def _counted(caplog: pytest.LogCaptureFixture, stream: str) -> int:
    lines = [line.replace(" ", "") for line in caplog.messages if "http_request_count" in line and stream in line]
    return sum(int(found[1]) for line in lines if (found := re.search(r'"value":(\d+)', line)))


# The plan


def planned(sandbox: Sandbox, stream: str, state: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    writer = _Keep()
    with only(stream):
        tap = TapApollo(config=config_for(sandbox, **settings), state=through_json(state), message_writer=writer)
        streams = tap.streams
    for name, one in streams.items():
        one.selected = name == stream
    (plan,) = json.loads(tap.plan().to_json())["streams"]
    tap.services.session.close()
    assert writer.messages == []
    return dict(plan)


def _all_requests(sandbox: Sandbox, stream: str) -> int:
    actions = [CASES[stream].action, *CASES[stream].parents.values()]
    return sum(int(sandbox.ledger.requests[action]) for action in actions)


@every_stream
def test_the_plan_tells_the_requests_of_a_first_and_of_an_idle_run(team: Sandbox, stream: str) -> None:
    settings: dict[str, Any] = {"custom_fields": "raw", "lookback_days": 5}
    parents = len(CASES[stream].parents)
    plan = planned(team, stream, **settings)
    assert plan["readable"]
    assert plan["records"] is None
    assert team.ledger.requests_total <= 2 * parents + 1
    *others, last = CASES[stream].parents
    assert plan["note"].endswith(f"to read {', '.join(others)} and {last}" if others else f"to read {last}")
    team.reset()
    state = read(team, stream, **settings).state
    first = _all_requests(team, stream)
    assert first <= plan["requests"] <= len(CASES[stream].subjects(team.world)) + parents or not CASES[stream].exact
    assert plan["requests"] == first or not CASES[stream].exact
    assert plan["requests"] >= first
    if stream in {"notes", "outreach_email_contents"}:
        assert plan["requests"] == parents + {"notes": 1 + 14 + 16, "outreach_email_contents": 5}[stream]

    idle = planned(team, stream, state=state, **settings)
    team.reset()
    read(team, stream, state=state, **settings)
    assert _all_requests(team, stream) <= idle["requests"] < max(plan["requests"], 2 * parents + 1)
    if stream in {"deal_details", "task_details", "outreach_email_contents"}:
        assert (idle["requests"], idle["at_least"]) == (parents, True)


@every_stream
def test_the_plan_names_what_is_forbidden(stream: str) -> None:
    with apollo(**TINY, forbid=(CASES[stream].action,)) as sandbox:
        plan = planned(sandbox, stream)
        assert not plan["readable"]
        assert (STREAMS[stream].endpoint.scope or "only a master key may") in plan["problem"]
    parent, action = next(iter(CASES[stream].parents.items()))
    with apollo(**TINY, forbid=(action,)) as sandbox:
        plan = planned(sandbox, stream)
        assert not plan["readable"]
        assert f"the credentials may not read {action} (403, API_INACCESSIBLE)" in plan["problem"]
        assert str(STREAMS[parent].endpoint.scope) in plan["problem"]
        assert not requests(sandbox, stream)


@every_stream
def test_the_plan_notes_the_limit(team: Sandbox, stream: str) -> None:
    plan = planned(team, stream, max_pages={stream: 2})
    assert re.match(r"`max_pages` allows 2 of \d+ requests; with \d to read ", plan["note"])
    assert plan["requests"] == 2 + len(CASES[stream].parents)


@every_stream
def test_the_plan_of_a_team_with_nothing_can_be_read(stream: str) -> None:
    nothing = dict.fromkeys(("contacts", "accounts", "deals", "tasks", "outreach_emails"), 0)
    with apollo(**{**SMALL, **nothing}) as sandbox:
        assert planned(sandbox, stream)["readable"]
        run = read(sandbox, stream)
        assert run.error is None
        assert not requests(sandbox, stream)


def test_the_plan_of_what_was_stopped_counts_what_is_left(big: Sandbox) -> None:
    state = read(big, "deal_details", max_pages={"deal_details": 60}).state
    assert planned(big, "deal_details", state=state)["requests"] == 50 + 2
    state = read(big, "contact_details", state=None, max_pages={"contacts": 1}).state
    assert 25 <= planned(big, "contact_details", state=state)["requests"] < 110


# The activity of contacts in sequences


class TestMoreEventsThanApolloShows:
    @pytest.fixture
    def many(self) -> Iterator[Sandbox]:
        """Without e-mails: an event or two for each sequence, and one contact in all of them."""
        with apollo(outreach_emails=0) as sandbox:
            contact = next(one for one in sandbox.world.contacts if not one.enrollments)
            for number, sequence in enumerate(sandbox.world.sequences):
                status = "finished" if number == 0 else "active"
                sandbox.world.enroll_contact(contact.id, sequence.id, status)
            yield sandbox

    def test_they_are_asked_for_by_sequence(
        self,
        many: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        asked: Asked,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(sequences, "MOST_EVENTS", 5)
        run = read(many, "contact_sequence_activity", strict=True)
        assert run.error is None
        assert sorted(keys("contact_sequence_activity", run)) == sorted(_contact_sequence_activity(many.world))
        times = collections.Counter(asked.of("contact_sequence_activity"))
        assert max(times.values()) == 1 + 5
        assert min(times.values()) == 1
        assert not said(caplog, "incomplete")

    def test_what_cannot_be_read_even_so_is_said(
        self,
        many: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(sequences, "MOST_EVENTS", 2)
        run = read(many, "contact_sequence_activity")
        assert run.error is None
        assert len(keys("contact_sequence_activity", run)) == len({*keys("contact_sequence_activity", run)})
        (line,) = said(caplog, "is incomplete")
        assert "Apollo shows only the latest 2 events in one sequence" in line
        assert isinstance(read(many, "contact_sequence_activity", strict=True).error, SyncError)

    def test_a_state_comes_after_some_requests_not_after_some_contacts(
        self,
        many: Sandbox,
        monkeypatch: pytest.MonkeyPatch,
        asked: Asked,
    ) -> None:
        monkeypatch.setattr(sequences, "MOST_EVENTS", 1)
        writer = Watching(asked)
        watched(many, "contact_sequence_activity", writer)
        most = STATE_EVERY + len(many.world.sequences)
        assert len(asked) > 2 * most
        assert max(after - before for before, after in itertools.pairwise([0, *writer.marks])) <= most

    def test_a_status_that_is_null_is_no_sequence(self, many: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        listed = persons.contact_listed
        monkeypatch.setattr(sequences, "MOST_EVENTS", 5)
        monkeypatch.setattr(
            persons,
            "contact_listed",
            lambda world, one: (
                row | {"contact_campaign_statuses": [None, *row["contact_campaign_statuses"]]}
                if (row := listed(world, one))["contact_campaign_statuses"]
                else row
            ),
        )
        run = read(many, "contact_sequence_activity")
        assert run.error is None
        assert sorted(keys("contact_sequence_activity", run)) == sorted(_contact_sequence_activity(many.world))


def test_events_without_a_sequence_or_an_email_have_a_key(team: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    activity = emails.sequence_activity
    nothing = {"sequence_id": None, "emailer_message_id": None}
    monkeypatch.setattr(
        emails,
        "sequence_activity",
        lambda *arguments: [{**event, **nothing} for event in activity(*arguments)],
    )
    run = read(team, "contact_sequence_activity")
    rows = run.records["contact_sequence_activity"]
    assert len(rows) == len({row["id"] for row in rows}) > 0
    assert {(row["sequence_id"], row["emailer_message_id"]) for row in rows} == {(None, None)}


def test_the_key_of_an_event_does_not_depend_on_how_apollo_writes_it() -> None:
    event: dict[str, Any] = {"type": "replied", "occurred_at": "2026-07-01T10:00:00Z", "sequence_id": "s"}
    others = [
        {**event, "occurred_at": "2026-07-01T12:00:00.000+02:00"},
        {**event, "emailer_message_id": None},
        {**event, "emailer_message_id": "", "step_position": 2},
    ]
    assert {_key_of_event(one) for one in others} == {_key_of_event(event)}


@pytest.mark.parametrize("name", [name for name in sequences.KEY_PARTS if name != "contact_id"])
def test_each_part_of_an_event_makes_it_another_one_even_if_it_cannot_be_read(name: str) -> None:
    event = {"type": "replied", "occurred_at": "2026-07-01T10:00:00Z", "sequence_id": "s", "emailer_message_id": "e"}
    values = ["one", "2026-13-45T99:00:00Z", 7, None]
    assert len({_key_of_event(event), *(_key_of_event({**event, name: value}) for value in values)}) == 5


def _key_of_event(event: dict[str, Any]) -> str:
    io = SimpleNamespace(
        ask=lambda _: {"events": [event]}, endpoint=sequences.ContactSequenceActivity.endpoint, cut_short=None
    )
    [row] = sequences.events_of(cast("Any", io), [{"id": "c"}], cast("Any", None))
    return str(row["id"])


# Everything again


def aged(state: Any, days: int) -> Any:
    """Return a state as if its runs had been so many days ago."""
    if isinstance(state, list):
        return [aged(one, days) for one in state]
    if not isinstance(state, dict):
        return state
    found = {name: aged(value, days) for name, value in state.items()}
    for name in ("ended_at", "walked_at"):
        if name in found:
            moment = datetime.datetime.fromisoformat(found[name]) - datetime.timedelta(days=days)
            found[name] = moment.isoformat(timespec="seconds")
    return found


@every_stream
def test_everything_is_asked_again_after_the_days_of_the_setting(team: Sandbox, stream: str, asked: Asked) -> None:
    settings: dict[str, Any] = {"full_refresh_days": {stream: 7}, "lookback_days": 0}
    state = read(team, stream, **settings).state
    asked.clear()
    read(team, stream, state=aged(state, 6), **settings)
    assert {*asked.take(stream)} == looked_back_at(team, stream, state, 0)
    of_parents = dict.fromkeys((parent for parent in CASES[stream].parents if parent in REFRESHED), 7)
    others = {"full_refresh_days": of_parents, "credit_refresh_days": 7}
    read(team, stream, state=aged(state, 7), **others, lookback_days=0)
    assert {*asked.take(stream)} == looked_back_at(team, stream, state, 0)
    again = read(team, stream, state=aged(state, 7), **settings)
    assert sorted({*asked.take(stream)}) == sorted(CASES[stream].subjects(team.world))
    read(team, stream, state=again.state, **settings)
    assert {*asked.take(stream)} == looked_back_at(team, stream, state, 0)


@pytest.mark.parametrize("stream", ["contact_details", "account_details", "deal_details", "outreach_email_contents"])
def test_that_takes_as_many_runs_and_days_as_it_takes(
    big: Sandbox,
    stream: str,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings: dict[str, Any] = {"full_refresh_days": {stream: 1}, "lookback_days": 0}
    limit = LIMITS.get(stream, 45)
    state = aged(read(big, stream, **settings).state, 1)
    asked.clear()
    for _ in range(8):
        caplog.clear()
        run = read(big, stream, state=state, max_pages={stream: limit}, **settings)
        if not said(caplog, "stopped at"):
            break
        state = aged(run.state, 1)
    assert sorted(asked.of(stream)) == sorted(CASES[stream].subjects(big.world))


# States


def asked_of(parent: str, asked: Any) -> dict[str, Any]:
    """Return a bookmark with what was asked about a parent's records."""
    return {"place": [{"parents": {parent: asked}}]}


GARBAGE: dict[str, Callable[[dict[str, Any], str], Any]] = {
    "place null": lambda _, __: {"place": None},
    "place without list": lambda asked, parent: {"place": asked_of(parent, asked)["place"][0]},
    "two places": lambda asked, parent: {"place": asked_of(parent, asked)["place"] * 2},
    "parents null": lambda _, __: {"place": [{"parents": None}]},
    "parents list": lambda _, __: {"place": [{"parents": []}]},
    "parents text": lambda _, __: {"place": [{"parents": "contacts"}]},
    "parent unknown": lambda asked, parent: asked_of(f"other {parent}", asked),
    "asked null": lambda _, parent: asked_of(parent, None),
    "asked list": lambda asked, parent: asked_of(parent, [*asked["keys"]]),
    "asked number": lambda _, parent: asked_of(parent, 5),
    "keys null": lambda asked, parent: asked_of(parent, {**asked, "keys": None}),
    "keys number": lambda asked, parent: asked_of(parent, {**asked, "keys": 7}),
    "keys of lists": lambda asked, parent: asked_of(parent, {**asked, "keys": [[1], {}]}),
    "keys text": lambda asked, parent: asked_of(parent, {**asked, "keys": "abc"}),
    "end text": lambda asked, parent: asked_of(parent, {**asked, "ended_at": "once"}),
    "end number": lambda asked, parent: asked_of(parent, {**asked, "ended_at": "7"}),
    "end without zone": lambda asked, parent: asked_of(parent, {**asked, "ended_at": "2026-01-01T00:00:00"}),
    "older form": lambda asked, parent: {"parents": {parent: {"asked": {"keys": asked["keys"]}}}},
    "much older form": lambda _, parent: {"asked": {parent: {}}, "next": 3},
}


@pytest.mark.matrix
@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("stream", ["contact_details", "outreach_email_contents"])
def test_from_a_state_of_another_form_everything_is_asked_anew(tiny: Sandbox, stream: str, garbage: str) -> None:
    parent = next(iter(CASES[stream].parents))
    settings: dict[str, Any] = {"full_refresh_days": {stream: 90}, "lookback_days": 3650}
    state = read(tiny, stream, **settings).state
    state["bookmarks"][stream] = GARBAGE[garbage](parent_of(state, stream, parent), parent)
    run = read(tiny, stream, state=state, **settings)
    assert run.error is None
    assert {*keys(stream, run)} == {*CASES[stream].rows(tiny.world)}
    assert planned(tiny, stream, state=state, **settings)["readable"]
    assert not read(tiny, stream, state=run.state, **settings).records[stream]


@pytest.mark.matrix
@pytest.mark.parametrize("stream", ["contact_details", "account_details", "deal_details", "outreach_email_activities"])
@pytest.mark.parametrize("walk", [None, [], "x", {"version": 99}, {}, {"known_ids": ["a"]}])
def test_a_place_in_the_list_that_cannot_be_used_costs_no_record(tiny: Sandbox, stream: str, walk: Any) -> None:
    first = read(tiny, stream)
    state = first.state
    for asked in place(state, stream)["parents"].values():
        asked["walk"] = walk
    second = read(tiny, stream, state=state)
    assert second.error is None
    assert {*keys(stream, first, second)} == {*CASES[stream].rows(tiny.world)}


@every_stream
def test_the_state_of_another_team_hides_nothing(tiny: Sandbox, stream: str) -> None:
    state = read(tiny, stream).state
    with apollo(**{**TINY, "seed": 99}) as other:
        run = read(other, stream, state=state)
        assert {*keys(stream, run)} == {*CASES[stream].rows(other.world)}


# Rate windows


@pytest.mark.parametrize("stream", ["contact_details", "deal_details", "outreach_email_contents"])
def test_a_window_that_closes_for_too_long_ends_the_stream_and_the_next_run_goes_on(
    seconds: Seconds,
    stream: str,
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
) -> None:
    batch, window = CASES[stream].batch, 1 if CASES[stream].batch > 1 else 4
    with apollo(seconds, **TINY, limit=(f"{CASES[stream].action}={window}/0/0",)) as sandbox:
        runs: list[Sync] = []
        for _ in range(8):
            caplog.clear()
            state = runs[-1].state if runs else None
            before = requests(sandbox, stream)
            runs.append(read(sandbox, stream, "users", state=state, max_wait_seconds=0))
            assert runs[-1].error is None
            assert runs[-1].records["users"]
            if not said(caplog, f"Stream {stream} is incomplete: the rate limit of "):
                break
            assert requests(sandbox, stream) - before == window
            seconds.passed += 61
        assert sandbox.ledger.rate_limited_total == 0
        assert sorted(keys(stream, *runs)) == sorted(CASES[stream].rows(sandbox.world))
        assert sorted(asked.of(stream)) == sorted(CASES[stream].subjects(sandbox.world))
        assert len(runs) >= -(-len(asked) // (window * batch))
        assert len(runs) > 1


def test_a_window_that_opens_soon_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.install(monkeypatch)
    began = clock.now
    with apollo(clock.monotonic, **TINY, limit=("contacts/show=5/0/0",)) as sandbox:
        run = read(sandbox, "contact_details", custom_fields="raw")
        assert run.error is None
        assert sandbox.ledger.rate_limited_total == 0
        assert sorted(keys("contact_details", run)) == sorted(_contact_details(sandbox.world))
    assert 0 < clock.now - began < 200


def test_credentials_that_are_refused_end_the_run_at_once(tiny: Sandbox) -> None:
    run = sync_with({"api_url": tiny.url, "api_key": "wrong"}, [*CASES])
    assert isinstance(run.error, ApolloError)
    assert tiny.ledger.requests_total == 1


@pytest.mark.parametrize("refusal", [{"status": 500}, {"status": 422}], ids=str)
def test_one_record_that_cannot_be_read_does_not_stop_the_others_and_is_asked_for_again(
    own: Sandbox,
    refusal: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Client, "max_tries", 1)
    ids = {*own.world.contacts.ids}
    own.faults.add("status", action="contacts/show", after=7, times=1, **refusal)
    first = sync(own, "contact_details")
    assert first.error is not None
    missed = ids - {*first.ids("contact_details")}
    assert len(missed) == 1
    second = sync(own, "contact_details", state=first.state)
    assert second.error is None
    assert {*second.ids("contact_details")} == missed
    assert not sync(own, "contact_details", state=second.state).records


def test_an_endpoint_that_fails_for_all_is_given_up(own: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "max_tries", 1)
    own.faults.add("status", action="contacts/show", status=500)
    own.reset()
    assert sync(own, "contact_details").error is not None
    assert own.ledger.as_dict()["requests"]["contacts/show"] == MOST_FAILURES
