"""What every stream shares: the request, the reply, retries, errors, and the walk behind the pages."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import itertools
import math
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

import backoff
import requests
from singer_sdk import metrics
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
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
from tap_apollo.paging import (
    DISPLAY_LIMIT,
    PER_PAGE,
    FilterIgnoredError,
    Listing,
    ListWalk,
    OnePage,
    Page,
    PageRequest,
)
from tap_apollo.rate_limits import read_windows
from tap_apollo.records import RecordShaper

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from backoff.types import Details
    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.auth import Auth
    from tap_apollo.paging import Outcome, Walk
    from tap_apollo.tap import TapApollo

#: Longest wait, in seconds, for a rate window that Apollo says is exhausted: an hourly window and a little more.
MAX_WAIT = 3900

MAX_TRIES = 5

#: What code that reads a reply raises if the reply has not the form it is known to have.
UNKNOWN_FORM = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Metric(enum.Enum):
    """Metrics of the tap's own, beside the SDK's."""

    MISSING_RECORDS = "missing_records"
    CREDITS_SPENT = "credits_spent"


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What a sync would read of a stream, as far as one or two free requests tell.

    Attributes:
        records: Records to come; None if that cannot be known.
        requests: Requests that they take.
        at_least: Whether there may be more of both.
        credits: The most that they cost, if nothing limits it.
        note: What else to know, half a sentence.
    """

    records: int | None
    requests: int
    at_least: bool = False
    credits: int = 0
    note: str = ""


class Reading:
    """One walk through a stream: iterate for the rows of each page that the walk wants.

    Attributes:
        pages: How many pages have been read.
        outcome: How the walk ended, once the rows of its last page are taken; None if it was stopped before.
    """

    def __init__(self, walk: Walk, fetch: Callable[[PageRequest], Page], limit: int | None = None) -> None:
        """Prepare to read.

        Args:
            walk: What decides which pages to read.
            fetch: Asks Apollo for a page.
            limit: Most pages to read.
        """
        self._walk = walk
        self._fetch = fetch
        self._limit = limit
        self.pages = 0
        self.outcome: Outcome | None = None

    def __iter__(self) -> Iterator[list[Record]]:
        """Read: whoever asks for the next page has delivered the rows of the one before."""
        steps = self._walk.pages()
        request, page = next(steps, None), None
        outcome: Outcome | None = None
        while request and self.pages != self._limit:
            page = self._fetch(request)
            self.pages += 1
            try:
                request = steps.send(page)  # which may take rows out of the page
            except StopIteration as end:
                request, outcome = None, end.value
            yield page.records
        self.outcome = outcome


