"""Serving over real sockets, in the foreground or beside a test."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.protocols.http.h11_impl import H11Protocol

from apollo_sandbox.replies import BREAK_CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

_STARTUP_SECONDS = 30.0
_TICK_SECONDS = 0.1
_LINGER_NOT_AT_ALL = struct.pack("ii", 1, 0)


class BreakableProtocol(H11Protocol):
    """HTTP over a connection that the application may break."""

    def connection_made(self, transport: Any) -> None:
        """Hand the application the means to break this connection."""
        super().connection_made(transport)

        def break_connection(*, reset: bool) -> None:
            if not reset:
                transport.close()
                return
            # Without lingering, closing sends RST instead of an orderly FIN.
            held = transport.get_extra_info("socket")
            held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT_AT_ALL)
            transport.abort()

        self.app_state = {**self.app_state, BREAK_CONNECTION: break_connection}


class PromptServer(uvicorn.Server):
    """A server that says when it serves, and that another thread can stop at once."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], object]) -> None:
        """Call `announce` as soon as requests are answered."""
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await super().startup(sockets)
        self._announce()

    async def main_loop(self) -> None:
        """Serve until told to stop."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK_SECONDS)

    def stop(self) -> None:
        """End the main loop, from any thread."""
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._stopping.set)


def listen(host: str, port: int) -> socket.socket:
    """Open the socket to serve on; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would leave Nagle's delay on every connection it accepts.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Give the base URL of the API behind a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/api/v1"


def server_for(app: ASGIApp, *, access_log: bool, announce: Callable[[], object]) -> PromptServer:
    """Set a server up that says nothing but, if it comes to that, why it failed."""
    config = uvicorn.Config(
        app,
        http=BreakableProtocol,
        ws="none",
        lifespan="off",
        access_log=access_log,
        log_config=LOGGING_CONFIG if access_log else None,
        log_level="info" if access_log else "error",
        server_header=False,
        date_header=False,  # the pipeline has its own
        timeout_graceful_shutdown=1,
    )
    return PromptServer(config, announce)


@contextmanager
def serving(app: ASGIApp, host: str, *, access_log: bool) -> Iterator[str]:
    """Serve in a thread of its own for as long as the context lasts; gives the base URL."""
    listener = listen(host, 0)
    started = threading.Event()
    server = server_for(app, access_log=access_log, announce=started.set)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])),
        name="apollo-sandbox",
        daemon=True,
    )
    thread.start()
    if not started.wait(_STARTUP_SECONDS):
        message = "the sandbox did not start"
        raise RuntimeError(message)
    try:
        yield url_of(listener)
    finally:
        server.stop()
        thread.join()
        listener.close()
