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
}


class CustomFieldLabels:
    """Resolves the ``typed_custom_fields`` of one kind of record (a modality: contact, account, opportunity)."""

    def __init__(self, definitions: Iterable[Mapping[str, Any]], modality: str) -> None:
        """Index the definitions of a modality.

        Args:
            definitions: Rows of the endpoint ``typed_custom_fields``.
            modality: The modality to keep.
        """
        fields = [field for field in definitions if field["modality"] == modality]
        names = [field["name"] for field in fields]
        # Two fields may bear one name: each then carries its id, or one would hide the other.
        self._labels = {
            field["id"]: field["name"] if names.count(field["name"]) == 1 else f"{field['name']} ({field['id']})"
            for field in fields
        }
        self._options = {
            option["id"]: option["name"] for field in fields for option in field.get("picklist_values", ())
        }
        types = {field["id"]: _TYPES[field["type"]] for field in fields if field["type"] in _TYPES}
        self.shape = RecordShaper({"properties": {"custom_fields": {"type": "object", "properties": types}}})

    def resolve(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return custom field values by label, typed, with the chosen options of a picklist by name."""
        typed = self.shape({"custom_fields": values})["custom_fields"]
        return {
            self._labels.get(field, field): [self._options.get(item, item) for item in value]
            if isinstance(value, list)
            else value
            for field, value in typed.items()
        }
