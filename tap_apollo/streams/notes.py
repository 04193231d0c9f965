"""What people wrote on contacts, accounts and deals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_apollo.api.endpoint import GET
from tap_apollo.paging import PER_PAGE, Listing, ListWalk
from tap_apollo.readers.prefetch import Reading
from tap_apollo.singer.conform import timestamp
from tap_apollo.streams.accounts import Accounts
from tap_apollo.streams.contacts import Contacts
from tap_apollo.streams.deals import Deals
from tap_apollo.streams.per_record import PerRecordStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.paging import PageRequest
    from tap_apollo.streams.base import ResumableStream


def by_skipping(request: PageRequest) -> dict[str, Any]:
    """Return the parameters of a page; oldest first: what is written meanwhile comes last, and moves nothing."""
    page = {"skip": request.first, "limit": request.per_page}
    return {**page, "sort_by_field": "created_at", "sort_direction": "asc"}


class Notes(PerRecordStream):
    """The notes on contacts, asked for by the hundred, and on accounts and deals, which can be asked for one by one."""

    name = "notes"
    endpoint = GET("notes", paged=by_skipping, rows="notes", scope="meetings/api/v1/notes/index", oauth="notes_list")
    replication_key = "updated_at"
    parents = (Contacts, Accounts, Deals)

    _of: ClassVar[dict[str, str]] = {
        Contacts.name: "contact_ids",
        Accounts.name: "account_id",
        Deals.name: "opportunity_id",
    }

    @override
    def batch_of(self, parent: ResumableStream) -> int:
        return PER_PAGE if self._of[parent.name].endswith("s") else 1

    @override
    def rows_about(self, records: list[Record], parent: ResumableStream) -> list[Record]:
        """Read the list of notes on some records, which comes without a total."""
        ids = [record["id"] for record in records]
        name = self._of[parent.name]
        since = self.config.get("start_date")
        created = {"start_date": timestamp(since)[:10]} if since else {}
        walk = ListWalk(Listing({name: ids if name.endswith("s") else ids[0], **created}))
        return [note for notes in Reading(walk, self.fetch) for note in notes]

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the stream, and keep the moment of the last change as the bookmark."""
        latest = self.stream_state.get("replication_key_value") or ""
        for row in super().get_records(context):
            latest = max(latest, row["updated_at"] or "")
            yield row
        if latest:
            self.stream_state.update(replication_key=self.replication_key, replication_key_value=latest)
