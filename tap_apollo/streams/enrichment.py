"""What Apollo adds to the people and companies that a team names."""

from __future__ import annotations

import contextlib
import datetime
import json
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.api.endpoint import GET, POST
from tap_apollo.api.errors import GoneError
from tap_apollo.config.settings import PERSON_CLUES
from tap_apollo.credits import PHONE_NUMBER, Price
from tap_apollo.readers.prefetch import Outlook
from tap_apollo.report import counted
from tap_apollo.singer.conform import now
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.accounts import Accounts
from tap_apollo.streams.contacts import Contacts
from tap_apollo.streams.credit import RecordCreditStream, Wanted
from tap_apollo.streams.prospecting import People

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context, Record

#: Where people_enrichment's state holds the ids of requests whose results come later, and the day of each.
PENDING = "pending"

#: How long Apollo keeps results (vendor's reference of webhook_result).
KEPT_DAYS = 30

#: What Apollo says of a request whose results will not come any more.
LOST = frozenset({"invalid_request_id", "request_id_expired", "request_id_unknown"})


class OrganizationEnrichment(RecordCreditStream):
    """What Apollo knows of the companies behind `domains`, or behind the accounts' domains."""

    name = "organization_enrichment"
    endpoint = POST(
        "organizations/bulk_enrich", scope="api/v1/organizations/bulk_enrich", oauth="organizations_bulk_enrich"
    )
    price = Price(1, "organization", batch=10, free="a domain that Apollo does not know")

    @override
    def given(self) -> list[Wanted] | None:
        return [self.named(domain) for domain in self.config["domains"]] or None

    @override
    def source(self) -> Accounts:
        return self.sibling(Accounts)

    @override
    def named_by(self, record: Record) -> Wanted | None:
        return self.named(record["domain"]) if record.get("domain") else None

    @staticmethod
    def named(domain: str) -> Wanted:
        """Return a company to ask for by its domain."""
        return Wanted(domain.lower(), domain.lower())

    @override
    def buy_batch(self, batch: list[Wanted], worst: int) -> Any:
        return self.buy({"details": [{"domain": one.value} for one in batch]}, worst=worst)

    @override
    def rows_of(self, reply: Any, batch: list[Wanted]) -> list[Record]:
        return [{**row, "domain": one.value} for row, one in paired(reply["organizations"], batch) if row]

    @override
    def cost_of(self, reply: Any) -> int:
        return self.price.credits * sum(row is not None for row in reply["organizations"])


