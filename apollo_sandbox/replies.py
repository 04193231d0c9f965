"""Answers on the wire: Apollo's headers, and the several ways of answering badly."""

from __future__ import annotations

import json
import uuid
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

_COOKIES = (
    "X-CSRF-TOKEN=sandbox; path=/; secure; SameSite=None",
    "_leadgenie_session=sandbox; path=/; secure; HttpOnly; SameSite=None",
    "__cf_bm=sandbox; path=/; HttpOnly; Secure; SameSite=None",
)
_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"

# A connection can only be broken by the server that holds it; see `server`.
BREAK_CONNECTION = "break_connection"


class Reply(Response):
    """An answer with the headers that Apollo and the network before it always send."""

    def __init__(
        self,
        body: Any,
        status: int = 200,
        *,
        seconds: float = 0.0,
        headers: Mapping[str, str] | None = None,
        media_type: str = "",
    ) -> None:
        """Send a string as plain text unless told otherwise, and all else as JSON."""
        if isinstance(body, str):
            content, kind = body.encode(), media_type or "text/plain"
        else:
            text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
            # The one thing that UTF-8 has no form for, half a surrogate pair, goes out as JSON's escape.
            content, kind = text.encode(errors="backslashreplace"), media_type or "application/json"
        request_id = str(uuid.uuid4())
        super().__init__(
            content,
            status,
            {
                "server": "cloudflare",
                "cf-ray": f"{request_id[:8]}{request_id[9:13]}{request_id[14:18]}-SBX",
                "cf-cache-status": "DYNAMIC",
                "cache-control": "max-age=0, private, must-revalidate",
                "etag": f'W/"{zlib.crc32(content):08x}"',
                "x-request-id": request_id,
                "x-transaction-id": str(uuid.uuid4()),
                "x-runtime": f"{seconds:.6f}",
                **(headers or {}),
            },
            kind,
        )
        for cookie in _COOKIES:
            self.headers.append("set-cookie", cookie)


def html_page(status: int, title: str = "") -> Reply:
    """Answer with a page of HTML where JSON belongs."""
    title = title or f"{status} {HTTPStatus(status).phrase}"
    return Reply(_PAGE.format(title=title), status, media_type="text/html")


class BrokenAnswer(Response):
    """What a client never gets to read as an answer."""


class ConnectionReset(BrokenAnswer):
    """No answer at all: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Break the connection hard."""
        scope["state"][BREAK_CONNECTION](reset=True)
        await _gone(receive)


class CutBody(BrokenAnswer):
    """An answer whose body ends in the middle."""

    def __init__(self, whole: Response) -> None:
        """Cut this answer."""
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Promise the whole length, send half of it, and close."""
        whole = self._whole
        await send(
            {
                "type": "http.response.start",
                "status": whole.status_code,
                "headers": whole.raw_headers,
            }
        )
        half = bytes(whole.body[: len(whole.body) // 2])
        await send({"type": "http.response.body", "body": half, "more_body": True})
        scope["state"][BREAK_CONNECTION](reset=False)
        await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Wait until the server knows that the connection is no more, and expects no answer on it."""
    while (await receive())["type"] != "http.disconnect":
        pass
