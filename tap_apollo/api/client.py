"""How Apollo is asked: one request after its reservation and its turn, its reply, retries, errors in one line."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import backoff
import requests
from singer_sdk import metrics
from singer_sdk.exceptions import RetriableAPIError

from tap_apollo.api import mending
from tap_apollo.api.errors import (
    MAX_TRIES,
    ApolloError,
    CredentialsError,
    PassingError,
    RateLimitedError,
    decode,
    never_arrived,
    never_connected,
    raise_for_reply,
    refused_for,
)
from tap_apollo.api.rate_limits import WaitTooLongError
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from backoff.types import Details

    from tap_apollo.api.endpoint import Endpoint
    from tap_apollo.services import Services

#: Most bytes of a reply to read at once; a page of contacts has some 500,000.
_PIECE = 262_144

#: Seconds to wait for an answer that discovery can do without.
DISCOVERY_TIMEOUT = 10

#: How often a request may be refused for the rate limit, as when others use up each window as it opens.
MAX_REFUSALS = 10

#: What asking raises if Apollo does not give what was asked for.
UNREADABLE = (ApolloError, WaitTooLongError, RetriableAPIError, requests.RequestException)


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One thing to ask, by as many requests as it takes.

    Attributes:
        endpoint: Where to ask.
        parameters: The JSON body of a POST, the query of a GET.
        stream: The stream that it is for, which messages and the ledger name.
        record_id: The record that it is about, where the path holds its id.
        priority: Which calls go first where they compete: the lowest.
        worst: The most credits that a request can cost.
        cost: Tells from a reply what it did cost.
    """

    endpoint: Endpoint
    parameters: Mapping[str, Any]
    stream: str
    record_id: str | None = None
    priority: int = 0
    worst: int = 0
    cost: Callable[[Any], int] | None = None


