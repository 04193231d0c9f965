"""Recorded calls and meetings, and what was said in them, which is charged."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.credits import CONVERSATION, Price
from tap_apollo.paging import PER_PAGE
from tap_apollo.readers.purchase import Purchase, Records
from tap_apollo.readers.windows import Windows
from tap_apollo.singer.memory import Buys, RecordsPlace, WindowPlace
from tap_apollo.singer.stream import ApolloStream

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.helpers.types import Record

    from tap_apollo.paging import DateWindow
    from tap_apollo.readers.purchase import Buying, Wanted


def has_insights(conversation: Record) -> bool:
    """Whether Apollo drew insights from a conversation, which is what it charges for; in doubt, it did."""
    return conversation.get("state") != "failed" or bool(conversation.get("transcript"))


def held_within(window: DateWindow) -> dict[str, Any]:
    """Return the filters for conversations that began on some days; the last ends where the next day begins."""
    end = window.last + datetime.timedelta(days=1)
    return {"date_range": {"start": f"{window.first}T00:00:00Z", "end": f"{end}T00:00:00Z"}}


class Conversations(ApolloStream):
    """Recorded calls and meetings, by the moment they began; what was said in them is charged and not read here."""

    name = "conversations"
    endpoint = POST(
        "conversations/search",
        rows="conversations",
        paged=by_number,
        oauth="conversations_search",
        parameters={"num_fetch_result": PER_PAGE},  # the documented page size here; the others' `per_page` goes too
    )
    replication_key = "start_time"
    reads = Windows(held_within)


class Transcripts(Records):
    """Conversations in full; one without insights is free, and asked for again while it is recent."""

    asks_for = "conversations"
    sources = (Conversations,)
    remembers = Buys[RecordsPlace[WindowPlace]]

    @override
    def asked(self, batch: list[Wanted], rows: list[Record], buying: Buying) -> Iterable[str]:
        return [key for one, row in zip(batch, rows, strict=False) if has_insights(row) for key in one.keys]

    @override
    def cost(self, reply: Any, batch: list[Wanted], buying: Buying) -> int:
        return buying.price.credits if has_insights(reply) else 0


class ConversationDetails(ApolloStream):
    """Conversations with their transcripts; one without insights is free, and asked for again while it is recent."""

    name = "conversation_details"
    endpoint = GET("conversations/{id}", oauth="conversations_show", gone={404: ("conversation not found",)})
    reads = Purchase(
        Price(
            1,
            "conversation",
            kind=CONVERSATION,
            free="a conversation without AI insights",
            detail="with AI insights",
            sure="documented; that a failed conversation without a transcript has none is inferred",
        ),
        Transcripts(),
    )
