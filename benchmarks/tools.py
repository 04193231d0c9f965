"""The clients that are compared: how each is run, and what its output says of the rows that it delivered."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_apollo import schemas

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
KEY = "sandbox-key"
PER_PAGE = 100

#: Environments of their own, made when they are first needed, with what goes into them.
VENVS = {"dlt": ("dlt==1.31.0",), "airbyte": ("airbyte-cdk==7.39.1",)}

#: What Airbyte's source needs to read newest first down to where it began last time.
AIRBYTE_CURSOR = """
    incremental_sync:
      type: DatetimeBasedCursor
      cursor_field: updated_at
      datetime_format: "%Y-%m-%dT%H:%M:%S.%fZ"
      cursor_datetime_formats: ["%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ"]
      start_datetime: "2000-01-01T00:00:00.000000Z"
      is_data_feed: true
"""


def _airbyte_catalog(mode: str) -> dict[str, Any]:
    stream = {"name": "contacts", "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]}
    return {"streams": [{"stream": stream, "sync_mode": mode, "destination_sync_mode": "append"}]}


def executable(environment: str, name: str) -> str:
    """Return the path of a program in one of the environments, which is made if it is not there."""
    folder = HERE / ".venvs" / environment
    ready = folder / "ready"
    wanted = "\n".join(VENVS[environment])
    if not ready.exists() or ready.read_text() != wanted:
        print(f"Installing {wanted} ...", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *VENVS[environment]]
        subprocess.run(pip, check=True)
        ready.write_text(wanted)
    return str(folder / "bin" / name)


@dataclasses.dataclass(frozen=True)
class Tool:
    """One client.

    Attributes:
        name: As ``--only`` takes it.
        title: As the table shows it.
        command: What to run in a folder of its own, for an API at a URL; and whether to keep and use a cursor.
        remembers: Whether it has something to keep between two syncs, so that the second need not read everything.
        reports: What to add to the command so that it prints the rows that it delivered, if it does not anyway.
    """

    name: str
    title: str
    command: Callable[[Path, str, bool], list[str]]
    remembers: bool = False
    reports: tuple[str, ...] = ()


def write(folder: Path, name: str, content: Any) -> str:
    """Write a JSON file and return its path."""
    path = folder / name
    path.write_text(json.dumps(content))
    return str(path)


def _tap(**settings: Any) -> Callable[[Path, str, bool], list[str]]:
    def command(folder: Path, url: str, incremental: bool) -> list[str]:  # noqa: FBT001
        key = {"table-key-properties": ["id"], "selected": True}
        streams = [
            {
                "tap_stream_id": "contacts",
                "stream": "contacts",
                "schema": schemas.load("contacts"),
                "key_properties": ["id"],
                "replication_key": "updated_at",
                "metadata": [{"breadcrumb": [], "metadata": key}],
            },
        ]
        config = write(folder, "config.json", {"api_url": url, "api_key": KEY, **settings})
        catalog = write(folder, "catalog.json", {"streams": streams})
        state = folder / "state.json"
        kept = ["--state", str(state)] if incremental and state.exists() else []
        return [sys.executable, "-m", "tap_apollo", "--config", config, "--catalog", catalog, *kept]

    return command


def _stock(folder: Path, url: str, _: bool) -> list[str]:  # noqa: FBT001
    write(folder, "contacts.json", schemas.load("contacts"))
    config = write(folder, "config.json", {"api_url": url, "api_key": KEY})
    return [sys.executable, str(HERE / "clients" / "stock.py"), "--config", config]


def _bare(_: Path, url: str, __: bool) -> list[str]:  # noqa: FBT001
    return [sys.executable, str(HERE / "clients" / "bare.py"), url]


def _dlt(*options: str) -> Callable[[Path, str, bool], list[str]]:
    def command(_: Path, url: str, incremental: bool) -> list[str]:  # noqa: FBT001
        program = str(HERE / "clients" / "dlt_rest_api.py")
        return [executable("dlt", "python"), program, url, *options, *(["--incremental"] if incremental else [])]

    return command


def _airbyte(folder: Path, url: str, incremental: bool) -> list[str]:  # noqa: FBT001
    manifest = folder / "manifest.yaml"
    text = (HERE / "clients" / "airbyte.yaml").read_text()
    manifest.write_text(text + AIRBYTE_CURSOR if incremental else text)
    config = write(folder, "config.json", {"api_url": url, "api_key": KEY})
    catalog = write(folder, "catalog.json", _airbyte_catalog("incremental" if incremental else "full_refresh"))
    state = folder / "state.json"
    kept = ["--state", str(state)] if incremental and state.exists() else []
    read = [executable("airbyte", "source-declarative-manifest"), "read", "--manifest-path", str(manifest)]
    return [*read, "--config", config, "--catalog", catalog, *kept]


TOOLS = (
    Tool("tap-apollo", "**tap-apollo**", _tap(), remembers=True),
    Tool(
        "tap-apollo-8", "**tap-apollo**, `max_concurrent_requests: 8`", _tap(max_concurrent_requests=8), remembers=True
    ),
    Tool("bare", "requests + json, a bare loop", _bare),
    Tool("dlt-extract", "dlt rest_api, extract only", _dlt(), remembers=True, reports=("--ids",)),
    Tool("airbyte", "airbyte-cdk declarative source", _airbyte, remembers=True),
    Tool("stock", "stock singer-sdk tap", _stock),
    Tool(
        "dlt-full", "dlt rest_api, normalized and loaded into files", _dlt("--load"), remembers=True, reports=("--ids",)
    ),
)


class Delivery:
    """The rows that a client wrote, and the state that it wants back."""

    def __init__(self, lines: Iterable[bytes], folder: Path) -> None:
        """Take lines as Singer, Airbyte and this benchmark's own clients write them; keep the state in the folder."""
        self.ids: set[str] = set()
        state: Any = None
        for line in lines:
            message = json.loads(line) if line.startswith(b"{") else {}
            if message.get("type") == "RECORD":
                record = message["record"]
                self.ids.add((record.get("data") or record)["id"])
            elif message.get("type") == "STATE":
                state = message["value"] if "value" in message else [message["state"]]
        if state is not None:
            write(folder, "state.json", state)
