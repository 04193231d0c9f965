"""How the team has set Apollo up: stages, lists, custom fields, schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apollo_sandbox.ids import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apollo_sandbox.ids import Dice, IdFactory


class Stage(NamedTuple):
    """A stage of contacts or accounts."""

    id: str
    name: str
    category: str | None


class DealStage(NamedTuple):
    """A stage of a deal pipeline."""

    id: str
    name: str
    pipeline_id: str
    order: int
    probability: int
    forecast: str
    is_closed: bool
    is_won: bool


class Label(NamedTuple):
    """A list of contacts, accounts or sequences."""

    id: str
    name: str
    modality: str
    created: int


class Option(NamedTuple):
    """One choice of a picklist."""

    id: str
    name: str


class CustomField(NamedTuple):
    """A field the team added."""

    id: str
    name: str
    modality: str
    type: str
    created: int
    options: tuple[Option, ...]


class Schedule(NamedTuple):
    """When sequences may send."""

    id: str
    name: str
    created: int


_CONTACT_STAGES: tuple[tuple[str, str | None], ...] = (
    ("New", "in_progress"),
    ("Researching", "in_progress"),
    ("Contacted", "in_progress"),
    ("In conversation", "in_progress"),
    ("Qualified", "succeeded"),
    ("Customer", "succeeded"),
    ("Not now", None),
    ("No reply", "failed"),
    ("Left the company", "failed"),
)
_ACCOUNT_STAGES: tuple[tuple[str, str | None], ...] = (
    ("Unsorted", None),
    ("Target", "in_progress"),
    ("Open deal", "succeeded"),
    ("Client", "succeeded"),
    ("Former client", "failed"),
    ("Out of scope", "failed"),
)
_DEAL_STAGES: tuple[tuple[str, int, str, bool, bool], ...] = (
    ("Discovery", 10, "Pipeline", False, False),
    ("Trial", 30, "Pipeline", False, False),
    ("Offer", 60, "Best Case", False, False),
    ("Contract", 85, "Commit", False, False),
    ("Won", 100, "Closed", True, True),
    ("Lost", 0, "Omitted", True, False),
)
_LABELS = (
    ("Spring trade fair", "contacts"),
    ("Newsletter readers", "contacts"),
    ("Partners", "contacts"),
    ("Webinar guests", "contacts"),
    ("Win back", "contacts"),
    ("Northern region", "accounts"),
    ("Key accounts", "accounts"),
    ("Renewal this year", "accounts"),
    ("Cold outreach", "emailer_campaigns"),
    ("Nurturing", "emailer_campaigns"),
)
_CUSTOM_FIELDS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("Nickname", "contact", "string", ()),
    ("Meeting notes", "contact", "textarea", ()),
    ("Lead score", "contact", "number", ()),
    ("Opted in", "contact", "boolean", ()),
    ("Birthday", "contact", "date", ()),
    ("Last survey", "contact", "datetime", ()),
    ("Persona", "contact", "picklist", ("Buyer", "User", "Sponsor")),
    ("Interests", "contact", "multi_picklist", ("Price", "Speed", "Support", "Security")),
    ("Tier", "account", "picklist", ("Gold", "Silver", "Bronze")),
    ("Yearly spend", "account", "number", ()),
    ("Customer number", "account", "string", ()),
    ("Contract end", "account", "date", ()),
    ("Reason", "opportunity", "picklist", ("Replacement", "Growth", "Audit")),
    ("Legal review", "opportunity", "date", ()),
    ("Competitor", "opportunity", "string", ()),
)
_SCHEDULES = ("Office hours", "Around the clock", "Mornings only")
_PIPELINES = 2
_OPTIONS_PER_FIELD = 16


class Catalog:
    """The team's configuration."""

    def __init__(self, ids: IdFactory, founded_ms: int) -> None:
        """Set everything up on the day the team was founded."""
        self.team_id = ids.make(Kind.TEAM, 0, founded_ms)
        self.contact_stages = tuple(
            Stage(ids.make(Kind.CONTACT_STAGE, number, founded_ms), name, category)
            for number, (name, category) in enumerate(_CONTACT_STAGES)
        )
        self.account_stages = tuple(
            Stage(ids.make(Kind.ACCOUNT_STAGE, number, founded_ms), name, category)
            for number, (name, category) in enumerate(_ACCOUNT_STAGES)
        )
        self.deal_stages = tuple(
            DealStage(
                id=ids.make(Kind.DEAL_STAGE, pipeline * len(_DEAL_STAGES) + order, founded_ms),
                name=name,
                pipeline_id=ids.make(Kind.PIPELINE, pipeline, founded_ms),
                order=order,
                probability=probability,
                forecast=forecast,
                is_closed=is_closed,
                is_won=is_won,
            )
            for pipeline in range(_PIPELINES)
            for order, (name, probability, forecast, is_closed, is_won) in enumerate(_DEAL_STAGES)
        )
        self.stages_of: dict[str, Sequence[Stage | DealStage]] = {
            "contact": self.contact_stages,
            "account": self.account_stages,
            "deal": self.deal_stages,
        }
        self.labels = tuple(
            Label(ids.make(Kind.LABEL, number, founded_ms), name, modality, founded_ms)
            for number, (name, modality) in enumerate(_LABELS)
        )
        self.custom_fields = tuple(
            CustomField(
                ids.make(Kind.FIELD, number, founded_ms),
                name,
                modality,
                kind,
                founded_ms,
                tuple(
                    Option(
                        ids.make(Kind.OPTION, number * _OPTIONS_PER_FIELD + choice, founded_ms),
                        option,
                    )
                    for choice, option in enumerate(options)
                ),
            )
            for number, (name, modality, kind, options) in enumerate(_CUSTOM_FIELDS)
        )
        self.schedules = tuple(
            Schedule(ids.make(Kind.SCHEDULE, number, founded_ms), name, founded_ms)
            for number, name in enumerate(_SCHEDULES)
        )
        self._fields_of = {
            modality: tuple(one for one in self.custom_fields if one.modality == modality)
            for modality in ("contact", "account", "opportunity")
        }

    def label_numbers(self, modality: str) -> tuple[int, ...]:
        """Give the positions of the lists of one kind."""
        return tuple(number for number, label in enumerate(self.labels) if label.modality == modality)

    def custom_values(self, modality: str, dice: Dice) -> dict[str, object]:
        """Fill in some of the custom fields of one row, or none."""
        if dice.chance(0.4):
            return {}
        return {one.id: _custom_value(one, dice) for one in self._fields_of[modality] if dice.chance(0.5)}


_PLAIN = ("Alder", "Birch", "Cedar", "Elm", "Hazel", "Rowan")


def _custom_value(one: CustomField, dice: Dice) -> object:
    match one.type:
        case "number":
            value: object = dice.whole(1, 500) if dice.chance(0.7) else dice.whole(1, 5000) / 8
        case "boolean":
            value = dice.chance(0.5)
        case "date" | "datetime":
            value = f"{dice.whole(2021, 2027)}-{dice.whole(1, 12):02d}-{dice.whole(1, 28):02d}"
        case "picklist":
            value = [dice.pick(one.options).id] if dice.chance(0.9) else []
        case "multi_picklist":
            value = [option.id for option in one.options if dice.chance(0.5)]
        case "textarea":
            value = "Met at the fair.\nWants figures before the next call."
        case _:
            value = f"{dice.pick(_PLAIN)} {dice.whole(1, 99)}"
    return value
