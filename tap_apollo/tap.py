"""The tap: settings in, streams out."""

from __future__ import annotations

import copy
import datetime
import functools
import gc
import io
import json
import logging
import os
import sys
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

import click
import requests
from singer_sdk import Stream, Tap
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from typing_extensions import override

from tap_apollo import checks, settings
from tap_apollo.credits import SPENDING, Ledger, Limits, Spending
from tap_apollo.errors import ApolloError, SettingsError
from tap_apollo.messages import BlockWriter
from tap_apollo.plan import make_plan
from tap_apollo.pool import side_by_side
from tap_apollo.rate_limits import WaitTooLongError
from tap_apollo.records import is_bookmark
from tap_apollo.run import Run
from tap_apollo.stream import UNKNOWN_FORM
from tap_apollo.streams import CREDIT_STREAMS, PAGED, STREAMS
from tap_apollo.streams.workspace import CreditUsageStats

if TYPE_CHECKING:
    from tap_apollo.plan import Plan
    from tap_apollo.stream import ApolloStream

#: A page of contacts is some 20,000 objects, none of them in a cycle: looking for cycles at every 700, as Python does,
#: took a quarter of a sync's CPU.
_OBJECTS_BETWEEN_COLLECTIONS = 50_000

#: Seconds that the end of a run waits for a thread to come to a stop.
PATIENCE = 10

#: Streams that show what the others bought and spent, and therefore run after them.
AFTER_CREDIT_STREAMS = ("enrichment_results", "credit_usage_stats")


