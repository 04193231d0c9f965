"""The streams' schemas: one JSON Schema file per stream, read once.

Three conventions beside plain JSON Schema: ``{"$ref": "common.json#/$defs/name"}`` stands for a piece that several
streams share, its other keys overriding the piece's; ``x-left-out`` of an object lists the properties that Apollo
sends and the tap leaves out on purpose, each with the reason; ``x-personal`` of a column says what kind of personal
data it holds, or ``no``, and every text, list and object says it. Every stream has one column more than its file
lists: ``_unknown``, for what Apollo adds and this version does not know.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

LEFT_OUT, PERSONAL = "x-left-out", "x-personal"

#: The column that takes the properties that a stream's schema does not know.
UNKNOWN = "_unknown"

_UNKNOWN_SCHEMA = {
    "type": ["object", "null"],
    "additionalProperties": True,
    "description": "What Apollo sent and this version of the tap has no column for, by property; null if nothing.",
    PERSONAL: "open",
}

_REFERENCE = "common.json#/$defs/"


@functools.cache
def annotated(stream: str) -> dict[str, Any]:
    """Return a stream's schema with its references resolved and its ``x-left-out`` and ``x-personal`` in place."""
    schema: dict[str, Any] = _resolve(_read(stream))
    schema["properties"][UNKNOWN] = _UNKNOWN_SCHEMA
    return schema


@functools.cache
def load(stream: str) -> dict[str, Any]:
    """Return a stream's schema as plain JSON Schema."""
    schema: dict[str, Any] = _plain(annotated(stream))
    return schema


@functools.cache
def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((resources.files(__name__) / f"{name}.json").read_text(encoding="utf-8"))
    return document


def _resolve(node: Any) -> Any:
    if isinstance(node, list):
        return [_resolve(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        piece = _read("common")["$defs"][node["$ref"].removeprefix(_REFERENCE)]
        node = {**piece, **{key: value for key, value in node.items() if key != "$ref"}}
    return {key: _resolve(value) for key, value in node.items()}


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _plain(value) for key, value in node.items() if key not in {LEFT_OUT, PERSONAL}}
