"""What each endpoint answers: a file per subject, a function per endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apollo_sandbox.endpoints import (
    accounts,
    contacts,
    conversations,
    deals,
    emails,
    fields,
    organizations,
    people,
    reports,
    sequences,
    tasks,
    usage,
    users,
)
from apollo_sandbox.routing import Endpoint

if TYPE_CHECKING:
    from apollo_sandbox.world import World

_SUBJECTS = (
    contacts,
    accounts,
    deals,
    fields,
    sequences,
    emails,
    tasks,
    conversations,
    users,
    people,
    organizations,
    usage,
    reports,
)
ENDPOINTS = tuple(one for subject in _SUBJECTS for one in vars(subject).values() if isinstance(one, Endpoint))


def count_rows(world: World) -> dict[str, int]:
    """Tell how many rows a complete sync of each stream of the tap must deliver."""
    with world.lock:
        return {stream: len(rows(world)) for one in ENDPOINTS for stream, rows in one.rows.items()}