class TapApollo(Tap):
    """Singer tap for Apollo.io: every record, resumable, ready to join."""

    name = "tap-apollo"
    package_name = "tap-apollo"
    message_writer_class = BlockWriter
    config_jsonschema: ClassVar[dict[str, Any]] = copy.deepcopy(settings.SETTINGS)  # the SDK adds its own
    capabilities: ClassVar[list[Any]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.ACTIVATE_VERSION,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(self, *, parse_env_config: bool = False, **arguments: Any) -> None:  # noqa: ANN401
        """Read the settings.

        Args:
            parse_env_config: Whether to read settings from the environment.
            **arguments: As the SDK's taps take them.

        Raises:
            SettingsError: A setting is missing, unknown or impossible.
        """
        try:
            super().__init__(parse_env_config=parse_env_config, **arguments)
        except ValueError as error:
            if parse_env_config:
                raise SettingsError(
                    f"A setting in the environment ({self._env_var_prefix}...) has not the form of its kind: "
                    "numbers as digits, objects and lists as JSON.",
                ) from error
            raise

    @override
    def discover_streams(self) -> list[Stream]:
        named = self.config.get("credit_streams") or ()
        return [
            stream(self, self.run) for name, stream in STREAMS.items() if name not in CREDIT_STREAMS or name in named
        ]

    @override
    def run_discovery(self) -> str:
        """Print and return the catalog, with the custom fields if there are credentials to read them with."""
        # Renewing a token would revoke the sync's, if there is no file that hands the new one over.
        if not self._validate_config(raise_errors=False) and self.run.credential == "api_key":
            self.run.discovering = True
            self._describe_custom_fields()
        return super().run_discovery()

    def _describe_custom_fields(self) -> None:
        """Add the custom fields to the schemas, or say why not: the sync will."""
        try:
            for stream in self.streams.values():
                cast("ApolloStream", stream).learn()
        except (ApolloError, RetriableAPIError, WaitTooLongError, requests.RequestException, *UNKNOWN_FORM) as error:
            reason = error.message if isinstance(error, ApolloError) else f"{type(error).__name__}."
            self.logger.warning("The catalog is without custom fields, which a sync will add: %s", reason)

    # What the streams share

    @functools.cached_property
    def run(self) -> Run:
        """What the streams share."""
        return Run(
            self.config,
            self.logger,
            started=datetime.datetime.fromtimestamp(self.initialized_at / 1000, tz=datetime.timezone.utc),
            user_agent=self.config.get("user_agent") or f"{self.name}/{self.plugin_version}",
            open_ledger=self._open_ledger,
        )

    def _open_ledger(self) -> Ledger:
        """Return a ledger with what the state and Apollo tell.

        Raises:
            ApolloError: The state does not tell what was spent in this cycle.
        """
        meter = CreditUsageStats(self, self.run).meter()
        try:
            spending = Spending(self.state.get("bookmarks", {}).get(SPENDING, {}), _today, meter)
        except (AttributeError, TypeError, ValueError) as error:
            raise ApolloError(
                f"the state does not tell what was spent ({type(error).__name__}): repair `bookmarks.{SPENDING}`, or "
                "remove it to count anew.",
            ) from error
        if meter and meter.start and spending.total > meter.consumed:
            self.logger.warning(
                "Credits: the state counts %s spent in this cycle, Apollo's meter %s for the whole team. The state may "
                "be of another team, or a request that failed was counted at its worst; the higher count stands.",
                f"{spending.total:,}",
                f"{meter.consumed:,}",
            )
        limits = Limits(
            self.config["credit_budget"],
            self.config.get("credit_budget_per_cycle"),
            self.config["credit_reserve"],
        )
        return Ledger(limits, spending, meter)

    def plan(self) -> Plan:
        """Return what a sync would do, by free requests only.

        Raises:
            ApolloError: The credentials are not accepted, or Apollo cannot be reached.
        """
        return make_plan([cast("ApolloStream", one) for one in self.streams.values() if one.selected], self.run)

    # Input that cannot be read is one line, not a traceback

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state, also as `meltano state get` prints it; what is unsound is dropped, and said.

        Raises:
            SettingsError: The state is no Singer state.
        """
        inner = state.get("singer_state", state) if isinstance(state, dict) else None
        bookmarks = inner.get("bookmarks", {}) if isinstance(inner, dict) else None
        if not isinstance(bookmarks, dict) or not all(isinstance(value, dict) for value in bookmarks.values()):
            raise SettingsError('The state is not of the form {"bookmarks": {stream: {...}}}: repair or remove it.')
        super().load_state({"bookmarks": {name: self._sound(name, value) for name, value in bookmarks.items()}})

    def _sound(self, stream: str, bookmark: dict[str, Any]) -> dict[str, Any]:
        """Return what can be used of a bookmark: without its moment, if it is none, only what was bought and spent."""
        if is_bookmark(bookmark.get("replication_key_value")):
            return bookmark
        self.logger.warning("%s: the state cannot be used, as its bookmark is no moment.", stream)
        if stream not in {*CREDIT_STREAMS, SPENDING}:
            return {}
        return {key: value for key, value in bookmark.items() if not key.startswith("replication_key")}

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        try:
            return super().cb_config(ctx, param, value)
        except (OSError, TypeError, ValueError) as error:
            raise SettingsError(f"--config holds no file with a JSON object ({type(error).__name__}).") from error

    @classmethod
    @override
    def invoke(
        cls,
        *,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
        plan: bool = False,
        **options: Any,
    ) -> None:
        state, catalog = _json_object("--state", state), _json_object("--catalog", catalog)
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)  # the process is the tap's own here
        if plan:
            cls._print_plan(options["config"], state, catalog, options.get("about_format"))
        else:
            super().invoke(state=state, catalog=catalog, **options)

    @classmethod
    def _print_plan(
        cls,
        config: Any,  # noqa: ANN401
        state: IO[str] | None,
        catalog: IO[str] | None,
        style: str | None,
    ) -> None:
        """Print what a sync would do."""
        tap = cls(
            config=config.config,
            parse_env_config=config.parse_env,
            state=json.load(state) if state else None,
            catalog=json.load(catalog) if catalog else None,
        )
        tap.metrics_logger.setLevel(logging.WARNING)  # a line per request would hide the table
        plan = tap.plan()
        click.echo(plan.to_json() if style == "json" else plan.to_table())

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        text = "Show what a sync would read, take and cost at most, by free requests only; --format json for machines."
        command.params.append(click.Option(["--plan"], is_flag=True, help=text))
        return command

    # The SDK offers no public hook at these points: it would quote the values of bad settings, secret ones included,
    # runs streams by name, one after another, and nothing after the last. "Final" is a typing mark of it, not a lock.

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self._config = {name: value for name, value in self._config.items() if value is not None}
        self.append_builtin_config(self.config_jsonschema)
        problems = checks.problems(self._config, self.config_jsonschema, PAGED, CREDIT_STREAMS)
        if problems and raise_errors:
            raise SettingsError("\n".join(problems))
        return problems or super()._validate_config(raise_errors=raise_errors)

    @override  # type: ignore[misc]
    def load_streams(self) -> list[Stream]:
        """Return the streams in the order in which they run: those that buy last, as listed, and then the meter."""
        order = [*(self.config.get("credit_streams") or ()), *AFTER_CREDIT_STREAMS]
        ranks = {name: rank for rank, name in enumerate(order, start=1)}
        return sorted(super().load_streams(), key=lambda stream: ranks.get(stream.name, 0))

    @override  # type: ignore[misc]
    def sync_all(self) -> None:
        """Sync the selected streams side by side: one that waits for its rate window does not hold up the others."""
        self._reset_state_progress_markers()
        self._set_compatible_replication_methods()
        if self.state:
            self.state_writer.write_state(self.state)
        streams = [one for one in self.streams.values() if one.selected or one.has_selected_descendents]
        one_by_one = {*CREDIT_STREAMS, *AFTER_CREDIT_STREAMS}
        groups = [[one] for one in streams if one.name not in one_by_one and one.parent_stream_type is None]
        groups.append([one for one in streams if one.name in one_by_one])
        for priority, group in enumerate(groups):
            for stream in group:
                cast("ApolloStream", stream).priority = priority
        self.run.prepare()
        try:
            side_by_side([functools.partial(self._sync_in_turn, group) for group in groups if group], self.run.baton)
        finally:
            try:
                if isinstance(self.message_writer, BlockWriter):
                    self.message_writer.flush()
            finally:
                self.run.authenticator.finish(PATIENCE)
        for stream in streams:
            stream.log_sync_costs()
        if self.run.has_ledger:
            self.logger.info("%s", self.run.ledger.summary())
        self.run.report.raise_for_failures()

    def _sync_in_turn(self, streams: list[Stream]) -> None:
        for stream in streams:
            if self.run.report.fatal is None and cast("ApolloStream", stream).ready():
                stream.sync()
                stream.finalize_state_progress_markers()

    @override  # type: ignore[misc]
    def run_connection_test(self) -> bool:
        self.run.trial = True
        passed = super().run_connection_test()
        self.run.report.raise_for_failures()
        return passed

    @override
    def _handle_termination(self, signum: int, frame: Any) -> None:
        """Keep the last state, and end as a process does that a signal ended: the sync is not complete."""
        if not self.run.baton.drop(patience=PATIENCE):  # whoever works is held up by the target: the last STATE stands
            os._exit(128 + signum)
        if self.run.has_ledger:
            self.run.ledger.write_to(self.state)
        self.run.authenticator.finish(PATIENCE)
        try:
            super()._handle_termination(signum, frame)
        except SystemExit:
            sys.exit(128 + signum)


def _today() -> datetime.date:
    return datetime.datetime.now(tz=datetime.timezone.utc).date()


def _json_object(option: str, file: IO[str] | None) -> IO[str] | None:
    """Return a file's text if it is a JSON object.

    Raises:
        SettingsError: It is not.
    """
    if file is None:
        return None
    text = file.read()
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise SettingsError(f"{option} holds no JSON object: repair or remove it.")
    return io.StringIO(text)
