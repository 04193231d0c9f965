"""One tolerant reader of Apollo's error replies, and the errors the tap raises.

Apollo reports errors as JSON with ``error``, ``message``, ``error_code`` or ``error_details.code``, as plain
text, or as HTML from the proxy in front of it. Every message made here is one line that names what happened and
what to do. Of a reply's body it has Apollo's code, and nothing else: that may hold personal data or an echoed key.
"""

from __future__ import annotations

import dataclasses
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
    from tap_apollo.api.endpoint import Endpoint


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


class NotFoundError(RequestError):
    """What was asked for is not there: the endpoint, or an answer that may come another time.

    Attributes:
        status: The status of the reply.
        code: Apollo's code, if it gives one.
        doubtful: Whether Apollo says the same of an endpoint that is not there.
    """

    def __init__(self, message: str, status: int = 404, code: str | None = None, *, doubtful: bool = True) -> None:
        """Take the line for the user, and what the reply tells."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.doubtful = doubtful


class GoneError(NotFoundError):
    """Apollo does not have the record that is asked for, or has it no more, in words that are documented for that."""


class UnknownReplyError(ApolloError):
    """A reply has not the form that it is known to have."""

    def __init__(self, path: str, error: Exception) -> None:
        """Take the endpoint's path, and what reading the reply raised."""
        super().__init__(f"{path} gave a reply of an unknown form ({type(error).__name__}).")


class OutOfCreditsError(RequestError):
    """The team has not the credits that the request would cost; none are charged.

    Attributes:
        kind: The kind of credits that are wanting, as Apollo's meter names it, if Apollo says it.
    """

    def __init__(self, message: str, kind: str | None = None) -> None:
        """Take the line for the user, and the kind."""
        super().__init__(message)
        self.kind = kind


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
    if response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
        return None
    said = _Refusal.of(response)
    if said.is_for_the_plan or said.is_for_credits_by_its_code:
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


def raise_for_reply(response: requests.Response, endpoint: Endpoint, credential: str) -> None:
    """Raise the error that a reply stands for; return if it is a success.

    Args:
        response: The reply.
        endpoint: What was asked.
        credential: The setting that holds the key or token.

    Raises:
        OutOfCreditsError: Want of credits: by its code at any status, in older replies a 4xx that has the word.
        CredentialsError: 401.
        ForbiddenError: 403 from Apollo itself, or its twin, a 422 with code API_INACCESSIBLE.
        RateLimitedError: 429.
        TransientError: 408, 425, 5xx, an HTML page from the proxy, a body that is not JSON or is an error in spite
            of its status.
        GoneError: The record is not there, in words that the endpoint declares.
        NotFoundError: Any other 404 or 410.
        RequestError: Any other refusal; of redirects, RedirectError.
    """
    status, path = response.status_code, endpoint.path
    if status < HTTPStatus.MULTIPLE_CHOICES:
        content = decode(response)
        if not isinstance(content, dict) or not (content.get("error") or content.get("status") == "failed"):
            return
    said = _Refusal.of(response)
    named = f"{status}, {said.shown}" if said.shown else f"{status}"
    if said.is_for_credits_by_its_code:
        raise OutOfCreditsError(_NO_CREDITS.format(path=path, named=named), said.kind)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        raise TransientError(f"the reply is an error with status {status}", response)
    if status == HTTPStatus.UNAUTHORIZED:
        hint = "; access tokens expire after 30 days" if credential == "access_token" else ""
        reason = said.reason or f"check `{credential}`{hint}"
        raise CredentialsError(f"Apollo does not accept the credentials ({named}): {reason}.")
    if refused_for(response) is not None:
        raise RateLimitedError("rate limit reached (429)", response)
    if status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY}:
        raise TransientError(f"refused for now ({status})", response)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise TransientError(f"server error ({status})", response)
    if status == HTTPStatus.FORBIDDEN and _is_html(response):
        raise TransientError("refused by the proxy in front of Apollo (403 with an HTML page)", response)
    raise _refused(said, status, named, endpoint, credential)


def _refused(said: _Refusal, status: int, named: str, endpoint: Endpoint, credential: str) -> ApolloError:
    """Return the error of a request that Apollo would refuse again."""
    path = endpoint.path
    by_plan = said.is_for_the_plan
    if "credits" in said.text and not (by_plan or said.tells_by_code):  # older replies have no code, only the word
        return OutOfCreditsError(_NO_CREDITS.format(path=path, named=named), said.kind)
    if by_plan or status == HTTPStatus.FORBIDDEN or said.is_for_access_by_its_code:
        return ForbiddenError(_why_forbidden(said, f"{path} ({named})", endpoint.remedy(credential)))
    if status < HTTPStatus.BAD_REQUEST:
        return RedirectError(f"{path} answers with a redirect ({status}), which is not followed: check `api_url`.")
    missing = f"Apollo does not have what {path} was asked for ({named})."
    if words := [one for one in endpoint.gone.get(status, ()) if one in said.text or one == said.code]:
        return GoneError(missing, status, said.code or None, doubtful=_NOWHERE in words)
    why = _why(said.text)
    if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE} and not why:
        return NotFoundError(missing, status) if "{id}" in path else not_there(endpoint, status)
    return RequestError(f"Apollo refuses the request to {path} ({named}){why}.")


#: What Apollo says of a path that it does not have, and of a deal.
_NOWHERE = "not found"


def not_there(endpoint: Endpoint, status: int) -> ApolloError:
    """Return the error of an endpoint that is not there; one that the vendor does not document may well be missing."""
    if endpoint.documented:
        return NotFoundError(f"Apollo does not have {endpoint.path} ({status}): check `api_url`.", status)
    return ForbiddenError(
        f"Apollo does not have {endpoint.path} ({status}), which it does not document: check `api_url`."
    )


