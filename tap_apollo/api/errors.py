"""One tolerant reader of Apollo's error replies, and the errors the tap raises.

Apollo reports errors as JSON with ``error``, ``message``, ``error_code`` or ``error_details.code``, as plain
text, or as HTML from the proxy in front of it. Every message made here is one line that names what happened and
what to do; none quotes a reply's body, which may hold personal data or an echoed key.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import click
import msgspec
import requests
from singer_sdk.exceptions import RetriableAPIError
from urllib3.exceptions import NewConnectionError, SSLError

from tap_apollo.api.rate_limits import MINUTE, NAMES, WaitTooLongError

if TYPE_CHECKING:
    from collections.abc import Callable


#: How often to try before a fault counts as lasting.
MAX_TRIES = 5


class ApolloError(click.ClickException):
    """What ends a stream or the run, in one line for the user; the command line shows it without a traceback."""


class SettingsError(ApolloError):
    """A setting is missing, unknown or impossible; raised before the first request."""


class CredentialsError(ApolloError):
    """Apollo does not know the key or token: no stream can be read."""


class ForbiddenError(ApolloError):
    """The key or the plan does not give access to this endpoint: the other streams can still be read."""


class PassingError(ApolloError):
    """What may have passed when the tap runs again."""


class RequestError(ApolloError):
    """Apollo refuses this request, and would refuse it again."""


class RedirectError(RequestError):
    """Another host is named, and not asked: the key must not travel."""


class GoneError(RequestError):
    """Apollo does not have the record that the request names, or has it no more.

    Attributes:
        code: Apollo's code for it, if it gives one.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        """Take the line for the user, and the code."""
        super().__init__(message)
        self.code = code


class UnknownReplyError(ApolloError):
    """A reply has not the form that it is known to have."""

    def __init__(self, path: str, error: Exception) -> None:
        """Take the endpoint's path, and what reading the reply raised."""
        super().__init__(f"{path} gave a reply of an unknown form ({type(error).__name__}).")


class OutOfCreditsError(RequestError):
    """The team has not the credits that the request would cost; none are charged."""


class SyncError(ApolloError):
    """The run is over, and something that was asked of it could not be done."""


class TransientError(RetriableAPIError):
    """A fault that may pass: worth another try."""


class RateLimitedError(TransientError):
    """The rate limit is reached, by this run or by somebody else of the team."""


def refused_for(response: requests.Response) -> int | None:
    """Return for how many seconds Apollo refuses requests, if it does for the rate limit; else None.

    ``retry-after`` says it; without, the window that the message names is taken for just opened.
    """
    if response.status_code != HTTPStatus.TOO_MANY_REQUESTS or "paying teams" in response.text:
        return None
    named = response.headers.get("retry-after", "")
    if named.isdecimal():
        return int(named)
    return next((seconds for seconds, name in reversed(NAMES.items()) if f"per {name}" in response.text), MINUTE)


def decode(response: requests.Response) -> Any:
    """Return the body of a successful reply, decoded once, whoever asks.

    Raises:
        TransientError: The body is not JSON: cut off, or a page of the proxy's.
    """
    if not hasattr(response, "decoded"):
        try:
            response.decoded = msgspec.json.decode(response.content)  # type: ignore[attr-defined]
        except (msgspec.DecodeError, UnicodeDecodeError):  # msgspec is stricter than JSON: half a character, say
            try:
                response.decoded = response.json()  # type: ignore[attr-defined]
            except ValueError:
                raise TransientError("the reply is not JSON", response) from None
    return response.decoded  # type: ignore[attr-defined]


