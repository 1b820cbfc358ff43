"""The manifest of a model binary: the sidecar that says what the binary is and what it was trained on."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.errors import InputError


def read_manifest(folder: Path, name: str) -> Mapping[str, Any] | None:
    """The manifest of a model binary, or None where there is none; raise InputError for a file that is cut off.

    A train function may use the name for something else: XGBoost's own model files are JSON as well.
    """
    path = folder / f"{name}.json"
    content = _read_json(path) if path.is_file() else None
    return content if _is_manifest(content) else None


def parse_manifest(path: Path) -> Mapping[str, Any]:
    """Read the manifest at `path`; raise InputError for one that names no binary and digest."""
    content: Mapping[str, Any] = _read_json(path)
    if not _is_manifest(content):
        raise InputError(f"{path}: no manifest of a model binary", hint="only save_model of utils/ writes these")
    return content


def has_binary(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Tell whether the binary that a manifest names is there, and what it was."""
    return is_digest_of(folder / str(manifest.get("file")), manifest.get("sha256"))


def is_trained_on(path: Path, manifest: Mapping[str, Any]) -> bool:
    """Tell whether the file at `path` is the data set that the binary was trained on."""
    return is_digest_of(path, (manifest.get("data") or {}).get("sha256"))


def is_digest_of(path: Path, sha256: object) -> bool:
    """Tell whether there is a file at `path` that has this digest."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == sha256


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: no JSON ({error})", hint="remove the file and train the model again") from None


def _is_manifest(content: Any) -> bool:
    return isinstance(content, dict) and {"file", "sha256"} <= content.keys()
