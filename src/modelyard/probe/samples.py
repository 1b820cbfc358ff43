"""Requests that somebody's folder has examples of, as test instances: JSON files, contract.json, `curl -d` in texts."""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_NAMES = re.compile(r"instance|sample|example|request|payload|input|contract", re.IGNORECASE)
_TEXTS = ("README*", "Makefile", "*.sh")
_CURL = re.compile(r"(?:-d|--data(?:-raw|-binary)?)[ =]*'(\{.*?\})'", re.DOTALL)
_LARGEST = 1 << 20
_WIDEST = 1 << 16


def find_sample(folder: Path) -> tuple[Any, str] | None:
    """A request that a model of `folder` probably answers, and the name of the file that it comes from."""
    for path in _files(folder):
        for value in _read_values(path):
            payload = as_payload(value)
            if payload is not None:
                return payload, path.relative_to(folder).as_posix()
    return None


def as_payload(value: Any) -> Any:
    """What a request, in whichever protocol, or a Seldon contract asks a model; None for what is neither.

    >>> as_payload({"data": {"ndarray": [[1, 2]]}}), as_payload({"payload": {"instances": [3]}}), as_payload([[4.5]])
    ({'instances': [[1, 2]]}, {'instances': [3]}, {'instances': [[4.5]]})
    """
    if isinstance(value, list):
        return {"instances": value} if value and all(isinstance(row, list | dict) for row in value) else None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("payload"), dict):
        return value["payload"]
    if "instances" in value:
        return value
    if isinstance(value.get("data"), dict) and "ndarray" in value["data"]:
        return {"instances": value["data"]["ndarray"]}
    if isinstance(value.get("features"), list):
        return _of_contract(value["features"])
    return None


def _files(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / "test", folder / "tests"):
        found = sorted(place.glob("*.json")) if place.is_dir() else []
        yield from (path for path in found if path.is_file() and _NAMES.search(path.name))
    for pattern in _TEXTS:
        yield from (path for path in sorted(folder.glob(pattern)) if path.is_file())


def _read_values(path: Path) -> Iterator[Any]:
    if path.stat().st_size > _LARGEST:
        return
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for candidate in [text] if path.suffix == ".json" else _CURL.findall(text):
        try:
            yield json.loads(candidate, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            continue


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON, and no request")


def _of_contract(features: list[Any]) -> Any:
    """One row of what a contract.json says of the features: the middle of a range, the first of the values."""
    row: list[Any] = []
    for feature in features:
        repeat = feature.get("repeat", 1) if isinstance(feature, dict) else None
        if not isinstance(repeat, int) or not 0 < repeat <= _WIDEST:
            return None
        row += [_value_of(feature)] * repeat
    return {"instances": [row]}


def _value_of(feature: Mapping[str, Any]) -> Any:
    values, bounds = feature.get("values"), feature.get("range")
    if isinstance(values, list) and values:
        return values[0]
    numbers = [one for one in (bounds if isinstance(bounds, list) else []) if _is_finite(one)]
    middle = sum((one / len(numbers) for one in numbers), 0.0)
    return int(middle) if feature.get("dtype") == "INT" else middle


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max  # 1e999 is read as infinity
