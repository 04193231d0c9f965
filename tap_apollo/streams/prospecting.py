"""Apollo's own database of people and companies: searching it, and what it knows of each."""

from __future__ import annotations

import dataclasses
import datetime
import math
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST, by_number
from tap_apollo.api.errors import ApolloError
from tap_apollo.credits import Price
from tap_apollo.paging import (
    DISPLAY_LIMIT,
    PER_PAGE,
    Listing,
    ListWalk,
    WholePages,
    digest,
)
from tap_apollo.paging.windows import FLOOR
from tap_apollo.readers.prefetch import Outlook
from tap_apollo.singer.conform import timestamp
from tap_apollo.streams.base import PagedStream
from tap_apollo.streams.credit import CreditStream, RecordCreditStream, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.credits import Purchases
    from tap_apollo.paging import Walk


class People(PagedStream):
    """The people that each search in ``people_searches`` finds; without searches nothing is asked."""

    name = "people"
    endpoint = POST(
        "mixed_people/api_search",
        paged=by_number,
        rows="people",
        scope="api/v1/mixed_people/api_search",
        oauth="mixed_people_api_search",
    )
    primary_keys = ("search", "id")
    one_list = False  # a list per search
    state_partitioning_keys = ()

    _pages_read = 0
    _limit_said = False

    @property
    @override
    def partitions(self) -> list[dict[str, Any]]:
        return [{"search": name} for name in self._searches]

    @property
    def _searches(self) -> dict[str, dict[str, Any]]:
        return {search["name"]: search for search in self.config["people_searches"]}

    @override
    def new_walk(self, context: Context | None) -> Walk:
        if context is None:  # what the SDK passes when there are no partitions
            return WholePages(0)
        filters = nested(self._searches[context["search"]]["filters"])
        return ListWalk(Listing(filters, display_limit=self.endpoint.display_limit))

    @override
    def page_limit(self, context: Context | None) -> int | None:
        """The limit of the search, or what the searches before have left of the stream's."""
        stream = super().page_limit(context)
        left = None if stream is None else max(0, stream - self._pages_read)
        search = self._searches[context["search"]].get("max_pages") if context else None
        return min((limit for limit in (left, search) if limit is not None), default=None)

    @override
    def page_limit_reached(self) -> None:
        """Say so of the stream's limit; that of a search is what is wanted of it."""
        if self._pages_read == self.max_pages and not self._limit_said:
            self._limit_said = True
            text = "%s stopped at a limit: `max_pages.%s` is %s. The next run reads the same pages."
            self.logger.warning(text, self.name, self.name, f"{self.max_pages:,}")

    @override
    def page_delivered(self, rows: list[Record]) -> None:
        self._pages_read += 1

    @override
    def outlook(self) -> Outlook:
        """Ask what the first two searches find; of more, at least as much is to come."""
        contexts = self.partitions
        if not contexts:
            return Outlook(0, requests=0, note="`people_searches` names none")
        looks = []
        for context in contexts[:2]:
            total = self.fetch(dataclasses.replace(next(self.new_walk(context).pages()), per_page=1)).total or 0
            pages, limit = math.ceil(total / PER_PAGE), self.page_limit(context)
            looks.append((total, pages) if limit is None or pages <= limit else (limit * PER_PAGE, limit))
        records, requests = (sum(numbers) for numbers in zip(*looks, strict=True))
        return Outlook(records, requests, at_least=len(contexts) > len(looks))

    @override
    def shaped(self, row: Record, context: Context | None) -> Record:
        return {**super().shaped(row, context), "search": (context or {})["search"]}