class Client:
    """Asks Apollo. Safe to use from several threads."""

    #: How often to try before a fault counts as lasting.
    max_tries = MAX_TRIES

    def __init__(self, services: Services) -> None:
        """Take what the run shares."""
        self._services = services
        self._config = services.config
        self._said = set[tuple[str, str]]()
        self._has_risked = False
        self._once = threading.Lock()

    def send(self, call: Call) -> Any:
        """Ask, again if a fault may pass, while other streams work, and return the reply, decoded.

        Raises:
            ApolloError: Apollo refuses it.
            LimitReachedError: What it may cost does not fit the limits; nothing was sent.
            WaitTooLongError: A rate window is closed for longer than the run may wait; nothing was sent.
            PassingError: The fault did not pass, and the request may have been charged.
            RetriableAPIError: The fault did not pass.
            requests.RequestException: There is no answer.
        """
        services = self._services

        def may_be_charged(error: BaseException) -> bool:
            return call.worst > 0 and not never_arrived(error)

        def gives_up(error: Exception) -> bool:
            return may_be_charged(error) and not self._risks_another()

        with services.writer.released(), services.slots.alone_at_first():
            try:
                return self.retrying(self._paid, call.stream, gives_up)(self._prepared(call), call)
            except (RetriableAPIError, requests.RequestException) as error:
                if services.reached or not never_connected(error):
                    services.slots.answered()  # somebody is there: let the other streams try
                    if not may_be_charged(error):
                        raise
                    raise PassingError(
                        f"{call.endpoint.path}: {self.describe(error)}. The request may have cost "
                        f"{counted(call.worst, 'credit')}, and counts so; only one such request is sent again in a run."
                    ) from error
                services.report.fatal = ApolloError(
                    f"Apollo cannot be reached at {self._address}: check `api_url` and the network.",
                )
                raise services.report.fatal from error

    def _risks_another(self) -> bool:
        """Whether to send again what may have been charged: the first time in a run, whichever request it is."""
        with self._once:
            risks, self._has_risked = not self._has_risked, True
        return risks

    def retrying(
        self,
        function: Callable[..., Any],
        stream: str,
        gives_up: Callable[[Exception], bool] = lambda _: False,
    ) -> Callable[..., Any]:
        """Return a function that is tried again after faults that may pass: after 1, 2, 4 and 8 s.

        Unlike the SDK's decorator, without the log lines of ``backoff`` itself, which hold the query.

        Args:
            function: What to try.
            stream: Whom the lines about it name.
            gives_up: Whether a fault is not to be tried again, though it may pass.
        """

        def tell(details: Details) -> None:
            self._services.logger.getChild(stream).warning(
                "%s: %s; trying again in %.0f s (%d of %d tries made).",
                stream,
                self.describe(details["exception"]),
                details["wait"],
                details["tries"],
                MAX_TRIES,
            )

        return backoff.on_exception(
            backoff.expo,
            (ConnectionResetError, RetriableAPIError, requests.RequestException),
            max_tries=1 if self._services.discovering else self.max_tries,
            jitter=backoff.random_jitter,
            on_backoff=tell,
            giveup=gives_up,
            logger=None,
        )(function)

    # One request

    @property
    def _address(self) -> str:
        return str(self._config["api_url"]).rstrip("/")

    @property
    def timeout(self) -> int:
        """Seconds without a byte after which a request has failed."""
        seconds: int = self._config["request_timeout"]
        return min(seconds, DISCOVERY_TIMEOUT) if self._services.discovering else seconds

    def _prepared(self, call: Call) -> requests.PreparedRequest:
        endpoint, services = call.endpoint, self._services
        request = requests.Request(
            endpoint.method,
            f"{self._address}/{endpoint.path_for(call.record_id)}",
            headers={"Accept": "application/json", "User-Agent": services.user_agent},
            auth=services.authenticator,
        )
        if endpoint.method == "POST":
            request.json = dict(call.parameters)
        else:
            request.params = _query(call.parameters)
        return services.session.prepare_request(request)

    def _paid(self, request: requests.PreparedRequest, call: Call) -> Any:
        """Try once, and pay: reserve, STATE, send, settle. A second try does so again, and has to fit the limits."""
        if not call.worst:
            return decode(self._authorized(request, call))
        services = self._services
        with services.ledger.reserved(call.stream, call.worst) as receipt:
            receipt.credits = 0
            with services.writer.held():
                services.write_state()  # in which this try is booked at its worst: a kill is counted, too
            receipt.credits = call.worst
            try:
                response = self._authorized(request, call)
            except BaseException as error:
                if never_arrived(error):
                    receipt.credits = 0
                raise
            reply = decode(response)
            receipt.credits = self._settled(call, reply)
            return reply

    def _settled(self, call: Call, reply: Any) -> int:
        """Return what a reply cost: by its rule if it is of a known form, else the worst case."""
        if call.cost is None:
            return call.worst
        try:
            with call.endpoint.parsing():
                cost = call.cost(reply)
        except ApolloError:
            return call.worst
        if cost > call.worst:
            self._services.logger.warning(
                "%s: Apollo charged %s for a request that should cost %s at most: compare with your plan's prices.",
                call.stream,
                counted(cost, "credit"),
                f"{call.worst:,}",
            )
        return cost

    def _authorized(self, request: requests.PreparedRequest, call: Call) -> requests.Response:
        """Send a request; once more with new credentials, if Apollo refuses those that can be renewed."""
        services = self._services
        try:
            return self._admitted(request, call)
        except CredentialsError:
            if services.report.fatal:
                raise services.report.fatal from None
            if not services.authenticator.renew(request):
                raise
        return self._admitted(services.authenticator(request), call)

    def _admitted(self, request: requests.PreparedRequest, call: Call) -> requests.Response:
        """Send a request as soon as there is room for it, again if it is refused for the rate limit."""
        services, path = self._services, call.endpoint.path
        for _ in range(MAX_REFUSALS):
            with services.limiter.request(path) as ticket, services.slots.slot(call.priority):
                if services.report.fatal:
                    raise services.report.fatal
                services.limiter.sending(path, ticket)
                response = self._send(request, call.stream)
                self._mend(response, call)
                ticket.headers, ticket.retry_after = response.headers, refused_for(response)
                services.reached = True
                try:
                    raise_for_reply(response, call.endpoint, services.credential)
                except RateLimitedError:
                    services.slots.answered()
                except CredentialsError as error:
                    if not services.authenticator.renewable:
                        services.report.fatal = error  # before anybody else sends a request with them
                    raise
                else:
                    services.slots.answered()
                    return response
        raise PassingError(
            f"Apollo refused {path} for its rate limit {MAX_REFUSALS} times in a row: another client of the "
            "team may be using it up; the stream api_usage_stats shows how much is used.",
        )

    def _send(self, request: requests.PreparedRequest, stream: str) -> requests.Response:
        session = self._services.session
        settings = session.merge_environment_settings(request.url, {}, True, None, None)  # noqa: FBT003
        # A redirect is not followed: requests would carry `x-api-key` to the other host.
        response = session.send(request, timeout=self.timeout, allow_redirects=False, **settings)
        # As `content` would, but half a page at once, not ten kilobytes: it takes two thirds of the time.
        response._content = b"".join(response.iter_content(_PIECE))  # noqa: SLF001
        tags: dict[str, Any] = {metrics.Tag.STREAM: stream, metrics.Tag.HTTP_STATUS_CODE: response.status_code}
        seconds = response.elapsed.total_seconds()
        point = metrics.Point("timer", metrics.Metric.HTTP_REQUEST_DURATION, seconds, tags)
        metrics.log(self._services.metrics_logger, point)
        return response

    def _mend(self, response: requests.Response, call: Call) -> None:
        """Decode a reply before ``decode`` does, with text in it that no database takes mended, which is said once."""
        if not response.ok:
            return
        try:
            reply, said = mending.read(response.content, call.endpoint.rows)
        except ValueError:  # which `decode` says
            return
        response.decoded = reply  # type: ignore[attr-defined]
        with self._once:
            lines = [line for line in said if (call.stream, line) not in self._said]
            self._said.update((call.stream, line) for line in lines)
        for line in lines:
            self._services.logger.getChild(call.stream).warning("%s: %s.", call.stream, line)

    # Errors

    def describe(self, error: BaseException) -> str:
        """Say what went wrong with a request, without its URL's query or a body."""
        if isinstance(error, RetriableAPIError):
            return str(error)
        if isinstance(error, requests.Timeout):
            setting = "" if self._services.discovering else " (`request_timeout`)"
            return f"no answer within {self.timeout:,} s{setting}"
        return "the connection broke"

    def waits_too_long(self, error: WaitTooLongError) -> str:
        """Say that a rate window is closed for longer than the run may wait."""
        used_up = f"the rate limit of {error.endpoint} is used up for another {error.seconds:,.0f} s"
        if self._services.planning or self._services.discovering:
            return used_up
        limit = self._config["max_wait_seconds"]
        return f"{used_up}, longer than `max_wait_seconds` ({limit:,}); the next run goes on"

    def why(self, error: Exception) -> str:
        """Say in a sentence why something cannot be read.

        Args:
            error: One of ``UNREADABLE``.
        """
        if isinstance(error, ApolloError):
            return error.message
        if isinstance(error, WaitTooLongError):
            return f"{self.waits_too_long(error)}."
        return f"{self.describe(error)}."


def _query(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Write nested parameters as Apollo reads them in a query: ``range[min]=…``, ``ids[]=…``."""
    query: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, dict):
            query.update({f"{name}[{key}]": item for key, item in value.items()})
        elif isinstance(value, list):
            query[f"{name}[]"] = value
        else:
            query[name] = value
    return query
