"""Deals, which Apollo's API calls opportunities, and their stages."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from tap_apollo.api.endpoint import GET, by_number
from tap_apollo.readers.lists import Unordered
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.singer.conform import timestamp
from tap_apollo.singer.custom_fields import FieldsByLabel
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.fields import CustomFields

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record


def fill_created_at(deal: Record) -> None:
    """Fill ``created_at``, which Apollo has renamed; the id of a deal begins with its moment of creation."""
    deal["created_at"] = deal.get("opportunity_created_at") or deal.get("created_at") or created_by_id(deal["id"])


def created_by_id(record_id: str) -> str | None:
    """Return the moment that an id of Apollo's begins with (recorded); None if it is of another form."""
    try:
        seconds = int(record_id[:8], 16)
    except (TypeError, ValueError):
        return None
    return timestamp(datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc).isoformat())


#: How the rows of all streams of deals become records.
DEAL = FieldsByLabel(CustomFields, "opportunity", then=fill_created_at)


class Deals(ApolloStream):
    """Deals of all pipelines."""

    name = "deals"
    endpoint = GET(
        "opportunities/search", rows="opportunities", paged=by_number, area="deals/", oauth="opportunities_list"
    )
    reads = Unordered()
    conform = DEAL


class DealDetails(ApolloStream):
    """Deals as their own endpoint shows them."""

    name = "deal_details"
    endpoint = GET(
        "opportunities/{id}",
        rows="opportunity",
        area="deals/",
        oauth="opportunity_read",
        gone={404: ("not found",), 422: ("is not a valid id",)},
    )
    reads = PerRecord(Deals)
    conform = DEAL


class DealStages(ApolloStream):
    """The stages that deals move through, each of one pipeline."""

    name = "deal_stages"
    endpoint = GET("opportunity_stages", rows="opportunity_stages", area="deals/", oauth="opportunity_stages_list")
