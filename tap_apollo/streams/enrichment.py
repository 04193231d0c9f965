"""What Apollo adds to the people and companies that a team names."""

from __future__ import annotations

import contextlib
import datetime
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST, id_of, objects
from tap_apollo.api.errors import ApolloError, GoneError
from tap_apollo.config.settings import PERSON_CLUES
from tap_apollo.credits import DIRECT_DIAL, LEAD, PHONE_NUMBER, Price
from tap_apollo.names import described, domain_name, person_names
from tap_apollo.readers.purchase import Order, Purchase, Records, Wanted
from tap_apollo.readers.reader import Estimate, Reader
from tap_apollo.singer.conform import PLACEHOLDER_EMAIL, now
from tap_apollo.singer.memory import Buys, BuysPeople, FetchesResults, ListPlace, RecordsPlace, entries, expire
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.accounts import Accounts
from tap_apollo.streams.contacts import Contacts
from tap_apollo.streams.prospecting import People
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk.helpers.types import Record

    from tap_apollo.readers.io import StreamIO
    from tap_apollo.readers.purchase import Buying, Job, Parts

#: How long Apollo keeps results (vendor's reference of webhook_result).
KEPT_DAYS = 30

#: After how many days nobody needs to know any more that there were results.
FORGOTTEN_DAYS = 60

#: What Apollo says of a request whose results will not come any more.
LOST = frozenset({"invalid_request_id", "request_id_expired", "request_id_unknown"})


class Domains(Records):
    """The companies behind `domains`, or behind the accounts' domains."""

    asks_for = "`domains`, or the domains of accounts"
    sources = (Accounts,)
    remembers = Buys[RecordsPlace[ListPlace[list[str]]]]

    @override
    def given(self, buying: Buying) -> list[Wanted] | None:
        return [self._named(domain_name(text)) for text in buying.io.config["domains"]] or None

    @override
    def named_by(self, record: Record, buying: Buying) -> Wanted | None:
        domain = domain_name(record.get("domain"))
        return self._named(domain) if domain else None

    @staticmethod
    def _named(domain: str) -> Wanted:
        return Wanted((domain,), domain)

    @override
    def order(self, batch: list[Wanted], buying: Buying) -> Order:
        return Order(len(batch) * buying.unit_price, {"details": [{"domain": one.value} for one in batch]})

    @override
    def rows(self, reply: Any, batch: list[Wanted], buying: Buying, parts: Parts) -> list[Record]:
        rows = []
        with parts.part():
            asked = {one.value: one for one in batch}
            for row, one in paired(reply["organizations"], batch, asked, _domain):
                rows.append({**row, "domain": one.value} if one else row)
            as_many(reply["organizations"], batch)
        return rows

    @override
    def cost(self, reply: Any, batch: list[Wanted], buying: Buying) -> int:
        return buying.price.credits * found_in(as_many(reply["organizations"], batch))


def _domain(company: Record) -> list[str]:
    return [domain_name(company.get("primary_domain"))]


class OrganizationEnrichment(ApolloStream):
    """What Apollo knows of the companies behind `domains`, or behind the accounts' domains."""

    name = "organization_enrichment"
    endpoint = POST("organizations/bulk_enrich", oauth="organizations_bulk_enrich")
    reads = Purchase(
        Price(
            1,
            "organization",
            batch=10,
            free="a domain that Apollo does not know",
            detail="found",
            sure="documented and measured",
        ),
        Domains(),
    )


def flags_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the setting says to reveal, as Apollo takes it."""
    options: dict[str, Any] = config["people_enrichment"]
    names = ("reveal_personal_emails", "reveal_phone_number", "run_waterfall_email", "run_waterfall_phone")
    flags: dict[str, Any] = {name: True for name in names if options.get(name)}
    if flags.keys() - {"reveal_personal_emails"}:
        flags["webhook_url"] = options["webhook_url"]
    return flags


def surcharges(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return what comes on top: for each person found, and for each asked for, found or not."""
    flags = flags_of(config)
    phone = PHONE_NUMBER if "reveal_phone_number" in flags else 0
    waterfall = {"run_waterfall_email", "run_waterfall_phone"} & flags.keys()
    return phone, config["people_enrichment"]["max_waterfall_credits"] if waterfall else 0


