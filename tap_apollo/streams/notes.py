"""What people wrote on contacts, accounts and deals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_apollo.api.endpoint import GET
from tap_apollo.paging import PER_PAGE, Listing, ListWalk
from tap_apollo.readers.cursor import Cursor, Fleeting
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.singer.conform import moment
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.accounts import Accounts
from tap_apollo.streams.contacts import Contacts
from tap_apollo.streams.deals import Deals

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_apollo.paging import PageRequest
    from tap_apollo.readers.io import StreamIO

#: What names the records that notes are asked for about: several contacts, one of the others.
_OF = {"contacts": "contact_ids", "accounts": "account_id", "deals": "opportunity_id"}


def by_skipping(request: PageRequest) -> dict[str, Any]:
    """Return the parameters of a page; oldest first: what is written meanwhile comes last, and moves nothing."""
    page = {"skip": request.first, "limit": request.per_page}
    return {**page, "sort_by_field": "created_at", "sort_direction": "asc"}


def notes_on(io: StreamIO, records: list[Record], parent: StreamIO) -> list[Record]:
    """Read the list of notes on some records, which comes without a total, and note the last change as the bookmark."""
    name, ids = _OF[parent.name], [record["id"] for record in records]
    about = {name: ids if name.endswith("s") else ids[0]}
    created = {"start_date": io.start[:10]} if io.start else {}
    cursor = Cursor(io, Fleeting(ListWalk(Listing({**about, **created}))))
    notes = [note for some in cursor for note in some]
    changes = [io.place.latest, *(moment(note.get("updated_at")) for note in notes)]
    io.place.latest = max(filter(None, changes), default=None)
    return notes


class Notes(ApolloStream):
    """The notes on contacts, asked for by the hundred, and on accounts and deals, which can be asked for one by one."""

    name = "notes"
    endpoint = GET("notes", rows="notes", paged=by_skipping, area="meetings/", oauth="notes_list")
    replication_key = "updated_at"
    reads = PerRecord(Contacts, Accounts, Deals, ask=notes_on, batches={Contacts: PER_PAGE})
