"""The command line: one option for every setting."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import signal
import sys
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import click

from apollo_sandbox.settings import Settings, SettingsError

try:
    from apollo_sandbox.sandbox import Sandbox
    from apollo_sandbox.server import listen, server_for, url_of
except ModuleNotFoundError as error:  # the command comes with the tap, what it needs only with the extra
    sys.exit(f'apollo-sandbox cannot start, as there is no {error.name}: pip install "tap-apollo[sandbox]"')

if TYPE_CHECKING:
    from collections.abc import Callable

_HINTS = get_type_hints(Settings)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    """Add one option per setting, in the order in which the settings are declared."""
    for one in reversed(dataclasses.fields(Settings)):
        command = _option(one)(command)
    return command


def _option(one: dataclasses.Field[Any]) -> Callable[..., Any]:
    flag, text, hint = one.name.replace("_", "-"), one.metadata["help"], _HINTS[one.name]
    if hint is bool:
        return click.option(f"--{flag}/--no-{flag}", one.name, default=one.default, help=text)
    if hint == tuple[str, ...]:
        return click.option(f"--{flag}", one.name, multiple=True, help=f"{text} Repeatable.")
    kind = next((kind for kind in (int, float) if kind in {hint, *get_args(hint)}), str)
    return click.option(
        f"--{flag}",
        one.name,
        type=kind,
        default=one.default,
        show_default=one.default is not None,
        help=text,
    )


def _leave(*_: object) -> None:
    """End well: being told to stop is how a server ends."""
    raise SystemExit(0)


@click.command(context_settings={"auto_envvar_prefix": "APOLLO_SANDBOX"})
@_options
def main(**values: Any) -> None:
    """Serve a local Apollo.io for testing against, without an account and without credits.

    Every option can also be set as APOLLO_SANDBOX_<OPTION> in the environment.
    """
    try:
        settings = Settings(**values)
        sandbox = Sandbox(settings)
        gc.freeze()  # the team's rows live as long as the process: do not look through them again
    except SettingsError as error:
        raise click.UsageError(str(error)) from None
    try:
        listener = listen(settings.host, settings.port)
    except OSError as error:
        message = f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        raise click.ClickException(message) from None
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _leave)
    line = (
        f"apollo-sandbox listening on {url_of(listener)} (seed {settings.seed}, "
        f"{settings.contacts:,} contacts, plan {settings.plan})"
    )
    server = server_for(sandbox.app, access_log=settings.access_log, announce=lambda: click.echo(line))
    asyncio.run(server.serve(sockets=[listener]))