class ApolloStream(RESTStream[None]):
    """One Apollo endpoint whose reply lists all there is; a stream adds its name, path and primary key.

    Attributes:
        records_key: Where the reply holds its rows; None if the reply is the list itself.
        parameters: What every request of the stream sends: the JSON body of a POST, the query of a GET.
        scope: What an API key needs to read the endpoint; None where only a master key will do.
        oauth_scope: What an access token needs.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # RecordShaper conforms each record, once.
    STATE_MSG_FREQUENCY = sys.maxsize  # STATE comes after each page, when a later run can go on from there.
    allow_redirects = False  # requests would carry `x-api-key` to the other host.

    scope: ClassVar[str | None]
    oauth_scope: ClassVar[str]
    records_key: ClassVar[str | None] = None
    parameters: ClassVar[Mapping[str, Any]] = {}
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)

    _tap: TapApollo
    _reading: Reading

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
        if self._tap.credential == "access_token":
            return f"the missing scope is {self.oauth_scope}; authorize the app again with it"
        if self.scope is None:
            return "only a master key may; use one"
        return f"the missing scope is {self.scope}; give the key that scope, use a master key"

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
        content = {"json": dict(parameters)} if self.http_method == "POST" else {"params": _query(parameters)}
        url, headers = f"{self.url_base}{path or self.path}", self.http_headers
        request = self.build_prepared_request(method=self.http_method, url=url, headers=headers, **content)
        response = self.request_decorator(self.attempt)(request)
        self.update_sync_costs(request, response, None)
        return decode(response)

    def attempt(self, request: requests.PreparedRequest) -> requests.Response:
        """Send a request once, and raise the error that its answer stands for."""
        return self._request(request, None)

    def fetch(self, request: PageRequest) -> Page:
        """Ask for a page.

        Raises:
            TypeError: The reply is of an unknown form; other errors as those of ``ask``.
        """
        page = self.read_page(self.ask(self.page_parameters(request)))
        if not all(isinstance(record, dict) for record in page.records):
            raise TypeError("a row is no object")
        return page

    def page_parameters(self, request: PageRequest) -> dict[str, Any]:
        """Return what to send for one page: for a list that comes whole, no page number."""
        return {**self.parameters, **request.parameters}

    # The reply

    @override
    def validate_response(self, response: requests.Response) -> None:
        self._tap.reached = True
        self._tap.windows[self.path] = read_windows(response.headers) or self._tap.windows.get(self.path, [])
        raise_for_reply(response, self.endpoint, self.remedy, self._tap.credential)

    def read_page(self, reply: Any) -> Page:  # noqa: ANN401
        """Return the page in a reply: for a list that comes whole, all of its rows."""
        return Page(self.read_records(reply))

    def read_records(self, reply: Any) -> list[Record]:  # noqa: ANN401
        """Return the rows of a reply.

        Raises:
            TypeError: There is no list of rows where the endpoint gives one.
        """
        records = reply[self.records_key] if self.records_key else reply
        if not isinstance(records, list):
            raise TypeError("there is no list of rows")
        return records

    def shaped(self, row: Record, context: Context | None) -> Record:  # noqa: ARG002
        """Return a row as it goes to the warehouse."""
        record = self.shape(row)
        self.tell(self.shape.news())
        if self.replication_key:
            record.setdefault(self.replication_key, None)
        return record

    def tell(self, news: Iterable[str]) -> None:
        """Warn of values that were not loaded."""
        for line in news:
            self.logger.warning("%s: %s.", self.name, line)

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
        return OnePage()

    def page_limit(self, context: Context | None) -> int | None:  # noqa: ARG002
        """Return the most pages to read."""
        return None

    def page_delivered(self, rows: list[Record]) -> None:
        """Note that the records of a page are written: called after each."""

    def walk_ended(self, walk: Walk, outcome: Outcome | None) -> None:  # noqa: ARG002
        """Note how a walk ended; no outcome: it was stopped before its end."""
        if outcome and outcome.shortfall:
            self._tap.report.incomplete(self.name, outcome.shortfall)
        missing = outcome.missing if outcome else 0
        point = metrics.Point("counter", Metric.MISSING_RECORDS, missing, {metrics.Tag.STREAM: self.name})  # type: ignore[arg-type]
        metrics.log(self.metrics_logger, point)

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the stream; what ends it early goes to the tap's report, so that the other streams go on."""
        if self._tap.report.fatal is not None:
            return
        began, delivered = time.monotonic(), 0
        walk = self.new_walk(context)
        self._reading = Reading(walk, self.fetch, self.page_limit(context))
        with self.reporting(), self.get_http_request_counter() as requests_sent:
            for rows in self._reading:
                requests_sent.increment()
                for row in rows:
                    yield self.shaped(row, context)
                    delivered += 1
                self.page_delivered(rows)
        self.walk_ended(walk, self._reading.outcome)
        self._sum_up(walk, self._reading.outcome, delivered, time.monotonic() - began)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Put what ends the stream early into the tap's report."""
        report = self._tap.report
        try:
            yield
        except CredentialsError as error:
            report.fatal = error
        except ForbiddenError as error:
            report.forbidden(self.name, error.message)
        except ApolloError as error:
            report.failed(self.name, error.message)
        except FilterIgnoredError as error:
            report.failed(self.name, f"Apollo ignores the filter {error}: rather nothing than the wrong records.")
        except UNKNOWN_FORM as error:
            report.failed(self.name, f"{self.endpoint} gave a reply of an unknown form ({type(error).__name__}).")
        except (RetriableAPIError, requests.RequestException) as error:
            if self._tap.reached or isinstance(error, requests.ReadTimeout):  # it answers, if slowly
                report.failed(self.name, f"{self.describe(error)}, {MAX_TRIES} times in a row.")
            else:
                report.fatal = ApolloError(
                    f"Apollo cannot be reached at {self.url_base}: check the setting `api_url` and the network.",
                )

    def read_all(self) -> list[Record]:
        """Return all rows as Apollo gives them, for a stream that needs them to read its own.

        Raises:
            ApolloError: They cannot be read.
        """
        with self.needed():
            return [row for rows in Reading(self.new_walk(None), self.fetch) for row in rows]

    def outlook(self) -> Outlook:
        """Return what a sync would read, for the plan: at most two requests, all of them free.

        Raises:
            ApolloError: The stream cannot be read.
        """
        return Outlook(len(self.fetch(PageRequest()).records), requests=1)

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """Say of errors that the stream is read because another needs it.

        Raises:
            ApolloError: The stream cannot be read.
        """
        try:
            yield
        except ApolloError as error:
            raise type(error)(f"{self.endpoint} is needed, and cannot be read: {error.message}") from error
        except (RetriableAPIError, requests.RequestException) as error:
            raise ApolloError(f"{self.endpoint} is needed, and cannot be read: {self.describe(error)}.") from error

    def _sum_up(self, walk: Walk, outcome: Outcome | None, delivered: int, seconds: float) -> None:
        """Log what became of the stream, the proof of its completeness included."""
        if walk.restarted:
            self.logger.warning("%s: %s; read it from its first record.", self.name, walk.restarted)
        if outcome is None:
            what = f"{delivered:,} records, stopped before the end"
        elif outcome.verified or outcome.missing:
            what = f"{min(outcome.seen, outcome.total or 0):,} of {outcome.total:,} records"
        elif outcome.whole:
            what = f"{delivered:,} records, up to the end"
        else:
            what = f"{delivered:,} records, all that is new"
        count = self._reading.pages
        self.logger.info("%s: %s, %d request%s, %.0f s", self.name, what, count, "" if count == 1 else "s", seconds)

    # Retries

    @override
    def backoff_max_tries(self) -> int:
        return MAX_TRIES

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
        """Yield the seconds to wait: what Apollo says, else 1, 2, 4, 8 ...

        Raises:
            ApolloError: Apollo says to wait longer than ``MAX_WAIT``.
        """
        error = yield 0  # primes the generator; backoff sends it each failure
        for attempt in itertools.count():
            named = error.retry_after if isinstance(error, TransientError) else None
            wait = 2**attempt if named is None else named
            if wait > MAX_WAIT:
                raise ApolloError(f"Apollo asks to wait {wait:,} s for its rate limit; longer than the tap waits.")
            error = yield wait

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

    def describe(self, error: BaseException) -> str:
        """Say what went wrong with a request, without its URL's query or a body."""
        if isinstance(error, RetriableAPIError):
            return str(error)
        if isinstance(error, requests.Timeout):
            return f"no answer within {self.timeout} s (`request_timeout`)"
        return "the connection broke"


