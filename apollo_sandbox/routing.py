"""How an endpoint is declared: by one decorator on the function that answers it.

@get("things/{id}")
def thing(call: Call) -> Json:
    return {"thing": ...}
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sized

    from apollo_sandbox.services import Call
    from apollo_sandbox.world import World

Json = dict[str, Any]


class Endpoint(NamedTuple):
    """One endpoint of the API.

    Attributes:
        verbs: The HTTP methods it takes.
        path: Where it is, below the prefix; `{id}` stands for the id of a record.
        action: Apollo's name of it, under which it is counted, limited and charged.
        answer: The function that answers it.
        rows: Streams of the tap that are read from it by default, and all rows that each must deliver.
        oauth: Whether an OAuth token opens it, too.
    """

    verbs: tuple[str, ...]
    path: str
    action: str
    answer: Callable[[Call], object]
    rows: Mapping[str, Callable[[World], Sized]]
    oauth: bool


def _declare(
    verbs: tuple[str, ...],
    path: str,
    *,
    action: str = "",
    rows: Mapping[str, Callable[[World], Sized]] | None = None,
    oauth: bool = True,
) -> Callable[[Callable[[Call], object]], Endpoint]:
    return lambda answer: Endpoint(verbs, path, action or _action_of(path), answer, rows or {}, oauth)


get = partial(_declare, ("GET",))
post = partial(_declare, ("POST",))
get_or_post = partial(_declare, ("GET", "POST"))


def get_list(path: str, *, stream: str) -> Callable[[Callable[[World], list[Json]]], Endpoint]:
    """Declare a list without pages, whose rows lie under the name of its path."""
    return lambda rows: get(path, rows={stream: rows})(lambda call: {path: rows(call.world)})


def _action_of(path: str) -> str:
    """Name the action as Rails does: `contacts/{id}` is contacts/show, `labels` is labels/index."""
    controller, *rest = path.split("/")
    action = [part for part in rest if part != "{id}"]
    return "/".join((controller, *(action or ["show" if rest else "index"])))
