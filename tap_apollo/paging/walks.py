"""The walks: a list from its first page to its last or down to a bookmark, and a list by date windows."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TYPE_CHECKING, Any

from tap_apollo.paging.pages import DISPLAY_LIMIT, Outcome, Page, PageRequest, Record, Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


#: How often a list is read again whose distinct records do not add up to its total.
REREADS = 3


def nothing() -> Walk:
    """Ask for no page at all."""
    yield from ()
    return Outcome(complete=True, pages=0)


def one_page() -> Walk:
    """Read a list that comes whole."""
    yield PageRequest(1)
    return Outcome(complete=True, pages=1)


def whole_list(
    filters: Mapping[str, Any] | None = None,
    *,
    below: Callable[[Record], bool] = lambda _: False,
    max_pages: int | None = None,
    display_limit: int = DISPLAY_LIMIT,
) -> Walk:
    """Read a list from its first page to its last, and again until its distinct records add up to its total.

    Records of one sort value come in another order at every request, so that one of them can stand on two pages
    and another on none.

    Args:
        filters: Parameters that narrow the list.
        below: Whether a record lies below the bookmark: it is not delivered, and ends the walk. For lists in
            descending order of their replication key, in which what changes during the walk moves to the front,
            behind the reader; the next run reads it again as long as no bookmark passes ``Outcome.first``.
        max_pages: Most pages to read.
        display_limit: Rows beyond which Apollo refuses pages.
    """
    seen: set[str] = set()
    first: Record | None = None
    pages = 0
    for _ in range(1 + REREADS):
        number = 1
        while True:
            if pages == max_pages:
                return Outcome(complete=False, pages=pages, first=first)
            page = yield PageRequest(number, filters or {})
            pages += 1
            first = first or next(iter(page.records), None)
            last = page.is_last(number)
            reached = any(map(below, page.records))
            page.records = [record for record in page.records if record["id"] not in seen and not below(record)]
            seen.update(record["id"] for record in page.records)
            if last or reached:
                break
            if (number + 1) * page.per_page > display_limit:
                return Outcome(complete=False, pages=pages, first=first, shortfall=_beyond(number, page))
            number += 1
        if reached or page.total is None or len(seen) >= page.total:
            return Outcome(complete=True, pages=pages, first=first)
    shortfall = f"found {len(seen):,} of {page.total:,} records"
    return Outcome(complete=False, pages=pages, first=first, shortfall=shortfall)


@dataclasses.dataclass(frozen=True)
class DateWindow:
    """Whole days, the first and the last included."""

    first: datetime.date
    last: datetime.date


def date_windows(first: datetime.date, last: datetime.date, days: int) -> Iterator[DateWindow]:
    """Cut a span of days, both ends included, into windows of at most so many days, oldest first."""
    while first <= last:
        end = min(first + datetime.timedelta(days=days - 1), last)
        yield DateWindow(first, end)
        first = end + datetime.timedelta(days=1)


def windowed(
    windows: Iterable[Mapping[str, Any]],
    *,
    max_pages: int | None = None,
    display_limit: int = DISPLAY_LIMIT,
) -> Walk:
    """Read a list window by window.

    Args:
        windows: Per window, the filters that select it.
        max_pages: Most pages to read in all windows together.
        display_limit: Rows beyond which Apollo refuses pages.
    """
    pages = 0
    shortfalls: list[str] = []
    for filters in windows:
        left = None if max_pages is None else max_pages - pages
        outcome = yield from whole_list(filters, max_pages=left, display_limit=display_limit)
        pages += outcome.pages
        if outcome.shortfall:
            shortfalls.append(outcome.shortfall)
        elif not outcome.complete:
            return Outcome(complete=False, pages=pages, shortfall="; ".join(shortfalls))
    return Outcome(complete=not shortfalls, pages=pages, shortfall="; ".join(shortfalls))


def _beyond(number: int, page: Page) -> str:
    total = "an unknown number of" if page.total is None else f"{page.total:,}"
    return f"read the first {number * page.per_page:,} of {total} records, as Apollo shows no more of one list"
