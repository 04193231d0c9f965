"""Custom fields by name: Apollo keys their values by opaque ids, analysts know them by their labels."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.api.client import UNREADABLE
from tap_apollo.api.endpoint import missing
from tap_apollo.api.errors import CredentialsError
from tap_apollo.singer.conform import Conform, Conformed, RecordConformer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tap_apollo.singer.stream import ApolloStream

#: JSON Schema of a value by the type of its custom field; values of other types become text.
_TYPES: dict[str, dict[str, Any]] = {
    "number": {"type": ["number", "null"]},
    "currency": {"type": ["number", "null"]},
    "boolean": {"type": ["boolean", "null"]},
    "date": {"type": ["string", "null"], "format": "date"},
    "datetime": {"type": ["string", "null"], "format": "date-time"},
    "picklist": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
    "multi_picklist": {"type": ["array", "null"], "items": {"type": ["string", "null"]}},
}
_TEXT = {"type": ["string", "null"]}

#: Most bytes of a name, so that a flattened column with its prefix is a name that PostgreSQL keeps whole.
LONGEST = 63 - len("custom_fields__")


class CustomFieldLabels:
    """Resolves the ``typed_custom_fields`` of one kind of record (a modality: contact, account, opportunity).

    Attributes:
        properties: JSON Schema of each field's values, by its name.
    """

    def __init__(self, definitions: Iterable[Mapping[str, Any]], modality: str) -> None:
        """Index the definitions of a modality; of one that cannot be used, only what is missing is without a name.

        Args:
            definitions: Rows of the endpoint ``typed_custom_fields``.
            modality: The modality to keep.
        """
        fields = [one for one in definitions if missing(one, ("id",)) is None and one.get("modality") == modality]
        self._names = names(fields)
        options = [field.get("picklist_values") for field in fields]
        chosen = [one for some in options if isinstance(some, list) for one in some if missing(one, ("id",)) is None]
        self._options = {option["id"]: _label_of(option) or option["id"] for option in chosen}
        types = {field["id"]: _TYPES.get(f"{field.get('type')}", _TEXT) for field in fields}
        columns = {name: types[field] for field, name in self._names.items()}
        self._conform = RecordConformer({"properties": {"custom_fields": {"type": "object", "properties": columns}}})
        self.properties = {
            self._names[field["id"]]: {
                **types[field["id"]],
                "title": _label_of(field) or field["id"],
                "description": f"Custom field {_label_of(field)!r} ({field.get('type')}, id {field['id']}).",
            }
            for field in fields
        }

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return custom field values by name, typed, with the chosen options of a picklist by name.

        A value whose field is not defined is left to ``typed_custom_fields``. A field may be named with its modality:
        ``contact.<id>``.
        """
        by_id = {**{field.rpartition(".")[2]: value for field, value in values.items()}, **values}
        known = {self._names[field]: value for field, value in by_id.items() if field in self._names}
        typed = self._conform({"custom_fields": known})["custom_fields"]
        return {name: self._named(value) for name, value in typed.items()}

    def warnings(self) -> list[str]:
        """Return, once each, what was lost since the last call: values of another type than their field."""
        return [f"{line}, and as it came in `typed_custom_fields`" for line in self._conform.warnings()]

    def _named(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [self._options.get(item, item) if isinstance(item, str) else item for item in value]


def _label_of(definition: Mapping[str, Any]) -> str:
    """Return how people call a field or an option; empty if they do not."""
    name = definition.get("name")
    return name if isinstance(name, str) else ""


def names(fields: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return a name for each field by its id: its label in lower case, as far as a column can bear it.

    Of fields that come to one name the oldest keeps it, and the others add their ids: an id begins with the moment of
    its creation, so a field that is added later does not rename another.
    """
    named: dict[str, str] = {}
    for field in sorted(fields, key=lambda field: str(field["id"])):
        label = re.sub(r"\W+", "_", _label_of(field).lower()).strip("_")
        name = _cut(f"field_{label}" if not label or label[0].isdigit() else label, LONGEST)
        if name in named.values() or name == "field":
            end = f"_{field['id']}"
            name = _cut(name, LONGEST - len(end)) + end
        named[field["id"]] = name
    return named


def _cut(name: str, size: int) -> str:
    """Return as much of a name as there are bytes for."""
    return name.encode()[:size].decode(errors="ignore").strip("_")


class FieldsByLabel(Conform):
    """Rows that carry custom fields: adds them by label, and describes them in the schema.

    Attributes:
        definitions: The stream whose rows define the custom fields.
        modality: What Apollo calls this kind of record in the definitions of custom fields.
    """

    def __init__(
        self, definitions: type[ApolloStream], modality: str, then: Callable[[dict[str, Any]], None] | None = None
    ) -> None:
        """Declare the kind of record.

        Args:
            definitions: The stream whose rows define the custom fields.
            modality: What Apollo calls it in the definitions of custom fields.
            then: What else completes a record.
        """
        super().__init__(then)
        self.definitions = definitions
        self.modality = modality

    @override
    def bind(self, stream: ApolloStream) -> Conformed:
        return _WithCustomFields(self, stream)


class _WithCustomFields(Conformed):
    """Brings the rows of one stream into the form of its schema, with their custom fields by name."""

    def __init__(self, conform: FieldsByLabel, stream: ApolloStream) -> None:
        super().__init__(conform, stream)
        self._definitions = conform.definitions
        self._modality = conform.modality
        self._stream = stream
        self._read = False
        self._labels: CustomFieldLabels | None = None  # None where they cannot be read

    @functools.cached_property
    def _wanted(self) -> bool:
        """Whether the column is asked for, by the setting and by the catalog."""
        stream = self._stream
        return (
            stream.config["custom_fields"] == "labels"
            and stream.selected
            and stream.mask["properties", "custom_fields"]
        )

    @override
    def learned(self) -> dict[str, dict[str, Any]]:
        labels = self._known() if self._wanted else None
        return {"custom_fields": labels.properties} if labels else {}

    @override
    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        record = super().__call__(row)
        values = record.get("typed_custom_fields")
        if values is not None and self._wanted:
            labels = self._known()
            record["custom_fields"] = labels.resolve(values) if labels else None
        return record

    @override
    def warnings(self) -> list[str]:
        return [*super().warnings(), *(self._labels.warnings() if self._labels else ())]

    def _known(self) -> CustomFieldLabels | None:
        """Return the names of the custom fields, or None where they cannot be read, which is said."""
        if not self._read:
            self._labels, self._read = self._from_apollo(), True
        return self._labels

    def _from_apollo(self) -> CustomFieldLabels | None:
        """Read the definitions: where they cannot be read, the rows are worth having without them.

        Raises:
            ApolloError: No stream can be read; or what cannot be read, to discovery.
        """
        services = self._stream.services
        try:
            return CustomFieldLabels(self._stream.io().lookup(self._definitions), self._modality)
        except UNREADABLE as error:
            if services.discovering or services.report.fatal or isinstance(error, CredentialsError):
                raise
            text = "%s: `custom_fields` is null: %s Run again, or set `custom_fields` to raw to do without."
            self._stream.logger.warning(text, self._stream.name, services.client.why(error))
            return None
