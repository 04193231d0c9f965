"""The tap: settings in, streams out."""

from __future__ import annotations

import copy
import datetime
import functools
import os
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities
from typing_extensions import override

from tap_apollo.api.client import UNREADABLE
from tap_apollo.api.concurrency import side_by_side
from tap_apollo.api.errors import ApolloError, CredentialsError, SettingsError
from tap_apollo.cli import CommandTap, bookmarks_of
from tap_apollo.config import checks, settings
from tap_apollo.credits import SPENDING, Ledger, Limits, Spending, read_meter
from tap_apollo.plan import make_plan
from tap_apollo.readers.io import StreamIO
from tap_apollo.services import Services
from tap_apollo.singer.memory import Spent, StateError, decoded
from tap_apollo.singer.messages import BlockWriter
from tap_apollo.streams import CREDIT_STREAMS, PAGED, REFRESHED, STREAMS
from tap_apollo.streams.workspace import CreditUsageStats, UserProfile
from tap_apollo.wording import counted

if TYPE_CHECKING:
    from singer_sdk import Stream

    from tap_apollo.credits import Meter
    from tap_apollo.plan import Plan
    from tap_apollo.readers.purchase import Purchase
    from tap_apollo.singer.stream import ApolloStream

#: Seconds that the end of a run waits for a thread to come to a stop.
PATIENCE = 10

#: Streams that show what the others bought and spent, and therefore run after them.
AFTER_CREDIT_STREAMS = ("enrichment_results", "credit_usage_stats")


