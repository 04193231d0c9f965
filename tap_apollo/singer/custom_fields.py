"""Custom fields by name: Apollo keys their values by opaque ids, analysts know them by their labels."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_apollo.api.errors import ForbiddenError
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
        """Index the definitions of a modality.

        Args:
            definitions: Rows of the endpoint ``typed_custom_fields``.
            modality: The modality to keep.
        """
        fields = [field for field in definitions if field.get("modality") == modality]
        self._names = names(fields)
        options = (option for field in fields for option in field.get("picklist_values") or ())
        self._options = {option["id"]: option.get("name") or option["id"] for option in options}
        types = {field["id"]: _TYPES.get(field.get("type") or "", _TEXT) for field in fields}
        columns = {name: types[field] for field, name in self._names.items()}
        self._conform = RecordConformer({"properties": {"custom_fields": {"type": "object", "properties": columns}}})
        self.properties = {
            self._names[field["id"]]: {
                **types[field["id"]],
                "title": field.get("name") or field["id"],
                "description": f"Custom field {field.get('name') or ''!r} ({field.get('type')}, id {field['id']}).",
            }
            for field in fields
        }

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return custom field values by name, typed, with the chosen options of a picklist by name.

        A value whose field is not defined is left to ``typed_custom_fields``.
        """
        known = {self._names[field]: value for field, value in values.items() if field in self._names}
        typed = self._conform({"custom_fields": known})["custom_fields"]
        return {name: self._named(value) for name, value in typed.items()}

    def warnings(self) -> list[str]:
        """Return, once each, what was lost since the last call: values of another type than their field."""
        return [f"{line}, and as it came in `typed_custom_fields`" for line in self._conform.warnings()]

    def _named(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [self._options.get(item, item) if isinstance(item, str) else item for item in value]


def names(fields: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return a name for each field by its id: its label in lower case, as far as a column can bear it.

    Of fields that come to one name the oldest keeps it, and the others add their ids: an id begins with the moment of
    its creation, so a field that is added later does not rename another.
    """
    named: dict[str, str] = {}
    for field in sorted(fields, key=lambda field: str(field["id"])):
        label = re.sub(r"\W+", "_", f"{field.get('name') or ''}".lower()).strip("_")
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
        self._labels: CustomFieldLabels | None = None  # None where they may not be read

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
        """Return the names of the custom fields, or None where they may not be read, which is said."""
        if not self._read:
            self._labels, self._read = self._from_apollo(), True
        return self._labels

    def _from_apollo(self) -> CustomFieldLabels | None:
        try:
            definitions = self._stream.io().lookup(self._definitions)
            with self._definitions.endpoint.parsing():
                return CustomFieldLabels(definitions, self._modality)
        except ForbiddenError as error:
            hint = "set `custom_fields` to raw to do without"
            self._stream.logger.warning(
                "%s: `custom_fields` is null: %s Or %s.", self._stream.name, error.message, hint
            )
            return None
