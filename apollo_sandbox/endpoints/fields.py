"""Lists, which the API calls labels, and fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox import errors
from apollo_sandbox.routing import Json, get, get_list
from apollo_sandbox.rows import workspace

if TYPE_CHECKING:
    from apollo_sandbox.services import Call
    from apollo_sandbox.world import World


@get("labels", rows={"lists": lambda world: world.catalog.labels})
def labels_index(call: Call) -> list[Json]:
    """List the lists, as the one endpoint that answers with a bare array."""
    world = call.world
    return [workspace.label(world, one, world.label_counts[number]) for number, one in enumerate(world.catalog.labels)]


@get("fields", rows={"fields": workspace.fields})
def fields_index(call: Call) -> Json:
    """List all fields, or those of one source."""
    source = call.params.text("source")
    if source == "crm_synced":
        raise errors.unprocessable("This team has no CRM connected.")
    rows = workspace.fields(call.world)
    return {"fields": [row for row in rows if source in {None, row["source"]}]}


@get_list("typed_custom_fields", stream="custom_fields")
def typed_custom_fields(world: World) -> list[Json]:
    """List the fields that the team added."""
    return [workspace.custom_field(one) for one in world.catalog.custom_fields]
