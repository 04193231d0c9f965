"""Sequences, which the API calls emailer campaigns: where contacts stand in them, and what happened to them there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_apollo.api.endpoint import GET, POST, by_number, id_of
from tap_apollo.readers.derived import Derived
from tap_apollo.readers.lists import Unordered
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.singer.conform import key_of, moment
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.contacts import Contacts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Record

    from tap_apollo.readers.io import StreamIO

#: Most events of a contact that Apollo shows at once.
MOST_EVENTS = 50

#: What tells one event of a contact from another.
KEY_PARTS = ("contact_id", "type", "occurred_at", "sequence_id", "emailer_message_id")


class Sequences(ApolloStream):
    """Sequences with their statistics."""

    name = "sequences"
    endpoint = POST(
        "emailer_campaigns/search", rows="emailer_campaigns", paged=by_number, oauth="emailer_campaigns_search"
    )
    reads = Unordered()


def statuses_of(contact: Record) -> Iterable[Record]:
    """Return where a contact stands in each of its sequences."""
    for status in filter(None, contact.get("contact_campaign_statuses") or ()):
        yield {**status, "contact_id": contact["id"]}


class ContactSequenceStatuses(ApolloStream):
    """One row per contact and sequence; Apollo's ``id`` of a status is not unique across contacts."""

    name = "contact_sequence_statuses"
    parent_stream_type = Contacts
    primary_keys = ("contact_id", "emailer_campaign_id")
    reads = Derived(Contacts, statuses_of)


def is_in_a_sequence(contact: Record) -> bool:
    """Whether a contact is or was in a sequence."""
    statuses = contact.get("contact_campaign_statuses")
    return isinstance(statuses, list) and bool(statuses)


def events_of(io: StreamIO, contacts: list[Record], _: StreamIO) -> list[Record]:
    """Ask for a contact's events, and where that may not be all, sequence by sequence."""
    contact = contacts[0]

    def ask(**filters: str) -> list[Record]:
        reply = io.ask({"contact_id": contact["id"], "per_page": MOST_EVENTS, **filters})
        return io.endpoint.records(reply)

    events, cut = ask(), False
    if len(events) == MOST_EVENTS:
        for sequence_id in _sequences_of(contact):
            more = ask(sequence_id=sequence_id)
            cut = cut or len(more) == MOST_EVENTS
            events += more
    if cut:
        io.cut_short["contact", f"Apollo shows only the latest {MOST_EVENTS} events in one sequence"] += 1
    rows = (_with_key({**event, "contact_id": contact["id"]}) for event in events)
    return [*{row["id"]: row for row in rows}.values()]


def _sequences_of(contact: Record) -> list[str]:
    statuses = contact["contact_campaign_statuses"]
    ids = (id_of(one.get("emailer_campaign_id")) for one in statuses if isinstance(one, dict))
    return [*dict.fromkeys(filter(None, ids))]


def _with_key(event: Record) -> Record:
    """Return an event with a key of the tap's own: Apollo gives it none, and any part of it may be absent, not all."""
    parts = {name: event.get(name) or None for name in KEY_PARTS}
    at = parts["occurred_at"]
    key = key_of(*{**parts, "occurred_at": moment(at) or at}.values())
    return {**event, **parts, "id": key if any(event.get(name) for name in KEY_PARTS[1:]) else None}


class ContactSequenceActivity(ApolloStream):
    """What happened to contacts in sequences, of which Apollo shows the latest 50 events at once."""

    name = "contact_sequence_activity"
    endpoint = POST(
        "emailer_campaigns/activity_feed",
        rows="events",
        oauth="emailer_campaigns_activity_feed",
        gone={404: ("contact not found",)},
    )
    reads = PerRecord(Contacts, ask=events_of, about=is_in_a_sequence)


class EmailSchedules(ApolloStream):
    """The hours in which sequences may send."""

    name = "email_schedules"
    endpoint = GET("emailer_schedules", rows="emailer_schedules", oauth="emailer_schedules_list")
