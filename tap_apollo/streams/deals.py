"""Deals, which Apollo's API calls opportunities, and their stages."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

from typing_extensions import override

from tap_apollo.api.endpoint import GET, by_number
from tap_apollo.singer.conform import timestamp
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.base import ListStream
from tap_apollo.streams.custom_fields import CustomFieldsMixin
from tap_apollo.streams.per_record import PerRecordStream

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context, Record


class DealMixin(CustomFieldsMixin):
    """A stream whose rows are deals."""

    modality = "opportunity"

    @override
    def shaped(self, row: Record, context: Context | None) -> Record:
        """Fill ``created_at``, which Apollo has renamed; the id of a deal begins with its moment of creation."""
        deal = super().shaped(row, context)
        deal["created_at"] = (
            deal.get("opportunity_created_at")
            or deal.get("created_at")
            or timestamp(datetime.datetime.fromtimestamp(int(deal["id"][:8], 16), tz=datetime.timezone.utc).isoformat())
        )
        return deal


class Deals(DealMixin, ListStream):
    """Deals of all pipelines."""

    name = "deals"
    endpoint = GET(
        "opportunities/search",
        paged=by_number,
        rows="opportunities",
        scope="deals/api/v1/opportunities/search",
        oauth="opportunities_list",
    )


class DealDetails(DealMixin, PerRecordStream):
    """Deals as their own endpoint shows them."""

    name = "deal_details"
    endpoint = GET(
        "opportunities/{id}", rows="opportunity", scope="deals/api/v1/opportunities/show", oauth="opportunity_read"
    )
    parents = (Deals,)


class DealStages(ApolloStream):
    """The stages that deals move through, each of one pipeline."""

    name = "deal_stages"
    endpoint = GET(
        "opportunity_stages",
        rows="opportunity_stages",
        scope="deals/api/v1/opportunity_stages/index",
        oauth="opportunity_stages_list",
    )
