"""The people a team has saved, and their stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.readers.lists import Cut, NewestFirst
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.singer.custom_fields import FieldsByLabel
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.deals import DEAL
from tap_apollo.streams.fields import CustomFields, Lists

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_apollo.readers.io import StreamIO


class ContactStages(ApolloStream):
    """The stages that contacts move through."""

    name = "contact_stages"
    endpoint = GET("contact_stages", rows="contact_stages", oauth="contact_stages_list")


class Contacts(ApolloStream):
    """Contacts, by last update."""

    name = "contacts"
    endpoint = POST("contacts/search", rows="contacts", paged=by_number, oauth="contacts_search")
    replication_key = "updated_at"
    reads = NewestFirst(
        "contact_updated_at",
        created="contact_created_at",
        slices=Cut("contact_stage_ids", ContactStages),
        labels=Cut("contact_label_ids", Lists, modality="contacts"),
    )
    conform = FieldsByLabel(CustomFields, "contact")


#: What Apollo says of a contact that is not there.
NO_CONTACT = {422: ("does not exist", "has been deleted")}


class ContactDetails(ApolloStream):
    """Contacts as their own endpoint shows them."""

    name = "contact_details"
    endpoint = GET(
        "contacts/{id}",
        rows="contact",
        oauth="contact_read",
        gone=NO_CONTACT,
    )
    reads = PerRecord(Contacts)
    conform = FieldsByLabel(CustomFields, "contact")


def deals_of(io: StreamIO, contacts: list[Record], _: StreamIO) -> list[Record]:
    """Ask for the deals that a contact has a part in."""
    contact_id = contacts[0]["id"]
    return [{**deal, "contact_id": contact_id} for deal in io.endpoint.records(io.ask(record_id=contact_id))]


class ContactDeals(ApolloStream):
    """The deals that each contact has a part in, with that part."""

    name = "contact_deals"
    endpoint = POST(
        "contacts/{id}/opportunities",
        rows="opportunities",
        scope="deals/api/v1/opportunities/search",
        oauth=None,  # measured by others; the vendor's reference names opportunities_list
        gone=NO_CONTACT,  # for which no words are documented: those of contacts/{id}
    )
    primary_keys = ("contact_id", "id")
    reads = PerRecord(Contacts, ask=deals_of)
    conform = DEAL
