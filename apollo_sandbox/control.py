"""The sandbox's own endpoints: figures, edits, faults. No key, no limits, no entry in the usage log."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apollo_sandbox.endpoints import count_rows
from apollo_sandbox.endpoints.conversations import export_file

if TYPE_CHECKING:
    from starlette.requests import Request

    from apollo_sandbox.services import Services

_PREFIX = "/_sandbox"


def control_routes(services: Services) -> list[Route]:
    """Give the routes under `/_sandbox`."""
    control = Control(services)
    return [
        Route(f"{_PREFIX}/ledger", control.ledger, methods=["GET"]),
        Route(f"{_PREFIX}/counts", control.counts, methods=["GET"]),
        Route(f"{_PREFIX}/reset", control.reset, methods=["POST"]),
        Route(f"{_PREFIX}/edit", control.edit, methods=["POST"]),
        Route(f"{_PREFIX}/faults", control.list_faults, methods=["GET"]),
        Route(f"{_PREFIX}/faults", control.add_fault, methods=["POST"]),
        Route(f"{_PREFIX}/faults", control.clear_faults, methods=["DELETE"]),
        Route(f"{_PREFIX}/exports/{{id}}.json.gz", control.export, methods=["GET"]),
    ]


class Control:
    """What a test may ask of the sandbox itself."""

    def __init__(self, services: Services) -> None:
        """Control these."""
        self._services = services

    async def ledger(self, _: Request) -> Response:
        """Tell what clients did."""
        return JSONResponse(self._services.usage_log.as_dict())

    async def counts(self, _: Request) -> Response:
        """Tell how many rows a complete sync must deliver."""
        return JSONResponse(count_rows(self._services.world))

    async def reset(self, request: Request) -> Response:
        """Forget what clients did."""
        self._services.reset()
        return await self.ledger(request)

    async def edit(self, request: Request) -> Response:
        """Make a number of edits, or a particular one."""
        colleagues = self._services.colleagues
        try:
            options = await _body(request)
            name = options.pop("edit", None)
            with self._services.world.lock:
                if name is None:
                    done = [colleagues.edit() for _ in range(int(options.get("count", 1)))]
                else:
                    done = [colleagues.named_edit(str(name), options)]
        except (LookupError, TypeError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        return JSONResponse({"edits": done})

    async def list_faults(self, _: Request) -> Response:
        """Tell which faults are in force."""
        return JSONResponse({"faults": self._services.faults.as_list()})

    async def add_fault(self, request: Request) -> Response:
        """Put a fault in force."""
        try:
            self._services.faults.add_spec(await _body(request))
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)
        return await self.list_faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """End all faults."""
        self._services.faults.clear()
        return await self.list_faults(request)

    async def export(self, request: Request) -> Response:
        """Give the file of a conversation export."""
        octets = export_file(self._services, request.path_params["id"])
        if octets is None:
            return JSONResponse({"error": "no such export"}, 404)
        return Response(octets, media_type="application/gzip")


async def _body(request: Request) -> dict[str, Any]:
    octets = await request.body()
    body = json.loads(octets) if octets else {}
    if not isinstance(body, dict):
        message = "the body must be a JSON object"
        raise ValueError(message)  # noqa: TRY004 - one kind of error for a bad body
    return body