class PeopleEnrichment(RecordCreditStream):
    """People with their addresses: those described in the setting, the contacts, or those that people finds."""

    name = "people_enrichment"
    endpoint = POST("people/bulk_match", scope="api/v1/people/bulk_match", oauth="people_bulk_match")
    price = Price(1, "person", batch=10, free="a person whom Apollo does not know")
    remembers = {PENDING: {"type": "object", "additionalProperties": {"type": "string"}}}

    @property
    def options(self) -> dict[str, Any]:
        """The setting of the stream's name."""
        options: dict[str, Any] = self.config["people_enrichment"]
        return options

    @property
    def flags(self) -> dict[str, Any]:
        """What the setting says to reveal, as Apollo takes it."""
        names = ("reveal_personal_emails", "reveal_phone_number", "run_waterfall_email", "run_waterfall_phone")
        flags: dict[str, Any] = {name: True for name in names if self.options.get(name)}
        if flags.keys() - {"reveal_personal_emails"}:
            flags["webhook_url"] = self.options["webhook_url"]
        return flags

    @property
    def surcharge(self) -> tuple[int, int]:
        """What comes on top: for each person found, and for each asked for, found or not."""
        flags = self.flags
        phone = PHONE_NUMBER if "reveal_phone_number" in flags else 0
        waterfall = {"run_waterfall_email", "run_waterfall_phone"} & flags.keys()
        return phone, self.options["max_waterfall_credits"] if waterfall else 0

    @property
    @override
    def unit_price(self) -> int:
        return self.price.credits + sum(self.surcharge)

    @override
    def given(self) -> list[Wanted] | None:
        if self.options["from"] != "details":
            return None
        return [
            Wanted(self._key(str(one.get("id") or json.dumps(one, sort_keys=True))), one)
            for one in self.options["details"]
        ]

    @override
    def source(self) -> ApolloStream:
        return self.sibling(People) if self.options["from"] == "people" else self.sibling(Contacts)

    @override
    def named_by(self, record: Record) -> Wanted | None:
        if self.options["from"] == "people":
            return Wanted(self._key(record["id"]), {"id": record["id"]})
        clues = clues_of(record)
        if not clues:
            return None
        contact = self._key(record["id"])  # by which it was bought if Apollo did not know the person then
        return Wanted(self._key(clues.get("id") or record["id"]), clues, record["id"], contact)

    def _key(self, person: str) -> str:
        """Return what a person is remembered by: with a phone number, he is something else to buy."""
        extras = sorted(self.flags.keys() - {"reveal_personal_emails", "webhook_url"})
        return "+".join([person, *extras])

    @override
    def buy_batch(self, batch: list[Wanted], worst: int) -> Any:
        return self.buy({"details": [one.value for one in batch], **self.flags}, worst=worst)

    @override
    def rows_of(self, reply: Any, batch: list[Wanted]) -> list[Record]:
        request_id = str(reply["request_id"]) if reply.get("request_id") is not None else None
        if request_id and any(self.surcharge):
            self.stream_state.setdefault(PENDING, {})[request_id] = f"{self.today}"
        return [
            {**row, "request_id": request_id, **({"contact_id": one.contact_id} if one.contact_id else {})}
            for row, one in paired(reply["matches"], batch)
            if row and not is_stub(row)
        ]

    @override
    def cost_of(self, reply: Any) -> int:
        """Return what Apollo says it charged, and the most that may follow for what arrives later."""
        found = sum(row is not None for row in reply["matches"])
        phone, waterfall = self.surcharge
        at_once = reply.get("credits_consumed")
        paid = self.price.credits * found if at_once is None else max(0, -(-at_once // 1))  # it may be a fraction
        return max(int(paid), (self.price.credits + phone) * found if phone else 0) + waterfall * len(reply["matches"])


def clues_of(contact: Record) -> dict[str, str]:
    """Return what Apollo may know a contact's person by; nothing if that is too little."""
    if contact.get("person_id"):
        return {"id": contact["person_id"]}
    clues = {name: contact[name] for name in PERSON_CLUES if name != "id" and contact.get(name)}
    enough = clues.keys() & {"email", "linkedin_url"} or {"name", "organization_name"} <= clues.keys()
    return clues if enough else {}


def is_stub(person: Record) -> bool:
    """Whether a match stands for nobody: Apollo echoes what was asked, with an id and without a name."""
    return person.get("match_confidence") == "none" or not (
        person.get("name") or person.get("first_name") or person.get("last_name")
    )


def paired(rows: list[Record | None], batch: list[Wanted]) -> list[tuple[Record | None, Wanted]]:
    """Return what came beside what was asked: Apollo answers in order, null for what it does not know.

    Raises:
        ValueError: There are not as many of both.
    """
    if len(rows) != len(batch):
        raise ValueError("what came is not what was asked")
    return list(zip(rows, batch, strict=True))


class EnrichmentResults(ApolloStream):
    """Phone numbers and waterfall results, which Apollo has ready some time after people_enrichment; free."""

    name = "enrichment_results"
    endpoint = GET("webhook_result/{id}", scope="api/v1/webhook_result/show", oauth="webhook_result_read")
    primary_keys = ("request_id",)

    _waiting = 0
    _lost = 0

    @override
    def read(self, context: Context | None) -> Iterator[list[Record]]:
        for request_id, asked in [] if self.run.trial else [*self.pending.items()]:
            try:
                reply = self.ask({}, request_id)
            except GoneError as gone:
                age = (self.run.today - datetime.date.fromisoformat(asked)).days
                if gone.code not in LOST and age <= KEPT_DAYS:
                    self._waiting += 1
                    continue
                self._lost += 1
            else:
                if reply["webhook_status"] == "in_progress":
                    self._waiting += 1
                    continue
                yield [{**reply, "request_id": request_id, "read_at": now()}]
            del self.pending[request_id]
            self.write_state()

    @override
    def ended(self, delivered: int, seconds: float) -> None:
        if self._lost:
            lost = counted(self._lost, "request")
            self.logger.warning("%s: Apollo has no results any more for %s.", self.name, lost)
        self.sum_up(seconds, counted(delivered, "result"), f"{self._waiting:,} not ready yet")

    @override
    def outlook(self) -> Outlook:
        with contextlib.suppress(GoneError):
            self.ask({}, "0")  # a request that never was
        return Outlook(len(self.pending), requests=len(self.pending))

    @property
    def pending(self) -> dict[str, str]:
        """The requests whose results have not come, and the day of each; changed in place."""
        bookmarks = self.tap_state.setdefault("bookmarks", {})
        pending: dict[str, str] = bookmarks.get(PeopleEnrichment.name, {}).get(PENDING, {})
        return pending
