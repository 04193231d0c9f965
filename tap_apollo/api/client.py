"""How Apollo is asked: the request, the rate limit, the reply, retries, and errors in one line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar, cast

import backoff
import requests
from singer_sdk import metrics
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.streams import RESTStream
from typing_extensions import override

from tap_apollo.api.errors import (
    ApolloError,
    CredentialsError,
    ForbiddenError,
    PassingError,
    RateLimitedError,
    decode,
    never_connected,
    raise_for_reply,
    refused_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from backoff.types import Details
    from singer_sdk.helpers.types import Context

    from tap_apollo.api.auth import Auth
    from tap_apollo.api.rate_limits import WaitTooLongError
    from tap_apollo.readers.prefetch import Exchange
    from tap_apollo.services import Run

MAX_TRIES = 5

#: Most bytes of a reply to read at once; a page of contacts has some 500,000.
_PIECE = 262_144

#: Seconds to wait for an answer that discovery can do without.
DISCOVERY_TIMEOUT = 10

#: How often a request may be refused for the rate limit, as when others use up each window as it opens.
MAX_REFUSALS = 10


class ApolloClient(RESTStream[None]):
    """One endpoint.

    Attributes:
        scope: What an API key needs to read the endpoint; None where only a master key will do.
        oauth_scope: What an access token needs; None where no app may read it.
        run: What the streams share.
    """

    allow_redirects = False  # requests would carry `x-api-key` to the other host.

    scope: ClassVar[str | None]
    oauth_scope: ClassVar[str | None]

    #: Whose requests go first where streams compete: the lowest.
    priority = 0

    run: Run

    # The request

    @property
    @override
    def url_base(self) -> str:
        return cast("str", self.config["api_url"]).rstrip("/")

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self.run.session

    @property
    @override
    def authenticator(self) -> Auth:
        return self.run.authenticator

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "User-Agent": self.run.user_agent}

    @property
    @override
    def timeout(self) -> int:
        seconds = cast("int", self.config["request_timeout"])
        return min(seconds, DISCOVERY_TIMEOUT) if self.run.discovering else seconds

    @property
    def endpoint(self) -> str:
        """The endpoint's name in messages."""
        return self.path.lstrip("/")

    @property
    def remedy(self) -> str:
        """What to do about credentials that may not read the endpoint."""
        if self.run.credential != "api_key":
            if self.oauth_scope is None:
                return f"no app may; use {'a master' if self.scope is None else 'an API'} key"
            return f"the missing scope is {self.oauth_scope}; authorize the app again with it"
        if self.scope is None:
            return "only a master key may; use one"
        return f"the missing scope is {self.scope}; give the key that scope or use a master key"

    def ask(self, parameters: Mapping[str, Any], path: str | None = None) -> Any:  # noqa: ANN401
        """Send a request, again if a fault may pass, and return the reply.

        Args:
            parameters: The JSON body of a POST, the query of a GET.
            path: The path, where it holds an id; by default the stream's.

        Raises:
            ApolloError: Apollo refuses it.
            RetriableAPIError: The fault did not pass.
            requests.RequestException: There is no answer.
        """
        return self.received(self.exchange(parameters, path))

    def exchange(self, parameters: Mapping[str, Any], path: str | None = None) -> Exchange:
        """Send a request, again if a fault may pass, while other streams work. Safe to call from several threads."""
        content = {"json": dict(parameters)} if self.http_method == "POST" else {"params": _query(parameters)}
        url, headers = f"{self.url_base}{path or self.path}", self.http_headers
        with self.run.baton.laid_down(), self.run.lanes.alone_at_first():
            try:
                request = self.build_prepared_request(method=self.http_method, url=url, headers=headers, **content)
                return request, self.request_decorator(self.attempt)(request)
            except (RetriableAPIError, requests.RequestException) as error:
                if self.run.reached or not never_connected(error):
                    self.run.lanes.answered()  # somebody is there: let the other streams try
                    raise
                self.run.report.fatal = ApolloError(
                    f"Apollo cannot be reached at {self.url_base}: check `api_url` and the network.",
                )
                raise self.run.report.fatal from error

    def received(self, exchange: Exchange) -> Any:  # noqa: ANN401
        """Count what an exchange cost, and return the reply."""
        self.update_sync_costs(*exchange, None)
        return decode(exchange[1])

    def attempt(self, request: requests.PreparedRequest) -> requests.Response:
        """Send a request once, when the rate windows allow, and raise the error that its answer stands for.

        A request that is refused for the rate limit, or for a token that can be renewed, is sent again.

        Raises:
            WaitTooLongError: A rate window is closed for longer than `max_wait_seconds`.
        """
        try:
            return self._admitted(request)
        except CredentialsError:
            if self.run.report.fatal:
                raise self.run.report.fatal from None
            if not self.run.authenticator.renew(request):
                raise
        return self._admitted(self.run.authenticator(request))

    def _admitted(self, request: requests.PreparedRequest) -> requests.Response:
        """Send a request as soon as there is room for it, again if it is refused for the rate limit."""
        run = self.run
        for _ in range(MAX_REFUSALS):
            with run.limiter.request(self.path) as ticket, run.lanes.lane(self.priority):
                if run.report.fatal:
                    raise run.report.fatal
                run.limiter.sending(self.path, ticket)
                response = self._send(request)
                ticket.headers, ticket.retry_after = response.headers, refused_for(response)
                try:
                    self.validate_response(response)
                except RateLimitedError:
                    run.lanes.answered()
                except CredentialsError as error:
                    if not run.authenticator.renewable:
                        run.report.fatal = error  # before anybody else sends a request with them
                    raise
                else:
                    return response
        raise PassingError(
            f"Apollo refused {self.endpoint} for its rate limit {MAX_REFUSALS} times in a row: another client of the "
            "team may be using it up; the stream api_usage_stats shows how much is used.",
        )

    def _send(self, request: requests.PreparedRequest) -> requests.Response:
        session = self.requests_session
        settings = session.merge_environment_settings(request.url, {}, True, None, None)  # noqa: FBT003
        response = session.send(request, timeout=self.timeout, allow_redirects=self.allow_redirects, **settings)
        # As `content` would, but half a page at once, not ten kilobytes: it takes two thirds of the time.
        response._content = b"".join(response.iter_content(_PIECE))  # noqa: SLF001
        tags: dict[str, Any] = {metrics.Tag.STREAM: self.name, metrics.Tag.HTTP_STATUS_CODE: response.status_code}
        seconds = response.elapsed.total_seconds()
        metrics.log(self.metrics_logger, metrics.Point("timer", metrics.Metric.HTTP_REQUEST_DURATION, seconds, tags))
        return response

    # The reply

    @override
    def validate_response(self, response: requests.Response) -> None:
        self.run.reached = True
        raise_for_reply(response, self.endpoint, self.remedy, self.run.credential)
        self.run.lanes.answered()

    @override
    def calculate_sync_cost(
        self,
        request: requests.PreparedRequest,
        response: requests.Response,
        context: Context | None,
    ) -> dict[str, int]:
        return {"requests": 1}

    # Retries

    @override
    def backoff_max_tries(self) -> int:
        return 1 if self.run.discovering else MAX_TRIES

    @override
    def request_decorator(self, func: Callable[..., requests.Response]) -> Callable[..., requests.Response]:
        """Retry what may pass; unlike the SDK's, without the log lines of ``backoff`` itself, which hold the query."""
        return backoff.on_exception(
            self.backoff_wait_generator,
            (ConnectionResetError, RetriableAPIError, requests.RequestException),
            max_tries=self.backoff_max_tries,
            jitter=self.backoff_jitter,
            on_backoff=self.backoff_handler,
            logger=None,
        )(func)

    @override
    def backoff_wait_generator(self) -> Generator[float, Any, None]:
        """Yield the seconds to wait: 1, 2, 4, 8; the windows of the rate limit are waited for elsewhere."""
        return backoff.expo()

    @override
    def backoff_handler(self, details: Details) -> None:
        self.logger.warning(
            "%s: %s; trying again in %.0f s (%d of %d tries made).",
            self.name,
            self.describe(details["exception"]),
            details["wait"],
            details["tries"],
            MAX_TRIES,
        )

    # Errors

    def describe(self, error: BaseException) -> str:
        """Say what went wrong with a request, without its URL's query or a body."""
        if isinstance(error, RetriableAPIError):
            return str(error)
        if isinstance(error, requests.Timeout):
            setting = "" if self.run.discovering else " (`request_timeout`)"
            return f"no answer within {self.timeout:,} s{setting}"
        return "the connection broke"

    def waits_too_long(self, error: WaitTooLongError) -> str:
        """Say that a rate window is closed for longer than the run may wait."""
        used_up = f"the rate limit of {error.endpoint} is used up for another {error.seconds:,.0f} s"
        if self.run.planning or self.run.discovering:
            return used_up
        limit = self.config["max_wait_seconds"]
        return f"{used_up}, longer than `max_wait_seconds` ({limit:,}); the next run goes on"

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """Say of errors that the stream is read because another needs it.

        Raises:
            ApolloError: The stream cannot be read.
        """
        try:
            yield
        except ApolloError as error:
            if error is self.run.report.fatal or isinstance(error, ForbiddenError):  # which says it by itself
                raise
            raise type(error)(f"{self.endpoint} is needed, and cannot be read: {error.message}") from error
        except (RetriableAPIError, requests.RequestException) as error:
            raise PassingError(f"{self.endpoint} is needed, and cannot be read: {self.describe(error)}.") from error


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
