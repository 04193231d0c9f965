"""The command: files that cannot be read, ``--plan``, exit codes; what users give wrong is one line each."""

from __future__ import annotations

import gc
import io
import json
import logging
import re
from typing import IO, TYPE_CHECKING, Any, NoReturn

import click
from typing_extensions import override

from tap_apollo.api.errors import SettingsError
from tap_apollo.sdk import BaseTap

if TYPE_CHECKING:
    from tap_apollo.plan import Plan

#: A page of contacts is some 20,000 objects, none of them in a cycle: looking for cycles at every 700, as Python does,
#: took a quarter of a sync's CPU.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000


class CommandTap(BaseTap):
    """The tap as a command."""

    def plan(self) -> Plan:
        """Return what a sync would do, by free requests only."""
        raise NotImplementedError

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        try:
            return super().cb_config(ctx, param, value)
        except OSError as error:
            raise SettingsError(_unreadable("--config", error.strerror or type(error).__name__)) from error
        except (TypeError, ValueError) as error:
            raise SettingsError(f"The file of --config holds no JSON object: {REPAIR['--config']}.") from error

    @classmethod
    @override
    def invoke(
        cls,
        *,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
        plan: bool = False,
        **options: Any,
    ) -> None:
        state, catalog = _json_object("--state", state), _json_object("--catalog", catalog)
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)  # the process is the tap's own here
        if plan:
            cls._print_plan(options["config"], state, catalog, options.get("about_format"))
        else:
            super().invoke(state=state, catalog=catalog, **options)

    @classmethod
    def _print_plan(
        cls,
        config: Any,
        state: IO[str] | None,
        catalog: IO[str] | None,
        style: str | None,
    ) -> None:
        """Print what a sync would do."""
        tap = cls(
            config=config.config,
            parse_env_config=config.parse_env,
            state=json.load(state) if state else None,
            catalog=json.load(catalog) if catalog else None,
        )
        tap.metrics_logger.setLevel(logging.WARNING)  # a line per request would hide the table
        plan = tap.plan()
        click.echo(plan.to_json() if style == "json" else plan.to_table())

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        for option in command.params:
            if isinstance(option.type, click.File):
                option.type = _InputFile()
        text = (
            "Show what a sync would read, how long it would take and what it could cost at most, by free requests "
            "only. As JSON with --format=json."
        )
        command.params.append(click.Option(["--plan"], is_flag=True, help=text))
        return command


class _InputFile(click.File):
    """A file to read: one that cannot be opened is one line, as all that is wrong with what a user gives."""

    @override
    def fail(self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None) -> NoReturn:
        raise SettingsError(_unreadable(f"--{param and param.name}", message.rpartition(": ")[2]))


def _unreadable(option: str, reason: str) -> str:
    return f"The file of {option} cannot be read ({reason}): check the path."


#: What to do about the file of an option that holds no JSON object.
REPAIR = {
    "--config": "repair it",
    "--catalog": "repair it, or write it anew with --discover",
    "--state": "repair it; without it everything is read, and what costs credits is bought, again",
}


#: How deep a state may be wrapped that is still recognized, and names that may be shown: not data.
_DEPTH = 4
_NAME = re.compile(r"[a-z_]{1,40}", re.ASCII)


def bookmarks_of(state: Any) -> dict[str, Any]:
    """Return the bookmarks of a state, also as `meltano state get` prints it.

    What is none must not be taken for a fresh start, which buys everything again.

    Raises:
        SettingsError: It is no Singer state; the line says what it is instead, and what to do.
    """
    inner = state.get("singer_state", state) if isinstance(state, dict) else None
    if inner == {}:
        return {}
    bookmarks = inner.get("bookmarks") if isinstance(inner, dict) else None
    if isinstance(bookmarks, dict) and all(isinstance(value, dict) for value in bookmarks.values()):
        return bookmarks
    wanted = 'The state is not of the form {"bookmarks": {"contacts": {...}}}'
    path = "" if bookmarks is not None else _wrapped_in(state, "", _DEPTH)
    if path:
        raise SettingsError(
            f"{wanted}: that is in its `{path[1:]}`. Take it out, as by `jq {path} state.json > unwrapped.json`."
        )
    others = (
        [name for name in inner if _NAME.fullmatch(name) and name != "bookmarks"] if isinstance(inner, dict) else []
    )
    found = f", but has {', '.join(f'`{name}`' for name in others[:3])}" if others and bookmarks is None else ""
    raise SettingsError(f"{wanted}{found}: {REPAIR['--state']}.")


def _wrapped_in(value: Any, path: str, depth: int) -> str:
    """Return the path in a value to what has bookmarks, as jq takes it; empty if nothing has."""
    if not isinstance(value, dict) or not depth:
        return ""
    if isinstance(value.get("bookmarks"), dict):
        return path
    inner = (_wrapped_in(held, f"{path}.{name}", depth - 1) for name, held in value.items() if _NAME.fullmatch(name))
    return next(filter(None, inner), "")


def _json_object(option: str, file: IO[str] | None) -> IO[str] | None:
    """Return a file's text if it is a JSON object.

    Raises:
        SettingsError: It is not.
    """
    if file is None:
        return None
    text = ""
    try:
        text = file.read()
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise SettingsError(f"The file of {option} holds no JSON object: {REPAIR[option]}.")
    return io.StringIO(text)
