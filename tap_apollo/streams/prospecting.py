"""Apollo's own database of people and companies: searching it, and what it knows of each."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST, by_number, id_of, objects, total_of
from tap_apollo.credits import Price
from tap_apollo.paging import DISPLAY_LIMIT, PER_PAGE, digest
from tap_apollo.paging.windows import FLOOR
from tap_apollo.readers.io import name_of
from tap_apollo.readers.lists import FreeSearches, nested
from tap_apollo.readers.purchase import Job, Order, Pages, Purchase, Records, Wanted
from tap_apollo.singer.conform import moment, timestamp
from tap_apollo.singer.memory import (
    Buys,
    BuysPages,
    NewsGroup,
    NewsPlace,
    Nowhere,
    RecordsPlace,
    SearchesPlace,
    SearchPlace,
    entries,
)
from tap_apollo.singer.stream import ApolloStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Record

    from tap_apollo.credits import Purchases
    from tap_apollo.readers.purchase import Buying, Parts


class People(ApolloStream):
    """The people that each search in ``people_searches`` finds; without searches nothing is asked."""

    name = "people"
    endpoint = POST("mixed_people/api_search", rows="people", paged=by_number, oauth="mixed_people_api_search")
    primary_keys = ("search", "id")
    reads = FreeSearches("people_searches")


class Searches:
    """The searches of companies in ``organization_searches``: each page is bought once, in turn."""

    asks_for = "`organization_searches`"
    sources = ()
    remembers = BuysPages

    def of(self, buying: Buying) -> Iterator[Job]:
        """Yield the searches."""
        for search in buying.io.config["organization_searches"]:
            yield Search(search, buying)

    def to_buy(self, buying: Buying) -> tuple[int, bool]:
        """Return how many pages are to be bought at most, and whether it may be more."""
        return pages_to_buy(buying.io.place, buying)

    def summary(self, buying: Buying) -> None:
        """Report nothing: a search that cannot be read ends the stream."""


def pages_to_buy(place: SearchesPlace, buying: Buying) -> tuple[int, bool]:
    """Return how many pages of searches are to be bought at most, and whether it may be more.

    Args:
        place: How far each search has been bought.
        buying: What is bought.
    """
    pages, at_least = 0, False
    for search in buying.io.config["organization_searches"]:
        now, limit = place_of(search, place, buying), search.get("max_pages")
        if now.done or now.ignored:
            continue
        pages += limit or max(1, (now.pages or 0) - now.next + 1)
        at_least = at_least or limit is None  # a search may find more than when its last page was read
    return pages, at_least


def place_of(search: Mapping[str, Any], place: SearchesPlace, buying: Buying) -> SearchPlace:
    """Return how far a search has been bought: not at all if its filters are new, or it is too old."""
    filters, days = digest(search["filters"]), buying.io.config.get("credit_refresh_days")
    known = place.searches.get(search["name"])
    is_old = known and known.done and days is not None and (buying.today - known.began).days >= days
    return SearchPlace(filters, buying.today) if known is None or known.filters != filters or is_old else known


class Search(Job):
    """The pages of one search of companies, from where it was stopped."""

    def __init__(self, search: Mapping[str, Any], buying: Buying) -> None:
        """Begin where the state says; from the first page on if the filters are new, or it is too old."""
        self._search = search
        self._buying = buying
        self._name = search["name"]
        self._pages = 0
        self._total: int | None = None
        self._came: int | None = None
        self._ignored = False
        self.place = buying.io.place.searches[self._name] = place_of(search, buying.io.place, buying)

    def order(self) -> Order | None:
        """Return the request for the next page; none if Apollo ignores the filters."""
        place, buying, limit = self.place, self._buying, self._search.get("max_pages")
        if place.ignored:
            text = f"Apollo ignores the filters of the search `{self._name}`: correct them in `organization_searches`."
            buying.io.report.failed(buying.io.name, text)
            return None
        if place.done:
            return None
        buying.left = f"the search `{self._name}` from page {place.next:,} on"
        if self._pages == limit:
            buying.stop(f"`max_pages` of the search `{self._name}` is {self._pages:,}")
            return None
        self._pages += 1
        page = {"page": place.next, "per_page": PER_PAGE}
        return Order(buying.unit_price, {**nested(self._search["filters"]), **page})

    def cost(self, reply: Any) -> int:
        """Return the price, or nothing if the page is empty."""
        return self._buying.price.credits if objects(reply["accounts"]) + objects(reply["organizations"]) else 0

    def rows(self, reply: Any, parts: Parts) -> list[Record]:
        """Return the rows of both arrays: a company that the team has saved comes in the other one."""
        rows: list[Record] = []
        with parts.part():
            rows += ({"kind": "account", **row} for row in objects(reply["accounts"]))
        with parts.part():
            rows += (
                {"kind": "organization", **row, "organization_id": row.get("id")}
                for row in objects(reply["organizations"])
            )
        with parts.part():
            self._ignored = reply.get("breadcrumbs") == []
        self._total = total_of(reply)
        self._came = None if parts.error else len(rows)
        return [{**row, "search": self._name} for row in rows]

    def bought(self, rows: list[Record]) -> None:
        """Note that the page is bought, and the companies on it, unless they are not those that were asked for."""
        place, total = self.place, self._total
        place.ignored = self._ignored
        if not place.ignored:
            self._note_found(id_of(row.get("organization_id")) for row in rows)
        pages = Pages(PER_PAGE, place.next, place.pages, place.seen)
        place.done = pages.came(self._came, total)
        place.next, place.pages, place.seen = pages.page, pages.pages, pages.seen
        if place.done and total and total > DISPLAY_LIMIT:
            shown = f"Apollo shows {DISPLAY_LIMIT:,} of the {total:,} companies that the search `{self._name}` finds"
            self._buying.io.incomplete(f"{shown}; narrow its filters")

    def _note_found(self, organization_ids: Iterable[str | None]) -> None:
        """Remember the companies, for the streams that buy more about them: asking again would cost."""
        grown = self._buying.io.remembered.found
        known = {one for found in entries(grown) for one in found}
        if new := [one for one in dict.fromkeys(organization_ids) if one and one not in known]:
            self._buying.entry(grown, list[str]()).extend(new)


class Organizations(ApolloStream):
    """The companies that each search in ``organization_searches`` finds: each page is bought once, in turn."""

    name = "organizations"
    endpoint = POST("mixed_companies/search", oauth="mixed_companies_search")
    primary_keys = ("search", "id")
    reads = Purchase(
        Price(
            1,
            "page",
            free="a page without companies",
            detail="of 100 companies",
            sure="price documented and measured, the empty page documented",
        ),
        Searches(),
        probe=None,  # no refusal is documented, and a page too many may be served and charged
    )


#: What the streams about companies ask for, as the docs say it.
FOUND_COMPANIES = "`organization_ids`, or what organizations found"


def companies(buying: Buying) -> list[str]:
    """Return the companies in `organization_ids`, or else those that organizations found."""
    given: list[str] = buying.io.config["organization_ids"]
    if given:
        return given
    remembered: BuysPages = buying.io.remembered_by(Organizations)
    return [one for found in entries(remembered.found) for one in found]


def companies_to_come(buying: Buying) -> tuple[int, bool]:
    """Return how many companies organizations may find at most in this run, and whether it may be more."""
    config = buying.io.config
    if config["organization_ids"] or name_of(Organizations) not in config["credit_streams"]:
        return 0, False
    place = buying.io.remembered_by(Organizations).place[0]
    pages, at_least = pages_to_buy(place, buying)
    limit = buying.io.of(Organizations).max_pages
    if limit is not None and (at_least or limit < pages):
        pages, at_least = limit, False
    return pages * PER_PAGE, at_least


class Companies(Records):
    """Each company by itself."""

    asks_for = FOUND_COMPANIES
    sources = (Organizations,)

    @override
    def given(self, buying: Buying) -> list[Wanted]:
        return [Wanted((one,), one) for one in companies(buying)]

    @override
    def to_buy(self, buying: Buying) -> tuple[int, bool]:
        units, _ = super().to_buy(buying)
        more, at_least = companies_to_come(buying)
        return units + more, at_least


class OrganizationDetails(ApolloStream):
    """Companies in full."""

    name = "organization_details"
    endpoint = GET(
        "organizations/{id}",
        rows="organization",
        oauth="organization_read",
        gone={422: ("is not a valid id", "does not exist")},
    )
    reads = Purchase(
        Price(1, "organization", free="a company that Apollo does not know", sure="documented and measured"),
        Companies(),
    )


class JobPostings(Companies):
    """The openings at each company."""

    @override
    def rows(self, reply: Any, batch: list[Wanted], buying: Buying, parts: Parts) -> list[Record]:
        rows: list[Record] = []
        with parts.part():
            rows = buying.io.endpoint.records(reply)
        return [{**row, "organization_id": batch[0].value} for row in rows]

    @override
    def cost(self, reply: Any, batch: list[Wanted], buying: Buying) -> int:
        return buying.price.credits if buying.io.endpoint.records(reply) else 0


class OrganizationJobPostings(ApolloStream):
    """The openings at each company; a page holds more than Apollo shows of one company."""

    name = "organization_job_postings"
    endpoint = GET(
        "organizations/{id}/job_postings",
        rows="organization_job_postings",
        gone={422: ("is not a valid id",)},
        oauth="organizations_job_posting",
        parameters={"page": 1, "per_page": 10_000},
    )
    reads = Purchase(
        Price(
            1,
            "organization",
            free="a company without openings",
            detail="with openings; a page holds 10,000",
            sure="documented and measured",
        ),
        JobPostings(),
    )


class NewsSinceLastAsked:
    """The news of companies, up to yesterday: a group of companies is a job that is begun and finished with its days.

    What is asked for once is not again. A group holds companies that were last asked about on one day.
    """

    asks_for = FOUND_COMPANIES
    sources = (Organizations,)
    remembers = Buys[NewsPlace]

    def __init__(self, companies: int, per_page: int) -> None:
        """Declare the size of a request.

        Args:
            companies: Most companies in one request.
            per_page: Articles on a page.
        """
        self._companies = companies
        self._per_page = per_page

    def of(self, buying: Buying) -> Iterator[Job]:
        """Yield the groups, the one that was not finished first."""
        read = buying.remembered(refresh=False)
        groups, place = self._groups(buying, read), buying.io.place
        while group := place.open or next(groups, None):
            place.open = group
            yield News(group, buying, self._per_page)
            read.add(group.ids, group.until)
            place.open = None

    def to_buy(self, buying: Buying) -> tuple[int, bool]:
        """Return how many groups there are: each takes a page at least, and more if it has more news."""
        groups = sum(1 for _ in self._groups(buying, buying.remembered(refresh=False)))
        return groups, bool(groups or buying.io.place.open or any(companies_to_come(buying)))

    def summary(self, buying: Buying) -> None:
        """Report nothing: news that cannot be read end the stream."""

    def _groups(self, buying: Buying, read: Purchases) -> Iterator[NewsGroup]:
        """Yield what to ask for: companies that were last asked about on one day, and the days since then."""
        until = buying.today - datetime.timedelta(days=1)
        start = buying.io.config.get("start_date")
        first = datetime.date.fromisoformat(timestamp(start)[:10]) if start else None
        groups: dict[datetime.date | None, list[str]] = {}
        for one in dict.fromkeys(companies(buying)):
            last = read.when(one)
            groups.setdefault(first if last is None else last + datetime.timedelta(days=1), []).append(one)
        for since, ids in groups.items():
            if since is not None and since > until:
                continue
            for at in range(0, len(ids), self._companies):
                some = [one for one in ids[at : at + self._companies] if read.when(one) != until]
                if some:
                    yield NewsGroup(some, until, since)


class News(Job):
    """The pages of news of one group of companies."""

    def __init__(self, group: NewsGroup, buying: Buying, per_page: int) -> None:
        """Take a group, as the state holds it."""
        self._group = group
        self._buying = buying
        self._per_page = per_page
        self._total: int | None = None
        self._came: int | None = None
        buying.left = f"news from {group.since or 'the beginning'} on"

    def order(self) -> Order | None:
        """Return the request for the next page."""
        group = self._group
        if not group.page:
            return None
        categories = (self._buying.io.config.get("news") or {}).get("categories")
        parameters = {
            "organization_ids": group.ids,
            "published_at": {"min": f"{group.since or FLOOR}", "max": f"{group.until}"},
            **({"categories": categories} if categories else {}),
            "page": group.page,
            "per_page": self._per_page,
        }
        return Order(self._buying.unit_price, parameters)

    def cost(self, reply: Any) -> int:
        """Return the price, or nothing if the page is empty."""
        return self._buying.price.credits if self._buying.io.endpoint.records(reply) else 0

    def rows(self, reply: Any, parts: Parts) -> list[Record]:
        """Return the articles."""
        rows: list[Record] = []
        with parts.part():
            rows = self._buying.io.endpoint.records(reply)
        self._total = total_of(reply)
        self._came = None if parts.error else len(rows)
        return rows

    def bought(self, rows: list[Record]) -> None:
        """Note that the page is bought."""
        group = self._group
        pages = Pages(self._per_page, group.page, group.pages, group.seen)
        is_last = pages.came(self._came, self._total)
        group.page, group.pages, group.seen = 0 if is_last else pages.page, pages.pages, pages.seen
        place = self._buying.io.place
        published = [place.latest, *(moment(row.get("published_at")) for row in rows)]
        place.latest = max(filter(None, published), default=None)


class NewsArticles(ApolloStream):
    """The news of companies, a hundred companies a request, up to yesterday: what is asked for once is not again."""

    name = "news_articles"
    endpoint = POST("news_articles/search", rows="news_articles", oauth="organizations_news_articles")
    replication_key = "published_at"
    reads = Purchase(
        Price(
            1,
            "page",
            free="a page without articles",
            detail="of 25 articles; 100 companies share a request",
        ),
        NewsSinceLastAsked(companies=100, per_page=25),
    )


class Persons(Records):
    """Each person by itself: those in `person_ids`, or those that people finds."""

    asks_for = "`person_ids`, or what people finds"
    sources = (People,)
    remembers = Buys[RecordsPlace[Nowhere]]

    @override
    def given(self, buying: Buying) -> list[Wanted] | None:
        return [Wanted((one,), one) for one in buying.io.config["person_ids"]] or None


class PersonDetails(ApolloStream):
    """People in full, without their addresses: those in `person_ids`, or those that people finds."""

    name = "person_details"
    endpoint = GET(
        "people/{id}",
        rows="person",
        oauth="person_read",
        gone={422: ("does not exist", "obsolete data")},
    )
    reads = Purchase(
        Price(1, "person", free="a person whom Apollo does not know", sure="documented and measured"), Persons()
    )
