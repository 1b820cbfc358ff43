"""Dates and durations as text in ISO 8601, to the last digit that they have: numpy's and Python's in one form."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

_NAT = -(2**63)
_ATTOSECONDS = {
    **{"W": 604_800 * 10**18, "D": 86_400 * 10**18, "h": 3600 * 10**18, "m": 60 * 10**18},
    **{"s": 10**18, "ms": 10**15, "us": 10**12, "ns": 10**9, "ps": 10**6, "fs": 10**3, "as": 1},
}
_CALENDAR = ("Y", "M")


def format_timedelta(value: timedelta) -> str:
    """A duration; pandas' has nanoseconds.

    >>> format_timedelta(timedelta(days=1, seconds=-0.5))
    'P0DT23H59M59.5S'
    """
    if hasattr(value, "to_timedelta64"):
        return str(convert_durations(value.to_timedelta64()))
    return _format_duration(value // timedelta(microseconds=1) * 10**12)


def convert_durations(value: Any) -> Any:
    """What numpy's durations are as (nested lists of) text, None for NaT; raise TypeError where they have no unit."""
    value, unit, count = _fill(value)
    if unit in _CALENDAR:
        return _convert_each(value.astype("int64").tolist(), lambda number: f"P{number * count}{unit}")
    if unit not in _ATTOSECONDS:
        raise TypeError("it is a duration without a unit")
    size = count * _ATTOSECONDS[unit]
    return _convert_each(value.astype("int64").tolist(), lambda number: _format_duration(number * size))


def convert_dates(value: Any) -> Any:
    """What numpy's dates and times are as (nested lists of) text, None for NaT."""
    value, unit, _ = _fill(value)
    whole = "D" if unit in (*_CALENDAR, "W", "generic") else "s" if unit in ("h", "m") else unit
    return _convert_each(value.astype(f"datetime64[{whole}]").astype(str).tolist(), _format_date)


def _fill(value: Any) -> tuple[Any, str, int]:
    """The value with NaT where it is masked, its unit, and how many of that make one."""
    if hasattr(value, "filled"):
        value = value.filled(value.dtype.type("NaT"))
    return (value, *sys.modules["numpy"].datetime_data(value.dtype))


def _convert_each(value: Any, convert: Callable[[Any], str]) -> Any:
    if isinstance(value, list):
        return [_convert_each(item, convert) for item in value]
    return None if value in ("NaT", _NAT) else convert(value)


def _format_date(text: str) -> str:
    """As Python writes it: no fraction, or six digits; more only where they tell something.

    >>> _format_date("2024-01-02T00:00:00.500000000"), _format_date("2024-01-02T00:00:00.000000001")
    ('2024-01-02T00:00:00.500000', '2024-01-02T00:00:00.000000001')
    """
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction.ljust(6, '0')}" if fraction else whole


def _format_duration(attoseconds: int) -> str:
    seconds, rest = divmod(abs(attoseconds), 10**18)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    fraction = f".{rest:018d}".rstrip("0").rstrip(".")
    return f"{'-' if attoseconds < 0 else ''}P{days}DT{hours}H{minutes}M{seconds}{fraction}S"
