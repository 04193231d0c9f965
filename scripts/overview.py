"""What is said of all streams at once: how many there are, what they take, what to select, and what they cost."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from scripts.hub_definition import selection
from scripts.stream_pages import credits_of, most_of
from tap_apollo.credits import PHONE_NUMBER
from tap_apollo.readers.derived import Derived
from tap_apollo.readers.lists import FreeSearches, FrontierFirst, NewestFirst, Unordered, Whole
from tap_apollo.readers.per_record import PerRecord
from tap_apollo.readers.purchase import Purchase
from tap_apollo.readers.windows import Windows
from tap_apollo.streams import CREDIT_STREAMS, STREAMS
from tap_apollo.streams.analytics import Reports
from tap_apollo.streams.enrichment import PendingResults

if TYPE_CHECKING:
    from tap_apollo.readers.reader import Reader
    from tap_apollo.singer.stream import ApolloStream

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

#: Of which streams that ask about each record README says more.
_PECULIAR = "contents 1 per ten, contacts' notes 1 per hundred; activities every e-mail of the last `lookback_days`"

#: What README says of the streams that are read in a way: their requests after the first run, their credits.
_WAYS: dict[tuple[type[Reader], ...], tuple[str, str]] = {
    (NewestFirst,): ("a page per 100 changes, and 1", "0"),
    (FrontierFirst,): ("a page per 100 changes, and 3; all pages once a day", "0"),
    (Unordered,): ("all pages: the API tells no changes", "0"),
    (Windows,): ("the pages of the last `lookback_days`", "0"),
    (Whole,): ("1 each", "0"),
    (FreeSearches, Reports): ("a page per 100 people found; 1 per report", "0"),
    (PerRecord,): (
        f"1 per record that is new or has changed; {_PECULIAR}",
        "0",
    ),
    (Purchase,): (
        "within the budget, each thing once",
        f"1 per page, company, person or conversation; {PHONE_NUMBER} more for a mobile number",
    ),
    (PendingResults,): ("1 per result that is pending", "0"),
}

_DEFINITION = """\
```yaml
plugins:
  extractors:
    - name: tap-apollo
      namespace: tap_apollo
      pip_url: ../tap-apollo
      capabilities: [catalog, discover, state]
      settings: [{{name: api_key, sensitive: true}}, {{name: start_date}}]
{select}
      config:
        api_key: $APOLLO_API_KEY
        start_date: "2024-01-01T00:00:00Z"
```"""


def spelled(number: int) -> str:
    """Return a number as it begins a sentence."""
    return _WORDS[number].capitalize() if number < len(_WORDS) else f"{number:,}"


def counts() -> dict[str, str]:
    """Return how many streams are free, cost credits, and are off by default, as pages have it."""
    off = sum(not one.selected_by_default for one in STREAMS.values() if not one.reads.costs)
    return {
        "free": f"{len(STREAMS) - len(CREDIT_STREAMS)}",
        "charged": spelled(len(CREDIT_STREAMS)),
        "off": spelled(off),
    }


def streams_table() -> str:
    """Return README's table of the streams, by the ways in which they are read."""
    rows = ["| streams | requests of a run after the first | credits |", "|---|---|---|"]
    by_way: dict[type[Reader], list[str]] = {way: [] for ways in _WAYS for way in ways}
    for name, stream in STREAMS.items():
        by_way[_way_of(stream, [*by_way])].append(name)
    for ways, (requests, cost) in _WAYS.items():
        off = "" if ways[0].on_by_default else "*off by default:* "
        names = ", ".join(name for way in ways for name in by_way[way])
        rows.append(f"| {off}{names} | {requests} | {cost} |")
    return "\n".join(rows)


def _way_of(stream: type[ApolloStream], ways: list[type[Reader]]) -> type[Reader]:
    """Return the way in which a stream is read; one that is derived from another is counted with the other."""
    reads = stream.reads.parent.reads if isinstance(stream.reads, Derived) else stream.reads
    return next(way for way in ways if isinstance(reads, way))


def price_table() -> str:
    """Return the prices of the streams that cost credits."""
    rows = ["| stream | price | free | most in one request | how sure |", "|---|---|---|---|---|"]
    for name, stream in CREDIT_STREAMS.items():
        assert isinstance(stream.reads, Purchase)
        price = stream.reads.price
        most = f"{price.batch * price.credits:,}"
        if price.batch > 1:
            most += f", for {most_of(name, stream.reads)}"
        if price.surcharge:
            most += f"; {price.batch * (price.credits + PHONE_NUMBER):,} with phone numbers"
            most += f"; {price.batch:,} times `max_waterfall_credits` more with a waterfall"
        rows.append(f"| {name} | {credits_of(stream.reads, price.detail)} | {price.free} | {most} | {price.sure} |")
    return "\n".join(rows)


def example_definition() -> str:
    """Return the definition of the tap that README shows, with what Meltano is to select."""
    patterns = ", ".join(f'"{pattern}"' for pattern in selection())
    select = textwrap.wrap(f"      select: [{patterns}]", 120, subsequent_indent=" " * 15, break_long_words=False)
    return _DEFINITION.format(select="\n".join(select))


def meltano_selection() -> str:
    """Return the lines below ``select`` in meltano.yml."""
    return "\n".join(f'        - "{pattern}"' for pattern in selection())
