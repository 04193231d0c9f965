"""Custom fields by name: Apollo keys their values by opaque ids, analysts know them by their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tap_apollo.records import RecordShaper

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: JSON Schema of a value by the type of its custom field; values of other types stay as they are.
_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "textarea": {"type": "string"},
    "number": {"type": "number"},
    "currency": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "picklist": {"type": "array", "items": {"type": "string"}},
    "multi_picklist": {"type": "array", "items": {"type": "string"}},
}


class CustomFieldLabels:
    """Resolves the ``typed_custom_fields`` of one kind of record (a modality: contact, account, opportunity)."""

    def __init__(self, definitions: Iterable[Mapping[str, Any]], modality: str) -> None:
        """Index the definitions of a modality.

        Args:
            definitions: Rows of the endpoint ``typed_custom_fields``.
            modality: The modality to keep.
        """
        fields = [field for field in definitions if field.get("modality") == modality]
        names = [field.get("name") for field in fields]
        # Two fields may bear one name: each then carries its id, or one would hide the other.
        self._labels = {
            field["id"]: name if name and names.count(name) == 1 else f"{name} ({field['id']})"
            for field, name in zip(fields, names, strict=True)
        }
        options = (option for field in fields for option in field.get("picklist_values") or ())
        self._options = {option["id"]: option.get("name") or option["id"] for option in options}
        types = {field["id"]: _TYPES[field["type"]] for field in fields if field.get("type") in _TYPES}
        self._shape = RecordShaper({"properties": {"custom_fields": {"type": "object", "properties": types}}})

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return custom field values by label, typed, with the chosen options of a picklist by name."""
        typed = self._shape({"custom_fields": values})["custom_fields"]
        return {self._labels.get(field, field): self._named(value) for field, value in typed.items()}

    def news(self) -> list[str]:
        """Return, once each, what was lost since the last call: values of another type than their field."""
        return self._shape.news()

    def _named(self, value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, list):
            return value
        return [self._options.get(item, item) if isinstance(item, str) else item for item in value]
