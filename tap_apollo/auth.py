"""How requests are authenticated: an API key, or an OAuth access token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.authenticators import APIKeyAuthenticator, BearerTokenAuthenticator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests import PreparedRequest

    Auth = Callable[[PreparedRequest], PreparedRequest]


def authenticator(config: Mapping[str, Any]) -> Auth:
    """Return what puts the configured credentials on a request, in a header and never in the URL."""
    if key := config.get("api_key"):
        return APIKeyAuthenticator(key="x-api-key", value=key, location="header")
    return BearerTokenAuthenticator(token=config["access_token"])
