"""JSON in and out of a model: numpy, pandas and torch values become JSON, without importing any of them."""

from __future__ import annotations

from typing import Any

from modelyard.runtime.failures import say
from modelyard.runtime.primitives import Decoder, Encoder

_MISSING = frozenset({"NAType", "NaTType"})
_MAX_DEPTH = 200


class NotJSONError(Exception):
    """A value that JSON can't hold; the message names its place and type."""

    def __init__(self, what: str, place: str = "") -> None:
        super().__init__(f"${place} {what}")
        self.what = what
        self.place = place

    def inside(self, place: str) -> NotJSONError:
        """The same error, seen from the container that holds the value at `place`."""
        return NotJSONError(self.what, place + self.place)


def from_json_bytes(data: bytes) -> Any:
    """Decode JSON in the strict sense; raise ValueError saying what it is instead.

    >>> from_json_bytes(b'{"instances": [1.5]}')
    {'instances': [1.5]}
    """
    return _DECODER.decode(data)


def to_json_bytes(value: Any) -> bytes:
    """Encode a function's result as JSON; NaN and infinity become null.

    Arrays, series and tensors become lists, data frames lists of records, dates ISO strings.

    >>> to_json_bytes({"probability": [0.25, float("nan")]})
    b'{"probability":[0.25,null]}'

    Raises NotJSONError, and nothing else, naming the place (`$.labels[2]`) and the type of what JSON can't hold.
    """
    try:
        return _ENCODER.encode(value).encode()
    except Exception:
        # NaN, an unusual key, or no JSON at all: the slow way converts it, or says where it can't.
        return _ENCODER.encode(_to_plain_inside(value, "", 0)).encode()


def open_envelope(body: Any) -> tuple[Any, bool]:
    """The payload of a decoded body, and whether that is an envelope: an object with the key `payload`.

    >>> open_envelope({"payload": [1]}), open_envelope([1])
    (([1], True), ([1], False))
    """
    is_envelope = isinstance(body, dict) and "payload" in body
    return (body["payload"] if is_envelope else body), is_envelope


def _to_plain(value: Any, depth: int = 0) -> Any:
    """Rebuild `value` of dict, list, str, int, float, bool and None."""
    if depth > _MAX_DEPTH:
        raise NotJSONError(f"is nested more than {_MAX_DEPTH} levels deep, or holds itself")
    if isinstance(value, float):
        return float(value) if value - value == 0 else None
    if value is None or isinstance(value, (str, int)):
        _check_digits(value)
        return value
    if isinstance(value, dict):
        return {_to_key(key): _to_plain_inside(item, f".{key}", depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_plain_inside(item, f"[{position}]", depth + 1) for position, item in enumerate(value)]
    return _to_plain(_convert(value), depth + 1)


def _to_plain_inside(value: Any, place: str, depth: int) -> Any:
    try:
        return _to_plain(value, depth)
    except NotJSONError as error:
        raise error.inside(place) from error.__cause__
    except Exception as error:
        what = f"is a {_name(value)} that can't be made JSON: {type(error).__name__}: {say(error)}"
        raise NotJSONError(what, place) from error


def _to_key(key: Any) -> str | int | float | bool | None:
    if hasattr(key, "dtype") and hasattr(key, "tolist"):
        key = key.tolist()
    if isinstance(key, float) and key - key != 0:
        return str(key)
    if key is None or isinstance(key, (str, int, float)):
        _check_digits(key)
        return key
    raise NotJSONError(f"has the key {key!r} ({_name(key)}): keys must be strings or numbers")


def _check_digits(value: Any) -> None:
    """Raise ValueError for an integer of more digits than Python prints."""
    if isinstance(value, int):
        int.__repr__(value)


def _convert(value: Any) -> Any:
    """Make one foreign value plain on the outside; what it holds is converted in its turn."""
    if type(value).__name__ in _MISSING:
        return None
    if hasattr(value, "columns") and hasattr(value, "to_dict"):
        return value.to_dict(orient="records")
    if str(getattr(value, "dtype", "")) == "datetime64[ns]":
        value = value.astype("datetime64[us]")  # of nanoseconds, numpy makes plain integers
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise NotJSONError(f"is a {_name(value)}, which JSON can't hold")


def _name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON, send null")


# Made once: json.dumps and json.loads with options make one for each call.
_ENCODER = Encoder(allow_nan=False, separators=(",", ":"), default=_convert)
_DECODER = Decoder(parse_constant=_refuse_constant)
