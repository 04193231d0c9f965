"""What every stream shares: the request, the reply, retries, errors, and the walk behind the pages."""

from __future__ import annotations

import contextlib
import datetime
import enum
import functools
import math
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, cast

import backoff
import requests
from singer_sdk import metrics
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.singerlib import Catalog, Metadata, RecordMessage, Schema
from singer_sdk.streams import RESTStream
from typing_extensions import override

from tap_apollo import schemas
from tap_apollo.errors import (
    ApolloError,
    CredentialsError,
    ForbiddenError,
    RateLimitedError,
    decode,
    never_connected,
    raise_for_reply,
    refused_for,
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
from tap_apollo.rate_limits import WaitTooLongError
from tap_apollo.reading import LookAhead, Outlook, Reading
from tap_apollo.records import RecordShaper

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from backoff.types import Details
    from singer_sdk.helpers.types import Context, Record

    from tap_apollo.auth import Auth
    from tap_apollo.paging import Outcome, Walk
    from tap_apollo.reading import Exchange
    from tap_apollo.tap import TapApollo

MAX_TRIES = 5

#: Most bytes of a reply to read at once; a page of contacts has some 500,000.
_PIECE = 262_144

#: Seconds to wait for an answer that discovery can do without.
DISCOVERY_TIMEOUT = 10

#: How often a request may be refused for the rate limit, as when others use up each window as it opens.
MAX_REFUSALS = 10

#: What code that reads a reply raises if the reply has not the form it is known to have.
UNKNOWN_FORM = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Metric(enum.Enum):
    """Metrics of the tap's own, beside the SDK's."""

    MISSING_RECORDS = "missing_records"
    CREDITS_SPENT = "credits_spent"


class ApolloStream(RESTStream[None]):
    """One Apollo endpoint whose reply lists all there is; a stream adds its name, path and primary key.

    Attributes:
        records_key: Where the reply holds its rows; None if the reply is the list itself.
        parameters: What every request of the stream sends: the JSON body of a POST, the query of a GET.
        scope: What an API key needs to read the endpoint; None where only a master key will do.
        oauth_scope: What an access token needs; None where no app may read it.
    """

    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE  # RecordShaper conforms each record, once.
    STATE_MSG_FREQUENCY = sys.maxsize  # STATE comes after each page, when a later run can go on from there.
    allow_redirects = False  # requests would carry `x-api-key` to the other host.

    scope: ClassVar[str | None]
    oauth_scope: ClassVar[str | None]
    records_key: ClassVar[str | None] = None
    parameters: ClassVar[Mapping[str, Any]] = {}
    primary_keys: ClassVar[tuple[str, ...]] = ("id",)

    #: Whether a walk that reads a list whole has read all that belongs into the table.
    one_list: ClassVar[bool] = True

    #: Whose requests go first where streams compete: the lowest.
    priority = 0

    _selects_all: bool | None = None

    _tap: TapApollo
    _reading: Reading
    _ahead: LookAhead | None = None

    def __init__(self, tap: TapApollo) -> None:
        """Bind the stream to its tap and read its schema."""
        super().__init__(tap, schema=schemas.load(self.name))

    # The schema

    @functools.cached_property
    def shape(self) -> RecordShaper:
        """What brings rows into the types of the schema."""
        return RecordShaper(schemas.annotated(self.name))

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        """Take from a catalog what is selected, and what it says of columns; those that it does not know are added.

        A catalog may be older than the tap: Meltano keeps one until the settings change. Where it deselects any column,
        those that it does not know are deselected, too: only some may be meant to be loaded.
        """
        super().apply_catalog(catalog)
        entry = catalog.get_stream(self.name)
        if entry:
            known = entry.schema.to_dict()
            if not all(entry.metadata.resolve_selection().values()):
                for name in self.schema["properties"].keys() - known.get("properties", {}).keys():
                    entry.metadata["properties", name] = Metadata(selected=False)
            entry.schema = Schema.from_dict(_merged(self.schema, known))

    def extend_schema(self, properties: Mapping[str, Mapping[str, Any]]) -> None:
        """Add properties to columns that are objects; what a catalog says of them may be out of date.

        Args:
            properties: JSON Schema of the properties of each column.
        """
        columns = {"properties": {name: {"properties": inner} for name, inner in properties.items()}}
        self._schema = _merged(self.schema, columns)
        entry = self._tap.catalog.get_stream(self.name)
        if entry:
            entry.schema = Schema.from_dict(_merged(entry.schema.to_dict(), columns))

    def learn(self) -> None:
        """Read what the SCHEMA needs to know.

        Raises:
            ApolloError: It cannot be read; other errors as those of ``ask``.
        """

    def ready(self) -> bool:
        """Return whether the SCHEMA can be written; what forbids it goes to the tap's report."""
        before, learned = self.schema, False
        with self.reporting():
            self.learn()
            learned = True
        entry = self._tap.catalog.get_stream(self.name)
        if self.schema is not before and entry:
            self._tap.mapper.register_raw_streams_from_catalog(Catalog({self.name: entry}))
        return learned

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
        seconds = cast("int", self.config["request_timeout"])
        return min(seconds, DISCOVERY_TIMEOUT) if self._tap.discovering else seconds

    @property
    def endpoint(self) -> str:
        """The endpoint's name in messages."""
        return self.path.lstrip("/")

    @property
    def remedy(self) -> str:
        """What to do about credentials that may not read the endpoint."""
        if self._tap.credential != "api_key":
            if self.oauth_scope is None:
                return f"no app may; use {'a master' if self.scope is None else 'an API'} key"
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
        return self.received(self.exchange(parameters, path))

    def exchange(self, parameters: Mapping[str, Any], path: str | None = None) -> Exchange:
        """Send a request, again if a fault may pass, while other streams work. Safe to call from several threads."""
        content = {"json": dict(parameters)} if self.http_method == "POST" else {"params": _query(parameters)}
        url, headers = f"{self.url_base}{path or self.path}", self.http_headers
        with self._tap.baton.laid_down(), self._tap.lanes.alone_at_first():
            try:
                request = self.build_prepared_request(method=self.http_method, url=url, headers=headers, **content)
                return request, self.request_decorator(self.attempt)(request)
            except (RetriableAPIError, requests.RequestException) as error:
                if self._tap.reached or not never_connected(error):
                    self._tap.lanes.answered()  # somebody is there: let the other streams try
                    raise
                self._tap.report.fatal = ApolloError(
                    f"Apollo cannot be reached at {self.url_base}: check the setting `api_url` and the network.",
                )
                raise self._tap.report.fatal from error

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
            if self._tap.report.fatal:
                raise self._tap.report.fatal from None
            if not self._tap.authenticator.renew(request):
                raise
        return self._admitted(self._tap.authenticator(request))

    def _admitted(self, request: requests.PreparedRequest) -> requests.Response:
        """Send a request as soon as there is room for it, again if it is refused for the rate limit."""
        tap = self._tap
        for _ in range(MAX_REFUSALS):
            with tap.limiter.request(self.path) as ticket, tap.lanes.lane(self.priority):
                if tap.report.fatal:
                    raise tap.report.fatal
                tap.limiter.sending(self.path, ticket)
                response = self._send(request)
                ticket.headers, ticket.retry_after = response.headers, refused_for(response)
                try:
                    self.validate_response(response)
                except RateLimitedError:
                    tap.lanes.answered()
                except CredentialsError as error:
                    if not tap.authenticator.renewable:
                        tap.report.fatal = error  # before anybody else sends a request with them
                    raise
                else:
                    return response
        raise ApolloError(
            f"Apollo refuses {self.endpoint} for its rate limit {MAX_REFUSALS} times in a row: does another client of "
            "the team use it up?",
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

    def fetch(self, request: PageRequest) -> Page:
        """Ask for a page, or take it from those asked for.

        Raises:
            TypeError: The reply is of an unknown form; other errors as those of ``ask``.
        """
        coming = self._ahead.take(request) if self._ahead else None
        if coming:
            with self._tap.baton.laid_down():
                exchange = coming.result()
        else:
            exchange = self.send_for(request)
        page = self.read_page(self.received(exchange))
        if not all(isinstance(record, dict) for record in page.records):
            raise TypeError("a row is no object")
        return page

    def send_for(self, request: PageRequest) -> Exchange:
        """Ask for a page. Safe to call from several threads."""
        return self.exchange(self.page_parameters(request))

    def page_parameters(self, request: PageRequest) -> dict[str, Any]:
        """Return what to send for one page: for a list that comes whole, no page number."""
        return {**self.parameters, **request.parameters}

    # The reply

    @override
    def validate_response(self, response: requests.Response) -> None:
        self._tap.reached = True
        raise_for_reply(response, self.endpoint, self.remedy, self._tap.credential)
        self._tap.lanes.answered()

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
        shape = self.shape
        record = shape(row)
        if news := shape.news():
            self.tell(news)
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

    @override
    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """As the SDK does, which looks for deselected columns in every value: only if there are any.

        No public hook comes between a record and its message; this takes a fifth off a sync's CPU.
        """
        if self._selects_all is None:
            self._selects_all = all(self.mask.values())
        if not self._selects_all:
            yield from super()._generate_record_messages(record)
            return
        for stream_map in self.stream_maps:
            mapped = stream_map.transform(record)
            if mapped is not None:
                now = datetime.datetime.now(tz=datetime.timezone.utc)
                yield RecordMessage(stream_map.stream_alias, mapped, self._stream_version, now)

    @override
    def _increment_stream_state(self, latest_record: Record, *, context: Context | None = None) -> None:
        """Leave the state alone: it changes when what a request brought is written, not with each record."""

    # The walk

    def new_walk(self, context: Context | None) -> Walk:  # noqa: ARG002
        """Return the walk that reads the stream."""
        return OnePage()

    def page_limit(self, context: Context | None) -> int | None:  # noqa: ARG002
        """Return the most pages to read."""
        return None

    @property
    def max_pages(self) -> int | None:
        """What the setting of that name says of the stream."""
        return cast("dict[str, int]", self.config["max_pages"]).get(self.name)

    @property
    def full_refresh_days(self) -> int | None:
        """What the setting of that name says of the stream."""
        return cast("dict[str, int]", self.config["full_refresh_days"]).get(self.name)

    def page_delivered(self, rows: list[Record]) -> None:
        """Note that the records of a page are written: called after each."""

    def walk_ended(self, walk: Walk, outcome: Outcome | None) -> None:  # noqa: ARG002
        """Note how a walk ended; no outcome: it was stopped before its end."""
        if outcome and outcome.shortfall:
            self._tap.report.incomplete(self.name, outcome.shortfall)
        if outcome and outcome.settles and self.one_list:
            self.drop_others()
        missing = outcome.missing if outcome else 0
        point = metrics.Point("counter", Metric.MISSING_RECORDS, missing, {metrics.Tag.STREAM: self.name})  # type: ignore[arg-type]
        metrics.log(self.metrics_logger, point)

    def number_version(self) -> None:
        """Let the records bear a number by which a target tells those of this run from others, if that is asked for."""
        if self.config["detect_deletes"] and not self._tap.trial:
            self._stream_version = self._tap.initialized_at // 1000

    def drop_others(self) -> None:
        """Have the target drop or mark the rows that this run did not bring, if that is asked for.

        The SDK would send this message before the records, so that a sync that fails leaves an empty table.
        """
        if self._stream_version is None or not self.selected:
            return
        if self._shares_its_table():
            self.logger.warning("%s: nothing is dropped, as another stream goes by the same name.", self.name)
            return
        self._write_activate_version_message(self._stream_version)

    def _shares_its_table(self) -> bool:
        """Whether a stream map lets another stream go into the same table: its rows would be dropped, too."""
        maps = self._tap.mapper.stream_maps
        names = {one.stream_alias for one in maps[self.name]}
        others = (other for other in self._tap.streams.values() if other is not self and other.selected)
        return any(one.stream_alias in names for other in others for one in maps[other.name])

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Read the stream; what ends it early goes to the tap's report, so that the other streams go on."""
        if self._tap.report.fatal is not None:
            return
        began, delivered = time.monotonic(), 0
        self.number_version()
        walk = self.new_walk(context)
        limiter, depth = self._tap.limiter, cast("int", self.config["max_concurrent_requests"])
        self._ahead = LookAhead(self.send_for, depth, lambda: limiter.room(self.path))
        self._reading = Reading(walk, self.fetch, self.page_limit(context), self._ahead)
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
            report.fatal = report.fatal or error
        except ForbiddenError as error:
            report.forbidden(self.name, error.message)
        except ApolloError as error:
            if error is not report.fatal:
                report.failed(self.name, error.message)
        except WaitTooLongError as error:
            report.incomplete(self.name, self.waits_too_long(error))
        except FilterIgnoredError as error:
            report.failed(self.name, f"Apollo ignores the filter {error}: rather nothing than the wrong records.")
        except UNKNOWN_FORM as error:
            report.failed(self.name, f"{self.endpoint} gave a reply of an unknown form ({type(error).__name__}).")
        except (RetriableAPIError, requests.RequestException) as error:
            report.failed(self.name, f"{self.describe(error)}, {MAX_TRIES} times in a row.")

    def waits_too_long(self, error: WaitTooLongError) -> str:
        """Say that a rate window is closed for longer than the run may wait."""
        limit = self.config["max_wait_seconds"]
        return (
            f"the rate limit of {error.endpoint} is used up for another {error.seconds:,.0f} s, longer than "
            f"`max_wait_seconds` ({limit:,}); the next run goes on"
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
            if error is self._tap.report.fatal:
                raise
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
        return 1 if self._tap.discovering else MAX_TRIES

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
        return self.max_pages

    @override
    def new_walk(self, context: Context | None) -> Walk:
        return ListWalk(Listing(display_limit=self.display_limit))

    def expected(self, records: int, *, at_least: bool = False) -> Outlook:
        """Return the outlook on some records, as far as the page limit lets the stream go."""
        pages, limit = max(1, math.ceil(records / PER_PAGE)), self.page_limit(None)
        if limit is not None and pages > limit:
            return Outlook(limit * PER_PAGE, limit, note=f"`max_pages` allows {limit:,} of {pages:,} pages")
        return Outlook(records, pages, at_least=at_least)


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return two JSON Schemas as one, with the properties of both at all levels; the second's own hold."""
    if "properties" not in second:
        return dict(second or first)
    mine, yours = first.get("properties", {}), second["properties"]
    properties = {name: _merged(mine.get(name, {}), yours.get(name, {})) for name in {**mine, **yours}}
    return {**first, **second, "properties": properties}


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
