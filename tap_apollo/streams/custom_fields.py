"""Records that carry custom fields: by their labels, typed, and described in the schema."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from tap_apollo.api.errors import ForbiddenError
from tap_apollo.singer.custom_fields import CustomFieldLabels
from tap_apollo.singer.stream import ApolloStream
from tap_apollo.streams.workspace import CustomFields

if TYPE_CHECKING:
    from singer_sdk.helpers.types import Context, Record


class CustomFieldsMixin(ApolloStream):
    """A stream whose records carry custom fields: adds them by label, and describes them in its schema.

    Attributes:
        modality: What Apollo calls this kind of record in the definitions of custom fields.
    """

    modality: ClassVar[str]

    #: Once read, the names of the custom fields, or None where they may not be read.
    _labels: tuple[CustomFieldLabels | None, ...] = ()

    @override
    def learn(self) -> None:
        labels = self._known_labels() if self._names_fields else None
        if labels:
            self.extend_schema({"custom_fields": labels.properties})

    @functools.cached_property
    def _names_fields(self) -> bool:
        """Whether the column is asked for, by the setting and by the catalog."""
        wanted = self.config["custom_fields"] == "labels"
        return wanted and self.selected and self.mask["properties", "custom_fields"]

    @override
    def shaped(self, row: Record, context: Context | None) -> Record:
        record = super().shaped(row, context)
        values = record.get("typed_custom_fields")
        if values is not None and self._names_fields:
            labels = self._known_labels()
            record["custom_fields"] = labels.resolve(values) if labels else None
            if labels and (news := labels.news()):
                self.tell(news)
        return record

    def _known_labels(self) -> CustomFieldLabels | None:
        """Return the names of the custom fields, or None where they may not be read, which is said."""
        if not self._labels:
            self._labels = (self._read_labels(),)
        return self._labels[0]

    def _read_labels(self) -> CustomFieldLabels | None:
        try:
            return CustomFieldLabels(self.lookup(CustomFields), self.modality)
        except ForbiddenError as error:
            hint = "set `custom_fields` to raw to do without"
            self.logger.warning("%s: `custom_fields` is null: %s Or %s.", self.name, error.message, hint)
            return None