class TapApollo(CommandTap):
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

    def __init__(self, *, parse_env_config: bool = False, **arguments: Any) -> None:
        """Read the settings.

        Args:
            parse_env_config: Whether to read settings from the environment.
            **arguments: As the SDK's taps take them.

        Raises:
            SettingsError: A setting is missing, unknown or impossible.
        """
        try:
            super().__init__(parse_env_config=parse_env_config, **arguments)
        except ValueError:
            bad = checks.bad_variables(os.environ, self.variables_prefix, self.config_jsonschema)
            if not (parse_env_config and bad):
                raise
            raise SettingsError("\n".join(bad)) from None

    @override
    def discover_streams(self) -> list[Stream]:
        named = self.config.get("credit_streams") or ()
        return [
            stream(self, self.services)
            for name, stream in STREAMS.items()
            if name not in CREDIT_STREAMS or name in named
        ]

    @override
    def run_discovery(self) -> str:
        """Print and return the catalog, with the custom fields if there are credentials to read them with."""
        # Renewing a token would revoke the sync's, if there is no file that hands the new one over.
        if self.is_configured and self.services.credential == "api_key":
            self.services.discovering = True
            self._describe_custom_fields()
        return super().run_discovery()

    def _describe_custom_fields(self) -> None:
        """Add the custom fields to the schemas, or say why not: the sync will try again."""
        try:
            for stream in self.streams.values():
                cast("ApolloStream", stream).learn()
        except UNREADABLE as error:
            reason = self.services.client.why(error)
            self.logger.warning(
                "The catalog has no custom fields: %s A sync adds them, if it can read them.",
                reason,
            )

    # What the streams share

    @functools.cached_property
    def services(self) -> Services:
        """What the streams share."""
        return Services(
            self.config,
            self.logger,
            self.metrics_logger,
            state=self.state,
            emit_state=self.state_writer.write_state,
            started=datetime.datetime.fromtimestamp(self.initialized_at / 1000, tz=datetime.timezone.utc),
            user_agent=self.config.get("user_agent") or f"{self.name}/{self.plugin_version}",
            open_ledger=self._open_ledger,
        )

    def _open_ledger(self) -> Ledger:
        """Return a ledger with what the state and Apollo tell.

        Raises:
            ApolloError: The state does not tell what was spent in this cycle, or a limit cannot be checked.
        """
        limits = Limits(
            self.config["credit_budget"],
            self.config.get("credit_budget_per_cycle"),
            self.config["credit_reserve"],
            self.config.get("credit_budget_per_month"),
        )
        meter = self._meter(limits)
        try:
            spent = decoded(self.state.get("bookmarks", {}).get(SPENDING, {}), Spent)
        except StateError as error:
            raise ApolloError(
                f"the state does not tell what was spent (it {error}): repair `bookmarks.{SPENDING}`, or "
                "remove it to count anew.",
            ) from error
        spending = Spending(spent, self.services.run, _today, meter)
        if limits.per_cycle is not None and spending.cycle_start is None:
            raise _unchecked(["credit_budget_per_cycle"], "Apollo does not show the billing cycle.")
        shown = sum(meter.consumed.values()) if meter else 0
        if meter and meter.cycle and spending.in_cycle > shown:
            self.logger.warning(
                "Credits: the state counts %s spent in this cycle, Apollo's meter %s for the whole team. The meter may "
                "lag, the state may be of another team, or a request that failed was counted at its worst; the higher "
                "count stands.",
                f"{spending.in_cycle:,}",
                f"{shown:,}",
            )
        readers = {name: cast("Purchase", CREDIT_STREAMS[name].reads) for name in self.config["credit_streams"]}
        return Ledger(limits, spending, meter, {name: one.price.draw(self.config) for name, one in readers.items()})

    def _meter(self, limits: Limits) -> Meter | None:
        """Return what Apollo's meter shows, or None where it cannot be read and no limit needs it, which is said.

        Raises:
            ApolloError: It cannot be read, and a limit needs it.
        """
        try:
            reply = self._asked(CreditUsageStats)
            with CreditUsageStats.endpoint.parsing():
                return read_meter(reply, self._profile())
        except CredentialsError:
            raise
        except UNREADABLE as error:
            if error is self.services.report.fatal:
                raise
            reason = self.services.client.why(error)
            if needing := limits.needing_the_meter:
                raise _unchecked(needing, reason) from error
        text = "Credits: the team's balance is unknown: %s Without it the tap goes by its own limits."
        self.logger.warning(text, reason)
        return None

    def _profile(self) -> dict[str, Any] | None:
        """Return the key's user with his own limit; None if that cannot be read: then the team's counts."""
        try:
            profile = self._asked(UserProfile)
        except CredentialsError:
            raise
        except UNREADABLE as error:
            if error is self.services.report.fatal:
                raise
            return None
        return profile if isinstance(profile, dict) else None

    def _asked(self, stream: type[ApolloStream]) -> Any:
        """Ask for what the ledger needs."""
        place = stream.reads.place()
        return StreamIO(self.services, stream, place, keeps_place=False, needed_by="the ledger").ask()

    def plan(self) -> Plan:
        """Return what a sync would do, by free requests only.

        Raises:
            ApolloError: The credentials are not accepted, or Apollo cannot be reached.
        """
        self.services.planning = True
        return make_plan([cast("ApolloStream", one) for one in self.streams.values() if one.selected], self.services)

    # Input that cannot be read is one line, not a traceback

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        """Take over a state, also as `meltano state get` prints it.

        Raises:
            SettingsError: The state is no Singer state.
        """
        super().load_state({"bookmarks": bookmarks_of(state)})

    # The run

    @override
    def problems(self) -> list[str]:
        return checks.problems(
            dict(self.config),
            self.config_jsonschema,
            streams=STREAMS,
            paged=PAGED,
            refreshed=REFRESHED,
            credit=CREDIT_STREAMS,
        )

    @override
    def in_order(self, streams: list[Stream]) -> list[Stream]:
        """Return those that buy last, as the setting lists them, and then the meter."""
        order = [*(self.config.get("credit_streams") or ()), *AFTER_CREDIT_STREAMS]
        ranks = {name: rank for rank, name in enumerate(order, start=1)}
        return sorted(streams, key=lambda stream: ranks.get(stream.name, 0))

    @override
    def sync_streams(self) -> None:
        """Sync the selected streams side by side: one that waits for its rate window does not hold up the others."""
        streams = [one for one in self.streams.values() if one.selected or one.has_selected_descendents]
        if not streams:
            self.logger.warning("No stream is selected, so nothing is read: see `select`, or the file of --catalog.")
        one_by_one = {*CREDIT_STREAMS, *AFTER_CREDIT_STREAMS}
        groups = [[one] for one in streams if one.name not in one_by_one and one.parent_stream_type is None]
        groups.append([one for one in streams if one.name in one_by_one])
        for priority, group in enumerate(groups):
            for stream in group:
                cast("ApolloStream", stream).priority = priority
        self.services.prepare()
        try:
            side_by_side(
                [functools.partial(self._sync_in_turn, group) for group in groups if group], self.services.writer
            )
        finally:
            try:
                if isinstance(self.message_writer, BlockWriter):
                    self.message_writer.flush()
            finally:
                self.services.authenticator.finish(PATIENCE)
        if self.services.has_ledger:
            self.logger.info("%s", self.services.ledger.summary())
        self.services.report.raise_for_failures()

    def _sync_in_turn(self, streams: list[Stream]) -> None:
        for stream in streams:
            if self.services.ledger_refused and cast("ApolloStream", stream).reads.costs:
                continue  # which was said of the stream that asked for it
            if self.services.report.fatal is None and cast("ApolloStream", stream).ready():
                stream.sync()
                stream.finalize_state_progress_markers()

    @override  # type: ignore[misc]
    def run_connection_test(self) -> bool:
        self.services.trial = True
        passed = super().run_connection_test()
        self.services.report.raise_for_failures()
        tried = [name for name in self.streams if name not in CREDIT_STREAMS]
        said = [name for name in tried if name in self.services.report.named]
        above = f"; see the messages above on {', '.join(said)}" if said else ""
        self.logger.info("%s of %s can be read%s.", len(tried) - len(said), counted(len(tried), "stream"), above)
        return passed

    @override
    def stopped_by(self, signum: int) -> None:
        # Whoever works may be held up by the target: then the last STATE stands.
        if not self.services.writer.close(patience=PATIENCE):
            os._exit(128 + signum)
        if self.services.has_ledger:
            self.services.ledger.write_to(self.state)
        self.services.authenticator.finish(PATIENCE)


def _unchecked(settings: list[str], reason: str) -> ApolloError:
    """Return what to raise if a limit cannot be checked: then nothing is bought."""
    named = " and ".join(f"`{name}`" for name in settings)
    return ApolloError(
        f"nothing is bought, as {named} cannot be checked without Apollo's meter: {reason} "
        f"Or remove {named} and keep to `credit_budget_per_month`."
    )


def _today() -> datetime.date:
    return datetime.datetime.now(tz=datetime.timezone.utc).date()
