"""JSON in and out of a model: numpy, pandas and torch values become JSON, without importing any of them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from modelyard.runtime.failures import say
from modelyard.runtime.primitives import Decoder, Encoder, dump_json
from modelyard.runtime.tables import take_fields, take_labelled, take_records
from modelyard.runtime.times import convert_dates, convert_durations, format_timedelta

_MISSING = frozenset({"NAType", "NaTType"})
_PLAIN = frozenset({str, int, float, bool, type(None)})
_AS_TEXT = frozenset({"Period", "Interval"})
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

    Arrays, series and tensors become lists, data frames lists of records, dates and durations ISO strings: the form of
    each is in docs/reference/daemon.md.

    >>> to_json_bytes({"probability": [0.25, float("nan")]})
    b'{"probability":[0.25,null]}'

    Raises NotJSONError, and nothing else, naming the place (`$.labels[2]`) and the type of what JSON can't hold.
    """
    try:
        _check_keys(value)
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
        keys = [_to_key(key) for key in value]
        _check_unique(keys)
        return {key: _to_plain_inside(item, f".{key}", depth + 1) for key, item in zip(keys, value.values())}
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
    """A key as JSON can write it: a number is text there, and so is a date."""
    if isinstance(key, float) and key - key != 0:
        return str(key)
    if key is None or isinstance(key, (str, int, float)):
        _check_digits(key)
        return key
    try:
        plain = _convert(key)
    except NotJSONError:
        plain = ()
    if plain is None or isinstance(plain, (str, int, float)):
        return _to_key(plain)
    raise NotJSONError(f"has the key {key!r} ({_name(key)}): keys must be strings or numbers")


def _check_unique(keys: Iterable[Any]) -> None:
    """Raise NotJSONError for two keys that are the same text in JSON: a client would find one of them."""
    seen: dict[str, Any] = {}
    for key in keys:
        text = key if isinstance(key, str) else dump_json(key)
        if text in seen:
            raise NotJSONError(f"has two keys that are {dump_json(text)} in JSON: {seen[text]!r} and {key!r}")
        seen[text] = key


def _check_keys(value: Any) -> None:
    """Raise TypeError where keys inside are no strings, for these may be the same in JSON."""
    if isinstance(value, dict):
        if not set(map(type, value)) <= {str}:
            raise TypeError("a key is no string")
        items: Iterable[Any] = value.values()
    elif isinstance(value, (list, tuple)):
        items = value
    else:
        return
    if not set(map(type, items)) <= _PLAIN:
        for item in items:
            _check_keys(item)


def _check_digits(value: Any) -> None:
    """Raise ValueError for an integer of more digits than Python prints."""
    if isinstance(value, int):
        int.__repr__(value)


def _convert(value: Any) -> Any:
    """Make one foreign value plain on the outside; what it holds is converted in its turn."""
    kind = type(value).__name__
    if kind in _MISSING:
        return None
    if isinstance(value, timedelta):
        return format_timedelta(value)
    if isinstance(value, (Decimal, Fraction)) or kind in _AS_TEXT:
        return str(value) if value == value else None
    if hasattr(value, "to_dict") and hasattr(value, "index"):
        return take_records(value) if hasattr(value, "columns") else take_labelled(value)
    if hasattr(type(value), "__dataclass_fields__"):
        return {field.name: getattr(value, field.name) for field in sys.modules["dataclasses"].fields(value)}
    if hasattr(value, "tolist"):
        return _convert_array(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise NotJSONError(f"is a {_name(value)}, which JSON can't hold")


def _convert_array(value: Any) -> Any:
    """Make an array or one of its elements plain; of some dates and durations, numpy itself makes bare numbers."""
    dtype: Any = getattr(value, "dtype", None)
    if getattr(dtype, "names", None):
        return take_fields(value)
    of_numpy = type(value).__module__.startswith("numpy") and dtype is not None
    if of_numpy and dtype.kind in "mM":
        return convert_dates(value) if dtype.kind == "M" else convert_durations(value)
    plain = value.tolist()
    if type(plain) is not type(value):
        return plain
    if of_numpy and dtype.kind == "f":
        return float(value)  # of a long double, numpy makes nothing else
    raise NotJSONError(f"is a {_name(value)}, which JSON can't hold")


def _convert_checked(value: Any) -> Any:
    plain = _convert(value)
    _check_keys(plain)
    return plain


def _name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON, send null")


# Made once: json.dumps and json.loads with options make one for each call.
_ENCODER = Encoder(allow_nan=False, separators=(",", ":"), default=_convert_checked)
_DECODER = Decoder(parse_constant=_refuse_constant)
