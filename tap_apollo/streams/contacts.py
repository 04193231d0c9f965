"""The people a team has saved, their stages, and where they stand in sequences."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.paging import Listing
from tap_apollo.report import counted
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.base import NewestFirstStream, cut_by
from tap_apollo.streams.custom_fields import CustomFieldsMixin
from tap_apollo.streams.deals import DealMixin
from tap_apollo.streams.derived import DerivedStream
from tap_apollo.streams.per_record import PerRecordStream
from tap_apollo.streams.workspace import Lists

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.streams.base import ResumableStream


class Contacts(CustomFieldsMixin, NewestFirstStream):
    """Contacts, by last update."""

    name = "contacts"
    endpoint = POST(
        "contacts/search", paged=by_number, rows="contacts", scope="api/v1/contacts/search", oauth="contacts_search"
    )
    replication_key = "updated_at"
    modality = "contact"

    @property
    @override
    def listing(self) -> Listing:
        return Listing(
            parameters={"sort_by_field": "contact_updated_at", "sort_ascending": False},
            key=self.key,
            new_mark=self.new_mark,
            slices=lambda: cut_by("contact_stage_ids", self.lookup(ContactStages)),
            newest={"sort_by_field": "contact_created_at", "sort_ascending": False},
            oldest={"sort_by_field": "contact_created_at", "sort_ascending": True},
            labels=lambda: cut_by("contact_label_ids", self.lookup(Lists), modality="contacts"),
            display_limit=self.endpoint.display_limit,
        )

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        for child in self._derived:
            child.open()
        yield from super().get_records(context)
        for child in self._derived:
            child.close()

    @override
    def drop_others(self) -> None:
        for child in self._derived:
            child.drop_others()
        super().drop_others()

    @override
    def generate_child_contexts(self, record: Record, context: Context | None) -> Iterable[Context | None]:
        """Hand the record to the streams derived from it, which need no context and no sync of their own."""
        for child in self._derived:
            child.feed(record)
        return ()

    @functools.cached_property
    def _derived(self) -> list[DerivedStream]:
        return [child for child in self.child_streams if isinstance(child, DerivedStream) and child.selected]


class ContactSequenceStatuses(DerivedStream):
    """One row per contact and sequence; Apollo's ``id`` of a status is not unique across contacts."""

    name = "contact_sequence_statuses"
    parent_stream_type = Contacts
    primary_keys = ("contact_id", "emailer_campaign_id")

    @override
    def derive(self, record: Record) -> Iterable[Record]:
        for status in filter(None, record.get("contact_campaign_statuses") or ()):
            yield {**status, "contact_id": record["id"]}


class ContactDetails(CustomFieldsMixin, PerRecordStream):
    """Contacts as their own endpoint shows them."""

    name = "contact_details"
    endpoint = GET("contacts/{id}", rows="contact", scope="api/v1/contacts/show", oauth="contact_read")
    modality = "contact"
    parents = (Contacts,)


class ContactDeals(DealMixin, PerRecordStream):
    """The deals that each contact has a part in, with that part."""

    name = "contact_deals"
    # measured by others; the vendor's reference names opportunities_list
    endpoint = POST(
        "contacts/{id}/opportunities", rows="opportunities", scope="deals/api/v1/opportunities/search", oauth=None
    )
    primary_keys = ("contact_id", "id")
    parents = (Contacts,)

    @override
    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        return [{**deal, "contact_id": records[0]["id"]} for deal in self.read_records(self.about(records[0]))]


class ContactSequenceActivity(PerRecordStream):
    """What happened to contacts in sequences, of which Apollo shows the latest 50 events at once."""

    name = "contact_sequence_activity"
    endpoint = POST(
        "emailer_campaigns/activity_feed",
        rows="events",
        scope="api/v1/emailer_campaigns/activity_feed",
        oauth="emailer_campaigns_activity_feed",
    )
    primary_keys = ("contact_id", "type", "occurred_at", "sequence_id", "emailer_message_id")
    parents = (Contacts,)

    most_events: ClassVar[int] = 50

    _cut = 0

    @override
    def asks_about(self, record: Record) -> bool:
        return bool(record.get("contact_campaign_statuses"))

    @override
    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        """Ask for a contact's events, and where that may not be all, sequence by sequence."""
        contact = records[0]
        events, cut = self._events(contact["id"]), False
        if len(events) == self.most_events:
            sequences = (one["emailer_campaign_id"] for one in filter(None, contact["contact_campaign_statuses"]))
            for sequence_id in dict.fromkeys(sequences):
                more = self._events(contact["id"], sequence_id=sequence_id)
                cut = cut or len(more) == self.most_events
                events += more
            self._cut += cut
        rows = ({"contact_id": contact["id"], **event, **_filled(event)} for event in events)
        return [*{tuple(row.get(name) for name in self.primary_keys): row for row in rows}.values()]

    def _events(self, contact_id: str, **filters: str) -> list[Record]:
        return self.read_records(self.ask({"contact_id": contact_id, "per_page": self.most_events, **filters}))

    @override
    def ended(self, delivered: int, seconds: float) -> None:
        super().ended(delivered, seconds)
        if self._cut:
            contacts = counted(self._cut, "contact")
            text = f"of {contacts} Apollo shows only the latest {self.most_events} events in one sequence"
            self.run.report.incomplete(self.name, text)


def _filled(event: Record) -> Record:
    """Return what of an event's key may be absent or null."""
    return {name: event.get(name) or "" for name in ("sequence_id", "emailer_message_id")}


class ContactStages(ApolloStream):
    """The stages that contacts move through."""

    name = "contact_stages"
    endpoint = GET(
        "contact_stages", rows="contact_stages", scope="api/v1/contact_stages/index", oauth="contact_stages_list"
    )
