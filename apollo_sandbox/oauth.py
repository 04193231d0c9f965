"""OAuth as Apollo does it: refreshing gives a new pair of tokens and kills the old one."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from apollo_sandbox.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apollo_sandbox.clock import Clock
    from apollo_sandbox.settings import Settings


class TokenIssuer:
    """The one pair of tokens that is valid."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Start with the settings' pair."""
        self._settings = settings
        self._clock = clock
        self.access_token = settings.access_token
        self.refresh_token = settings.refresh_token
        self._issued = clock.now()

    def accepts(self, access_token: str) -> bool:
        """Tell whether a token is valid now."""
        lifetime = self._settings.token_lifetime * 1000
        return (
            secrets.compare_digest(access_token.encode(), self.access_token.encode())
            and self._clock.now() < self._issued + lifetime
        )

    def exchange(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `POST oauth/token`."""
        settings = self._settings
        if (form.get("client_id"), form.get("client_secret")) != (
            settings.client_id,
            settings.client_secret,
        ):
            raise ApiError(401, {"error": "invalid_client"})
        if form.get("grant_type") != "refresh_token":
            raise ApiError(400, {"error": "unsupported_grant_type"})
        if form.get("refresh_token") != self.refresh_token:
            raise ApiError(400, {"error": "invalid_grant"})
        self.access_token = secrets.token_urlsafe(24)
        self.refresh_token = secrets.token_urlsafe(24)
        self._issued = self._clock.now()
        return {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": settings.token_lifetime,
            "refresh_token": self.refresh_token,
            "scope": "read_user_profile contacts_search accounts_search",
            "created_at": self._issued // 1000,
        }
