"""The pages that every client reads: POST contacts/search out of memory, so that the client is what is measured.

The rows are those of the sandbox (embedded account and organization included), fetched once over HTTP at the start,
newest first. From then on a reply is bytes that lie ready. How many rows there are and how long a reply takes stand
in the base URL, so that one server serves every run: ``/ROWS/LATENCY_MS/api/v1``. A reply is not compressed: that would
cost every client the same.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import re

import requests

from apollo_sandbox import Sandbox, Settings
from benchmarks.tools import PER_PAGE

_ROUTE = re.compile(r"/(\d+)/(\d+)/api/v1/(contacts/search|typed_custom_fields)$")
_LIMIT = 1_000_000


class Pages:
    """The rows of a sandbox as JSON, newest first, and the pages made of them."""

    def __init__(self, count: int) -> None:
        """Fetch that many contacts, no two of the same `updated_at`, and the definitions of custom fields."""
        with Sandbox(Settings(contacts=count, tie_size=1, plan="unlimited")).serve() as sandbox:
            session = requests.Session()
            session.headers["x-api-key"] = sandbox.settings.api_key
            self.custom_fields = session.get(f"{sandbox.url}/typed_custom_fields", timeout=60).content
            self._rows: list[bytes] = []
            self._envelope: dict[str, object] = {}
            for number in range(1, -(-count // PER_PAGE) + 1):
                body = {"page": number, "per_page": PER_PAGE, "sort_by_field": "contact_updated_at"}
                reply = session.post(f"{sandbox.url}/contacts/search", json=body, timeout=60).json()
                self._rows += [json.dumps(row, separators=(",", ":")).encode() for row in reply.pop("contacts")]
                self._envelope = reply
        self.page = functools.lru_cache(maxsize=4 * len(self._rows) // PER_PAGE)(self._page)

    def search(self, total: int, body: bytes) -> bytes:
        """Return the reply to a search in the list's first `total` rows."""
        asked = json.loads(body or b"{}")
        first = (max(1, int(asked.get("page", 1))), int(asked.get("per_page", 25)))
        return self.page(total, *first, bool(asked.get("sort_by_field")) and bool(asked.get("sort_ascending")))

    def _page(self, total: int, number: int, per_page: int, ascending: bool) -> bytes:  # noqa: FBT001 - the cache's key
        rows = self._rows[:total]
        if ascending:
            rows.reverse()
        figures = {"page": number, "per_page": per_page, "total_entries": total, "total_pages": -(-total // per_page)}
        rest = json.dumps({**self._envelope, "pagination": figures}, separators=(",", ":")).encode()
        return b'{"contacts":[' + b",".join(rows[(number - 1) * per_page : number * per_page]) + b"]," + rest[1:]


class Server:
    """HTTP/1.1 with kept-alive connections, and no more of it than the clients use."""

    def __init__(self, pages: Pages) -> None:
        """Serve these pages."""
        self._pages = pages
        self._used = 0  # requests so far, as the headers tell them

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until the client closes it."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                writer.write(await self.answer(head.split(" ", 2)[1], body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()

    async def answer(self, target: str, body: bytes) -> bytes:
        """Return the reply to one request, after the latency that its URL asks for."""
        route = _ROUTE.match(target.partition("?")[0])
        if not route:
            return self._reply("404 Not Found", b'{"error":"not found"}')
        self._used += 1
        await asyncio.sleep(int(route[2]) / 1000)
        searched = route[3] == "contacts/search"
        return self._reply("200 OK", self._pages.search(int(route[1]), body) if searched else self._pages.custom_fields)

    def _reply(self, status: str, body: bytes) -> bytes:
        lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}"]
        for limit, name in (("minute", "minute"), ("hourly", "hourly"), ("24-hour", "24-hour")):
            lines += [f"x-rate-limit-{limit}: {_LIMIT}", f"x-{name}-usage: {self._used}"]
            lines += [f"x-{name}-requests-left: {_LIMIT - self._used}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


async def serve(rows: int) -> None:
    """Serve until ended; the first line on stdout is the URL."""
    pages = await asyncio.to_thread(Pages, rows)
    listening = await asyncio.start_server(Server(pages).talk, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=10_000)
    asyncio.run(serve(arguments.parse_args().rows))