class Organizations(CreditStream):
    """The companies that each search in ``organization_searches`` finds: each page is bought once, in turn."""

    name = "organizations"
    endpoint = POST("mixed_companies/search", scope="api/v1/mixed_companies/search", oauth="mixed_companies_search")
    primary_keys = ("search", "id")
    price = Price(1, "page", free="a page without companies")
    refused = {"page": 501, "per_page": 101}  # either is one too many
    remembers = {
        "found": {"type": "array", "items": {"type": "string"}},
        "searches": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["filters", "began", "next", "done"],
                "properties": {
                    "filters": {"type": "string"},
                    "began": {"type": "string"},
                    "next": {"type": "integer", "minimum": 1},
                    "done": {"type": "boolean"},
                },
            },
        },
    }

    @override
    def purchases(self) -> Iterator[list[Record]]:
        for search in self.config["organization_searches"]:
            yield from self._pages_of(search)

    @override
    def to_buy(self) -> tuple[int, bool]:
        pages, at_least = 0, False
        for search in self.config["organization_searches"]:
            place, limit = self._place(search), search.get("max_pages")
            if place["done"] or place.get("ignored"):
                continue
            known = place.get("pages")
            left = known - place["next"] + 1 if known else 1
            pages += left if limit is None else limit if known is None else min(left, limit)
            at_least = at_least or (known is None and limit is None)
        return pages, at_least

    def _pages_of(self, search: Mapping[str, Any]) -> Iterator[list[Record]]:
        """Buy the pages of one search from where it was stopped."""
        name, body, place = search["name"], nested(search["filters"]), self._place(search)
        pages = 0
        while not place["done"]:
            if place.get("ignored"):
                text = f"Apollo ignores the filters of the search `{name}`: correct them in `organization_searches`."
                raise ApolloError(text)
            self.left = f"the search `{name}` from page {place['next']:,} on"
            if pages == search.get("max_pages"):
                self.note_limit(f"`max_pages` of the search `{name}` is {pages:,}")
                return
            reply = self.buy({**body, "page": place["next"], "per_page": PER_PAGE}, worst=self.price.credits)
            pages += 1
            place["ignored"] = reply.get("breadcrumbs") == []  # of a page that was paid for; never again
            if place["ignored"]:
                continue
            rows = [
                *({"kind": "account", **row} for row in reply["accounts"]),
                *({"kind": "organization", **row, "organization_id": row["id"]} for row in reply["organizations"]),
            ]
            yield [{**row, "search": name} for row in rows]
            self._note_found(row.get("organization_id") for row in rows)
            total = reply["pagination"]["total_entries"]
            place["pages"] = math.ceil(min(total, DISPLAY_LIMIT) / PER_PAGE)
            place["done"] = not rows or place["next"] >= place["pages"]
            place["next"] += 1
            if place["done"] and total > DISPLAY_LIMIT:
                shown = f"Apollo shows {DISPLAY_LIMIT:,} of the {total:,} companies that the search `{name}` finds"
                self.run.report.incomplete(self.name, f"{shown}; narrow its filters")
        self.left = ""

    def _place(self, search: Mapping[str, Any]) -> dict[str, Any]:
        """Return how far a search was bought; from its first page on if its filters are new, or it is too old."""
        places = self.stream_state.setdefault("searches", {})
        filters = digest(search["filters"])
        place: dict[str, Any] = places.get(search["name"], {})
        try:
            age = (self.today - datetime.date.fromisoformat(place["began"])).days if place else 0
            days = self.config.get("credit_refresh_days")
            if place.get("filters") != filters or (place["done"] and days is not None and age >= days):
                place = {"filters": filters, "began": f"{self.today}", "next": 1, "done": False}
        except ValueError as error:
            raise self.unusable(error) from error
        places[search["name"]] = place
        return place

    def _note_found(self, organization_ids: Iterable[str | None]) -> None:
        """Remember the companies, for the streams that buy more about them: asking again would cost."""
        found = self.stream_state.setdefault("found", [])
        known = set(found)
        found.extend(one for one in dict.fromkeys(organization_ids) if one and one not in known)

    @override
    def cost_of(self, reply: Any) -> int:
        return self.price.credits if reply["accounts"] or reply["organizations"] else 0


class OfOrganizations(RecordCreditStream):
    """A stream of what Apollo knows of each company in `organization_ids`, or of each that organizations found."""

    @property
    def organization_ids(self) -> list[str]:
        """The companies."""
        given: list[str] = self.config["organization_ids"]
        found: list[str] = self.tap_state.get("bookmarks", {}).get(Organizations.name, {}).get("found", [])
        return given or found

    @override
    def given(self) -> list[Wanted]:
        return [Wanted(one, one) for one in self.organization_ids]

    @override
    def to_buy(self) -> tuple[int, bool]:
        units, _ = super().to_buy()
        return units, not self.config["organization_ids"]  # organizations may find more first


class OrganizationDetails(OfOrganizations):
    """Companies in full."""

    name = "organization_details"
    endpoint = GET(
        "organizations/{id}", rows="organization", scope="api/v1/organizations/show", oauth="organization_read"
    )
    price = Price(1, "organization", free="a company that Apollo does not know")


