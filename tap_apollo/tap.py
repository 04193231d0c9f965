"""The tap: settings in, streams out."""

from __future__ import annotations

import copy
import functools
import sys
from typing import TYPE_CHECKING, Any, ClassVar, cast

import requests
from singer_sdk import Stream, Tap
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities

from tap_apollo import settings
from tap_apollo.auth import authenticator
from tap_apollo.custom_fields import CustomFieldLabels
from tap_apollo.errors import SettingsError
from tap_apollo.report import SyncReport
from tap_apollo.streams import PAGED, STREAMS
from tap_apollo.streams.workspace import CustomFields

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Record

    from tap_apollo.auth import Auth
    from tap_apollo.client import ApolloStream


class TapApollo(Tap):
    """Singer tap for Apollo.io: complete, within a credit budget, in step with the rate limits."""

    name = "tap-apollo"
    package_name = "tap-apollo"
    config_jsonschema: ClassVar[dict[str, Any]] = copy.deepcopy(settings.SETTINGS)  # the SDK adds its own
    capabilities: ClassVar[list[Any]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    #: Whether Apollo has answered anything in this run.
    reached: bool = False

    @override
    def discover_streams(self) -> list[Stream]:
        return [stream(self) for stream in STREAMS.values()]

    # What the streams share

    @functools.cached_property
    def session(self) -> requests.Session:
        """The connections of the run."""
        return requests.Session()

    @functools.cached_property
    def authenticator(self) -> Auth:
        """The credentials of the run."""
        return authenticator(self.config)

    @functools.cached_property
    def report(self) -> SyncReport:
        """What went wrong in the run."""
        return SyncReport(self.logger, strict=self.config["strict"])

    def custom_field_labels(self, modality: str) -> CustomFieldLabels | None:
        """Return the names of a modality's custom fields, or None where they are not wanted or may not be read."""
        if self.config["custom_fields"] == "raw" or not self._custom_fields:
            return None
        return CustomFieldLabels(self._custom_fields, modality)

    @functools.cached_property
    def _custom_fields(self) -> list[Record]:
        """The definitions of the custom fields: one request per run, if a record needs them."""
        return list(cast("ApolloStream", self.streams[CustomFields.name]).get_records(None))

    @property
    def user_agent(self) -> str:
        """The ``User-Agent`` of every request."""
        return self.config.get("user_agent") or f"{self.name}/{self.plugin_version}"

    # The SDK offers no public hook at these three points: it would quote the values of bad settings, secret ones
    # included, and has nothing that runs after the last stream. "Final" is a typing mark of the SDK, not a lock.

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self._config = {name: value for name, value in self._config.items() if value is not None}
        self.append_builtin_config(self.config_jsonschema)
        problems = settings.problems(self._config, self.config_jsonschema, PAGED)
        if problems and raise_errors:
            raise SettingsError("\n".join(problems))
        return problems or super()._validate_config(raise_errors=raise_errors)

    @override  # type: ignore[misc]
    def sync_all(self) -> None:
        super().sync_all()
        self.report.raise_for_failures()

    @override  # type: ignore[misc]
    def run_connection_test(self) -> bool:
        passed = super().run_connection_test()
        self.report.raise_for_failures()
        return passed
