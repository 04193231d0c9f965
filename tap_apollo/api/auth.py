"""How requests are authenticated: an API key, or OAuth tokens that are renewed when they expire.

Renewing gives a new pair of tokens and revokes the old one (vendor's OAuth guide). So the new pair is on disk before it
is used, and only one run at a time may renew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import requests
from filelock import FileLock, Timeout

from tap_apollo.api.errors import CredentialsError, PassingError, SettingsError
from tap_apollo.config.settings import DEFAULT_API_URL

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping

    from requests import PreparedRequest

#: Tokens are issued by another host than the one that answers requests.
TOKEN_URL = "https://app.apollo.io/api/v1/oauth/token"  # noqa: S105

#: Seconds before its end from which a token is renewed rather than used.
EARLY = 60

#: Replies that mean that the token host has not looked at the request, and the seconds after which to ask it again.
_WORTH_ANOTHER_TRY = frozenset({403, 429, 502, 503, 504})
_WAITS = (1, 2, 4)


class Auth(Protocol):
    """What puts credentials on a request.

    Attributes:
        renewable: Whether others can be had in their place.
    """

    renewable: bool

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the credentials into a header, and never into the URL."""

    def renew(self, request: PreparedRequest) -> bool:
        """Get new credentials in place of those that Apollo refused on a request; False: there are none to get."""

    def finish(self, patience: float) -> None:
        """Wait, some seconds at most, until new credentials that are on their way are kept."""