class OrganizationJobPostings(OfOrganizations):
    """The openings at each company; a page holds more than Apollo shows of one company."""

    name = "organization_job_postings"
    endpoint = GET(
        "organizations/{id}/job_postings",
        rows="organization_job_postings",
        scope="api/v1/organizations/job_postings",
        oauth="organizations_job_posting",
        parameters={"page": 1, "per_page": 10_000},
    )
    price = Price(1, "organization", free="a company without openings")

    @override
    def rows_of(self, reply: Any, batch: list[Wanted]) -> list[Record]:
        return [{**row, "organization_id": batch[0].value} for row in reply["organization_job_postings"]]


class NewsArticles(OfOrganizations):
    """The news of companies, a hundred companies a request, up to yesterday: what is asked for once is not again."""

    name = "news_articles"
    endpoint = POST(
        "news_articles/search",
        rows="news_articles",
        scope="api/v1/news_articles/search",
        oauth="organizations_news_articles",
    )
    replication_key = "published_at"
    per_page: ClassVar[int] = 25
    companies: ClassVar[int] = 100
    remembers = {
        "open": {
            "type": "object",
            "required": ["ids", "since", "until", "page"],
            "properties": {
                "ids": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                "since": {"type": ["string", "null"]},
                "until": {"type": "string", "format": "date"},
                "page": {"type": "integer", "minimum": 0},
            },
        },
    }
    price = Price(1, "page", free="a page without articles")

    @override
    def purchases(self) -> Iterator[list[Record]]:
        read = self.remembered(refresh=False)
        groups = self._groups(read)
        while group := self.stream_state.get("open") or next(groups, None):
            self.stream_state["open"] = group
            self.left = f"news from {group['since'] or 'the beginning'} on"
            while group["page"]:
                reply = self.buy(self._search(group), worst=self.price.credits)
                articles = reply["news_articles"]
                yield articles
                group["page"] = group["page"] + 1 if len(articles) == self.per_page else 0
                self._move_bookmark(articles)
            read.add(group["ids"], datetime.date.fromisoformat(group["until"]))
            del self.stream_state["open"]
        self.left = ""

    @override
    def to_buy(self) -> tuple[int, bool]:
        return sum(1 for _ in self._groups(self.remembered(refresh=False))), True

    def _groups(self, read: Purchases) -> Iterator[dict[str, Any]]:
        """Yield what to ask for: companies that were last asked about on one day, and the days since then.

        A group is begun and finished with the same days, however many runs that takes.
        """
        until = self.today - datetime.timedelta(days=1)
        start = self.config.get("start_date")
        first = datetime.date.fromisoformat(timestamp(start)[:10]) if start else None
        groups: dict[datetime.date | None, list[str]] = {}
        for one in dict.fromkeys(self.organization_ids):
            last = read.when(one)
            groups.setdefault(first if last is None else last + datetime.timedelta(days=1), []).append(one)
        for since, ids in groups.items():
            if since is not None and since > until:
                continue
            for at in range(0, len(ids), self.companies):
                some = [one for one in ids[at : at + self.companies] if read.when(one) != until]
                if some:
                    yield {"ids": some, "since": f"{since}" if since else None, "until": f"{until}", "page": 1}

    def _search(self, group: Mapping[str, Any]) -> dict[str, Any]:
        categories = (self.config.get("news") or {}).get("categories")
        return {
            "organization_ids": group["ids"],
            "published_at": {"min": group["since"] or f"{FLOOR}", "max": group["until"]},
            **({"categories": categories} if categories else {}),
            "page": group["page"],
            "per_page": self.per_page,
        }

    def _move_bookmark(self, articles: list[Record]) -> None:
        newest = [timestamp(one["published_at"]) for one in articles if one.get("published_at")]
        self.stream_state["replication_key"] = self.replication_key
        before = self.stream_state.get("replication_key_value", "")
        self.stream_state["replication_key_value"] = max([before, *newest])


class PersonDetails(RecordCreditStream):
    """People in full, without their addresses: those in `person_ids`, or those that people finds."""

    name = "person_details"
    endpoint = GET("people/{id}", rows="person", scope="api/v1/people/show", oauth="person_read")
    price = Price(1, "person", free="a person whom Apollo does not know")

    @override
    def given(self) -> list[Wanted] | None:
        return [Wanted(one, one) for one in self.config["person_ids"]] or None

    @override
    def source(self) -> People:
        return self.sibling(People)


def nested(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return filters written as Apollo documents them for a query, ``titles[]``, ``range[min]``, as a JSON body."""
    body: dict[str, Any] = {}
    for name, value in filters.items():
        outer, _, inner = name.removesuffix("]").partition("[")
        if inner:
            body[outer] = {**body.get(outer, {}), inner: value}
        else:
            body[outer] = value
    return body
