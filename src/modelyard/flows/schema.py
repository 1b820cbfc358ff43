"""Check a document by a JSON Schema; what is wrong is said with file, line, value and the right word."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import InputError
from modelyard.flows.documents import Document
from modelyard.runtime.nearest import ask_whether_meant, describe_choices

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

FLOW = "flow.schema.json"
CONFIG = "config.schema.json"
_MOST = 10


@cache
def read_own_schema(name: str) -> dict[str, Any]:
    """A schema that comes with the tool."""
    schema: dict[str, Any] = json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return schema


def check_document(document: Document, schema: Mapping[str, Any], *, hint: str) -> None:
    """Raise InputError that names everything in a document that its schema does not allow."""
    import jsonschema_rs

    try:
        errors = list(jsonschema_rs.validator_for(dict(schema)).iter_errors(document.value))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise InputError(f"{document.path}: its schema is none: {error}", hint="correct config.schema.json") from None
    said = [line for error in errors for line in _say(error, document, schema)]
    if said:
        more = [f"and {len(said) - _MOST} more"] if len(said) > _MOST else []
        raise InputError("\n".join([*said[:_MOST], *more]), hint=hint)


def _say(error: "ValidationError", document: Document, schema: Mapping[str, Any]) -> Iterator[str]:
    place = tuple(error.instance_path)
    kind = error.kind.as_dict()
    name = ".".join(map(str, place)) or "the file"
    if "unexpected" in kind:
        known = _properties_at(schema, error.schema_path[:-1])
        for word in kind["unexpected"]:
            meant = ask_whether_meant(word, known)
            choices = f" (there are: {describe_choices(word, known)})" if known else ""
            yield f"{document.where(*place, word)}: {name} has no {word!r}{meant}{choices}"
    elif "options" in kind:
        value = str(error.instance)
        options = list(map(str, kind["options"]))
        meant = ask_whether_meant(value, options)
        yield f"{document.where(*place)}: {name} is {value!r}, not one of {describe_choices(value, options)}{meant}"
    elif "pattern" in kind:
        meant = _schema_at(schema, error.schema_path[:-1]).get("description") or f"of the form {kind['pattern']}"
        yield f"{document.where(*place)}: {name} is {_shorten(repr(error.instance))}, which is not: {meant}"
    else:
        yield f"{document.where(*place)}: {name}: {_shorten(error.message)}"


def _properties_at(schema: Mapping[str, Any], path: Sequence[str | int]) -> list[str]:
    found = _schema_at(schema, path)
    return list(found.get("properties", ())) if isinstance(found, dict) else []


def _schema_at(schema: Mapping[str, Any], path: Sequence[str | int]) -> Any:
    found: Any = schema
    for part in path:
        found = found[int(part)] if isinstance(found, list) else found.get(part, {})
    return found


def _shorten(message: str) -> str:
    return message if len(message) <= 200 else message[:199] + "…"
