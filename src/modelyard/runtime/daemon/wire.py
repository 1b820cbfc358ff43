"""Frames on the Unix sockets between gateway and workers.

A frame is two unsigned 32-bit lengths in network order, a JSON object (the header), and bytes (the body). The body is
an HTTP body as the client sent it, or as it will get it: only the worker decodes it. No pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from modelyard.runtime.primitives import Encoder, Struct, load_json

MAX_HEADER = 1 << 20
_LENGTHS = Struct("!II")
_ENCODER = Encoder(separators=(",", ":"))


class WireError(Exception):
    """The peer sent no frame, or a larger one than is allowed."""


class Frame(NamedTuple):
    """One message: a header, and the bytes of an HTTP body."""

    header: dict[str, Any]
    body: bytes


def encode_frame(header: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Write a frame; raise WireError where its header is larger than a peer accepts."""
    encoded = _ENCODER.encode(header).encode()
    if len(encoded) > MAX_HEADER:
        raise WireError(f"a header of {len(encoded)} bytes: {MAX_HEADER} are allowed")
    return b"".join((_LENGTHS.pack(len(encoded), len(body)), encoded, body))


class FrameReader:
    """Cuts received bytes into frames; `max_body` bounds what it will hold."""

    def __init__(self, *, max_body: int) -> None:
        self._max_body = max_body
        self._data = bytearray()

    @property
    def is_empty(self) -> bool:
        """Tell whether no frame has begun."""
        return not self._data

    def feed(self, data: bytes) -> None:
        """Take bytes as they were received."""
        self._data += data

    def next_frame(self) -> Frame | None:
        """The next whole frame; None where more bytes are needed. Raises WireError for what is no frame."""
        if len(self._data) < _LENGTHS.size:
            return None
        header_length, body_length = _LENGTHS.unpack_from(self._data)
        if header_length > MAX_HEADER or body_length > self._max_body:
            raise WireError(f"a frame of {header_length} + {body_length} bytes: larger than is allowed")
        start = _LENGTHS.size + header_length
        if len(self._data) < start + body_length:
            return None
        header = _parse_header(bytes(self._data[_LENGTHS.size : start]))
        body = bytes(self._data[start : start + body_length])
        del self._data[: start + body_length]
        return Frame(header, body)


def _parse_header(data: bytes) -> dict[str, Any]:
    try:
        header = load_json(data.decode())
    except (ValueError, RecursionError) as error:
        raise WireError(f"a header that is no JSON ({error})") from None
    if not isinstance(header, dict):
        raise WireError("a header that is no JSON object")
    return header
