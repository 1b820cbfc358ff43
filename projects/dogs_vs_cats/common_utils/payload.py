"""The pictures in a request: `{"data": [{"path": ..., "encoded": <base64>}]}`, or one file.

Also as a text that holds that JSON once more, as the original's notebook sends it, and one file as the daemon's page
and forms send it: `{"binData": <base64>}`.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

EXPECTED = (
    'expected {"data": [{"path": "a name", "encoded": "<PNG or JPEG in base64>"}, ...]}, or one file as '
    '{"binData": "<base64>"}'
)
FILE = "file"
MOST_LAYERS = 3


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One picture of a request: its name, and its base64 as it came."""

    path: str
    encoded: str

    @property
    def content(self) -> bytes:
        """The file; raise ValueError for what is no base64."""
        try:
            return base64.b64decode(self.encoded.rpartition("base64,")[2], validate=True)
        except (binascii.Error, ValueError):
            raise ValueError(f"{self.path}: no base64") from None


def read_sent(payload: Any) -> Sequence[Sent]:
    """Return the pictures of a request; raise ValueError that says what is wrong with which."""
    match _unwrap(payload):
        case {"data": list(items)}:
            sent = [_read_item(item, number) for number, item in enumerate(items)]
        case {"binData": str(encoded)}:
            sent = [Sent(path=FILE, encoded=encoded)]
        case _:
            raise ValueError(EXPECTED)
    if not sent:
        raise ValueError(f"no pictures; {EXPECTED}")
    paths = [one.path for one in sent]
    twin = next((path for path in paths if paths.count(path) > 1), None) if len(set(paths)) < len(paths) else None
    if twin is not None:
        raise ValueError(f"two pictures have the path {twin!r}: the answer has one place for each path")
    return sent


def _unwrap(payload: Any) -> Any:
    """Undo JSON in JSON: what is a text is parsed, some times over."""
    for _ in range(MOST_LAYERS):
        if not isinstance(payload, str):
            break
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError):
            raise ValueError(f"a text that is no JSON; {EXPECTED}") from None
    return payload


def _read_item(item: Any, number: int) -> Sent:
    match item:
        case {"path": str(path), "encoded": str(encoded)}:
            return Sent(path=path, encoded=encoded)
    raise ValueError(f"data[{number}]: {EXPECTED}")
