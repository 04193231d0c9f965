"""Run the tap in this process and keep what it says."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from singer_sdk.io_base import SingerWriter

from tap_apollo.api.errors import ApolloError
from tap_apollo.tap import TapApollo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk.singerlib import Message

    from apollo_sandbox import Sandbox


class _Keep(SingerWriter):
    """Keeps every message as a target would read it: after a round through JSON."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def write_message(self, message: Message) -> None:
        self.messages.append(json.loads(self.format_message(message)))


@dataclasses.dataclass
class Sync:
    """What one run wrote, and the error it ended with."""

    messages: list[dict[str, Any]]
    error: ApolloError | None

    @property
    def records(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for message in self.messages:
            if message["type"] == "RECORD":
                found[message["stream"]].append(message["record"])
        return found

    @property
    def schemas(self) -> dict[str, dict[str, Any]]:
        return {message["stream"]: message for message in self.messages if message["type"] == "SCHEMA"}

    @property
    def states(self) -> list[dict[str, Any]]:
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def state(self) -> dict[str, Any]:
        return self.states[-1]

    def ids(self, stream: str) -> list[str]:
        return [record["id"] for record in self.records[stream]]


def config_for(sandbox: Sandbox, **settings: Any) -> dict[str, Any]:
    return {"api_url": sandbox.url, "api_key": sandbox.settings.api_key, **settings}


def sync(
    sandbox: Sandbox,
    *streams: str,
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
    **settings: Any,
) -> Sync:
    """Sync some streams, or all that are selected, from a sandbox."""
    return sync_with(config_for(sandbox, **settings), streams, state, catalog)


def sync_with(
    config: dict[str, Any],
    streams: Iterable[str] = (),
    state: dict[str, Any] | None = None,
    catalog: dict[str, Any] | None = None,
) -> Sync:
    writer = _Keep()
    tap = TapApollo(config=config, state=state, catalog=catalog, message_writer=writer)
    if streams:
        for name, stream in tap.streams.items():
            stream.selected = name in streams
    error = None
    try:
        tap.sync_all()
    except ApolloError as raised:
        error = raised
    finally:
        tap.services.session.close()
    return Sync(writer.messages, error)
