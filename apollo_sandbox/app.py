"""The sandbox as an ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Route

from apollo_sandbox.control import control_routes
from apollo_sandbox.endpoints import ENDPOINTS
from apollo_sandbox.pipeline import Pipeline

if TYPE_CHECKING:
    from apollo_sandbox.services import Services

__all__ = ["ENDPOINTS", "create_app"]

PREFIXES = ("/api/v1", "/v1")
EVERY_VERB = ("GET", "POST", "PUT", "PATCH", "DELETE")


def create_app(services: Services) -> Starlette:
    """Serve the API under both of its prefixes, and the sandbox's own controls."""
    pipeline = Pipeline(services)
    routes = [
        Route(f"{prefix}/{endpoint.path}", pipeline.serve(endpoint), methods=list(endpoint.verbs))
        for prefix in PREFIXES
        for endpoint in sorted(ENDPOINTS, key=lambda one: "{id}" in one.path)  # `search` is no id
    ]
    routes += [Route(f"{prefix}/oauth/token", pipeline.serve_token, methods=["POST"]) for prefix in PREFIXES]
    routes += control_routes(services)
    routes.append(Route("/{path:path}", pipeline.serve_unknown, methods=list(EVERY_VERB)))
    return Starlette(routes=routes)