class PagedStream(ApolloStream):
    """A list that comes in numbered pages; read whole.

    Attributes:
        display_limit: Rows beyond which Apollo refuses pages of one list.
    """

    display_limit: ClassVar[int] = DISPLAY_LIMIT

    @override
    def page_parameters(self, request: PageRequest) -> dict[str, Any]:
        return {**super().page_parameters(request), "page": request.number, "per_page": request.per_page}

    @override
    def read_page(self, reply: Any) -> Page:
        """Return the page in a reply; some endpoints report their numbers as strings, some report none."""
        pagination = reply.get("pagination") or {}
        breadcrumbs = reply.get("breadcrumbs")
        return Page(
            self.read_records(reply),
            total=_number(pagination.get("total_entries")),
            per_page=_number(pagination.get("per_page")),
            filtered=bool(breadcrumbs) if isinstance(breadcrumbs, list) else None,
        )

    @override
    def page_limit(self, context: Context | None) -> int | None:
        return cast("dict[str, int]", self.config["max_pages"]).get(self.name)

    @override
    def new_walk(self, context: Context | None) -> Walk:
        return ListWalk(Listing(display_limit=self.display_limit))

    def expected(self, records: int, *, at_least: bool = False) -> Outlook:
        """Return the outlook on some records, as far as the page limit lets the stream go."""
        pages, limit = max(1, math.ceil(records / PER_PAGE)), self.page_limit(None)
        if limit is not None and pages > limit:
            return Outlook(limit * PER_PAGE, limit, note=f"`max_pages` allows {limit:,} of {pages:,} pages")
        return Outlook(records, pages, at_least=at_least)


def _number(value: Any) -> int | None:  # noqa: ANN401
    return None if value is None else int(value)


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