class ApiKey:
    """An API key, which lasts until somebody revokes it."""

    renewable = False

    def __init__(self, key: str) -> None:
        """Take the key."""
        self._key = key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the key on a request."""
        request.headers["x-api-key"] = self._key
        return request

    def renew(self, request: PreparedRequest) -> bool:  # noqa: ARG002
        """Return False: a key cannot be renewed."""
        return False

    def finish(self, patience: float) -> None:
        """Do nothing: a key stays as it is."""


class OAuth:
    """A pair of tokens, renewed as the need arises. Safe to use from several threads."""

    def __init__(self, config: Mapping[str, Any], logger: logging.Logger) -> None:
        """Take up the tokens: those in the file, if they descend from the one in the settings.

        Raises:
            SettingsError: The file holds something else, or is where nothing can be written.
        """
        self._config = config
        self._logger = logger
        self._lock = threading.Lock()
        self._file = Path(config["oauth_token_file"]).expanduser() if config.get("oauth_token_file") else None
        self._origin = hashlib.sha256(str(config.get("refresh_token")).encode()).hexdigest()[:16]
        self._access: str | None = config.get("access_token")
        self._refresh: str | None = config.get("refresh_token")
        self._ends: float | None = None
        self._failure: CredentialsError | None = None
        self._waited = False
        self.renewable = bool(self._refresh)
        if self._file and not os.access(self._file.parent, os.W_OK):
            raise SettingsError(
                "Setting `oauth_token_file` names a file in a folder that is not there or cannot be written to: mend "
                "that, or name another.",
            )
        self._load()

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the access token on a request; a new one if there is none, or it is about to expire.

        Raises:
            CredentialsError: It cannot be renewed.
        """
        with self._lock:
            expired = self._ends is not None and time.time() > self._ends - EARLY
            if self._refresh and (self._access is None or expired):
                self._renew(self._access)
            request.headers["Authorization"] = f"Bearer {self._access}"
        return request

    def renew(self, request: PreparedRequest) -> bool:
        """Get a new pair in place of the token that Apollo refused on a request; False: nothing to renew it with.

        Raises:
            CredentialsError: Apollo does not accept the refresh token either.
        """
        refused = str(request.headers["Authorization"]).removeprefix("Bearer ")
        with self._lock:
            if self._access == refused:  # nobody has renewed it meanwhile
                if not self._refresh:
                    return False
                self._renew(refused)
            return True

    def finish(self, patience: float) -> None:
        """Wait until tokens that Apollo has just given are on disk: the old ones are revoked."""
        if self._lock.acquire(timeout=patience):
            self._lock.release()

    def _renew(self, refused: str | None) -> None:
        with self._alone() as new_file:
            self._load()  # another run may have been faster
            if self._access is not None and self._access != refused:
                return
            if self._failure:
                raise self._failure
            try:
                pair = self._ask()
            except CredentialsError as error:
                self._failure = error  # so that no other stream tries the same in vain
                raise
            self._access, self._refresh = pair["access_token"], pair["refresh_token"]
            self._ends = time.time() + float(pair.get("expires_in") or 0) if pair.get("expires_in") else None
            text = (
                "The OAuth tokens were renewed and the new ones are not kept%s, so the next run cannot log in: %s, "
                "then authorize the app again and set the new `refresh_token`."
            )
            if new_file is None or self._file is None:
                self._logger.warning(text, "", "set `oauth_token_file`")
                return
            try:
                self._save(new_file, self._file)
            except OSError as error:
                reason = f", as `oauth_token_file` cannot be written ({type(error).__name__})"
                self._logger.error(text, reason, "mend that")  # noqa: TRY400

    def _ask(self) -> dict[str, Any]:
        """Ask Apollo for a new pair.

        Raises:
            CredentialsError: It refuses.
            PassingError: It does not answer.
        """
        api_url = self._config["api_url"]
        url = TOKEN_URL if api_url == DEFAULT_API_URL else f"{api_url.rstrip('/')}/oauth/token"
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._refresh,
            "client_id": self._config["client_id"],
            "client_secret": self._config["client_secret"],
        }
        timeout = self._config["request_timeout"]
        try:
            for wait in (*_WAITS, None):
                reply = requests.post(url, data=form, timeout=timeout, allow_redirects=False)
                if wait is None or reply.status_code not in _WORTH_ANOTHER_TRY:
                    break
                time.sleep(wait)
            pair = reply.json() if reply.ok else {}
        except (requests.RequestException, ValueError) as error:
            raise PassingError(f"Apollo gave no new OAuth tokens ({type(error).__name__}).") from None
        if not isinstance(pair, dict):
            pair = {}
        if reply.status_code == requests.codes.unauthorized:
            raise CredentialsError(
                "Apollo does not accept the credentials of the app (401): check `client_id` and `client_secret`.",
            )
        if not reply.ok and reply.status_code != requests.codes.bad_request:
            raise PassingError(f"Apollo gave no new OAuth tokens ({reply.status_code}).")
        if not {"access_token", "refresh_token"} <= pair.keys():
            raise CredentialsError(
                f"Apollo does not accept the refresh token ({reply.status_code}), which serves once, and another run "
                "may have used it: authorize the app again, set the new `refresh_token`, and let all runs share one "
                "`oauth_token_file`.",
            )
        return dict(pair)

    # The file

    def _load(self) -> None:
        """Take the tokens from the file, if it is there and they descend from the refresh token in the settings."""
        if self._file is None or not self._file.exists():
            return
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
            origin, access, refresh, ends = (
                kept[name] for name in ("origin", "access_token", "refresh_token", "expires_at")
            )
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise SettingsError(
                f"Setting `oauth_token_file` names a file without tokens of this tap ({type(error).__name__}): remove "
                "the file, and authorize the app again if its refresh token is lost with it.",
            ) from None
        if origin == self._origin:
            self._access, self._refresh, self._ends = access, refresh, ends

    def _save(self, new_file: Path, file: Path) -> None:
        content = {
            "access_token": self._access,
            "refresh_token": self._refresh,
            "expires_at": self._ends,
            "origin": self._origin,
        }
        with os.fdopen(os.open(new_file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as stream:
            json.dump(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        new_file.replace(file)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[Path | None]:
        """Give the file that will replace the old one; until it does, no other run renews.

        The kernel frees the lock when its holder ends, however it ends. The new file is made before the old tokens are
        given up, so that a folder that cannot be written to costs nothing.

        Raises:
            PassingError: Another run holds the lock, for longer than a renewal can take.
            SettingsError: A file cannot be made.
        """
        if self._file is None:
            yield None
            return
        new_file = self._file.with_name(f"{self._file.name}.new")
        lock = FileLock(self._file.with_name(f"{self._file.name}.lock"), mode=0o600)
        try:
            lock.acquire(timeout=0 if self._waited else self._longest_renewal())
            os.close(os.open(new_file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        except Timeout as error:
            self._waited = True  # so that no other stream waits as long
            raise PassingError(
                f"Another run holds {error.lock_file} for longer than it takes to renew OAuth tokens: end that run.",
            ) from None
        except OSError as error:
            lock.release()
            raise SettingsError(
                f"Setting `oauth_token_file` names a file that cannot be written ({type(error).__name__}): check "
                "its folder.",
            ) from None
        try:
            yield new_file
        finally:
            new_file.unlink(missing_ok=True)
            lock.release()

    def _longest_renewal(self) -> float:
        """Return the seconds after which another run's renewal has succeeded or failed: each try has two timeouts."""
        return float((len(_WAITS) + 1) * 2 * self._config["request_timeout"] + sum(_WAITS) + EARLY)


def authenticator(config: Mapping[str, Any], logger: logging.Logger) -> Auth:
    """Return what puts the configured credentials on a request."""
    if key := config.get("api_key"):
        return ApiKey(key)
    return OAuth(config, logger)
