"""Who the made-up people and companies are: names and addresses, derived from a number alone.

Apollo's database and the team's own records speak of the same people, so a contact, the person
behind it and an enrichment of either agree without being stored three times.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from apollo_sandbox.ids import IdFactory, Kind
from apollo_sandbox.vocabulary import INDUSTRIES, JOBS, SYLLABLES, TRADES, Job, Place, Vocabulary

if TYPE_CHECKING:
    from apollo_sandbox.settings import Sizes

_DATABASE_SINCE_MS = 1_420_070_400_000
_DATABASE_SPAN_S = 280_000_000
_SERIAL_AT_END = re.compile(r"(\d+)$")
_REMEMBERED = 8192


class Company(NamedTuple):
    """A made-up company."""

    serial: int
    organization_id: str
    name: str
    domain: str
    place: Place
    industry: str
    employees: int
    founded: int
    phone: str


class Person(NamedTuple):
    """A made-up person."""

    serial: int
    person_id: str
    first_name: str
    last_name: str
    job: Job
    place: Place
    slug: str

    @property
    def name(self) -> str:
        """Give the full name."""
        return f"{self.first_name} {self.last_name}"


class Identities:
    """The people and companies of Apollo's database, and those the team typed in itself."""

    def __init__(self, ids: IdFactory, words: Vocabulary, sizes: Sizes) -> None:
        """Populate, lazily, a database of the given sizes."""
        self._ids = ids
        self._words = words
        self._sizes = sizes
        self.company = lru_cache(_REMEMBERED)(self._company)
        self.person = lru_cache(_REMEMBERED)(self._person)

    def company_serial_of(self, person: int) -> int:
        """Tell which company a person works for."""
        sizes = self._sizes
        if person < sizes.contacts and sizes.accounts:
            share = self._ids.bits(Kind.EMPLOYMENT, person) / 2**64
            return int(sizes.accounts * share**1.5)
        return person % max(1, sizes.organizations)

    def employees_of(self, company: int) -> range:
        """Give the people, beyond those the team saved, who work for a company."""
        organizations = max(1, self._sizes.organizations)
        saved = self._sizes.contacts
        first = company + -(-max(0, saved - company) // organizations) * organizations
        return range(first, self._sizes.people, organizations)

    def email(self, person: Person, company: Company) -> str:
        """Give the business address of a person."""
        return f"{person.slug}@{company.domain}"

    def person_by_slug(self, slug: str) -> Person | None:
        """Find the person in the database an address or profile link belongs to."""
        number = _SERIAL_AT_END.search(slug)
        if number is None or int(number[1]) >= self._sizes.people:
            return None
        found = self.person(int(number[1]))
        return found if found.slug == slug else None

    def person_by_id(self, person_id: str) -> Person | None:
        """Find a person in the database."""
        serial = self._ids.read(person_id, Kind.PERSON)
        if serial is None or serial >= self._sizes.people:
            return None
        found = self.person(serial)
        return found if found.person_id == person_id else None

    def company_by_domain(self, domain: str) -> Company | None:
        """Find a company in the database."""
        number = _SERIAL_AT_END.search(domain.lower().removeprefix("www.").removesuffix(".example"))
        if number is None or int(number[1]) >= self._sizes.organizations:
            return None
        found = self.company(int(number[1]))
        return found if found.domain == domain.lower().removeprefix("www.") else None

    def company_by_id(self, organization_id: str) -> Company | None:
        """Find a company in the database."""
        serial = self._ids.read(organization_id, Kind.ORGANIZATION)
        if serial is None or serial >= self._sizes.organizations:
            return None
        found = self.company(serial)
        return found if found.organization_id == organization_id else None

    def _company(self, serial: int) -> Company:
        bits = self._ids.bits(Kind.ORGANIZATION, serial)
        stem = "".join(SYLLABLES[(bits >> shift) % len(SYLLABLES)] for shift in (0, 7))
        trade = TRADES[(bits >> 14) % len(TRADES)]
        name = f"{stem.capitalize()} {trade}"
        return Company(
            serial=serial,
            organization_id=self._ids.make(Kind.ORGANIZATION, serial, _entered(bits)),
            name=name,
            domain=f"{stem}-{trade.lower()}-{serial}.example",
            place=self._words.places[(bits >> 21) % len(self._words.places)],
            industry=INDUSTRIES[(bits >> 28) % len(INDUSTRIES)],
            employees=5 + (bits >> 32) % 9000 // (1 + (bits >> 46) % 40),
            founded=1950 + (bits >> 40) % 72,
            phone=f"+1555{(bits >> 30) % 10_000_000:07d}",
        )

    def _person(self, serial: int) -> Person:
        bits = self._ids.bits(Kind.PERSON, serial)
        words = self._words
        first = words.first_names[bits % len(words.first_names)]
        last = words.last_names[(bits >> 12) % len(words.last_names)]
        return Person(
            serial=serial,
            person_id=self._ids.make(Kind.PERSON, serial, _entered(bits)),
            first_name=first,
            last_name=last,
            job=JOBS[(bits >> 24) % len(JOBS)],
            place=words.places[(bits >> 32) % len(words.places)],
            slug=f"{first}.{last}{serial}".lower().replace(" ", "").replace("'", ""),
        )


def _entered(bits: int) -> int:
    return _DATABASE_SINCE_MS + (bits >> 20) % _DATABASE_SPAN_S * 1000
