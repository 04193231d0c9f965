"""What every request passes through: faults, edits, the key, the limits, the handler."""

from __future__ import annotations

import asyncio
import json
import time
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any

from apollo_sandbox import errors
from apollo_sandbox.errors import ApiError
from apollo_sandbox.params import Params
from apollo_sandbox.rate_limits import TooManyRequestsError
from apollo_sandbox.replies import BrokenAnswer, ConnectionReset, CutBody, Reply, html_page
from apollo_sandbox.services import Call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from apollo_sandbox.faults import Fault
    from apollo_sandbox.routing import Endpoint
    from apollo_sandbox.services import Services

    Handler = Callable[[Request], Awaitable[Response]]
    Respond = Callable[[Call], Reply]

_NO_ANSWER = "none"


class Pipeline:
    """Turns endpoints into what Starlette serves."""

    def __init__(self, services: Services) -> None:
        """Serve with these."""
        self._services = services

    def serve(self, endpoint: Endpoint) -> Handler:
        """Serve one endpoint."""

        async def handle(request: Request) -> Response:
            return await self._watched(request, endpoint.action, lambda call: self._call(request, endpoint, call))

        return handle

    async def serve_token(self, request: Request) -> Response:
        """Serve `oauth/token`, which takes a form, and neither a key nor a limit."""
        form = dict(await request.form())
        return await self._watched(request, "oauth/token", lambda _: Reply(self._services.oauth.exchange(form)))

    async def serve_unknown(self, request: Request) -> Response:
        """Answer for what Apollo does not offer, or offers for writing only."""

        def refuse(_: Call) -> Reply:
            raise errors.not_found()

        return await self._watched(request, "unknown", refuse)

    async def _watched(self, request: Request, action: str, respond: Respond) -> Response:
        """Answer a request and enter it in the usage log."""
        usage_log = self._services.usage_log
        usage_log.arrived(action)
        started = time.monotonic()
        status = _NO_ANSWER
        try:
            fault, deviations = self._services.faults.draw(action)
            usage_log.faults.update(one.kind for one in (fault, *deviations) if one is not None)
            response = await self._answer(partial(self._respond, request, action, respond, deviations), fault)
            ahead = sum(one.seconds for one in deviations if one.kind == "clock")
            response.headers["date"] = formatdate(time.time() + ahead, usegmt=True)
            remaining = self._services.settings.latency_ms / 1000 - (time.monotonic() - started)
            if remaining > 0:
                await asyncio.sleep(remaining)
            if not isinstance(response, BrokenAnswer):
                status = str(response.status_code)
            return response
        finally:
            usage_log.answered(status)

    @staticmethod
    async def _answer(respond: Callable[[], Awaitable[Reply]], fault: Fault | None) -> Response:
        """Answer a request, unless a fault has other plans."""
        if fault is None:
            return await respond()
        replaced = _INSTEAD.get(fault.kind)
        if replaced is None or fault.executed:
            response = await respond()
        if fault.kind in _WAITING:
            await asyncio.sleep(fault.seconds)
        if replaced is not None:
            return replaced(fault)
        return CutBody(response) if fault.kind == "cut_body" else response

    async def _respond(self, request: Request, action: str, respond: Respond, deviations: Sequence[Fault]) -> Reply:
        try:
            params = Params(request.query_params.multi_items(), await _json_body(request))
            call = Call(
                services=self._services,
                action=action,
                params=params,
                path=request.path_params,
                origin=f"{request.url.scheme}://{request.url.netloc}",
                deviations=deviations,
            )
            with self._services.world.lock:
                self._services.colleagues.before_request()
                return respond(call)
        except ApiError as refusal:
            return Reply(refusal.body, refusal.status)

    def _call(self, request: Request, endpoint: Endpoint, call: Call) -> Reply:
        started = time.monotonic()
        services, action = self._services, endpoint.action
        self._authorize(request, endpoint)
        try:
            services.limiter.admit(action)
            body, status, more = endpoint.answer(call), 200, {}
            for change, fault in call.deviating("reply"):
                body = change(fault, call, body)
        except TooManyRequestsError as refusal:
            services.usage_log.rate_limited[action] += 1
            body, status = refusal.body, refusal.status
            more = {"retry-after": str(refusal.retry_after)}
        except ApiError as refusal:
            body, status, more = refusal.body, refusal.status, {}
        headers = {**services.limiter.headers(action), **more}
        return Reply(body, status, seconds=time.monotonic() - started, headers=headers)

    def _authorize(self, request: Request, endpoint: Endpoint) -> None:
        services, settings, action = self._services, self._services.settings, endpoint.action
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer"
        if bearer:
            if not services.oauth.accepts(token.strip()):
                raise errors.bad_token()
        elif request.headers.get("x-api-key") != settings.api_key:
            raise errors.bad_key()
        if action in settings.forbid or (bearer and not endpoint.oauth):
            raise errors.out_of_scope(action, token=bearer)
        if action in settings.paid_only:
            raise errors.paid_plans_only()


async def _json_body(request: Request) -> Any:
    if "json" not in request.headers.get("content-type", ""):
        return None
    octets = await request.body()
    if not octets:
        return None
    try:
        return json.loads(octets)
    except ValueError:
        raise ApiError(400, {"status": 400, "error": "Bad Request"}) from None


def _refused(fault: Fault) -> Response:
    refusal = errors.refused(fault.value, fault.status)
    return Reply(refusal.body, refusal.status)


def _bad_status(fault: Fault) -> Response:
    if fault.body == "html":
        return html_page(fault.status)
    return Reply({"status": fault.status, "error": "Something went wrong."}, fault.status)


_INSTEAD: dict[str, Callable[[Fault], Response]] = {
    "status": _bad_status,
    "cloudflare": lambda _: html_page(403, "Attention Required! | Cloudflare"),
    "html": lambda _: html_page(200, "Scheduled maintenance"),
    "error_in_200": lambda _: Reply({"error": "Something went wrong.", "error_code": "INTERNAL_ERROR"}),
    "redirect": lambda fault: Reply("", 302, headers={"location": fault.location}),
    "refused": _refused,
    "reset": lambda _: ConnectionReset(),
    "timeout": lambda _: ConnectionReset(),
}
_WAITING = frozenset({"slow", "timeout"})
