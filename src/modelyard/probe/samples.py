"""Requests that somebody's folder has examples of, as test instances: JSON files, contract.json, `curl -d` in texts."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_NAMES = re.compile(r"instance|sample|example|request|payload|input|contract", re.IGNORECASE)
_TEXTS = ("README*", "Makefile", "*.sh")
_CURL = re.compile(r"(?:-d|--data(?:-raw|-binary)?)[ =]*'(\{.*?\})'", re.DOTALL)
_LARGEST = 1 << 20


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
            yield json.loads(candidate)
        except ValueError:
            continue


def _of_contract(features: list[Any]) -> Any:
    """One row of what a contract.json says of the features: the middle of a range, the first of the values."""
    row: list[Any] = []
    for feature in features:
        if not isinstance(feature, dict):
            return None
        row += [_value_of(feature)] * int(feature.get("repeat", 1))
    return {"instances": [row]}


def _value_of(feature: Mapping[str, Any]) -> Any:
    if feature.get("values"):
        return feature["values"][0]
    numbers = [one for one in feature.get("range", []) if isinstance(one, int | float)]
    middle = sum(numbers) / len(numbers) if numbers else 0.0
    return int(middle) if feature.get("dtype") == "INT" else middle