def raise_for_reply(response: requests.Response, endpoint: str, remedy: Callable[[str], str], credential: str) -> None:
    """Raise the error that a reply stands for; return if it is a success.

    Args:
        response: The reply.
        endpoint: The endpoint, such as ``contacts/search``.
        remedy: Tells by the credential what gives access to the endpoint.
        credential: The setting that holds the key or token.

    Raises:
        CredentialsError: 401.
        ForbiddenError: 403 from Apollo itself, or its twin, a 422 with code API_INACCESSIBLE.
        RateLimitedError: 429.
        TransientError: 5xx, an HTML page from the proxy, a body that is not JSON or is an error in spite of its status.
        OutOfCreditsError: 422 for want of credits, in its several forms.
        GoneError: 404, 410, or a 422 that says the record is not there.
        RequestError: Any other refusal; of redirects, RedirectError.
    """
    status = response.status_code
    if status < HTTPStatus.MULTIPLE_CHOICES:
        content = decode(response)
        if isinstance(content, dict) and (content.get("error") or content.get("status") == "failed"):
            raise TransientError(f"the reply is an error with status {status}", response)
        return
    reply = _read(response)
    code = reply.get("error_code") or _details(reply).get("code")
    if status == HTTPStatus.UNAUTHORIZED:
        hint = "; access tokens expire after 30 days" if credential == "access_token" else ""
        raise CredentialsError(f"Apollo does not accept the credentials (401): check `{credential}`{hint}.")
    if refused_for(response) is not None:
        raise RateLimitedError("rate limit reached (429)", response)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise TransientError(f"server error ({status})", response)
    if status == HTTPStatus.FORBIDDEN and _is_html(response):
        raise TransientError("refused by the proxy in front of Apollo (403 with an HTML page)", response)
    if "paid plans" in str(reply.get("message")) or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise ForbiddenError(f"the team's Apollo plan does not include {endpoint} ({status}): upgrade it.")
    if status == HTTPStatus.FORBIDDEN or code == "API_INACCESSIBLE":
        raise ForbiddenError(f"the credentials may not read {endpoint} ({status}): {remedy(credential)}.")
    if status < HTTPStatus.BAD_REQUEST:
        raise RedirectError(f"{endpoint} answers with a redirect ({status}), which is not followed: check `api_url`.")
    said = str(reply.get("error") or reply.get("message") or reply.get("error_message") or "").lower()
    if "credits" in said or "CREDITS" in str(code):  # older replies have no code: the word is all there is
        raise OutOfCreditsError(
            f"the team does not have enough credits for {endpoint} ({status}): wait for the next billing cycle, or buy "
            "credits.",
        )
    hint = ": check `api_url`" if status == HTTPStatus.NOT_FOUND and "{" not in endpoint else ""
    named_nothing = reply and status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}  # not a page of the proxy's
    if named_nothing or code == "invalid_request_id" or any(words in said for words in _GONE):
        raise GoneError(f"Apollo does not have what {endpoint} was asked for ({status}){hint}.", code)
    named = f", {code}" if code and re.fullmatch(r"[\w.-]{1,40}", str(code), re.ASCII) else ""
    raise RequestError(f"Apollo refuses the request to {endpoint} ({status}{named}){_why(said) or hint}.")


def _why(said: str) -> str:
    """Return what is wrong with a request, if Apollo says it in words that are known."""
    if "invalid metric type" in said:
        return ": it names a metric that Apollo does not know"
    missing = re.search(r"param is missing or the value is empty: (\w+)", said)
    return f": it lacks `{missing[1]}`" if missing else ""


#: What Apollo says, as a 422, of a record that is not there (vendor's reference, per endpoint).
_GONE = ("does not exist", "has been deleted", "obsolete data", "is not a valid id", "could not find")


def never_arrived(error: BaseException) -> bool:
    """Whether a failed request certainly had no effect: Apollo refused it, or was never connected to."""
    if isinstance(error, RetriableAPIError):  # rate limit, or the proxy in front of Apollo
        refused = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.FORBIDDEN}
        return error.response is not None and error.response.status_code in refused
    if isinstance(error, (RedirectError, UnknownReplyError)):
        return False
    if isinstance(error, (ApolloError, WaitTooLongError)):
        return True
    return isinstance(error, requests.ConnectTimeout) or isinstance(_cause(error), NewConnectionError)


def never_connected(error: BaseException) -> bool:
    """Whether a request failed for want of a connection; through a broken one it may have arrived all the same."""
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError)):
        return True
    return isinstance(_cause(error), (NewConnectionError, SSLError))


def _cause(error: BaseException) -> BaseException | None:
    """Return why a connection failed, as urllib3 says it."""
    wrapped = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else None
    return getattr(wrapped, "reason", None)


def _is_html(response: requests.Response) -> bool:
    return "text/html" in response.headers.get("content-type", "")


def _read(response: requests.Response) -> dict[str, Any]:
    """Return an error reply as a mapping: an empty one if it is text, HTML or anything else."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _details(reply: dict[str, Any]) -> dict[str, Any]:
    details = reply.get("error_details")
    return details if isinstance(details, dict) else {}
