"""Colleagues at work: edits of the team's data between the requests of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apollo_sandbox.ids import Kind

if TYPE_CHECKING:
    from apollo_sandbox.world import World

_MIXTURE = (
    *["touch_contact"] * 8,
    *["add_contact"] * 4,
    *["delete_contact"] * 3,
    *["touch_account"] * 4,
    *["add_account"] * 2,
    "delete_account",
    *["touch_deal"] * 2,
    "add_deal",
    "delete_deal",
    *["touch_task"] * 2,
    "add_task",
    "delete_task",
)
_NAMED_EDITS = (*dict.fromkeys(_MIXTURE), "enroll_contact")
_MOVES_STAGE = 0.3


class Colleagues:
    """Make edits, in an order that depends on the seed alone."""

    def __init__(self, world: World, edits_per_request: float) -> None:
        """Work on this world; a fraction of an edit per request adds up."""
        self._world = world
        self.pace = edits_per_request
        self._due = 0.0
        self._dice = world.ids.dice(Kind.EDIT, 0)

    def before_request(self) -> None:
        """Make the edits that are due before a request."""
        self._due += self.pace
        while self._due >= 1:
            self._due -= 1
            self.edit()

    def edit(self) -> dict[str, Any]:
        """Make one edit of whatever kind comes next; tells which and of what."""
        name = self._dice.pick(_MIXTURE)
        verb, noun = name.split("_")
        options: dict[str, Any] = {}
        if verb != "add":
            row_id = self._any_of(noun)
            if row_id is None:
                verb = "add"
            else:
                options = self._options(verb, noun)
                options[f"{noun}_id"] = row_id
        return self.named_edit(f"{verb}_{noun}", options)

    def named_edit(self, name: str, options: dict[str, Any]) -> dict[str, Any]:
        """Make one particular edit."""
        if name not in _NAMED_EDITS:
            message = f"edit must be one of {', '.join(_NAMED_EDITS)}, not {name!r}"
            raise ValueError(message)
        row_id = f"{name.partition('_')[2]}_id"
        given = {"row_id" if key == row_id else key: value for key, value in options.items()}
        created_id = getattr(self._world, name)(**given)
        return {"edit": name, **options, **({"id": created_id} if created_id else {})}

    def _options(self, verb: str, noun: str) -> dict[str, Any]:
        stages = self._world.catalog.stages_of.get(noun)
        if verb == "touch" and stages and self._dice.chance(_MOVES_STAGE):
            return {"stage": self._dice.whole(0, len(stages) - 1)}
        return {}

    def _any_of(self, noun: str) -> str | None:
        rows = self._world.editable[noun].order("default").rows
        return self._dice.pick(rows).id if rows else None
