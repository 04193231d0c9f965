"""The people a team has saved, their stages, and where they stand in sequences."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_apollo.client import ApolloStream
from tap_apollo.paging import Listing
from tap_apollo.streams.base import CustomFieldsMixin, DerivedStream, NewestFirstStream, cut_by

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record


class Contacts(CustomFieldsMixin, NewestFirstStream):
    """Contacts, by last update."""

    name = "contacts"
    path = "/contacts/search"
    http_method = "POST"
    scope = "api/v1/contacts/search"
    oauth_scope = "contacts_search"
    records_key = "contacts"
    replication_key = "updated_at"
    modality = "contact"

    @property
    @override
    def listing(self) -> Listing:
        return Listing(
            parameters={"sort_by_field": "contact_updated_at", "sort_ascending": False},
            key=self.key,
            new_mark=self.new_mark,
            slices=lambda: cut_by("contact_stage_ids", self._tap.lookup("contact_stages")),
            newest={"sort_by_field": "contact_created_at", "sort_ascending": False},
            oldest={"sort_by_field": "contact_created_at", "sort_ascending": True},
            labels=lambda: cut_by("contact_label_ids", self._tap.lookup("lists"), modality="contacts"),
            display_limit=self.display_limit,
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


class ContactStages(ApolloStream):
    """The stages that contacts move through."""

    name = "contact_stages"
    path = "/contact_stages"
    scope = "api/v1/contact_stages/index"
    oauth_scope = "contact_stages_list"
    records_key = "contact_stages"
