"""What every stream shares: the request, the envelope, retries, errors and the walk behind the pages."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING, Any, ClassVar, cast

import requests
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.pagination import BaseAPIPaginator
from singer_sdk.streams import RESTStream

from tap_apollo import schemas
from tap_apollo.errors import (
    ApolloError,
    CredentialsError,
    ForbiddenError,
    TransientError,
    decode,
    raise_for_reply,
)
from tap_apollo.paging import Outcome, Page, PageRequest, Walk, one_page, whole_list
from tap_apollo.records import RecordShaper

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from backoff.types import Details
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.streams.rest import HTTPRequest, PageContext

    from tap_apollo.auth import Auth
    from tap_apollo.tap import TapApollo

#: Rows asked for on a page: the most Apollo allows (more is a 422, not a clamp).
PER_PAGE = 100

#: Longest wait, in seconds, for a rate window that Apollo says is exhausted: an hourly window and a little more.
MAX_WAIT = 3900

MAX_TRIES = 5


class WalkPaginator(BaseAPIPaginator[PageRequest]):
    """Drives a walk from the SDK's request loop.

    Attributes:
        outcome: How the walk ended; None before its end.
    """

    def __init__(self, walk: Walk) -> None:
        """Ask the walk for its first page; a walk that wants none is finished at once."""
        self._walk = walk
        self.outcome: Outcome | None = None
        self._next = self._step(None)
        super().__init__(self._next or PageRequest(0))
        self._finished = self._next is None

    def receive(self, page: Page) -> None:
        """Hand a page to the walk, which may take records out of it, and note what it wants next."""
        self._next = self._step(page)

    @override
    def get_next(self, response: requests.Response) -> PageRequest | None:
        return self._next

    @override
    def continue_if_empty(self, response: requests.Response) -> bool:
        """Leave it to the walk: a page without records to deliver need not be the last."""
        return True

    def _step(self, page: Page | None) -> PageRequest | None:
        try:
            return next(self._walk) if page is None else self._walk.send(page)
        except StopIteration as end:
            self.outcome = end.value
            return None


class ApolloStream(RESTStream[PageRequest]):
    """One Apollo endpoint whose reply lists all there is; a stream adds its name, path and primary key.

    Attributes:
        records_key: Where the reply holds its rows; None if the reply is the list itself.
        parameters: What every request of the stream sends: the JSON body of a POST, the query of a GET.
        scope: What an API key needs to read the endpoint; None where only a master key will do.
        oauth_scope: What an access token needs.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # RecordShaper conforms each record, once.
    STATE_MSG_FREQUENCY = PER_PAGE
    allow_redirects = False  # requests would carry `x-api-key` to the other host.

    scope: ClassVar[str | None]
    oauth_scope: ClassVar[str]
    records_key: ClassVar[str | None] = None
    parameters: ClassVar[Mapping[str, Any]] = {}
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)

    _tap: TapApollo
    _paginator: WalkPaginator

    def __init__(self, tap: TapApollo) -> None:
        """Bind the stream to its tap and read its schema."""
        super().__init__(tap, schema=schemas.load(self.name))
        self.shape = RecordShaper(schemas.annotated(self.name))

    # The request

    @property
    @override
    def url_base(self) -> str:
        return cast("str", self.config["api_url"]).rstrip("/")

    @property
    @override
    def requests_session(self) -> requests.Session:
        return self._tap.session

    @property
    @override
    def authenticator(self) -> Auth:
        return self._tap.authenticator

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "User-Agent": self._tap.user_agent}

    @property
    @override
    def timeout(self) -> int:
        return cast("int", self.config["request_timeout"])

    @property
    def endpoint(self) -> str:
        """The endpoint's name in messages."""
        return self.path.lstrip("/")

    @property
    def remedy(self) -> str:
        """What to do about credentials that may not read the endpoint."""
        if "access_token" in self.config:
            return f"the missing scope is {self.oauth_scope}; authorize the app again with it"
        if self.scope is None:
            return "only a master key may; use one"
        return f"the missing scope is {self.scope}; give the key that scope, use a master key"

    @override
    def get_http_request(self, *, page: PageContext[PageRequest]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        parameters = self.page_parameters(page.next_page_token or PageRequest(1))
        if request.method == "POST":
            request.data = parameters
        else:
            request.params = _query(parameters)
        return request

    def page_parameters(self, request: PageRequest) -> dict[str, Any]:
        """Return what to send for one page: for a list that comes whole, no page number."""
        return {**self.parameters, **request.filters}

    # The reply

    @override
    def validate_response(self, response: requests.Response) -> None:
        self._tap.reached = True
        raise_for_reply(response, self.endpoint, self.remedy)

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        try:
            page = self.read_page(decode(response))
            self._paginator.receive(page)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ApolloError(f"{self.endpoint} gave a reply of a form that is not known.") from error
        return page.records

    def read_page(self, reply: Any) -> Page:  # noqa: ANN401
        """Return the page in a reply: for a list that comes whole, all of its rows."""
        records = self.read_records(reply)
        return Page(records, per_page=max(len(records), 1), total=len(records))

    def read_records(self, reply: Any) -> list[Record]:  # noqa: ANN401
        """Return the rows of a reply.

        Raises:
            TypeError: There is no list of rows where the endpoint gives one.
        """
        records = reply[self.records_key] if self.records_key else reply
        if not isinstance(records, list):
            raise TypeError
        return records

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        record = self.shape(row)
        for line in self.shape.news():
            self.logger.warning("%s: %s.", self.name, line)
        if self.replication_key:
            record.setdefault(self.replication_key, None)
        return record

    @override
    def calculate_sync_cost(
        self,
        request: requests.PreparedRequest,
        response: requests.Response,
        context: Context | None,
    ) -> dict[str, int]:
        return {"requests": 1}

    # The walk

    def new_walk(self, context: Context | None) -> Walk:  # noqa: ARG002
        """Return the walk that reads the stream."""
        return one_page()

    @override
    def get_new_paginator(self) -> WalkPaginator:
        return self._paginator

    def walk_ended(self, outcome: Outcome, context: Context | None) -> None:  # noqa: ARG002
        """Note how a walk ended."""
        if outcome.shortfall:
            self._tap.report.incomplete(self.name, outcome.shortfall)

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the stream; what ends it early goes to the tap's report, so that the other streams go on."""
        report = self._tap.report
        outcome = Outcome(complete=False, pages=0)
        if report.fatal is not None:
            return
        self._paginator = WalkPaginator(self.new_walk(context))
        try:
            yield from self.request_records(context)
            outcome = self._paginator.outcome or outcome
        except CredentialsError as error:
            report.fatal = error
        except ForbiddenError as error:
            report.forbidden(self.name, error.message)
        except ApolloError as error:
            report.failed(self.name, error.message)
        except (RetriableAPIError, requests.RequestException) as error:
            if self._tap.reached:
                report.failed(self.name, f"{self._describe(error)}, {MAX_TRIES} times in a row.")
            else:
                msg = f"Apollo cannot be reached at {self.url_base}: check the setting `api_url` and the network."
                report.fatal = ApolloError(msg)
        self.walk_ended(outcome, context)

    # Retries

    @override
    def backoff_max_tries(self) -> int:
        return MAX_TRIES

    @override
    def backoff_wait_generator(self) -> Generator[float, Any, None]:
        """Yield the seconds to wait: what Apollo says, else 1, 2, 4, 8 ...

        Raises:
            RetriableAPIError: Apollo says to wait longer than ``MAX_WAIT``.
        """
        error = yield 0  # primes the generator; backoff sends it each failure
        for attempt in itertools.count():
            wait = (isinstance(error, TransientError) and error.retry_after) or 2**attempt
            if wait > MAX_WAIT:
                raise error
            error = yield wait

    @override
    def backoff_handler(self, details: Details) -> None:
        self.logger.warning(
            "%s: %s; trying again in %.0f s (%d of %d tries made).",
            self.name,
            self._describe(details["exception"]),
            details["wait"],
            details["tries"],
            MAX_TRIES,
        )

    def _describe(self, error: BaseException) -> str:
        """Say what went wrong with a request, without its URL's query or a body."""
        if isinstance(error, RetriableAPIError):
            return str(error)
        if isinstance(error, requests.Timeout):
            return f"no answer within {self.timeout} s"
        return "the connection broke"


class PagedStream(ApolloStream):
    """A list that comes in numbered pages; read whole."""

    @override
    def page_parameters(self, request: PageRequest) -> dict[str, Any]:
        return {**super().page_parameters(request), "page": request.number, "per_page": PER_PAGE}

    @override
    def read_page(self, reply: Any) -> Page:
        """Return the page in a reply; some endpoints report their numbers as strings, some report none."""
        pagination = reply.get("pagination") or {}
        total = pagination.get("total_entries")
        return Page(
            self.read_records(reply),
            per_page=int(pagination.get("per_page") or PER_PAGE),
            total=None if total is None else int(total),
        )

    @property
    def max_pages(self) -> int | None:
        """The page limit that the settings put on the stream."""
        return cast("dict[str, int]", self.config["max_pages"]).get(self.name)

    @override
    def new_walk(self, context: Context | None) -> Walk:
        return whole_list(max_pages=self.max_pages)


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
