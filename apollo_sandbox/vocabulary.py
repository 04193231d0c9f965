"""The words that made-up people, companies and messages are put together from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from faker import Faker

_NAMES = 400
_PLACES = 80


class Job(NamedTuple):
    """A job title and what Apollo's database knows about such a job."""

    title: str
    seniority: str
    department: str


class Place(NamedTuple):
    """Where somebody lives or a company sits."""

    street: str
    city: str
    state: str
    country: str
    postal_code: str
    time_zone: str

    @property
    def names(self) -> tuple[str, ...]:
        """Give the names by which a search finds it."""
        return self.city, self.state, self.country


JOBS = tuple(
    Job(*row)
    for row in (
        ("Chief Executive Officer", "c_suite", "executive"),
        ("Chief Operating Officer", "c_suite", "operations"),
        ("Chief Financial Officer", "c_suite", "finance"),
        ("Founder", "founder", "executive"),
        ("VP of Sales", "vp", "sales"),
        ("VP of Engineering", "vp", "engineering"),
        ("VP of Marketing", "vp", "marketing"),
        ("Head of Procurement", "head", "operations"),
        ("Head of Data", "head", "engineering"),
        ("Director of Operations", "director", "operations"),
        ("Director of Finance", "director", "finance"),
        ("Director of Product", "director", "product_management"),
        ("Sales Manager", "manager", "sales"),
        ("Engineering Manager", "manager", "engineering"),
        ("Marketing Manager", "manager", "marketing"),
        ("Plant Manager", "manager", "operations"),
        ("Office Manager", "manager", "administrative"),
        ("Senior Data Engineer", "senior", "engineering"),
        ("Senior Buyer", "senior", "operations"),
        ("Account Executive", "entry", "sales"),
        ("Business Analyst", "entry", "consulting"),
        ("Software Developer", "entry", "engineering"),
        ("Support Specialist", "entry", "support"),
        ("Recruiter", "entry", "human_resources"),
        ("Legal Counsel", "senior", "legal"),
    )
)

_SYLLABLES = """
bel cor dal fen gar hol jun kel lor mar nor pel quin ras sol tar ul ver wen yor zan
brix crin drev flan gwen plon stav trem vash welk
"""
SYLLABLES = tuple(_SYLLABLES.split())

_TRADES = """
Analytics Bakeries Bindery Ceramics Cartography Chemicals Dairy Engineering Ferries Foods Forestry Freight Gardens
Glassworks Instruments Irrigation Joinery Laboratories Lighting Logistics Looms Mills Optics Orchards Pharma Plastics
Press Pumps Quarries Robotics Seeds Shipyards Software Solar Textiles Tools Turbines Vineyards Weaving Works
"""
TRADES = tuple(_TRADES.split())

INDUSTRIES = (
    "computer software",
    "logistics & supply chain",
    "food production",
    "industrial automation",
    "textiles",
    "renewables & environment",
    "chemicals",
    "machinery",
    "hospital & health care",
    "construction",
    "research",
    "packaging & containers",
)

TECHNOLOGIES = tuple(
    f"{first} {second}"
    for first in ("Amber", "Basalt", "Cobalt", "Dune", "Ember", "Fjord")
    for second in ("CRM", "Mail", "Analytics", "Chat", "Cloud", "Forms")
)

_QUALITIES = (
    "batch custom daily digital field industrial interim local managed mobile outdoor precision regional seasonal"
)
_SERVICES = "analytics assembly delivery design leasing maintenance planning staffing supply"
KEYWORDS = tuple(f"{quality} {service}" for quality in _QUALITIES.split() for service in _SERVICES.split())

SUBJECTS = (
    "A question about {company}",
    "Shorter lead times for {company}?",
    "{first_name}, ten minutes next week",
    "Following up on my note",
    "What we learned from teams like yours",
)

SENTENCES = (
    "I saw that your team is growing and thought this may be of use.",
    "We help teams of your size keep their stock figures right.",
    "Would a short call on Thursday suit you?",
    "I can send two examples from your line of business.",
    "If somebody else looks after this, I am glad to write to them instead.",
    "The pilot takes two weeks and one hour of your time.",
)

TOPICS = ("Introduction", "Pilot review", "Pricing questions", "Quarterly review", "Onboarding")

_COUNTRIES = (
    ("United States", ("California", "Oregon", "Texas", "Ohio", "Vermont"), "America/Chicago"),
    ("Canada", ("Ontario", "Quebec"), "America/Toronto"),
    ("Germany", ("Hesse", "Saxony"), "Europe/Berlin"),
    ("United Kingdom", ("England", "Scotland"), "Europe/London"),
    ("Australia", ("Victoria", "Queensland"), "Australia/Melbourne"),
)


@dataclass(frozen=True)
class Vocabulary:
    """Pools of names and places drawn once, for one seed."""

    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    places: tuple[Place, ...]

    @classmethod
    @cache
    def for_seed(cls, seed: int) -> Vocabulary:
        """Draw the pools."""
        faker = Faker("en_US")
        faker.seed_instance(seed)
        return cls(
            first_names=tuple(faker.first_name() for _ in range(_NAMES)),
            last_names=tuple(faker.last_name() for _ in range(_NAMES)),
            places=tuple(_place(faker, number) for number in range(_PLACES)),
        )


def _place(faker: Faker, number: int) -> Place:
    country, states, time_zone = _COUNTRIES[number % len(_COUNTRIES)]
    return Place(
        street=faker.street_address(),
        city=faker.city(),
        state=states[number % len(states)],
        country=country,
        postal_code=faker.postcode(),
        time_zone=time_zone,
    )
