"""The index of the streams: what is declared in these modules, by the group that they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_apollo.readers.io import name_of
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams import (
    accounts,
    analytics,
    contacts,
    conversations,
    deals,
    engagement,
    enrichment,
    exports,
    fields,
    notes,
    prospecting,
    sequences,
    workspace,
)

if TYPE_CHECKING:
    from types import ModuleType

#: The modules of each group of streams, which share a page in the docs.
MODULES: dict[str, tuple[ModuleType, ...]] = {
    "crm": (contacts, accounts, deals, fields, notes),
    "engagement": (sequences, engagement, conversations, exports),
    "workspace": (workspace, analytics),
    "prospecting": (prospecting, enrichment),
}


def declared_in(module: ModuleType) -> list[type[ApolloStream]]:
    """Return the streams that a module declares, in their order there."""
    return [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, ApolloStream) and one.__module__ == module.__name__
    ]


#: The streams of each group, by their names.
GROUPS: dict[str, dict[str, type[ApolloStream]]] = {
    group: {name_of(one): one for module in modules for one in declared_in(module)}
    for group, modules in MODULES.items()
}

#: Every stream by its name.
STREAMS: dict[str, type[ApolloStream]] = {name: one for streams in GROUPS.values() for name, one in streams.items()}

#: The streams that cost credits, which exist only if `credit_streams` names them.
CREDIT_STREAMS = {name: one for name, one in STREAMS.items() if one.reads.costs}

#: The streams that the settings `max_pages` and `full_refresh_days` may name.
PAGED = tuple(name for name, one in STREAMS.items() if one.reads.takes_max_pages)
REFRESHED = tuple(name for name, one in STREAMS.items() if one.reads.takes_full_refresh_days)