def shares(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the most that a person costs of each kind of credits; of a waterfall's nobody says which they are."""
    phone, waterfall = surcharges(config)
    most = {LEAD: 1 + waterfall, DIRECT_DIAL: phone + waterfall}
    return {kind: number for kind, number in most.items() if number}


class Matches(Records):
    """The people described in the setting, the contacts, or those that people finds."""

    asks_for = "`people_enrichment`: persons in the setting, contacts, or what people finds"
    sources = (Contacts, People)
    remembers = BuysPeople

    @override
    def of(self, buying: Buying) -> Iterator[Job]:
        expire(buying.io.remembered.pending, buying.today - datetime.timedelta(days=FORGOTTEN_DAYS))
        return super().of(buying)

    @override
    def given(self, buying: Buying) -> list[Wanted] | None:
        options = buying.io.config["people_enrichment"]
        if options["from"] != "details":
            return None
        return [Wanted(self._keys(described(one), buying), one) for one in options["details"]]

    @override
    def source(self, buying: Buying) -> type[People | Contacts]:
        return People if buying.io.config["people_enrichment"]["from"] == "people" else Contacts

    @override
    def named_by(self, record: Record, buying: Buying) -> Wanted | None:
        if self.source(buying) is People:
            return Wanted(self._keys(person_names(record), buying), {"id": record["id"]})
        clues = clues_of(record)
        if not clues:
            return None
        person = {**record, "id": record.get("person_id")}
        names = person_names(person) or described(clues)
        return Wanted(self._keys([*names, record["id"]], buying), clues, record["id"])

    def _keys(self, names: list[str], buying: Buying) -> tuple[str, ...]:
        """Return what a person is remembered by: with a phone number, he is something else to buy."""
        extras = sorted(flags_of(buying.io.config).keys() - {"reveal_personal_emails", "webhook_url"})
        return tuple("+".join([name, *extras]) for name in names)

    @override
    def asked(self, batch: list[Wanted], rows: list[Record], buying: Buying) -> Iterable[str]:
        """Return all that the persons are known by, to those who asked and to Apollo."""
        told = [key for row in rows for key in self._keys(person_names(row), buying)]
        return dict.fromkeys([*super().asked(batch, rows, buying), *told])

    @override
    def order(self, batch: list[Wanted], buying: Buying) -> Order:
        details = [one.value for one in batch]
        return Order(len(batch) * buying.unit_price, {"details": details, **flags_of(buying.io.config)})

    @override
    def rows(self, reply: Any, batch: list[Wanted], buying: Buying, parts: Parts) -> list[Record]:
        rows, request_id = [], None
        with parts.part():
            request_id = id_of(reply.get("request_id"))
        if request_id and any(surcharges(buying.io.config)):
            buying.entry(buying.io.remembered.pending, list[str]()).append(request_id)
        with parts.part():
            asked = {name: one for one in batch for name in person_names(one.value)}
            for row, one in paired(reply["matches"], batch, asked, person_names):
                if not is_stub(row):
                    contact = {"contact_id": one.contact_id} if one and one.contact_id else {}
                    rows.append({**row, "request_id": request_id, **contact})
            as_many(reply["matches"], batch)
        return rows

    @override
    def cost(self, reply: Any, batch: list[Wanted], buying: Buying) -> int:
        """Return what Apollo says it charged, and the most that may follow for what arrives later."""
        price, found = buying.price.credits, found_in(as_many(reply["matches"], batch))
        phone, waterfall = surcharges(buying.io.config)
        at_once = reply.get("credits_consumed")
        paid = price * found if at_once is None else max(0, -(-at_once // 1))  # it may be a fraction
        return max(int(paid), (price + phone) * found if phone else 0) + waterfall * len(batch)


def clues_of(contact: Record) -> dict[str, str]:
    """Return what Apollo may know a contact's person by; nothing if that is too little."""
    if contact.get("person_id"):
        return {"id": contact["person_id"]}
    clues = {name: contact[name] for name in PERSON_CLUES if name != "id" and contact.get(name)}
    if clues.get("email") == PLACEHOLDER_EMAIL:
        del clues["email"]
    enough = clues.keys() & {"email", "linkedin_url"} or {"name", "organization_name"} <= clues.keys()
    return clues if enough else {}


def is_stub(person: Record) -> bool:
    """Whether a match stands for nobody: Apollo echoes what was asked, with an id and without a name."""
    named = person.get("name") or person.get("first_name") or person.get("last_name")
    return bool(person) and (person.get("match_confidence") == "none" or not named)


def as_many(rows: Any, batch: list[Wanted]) -> list[Any]:
    """Return what came, if it is as much as was asked for: null stands for what Apollo does not know.

    Raises:
        ValueError: It is not.
    """
    if len(rows) != len(batch):
        raise ValueError("what came is not what was asked")
    return list(rows)


def found_in(rows: list[Any]) -> int:
    """Return how many were found of what was asked for."""
    return sum(row is not None for row in rows)


def paired(
    rows: Any, batch: list[Wanted], asked: Mapping[str, Wanted], names: Callable[[Record], list[str]]
) -> list[tuple[Record, Wanted | None]]:
    """Return each row that came with what it was asked for by, as far as that is known.

    A row is for the one whom it names. Apollo answers in order; so a row that names none is for the one in its place,
    if as much came as was asked for, and if no other row names that one.

    Args:
        rows: What came.
        batch: What was asked for.
        asked: The same, by its names.
        names: Returns the names that a row has, the surest first.

    Raises:
        TypeError: There is no list of rows.
    """
    found = [
        (place, row, next((asked[name] for name in names(row) if name in asked), None))
        for place, row in enumerate(objects(rows))
        if rows[place] is not None
    ]
    taken = {id(one) for _, _, one in found if one}
    in_order = len(rows) == len(batch)
    return [
        (row, one or (batch[place] if in_order and id(batch[place]) not in taken else None))
        for place, row, one in found
    ]


class PeopleEnrichment(ApolloStream):
    """People with their addresses: those described in the setting, the contacts, or those that people finds."""

    name = "people_enrichment"
    endpoint = POST("people/bulk_match", oauth="people_bulk_match")
    reads = Purchase(
        Price(
            1,
            "person",
            batch=10,
            free="a person whom Apollo does not know",
            detail="found",
            sure="documented, in part measured: see [below](#the-streams)",
            surcharge=lambda config: sum(surcharges(config)),
            shares=shares,
        ),
        Matches(),
    )


class PendingResults(Reader):
    """The results that people_enrichment's requests left to come; free."""

    parents = (PeopleEnrichment,)

    @property
    def remembers(self) -> Any:
        """The kind of bookmark that holds all that is remembered."""
        return FetchesResults

    @override
    def rows(self, io: StreamIO) -> Iterator[list[Record]]:
        if io.services.trial:
            return
        today = io.services.today
        self._forget(io)
        for request_id, asked in self._pending(io).items():
            try:
                reply = io.ask({}, request_id)
            except GoneError as gone:
                if gone.code not in LOST and (today - asked).days <= KEPT_DAYS:
                    continue
                io.tolerance.note_gone()
            else:
                with io.endpoint.parsing():
                    ready = reply["webhook_status"] != "in_progress"
                if not ready:
                    continue
                yield [{**reply, "request_id": request_id, "read_at": now()}]
            io.remembered.ended.setdefault(today, {}).setdefault(io.services.run, []).append(request_id)
            io.save()

    @override
    def summary(self, io: StreamIO) -> tuple[str, ...]:
        if lost := io.tolerance.gone:
            io.logger.warning("%s: Apollo has no results any more for %s.", io.name, counted(lost, "request"))
        try:
            left = len(self._pending(io))
        except ApolloError:  # which was said
            return ()
        return counted(io.delivered, "result"), f"{left:,} not ready yet"

    @override
    def estimate(self, io: StreamIO) -> Estimate:
        with contextlib.suppress(GoneError):
            io.ask({}, "0")  # a request that never was
        pending = len(self._pending(io))
        return Estimate(pending, requests=pending)

    def _forget(self, io: StreamIO) -> None:
        """Drop what has ended and is not pending in the state any more; nothing ends before the day that it is of."""
        asked: BuysPeople = io.remembered_by(PeopleEnrichment)
        forgotten = io.services.today - datetime.timedelta(days=FORGOTTEN_DAYS)
        expire(io.remembered.ended, min([forgotten, *asked.pending]))

    def _pending(self, io: StreamIO) -> dict[str, datetime.date]:
        """Return the requests whose results have not come, and the day of each.

        Raises:
            ApolloError: The state does not tell.
        """
        asked: BuysPeople = io.remembered_by(PeopleEnrichment)
        ended = {one for some in entries(io.remembered.ended) for one in some}
        return {
            one: day
            for day, runs in asked.pending.items()
            for some in runs.values()
            for one in some
            if one not in ended
        }


class EnrichmentResults(ApolloStream):
    """Phone numbers and waterfall results, which Apollo has ready some time after people_enrichment; free."""

    name = "enrichment_results"
    endpoint = GET(
        "webhook_result/{id}",
        oauth="webhook_result_read",
        gone={
            400: ("invalid_request_id",),
            404: ("result_pending", "request_id_unknown"),
            410: ("request_id_expired",),
        },
    )
    primary_keys = ("request_id",)
    reads = PendingResults()
