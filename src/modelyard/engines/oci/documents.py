"""JSON that somebody else wrote about images: read, and checked for what everything here takes for granted of it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from modelyard.engines.oci.address import DIGEST
from modelyard.errors import EngineError

_HINT = "it is broken or hostile: make the image again, or name another"


def parse_document(content: bytes, where: str) -> dict[str, Any]:
    """A JSON object whose `config`, `layers` and `manifests`, where it has them, are descriptors.

    Raises EngineError that says what `where` has instead.
    """
    document = parse_object(content, where)
    for name in ("config", "layers", "manifests"):
        found = document.get(name, [])
        each = [found] if name == "config" and found != [] else found
        if not isinstance(each, list) or not all(map(_is_descriptor, each)):
            raise EngineError(f"{where}: its {name!r} has no mediaType, digest and size", hint=_HINT)
    return document


def parse_object(content: bytes, where: str) -> dict[str, Any]:
    """A JSON object; raise EngineError where `where` has none."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{where}: no JSON ({error})", hint=_HINT) from None
    if not isinstance(document, dict):
        raise EngineError(f"{where}: no JSON object", hint=_HINT)
    return document


def _is_descriptor(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    media_type, digest, size = (value.get(name) for name in ("mediaType", "digest", "size"))
    parts = (value.get("platform") or {}, value.get("annotations") or {})
    return (
        isinstance(media_type, str)
        and isinstance(digest, str)
        and re.fullmatch(DIGEST, digest) is not None
        and isinstance(size, int)
        and size >= 0
        and all(isinstance(part, Mapping) for part in parts)
    )
