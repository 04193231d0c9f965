"""What the streams of one run share: credentials and connections, the pace, the ledger, and what went wrong."""

from __future__ import annotations

import datetime
import functools
import secrets
from concurrent.futures import Future
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter

from tap_apollo.api.auth import authenticator
from tap_apollo.api.client import Client
from tap_apollo.api.concurrency import PrioritySemaphore, WriterLock
from tap_apollo.api.errors import ApolloError
from tap_apollo.api.rate_limits import MARGIN, MINUTE, Limiter
from tap_apollo.report import SyncReport

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Mapping

    from singer_sdk.helpers.types import Record, TapState

    from tap_apollo.api.auth import Auth
    from tap_apollo.credits import Ledger


class Services:
    """One run of the tap.

    Attributes:
        config: The settings.
        credential: The setting that holds the credentials.
        logger: Where to say what concerns no stream by itself.
        metrics_logger: Where metrics go.
        client: What asks Apollo.
        state: The state of the tap, changed in place.
        started: When it began, in UTC.
        run: What tells it from other runs of a day, in the state.
        user_agent: The ``User-Agent`` of every request.
        writer: The lock that a stream holds while it works.
        reached: Whether Apollo has answered anything.
        trial: Whether the run only tries the connection: then nothing is bought.
        discovering: Whether the run only discovers: then nothing is waited for.
        planning: Whether the run only plans: then only the window of a minute is waited for.
        ledger_refused: Why nothing can be bought, if the ledger could not be opened.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        logger: logging.Logger,
        metrics_logger: logging.Logger,
        *,
        state: TapState,
        emit_state: Callable[[TapState], None],
        started: datetime.datetime,
        user_agent: str,
        open_ledger: Callable[[], Ledger],
    ) -> None:
        """Begin.

        Args:
            config: The settings.
            logger: Where to say what concerns no stream by itself.
            metrics_logger: Where metrics go.
            state: The state of the tap.
            emit_state: Writes a STATE.
            started: When the run began, in UTC.
            user_agent: The ``User-Agent`` of every request.
            open_ledger: Opens the ledger, once a stream asks for it: that takes a request, which is free.
        """
        self.started = started
        self.run = f"{started:%H%M%S}-{secrets.token_hex(2)}"
        self.user_agent = user_agent
        self.writer = WriterLock()
        self.reached = False
        self.trial = False
        self.discovering = False
        self.planning = False
        self.ledger_refused: ApolloError | None = None
        self.config = config
        self.credential = next(filter(config.get, ("api_key", "refresh_token", "access_token")), "api_key")
        self.logger = logger
        self.metrics_logger = metrics_logger
        self.client = Client(self)
        self.state = state
        self._emit_state = emit_state
        self._open_ledger = open_ledger
        self._ledger: Ledger | None = None
        self._rows: dict[type, Future[list[Record]]] = {}

    @property
    def version(self) -> int:
        """What tells the records of this run from those of others, for targets: seconds since 1970."""
        return int(self.started.timestamp())

    @property
    def today(self) -> datetime.date:
        """The day that the run began, in UTC."""
        return self.started.date()

    @functools.cached_property
    def session(self) -> requests.Session:
        """The connections; cookies, which Apollo sets, are not kept."""
        session = requests.Session()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=self.config["max_concurrent_requests"]))
        return session

    @functools.cached_property
    def authenticator(self) -> Auth:
        """The credentials.

        Raises:
            SettingsError: The file of the tokens cannot be used.
        """
        return authenticator(self.config, self.logger)

    @functools.cached_property
    def limiter(self) -> Limiter:
        """What keeps requests within Apollo's rate windows."""
        most: float = self.config["max_wait_seconds"]
        if self.planning or self.discovering:
            most = min(most, MINUTE + MARGIN if self.planning else 0)
        return Limiter(most, self._tell_of_wait)

    def _tell_of_wait(self, endpoint: str, seconds: float) -> None:
        until = datetime.datetime.now(tz=datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
        self.logger.info("%s waits for its rate limit until %s UTC.", endpoint, f"{until:%H:%M:%S}")

    @functools.cached_property
    def slots(self) -> PrioritySemaphore:
        """What bounds the requests in flight."""
        return PrioritySemaphore(self.config["max_concurrent_requests"])

    @functools.cached_property
    def report(self) -> SyncReport:
        """What went wrong."""
        return SyncReport(self.logger, self.client, strict=self.config["strict"])

    @property
    def ledger(self) -> Ledger:
        """What the run may spend and has spent.

        Raises:
            ApolloError: The state does not tell what was spent in this cycle, or a limit cannot be checked; the same
                to all who ask.
        """
        if self.ledger_refused:
            raise self.ledger_refused
        if self._ledger is None:
            try:
                self._ledger = self._open_ledger()
            except ApolloError as error:
                self.ledger_refused = error
                raise
        return self._ledger

    @property
    def has_ledger(self) -> bool:
        """Whether any stream has asked for the ledger yet."""
        return self._ledger is not None

    def write_state(self) -> None:
        """Write a STATE: what was written before it stands, and what was spent is in it, or may be being spent."""
        if self._ledger:
            self._ledger.write_to(self.state)
        self._emit_state(self.state)

    def prepare(self) -> None:
        """Make what is made when it is first asked for, before several threads ask.

        Raises:
            SettingsError: The file of the tokens cannot be used.
        """
        _ = self.session, self.authenticator, self.limiter, self.slots, self.report

    def lookup(self, stream: type, read: Callable[[], list[Record]]) -> list[Record]:
        """Return the rows of a small stream that others need, read once however many ask.

        Args:
            stream: Its class.
            read: Reads it.

        Raises:
            Exception: What ``read`` raised, for all who ask.
        """
        rows = self._rows.get(stream)
        if rows is None:
            rows = self._rows[stream] = Future()
            try:
                rows.set_result(read())
            except BaseException as error:  # noqa: BLE001
                rows.set_exception(error)
        with self.writer.released():
            return rows.result()