_NO_CREDITS = (
    "the team does not have enough credits for {path} ({named}): wait for the next billing cycle, or buy credits."
)


def _why_forbidden(said: _Refusal, what: str, remedy: str) -> str:
    """Return why credentials may not read an endpoint, as far as Apollo says it, and what to do."""
    if said.is_for_the_plan:
        return f"the team's Apollo plan does not include {what}: upgrade it."
    if said.reason:
        return f"Apollo refuses {what}: {said.reason}."
    if said.is_for_a_scope:
        return f"the credentials may not read {what}: {remedy}."
    if said.tells_by_code:
        return f"Apollo refuses {what}, and not for want of a scope: ask Apollo what that code means."
    return f"the credentials may not read {what}, and Apollo does not say why: perhaps {remedy}."


def _why(said: str) -> str:
    """Return what is wrong with a request, if Apollo says it in words that are known."""
    if "invalid metric type" in said:
        return ": it names a metric that Apollo does not know"
    if "unable to find user to send notification email" in said:
        return ": it tells a user of the team, and the `email` of user_profile is not one's; use the key of a user"
    missing = re.search(r"param is missing or the value is empty: (\w+)", said)
    return f": it lacks `{missing[1]}`" if missing else ""


#: Codes that may be shown: words in capitals or in small letters. A key, which a reply may echo, is neither.
_SHOWN = re.compile(r"[A-Z][A-Z_]*(\.[A-Z_]+)*|[a-z][a-z_]*(\.[a-z_]+)*", re.ASCII)

_LONGEST_CODE = 80

#: Kinds of credits as the meter names them, by words of what a refusal names.
_KINDS = {
    "conversation": "conversation_credit",
    "direct_dial|mobile|phone": "direct_dial_credit",
    "lead|email": "lead_credit",
}

#: Reasons that no scope would change, by words of Apollo's code or text, and what to do.
_REASONS = {
    r"\bip\b": "requests from this machine's IP address are not allowed; allow it in the team's settings in Apollo",
    r"\b(inactive|deactivated|suspended|disabled)\b": "the account is not active; ask the team's administrator",
    r"\bapi access\b|\bapi unavailable\b": "the team has no access to the API; ask Apollo",
}


@dataclasses.dataclass(frozen=True)
class _Refusal:
    """What Apollo says in a refusal.

    Attributes:
        codes: Its codes, the most telling first.
        text: Its words, in lower case: to tell refusals apart, never to be shown.
        credit_type: The kind of credits that are wanting, in Apollo's words; empty if it names none.
    """

    codes: tuple[str, ...]
    text: str
    credit_type: str = ""

    @classmethod
    def of(cls, response: requests.Response) -> _Refusal:
        """Read a reply, whatever its form."""
        reply = _read(response)
        details = reply.get("error_details")
        details = details if isinstance(details, dict) else {}
        codes = (details.get("code"), reply.get("error_code"))
        words = (*(reply.get(name) for name in ("error", "message", "error_message")), details.get("message"))
        plain = response.text if "text/plain" in response.headers.get("content-type", "") else ""
        text = " ".join([plain, *(f"{one}" for one in words if one)])
        context = details.get("context")
        credit_type = f"{context.get('credit_type') or ''}".lower() if isinstance(context, dict) else ""
        return cls(tuple(f"{one}" for one in codes if one), text.strip().lower(), credit_type)

    @property
    def code(self) -> str:
        """The code; empty if there is none."""
        return next(iter(self.codes), "")

    @property
    def shown(self) -> str:
        """The code, if it may be shown."""
        return self.code if len(self.code) <= _LONGEST_CODE and _SHOWN.fullmatch(self.code) else ""

    @property
    def kind(self) -> str | None:
        """The kind of credits that are wanting, as the meter names it."""
        return next((kind for words, kind in _KINDS.items() if re.search(words, self.credit_type)), None)

    @property
    def tells_by_code(self) -> bool:
        """Whether there is a code that says what is wrong."""
        return any(code != "UNKNOWN_ERROR" for code in self.codes)

    @property
    def _words(self) -> str:
        """The words of the codes and the text, single, in lower case."""
        return f"{self._coded} {re.sub('[^a-z]+', ' ', self.text)}"

    @property
    def _coded(self) -> str:
        """The words of the codes."""
        return re.sub("[^a-z]+", " ", " ".join(self.codes).lower())

    @property
    def is_for_the_plan(self) -> bool:
        """Whether the team's plan does not include what was asked for."""
        return bool(re.search(r"\bpaid plans\b|\bpaying teams\b", self._words) or re.search(r"\bplan\b", self._coded))

    @property
    def is_for_credits_by_its_code(self) -> bool:
        """Whether the code says that credits are wanting."""
        if any("CREDITS" in code for code in self.codes):
            return True
        return self.code.startswith("BILLING") and not self.is_for_the_plan

    @property
    def is_for_access_by_its_code(self) -> bool:
        """Whether the code says that the credentials do not give access."""
        return self.code.startswith("AUTH") or "API_INACCESSIBLE" in self.codes

    @property
    def is_for_a_scope(self) -> bool:
        """Whether a scope is wanting."""
        by_code = re.search(r"\b(inaccessible|scopes?|permissions?|endpoint)\b", self._coded)
        return bool(by_code) or "configured scope" in self.text or "not accessible with" in self.text

    @property
    def reason(self) -> str:
        """The reason that no scope would change, and what to do; empty if that is not known."""
        return next((text for words, text in _REASONS.items() if re.search(words, self._words)), "")


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
