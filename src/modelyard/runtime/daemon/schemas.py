"""JSON Schemas (2020-12) of JSON values that were seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelyard.runtime.primitives import dump_json

_SCALARS = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
_MOST_PROPERTIES = 100
_LARGEST = 1 << 13

Schema = dict[str, Any]


def infer_schema(value: Any) -> Schema:
    """The schema of a JSON value; what was empty, and so showed nothing, may be anything.

    >>> infer_schema({"rows": [[1, "a"], [0.5, None]]})["properties"]["rows"]["items"]
    {'type': 'array', 'items': {'type': ['number', 'string', 'null']}}
    """
    if type(value) in _SCALARS:
        return {"type": _SCALARS[type(value)]}
    if isinstance(value, list):
        return {"type": "array", "items": unite_schemas(infer_schema(item) for item in value)}
    properties = {key: infer_schema(item) for key, item in value.items()}
    if len(properties) > _MOST_PROPERTIES:  # no record, but a table by key
        return {"type": "object", "additionalProperties": unite_schemas(properties.values())}
    return {"type": "object", "properties": properties, "required": list(properties)}


def unite_schemas(schemas: Iterable[Schema]) -> Schema:
    """The schema of values of which each has one of `schemas`; `{}` for none."""
    options: dict[str, Schema] = {}
    for schema in schemas:
        for option in _split(schema):
            kind = "number" if option["type"] == "integer" else option["type"]
            options[kind] = _unite_alike(options[kind], option) if kind in options else option
    if len(options) <= 1:
        return next(iter(options.values()), {})
    if not {"array", "object"} & options.keys():
        return {"type": [option["type"] for option in options.values()]}
    return {"anyOf": list(options.values())}


def limit_schema(schema: Schema) -> Schema:
    """The schema, or one that says nothing in place of one that is too large to pass on."""
    return schema if len(dump_json(schema)) <= _LARGEST else {}


def _split(schema: Schema) -> Iterable[Schema]:
    if isinstance(schema.get("type"), list):
        return [{"type": name} for name in schema["type"]]
    return schema.get("anyOf", [schema] if schema else [])  # type: ignore[no-any-return]


def _unite_alike(one: Schema, other: Schema) -> Schema:
    """Unite two schemas of one type; an integer is a number."""
    if one["type"] == "array":
        return {"type": "array", "items": unite_schemas([one["items"], other["items"]])}
    if one["type"] != "object":
        return one if one == other else {"type": "number"}
    if "properties" not in one or "properties" not in other:
        values = [schema for each in (one, other) for schema in _values_of(each)]
        return {"type": "object", "additionalProperties": unite_schemas(values)}
    keys = dict.fromkeys([*one["properties"], *other["properties"]])
    found = {key: [each["properties"][key] for each in (one, other) if key in each["properties"]] for key in keys}
    required = [key for key in one["required"] if key in other["required"]]
    properties = {key: unite_schemas(schemas) for key, schemas in found.items()}
    return {"type": "object", "properties": properties, "required": required}


def _values_of(schema: Schema) -> list[Schema]:
    return list(schema["properties"].values()) if "properties" in schema else [schema["additionalProperties"]]
