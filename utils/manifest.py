"""The manifest of a model binary: `<name>.json`, what the binary is, what made it, and from what."""

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from utils.errors import ModelBinaryError

SCHEMA = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything but the model itself."""

    name: str
    file: str
    """The binary's file name, in the manifest's own folder."""
    format: str
    model_class: str
    """The class that was saved, without its module: XGBClassifier."""
    sha256: str
    size: int
    framework: str
    framework_version: str
    python_version: str
    created: str
    """UTC, ISO 8601."""
    metrics: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] | None = None
    synthetic: bool = False
    """Made-up training data: the model shows that the machinery works and nothing else."""
    source_digest: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    """What predict needs beside the model, for example its feature encoder."""
    schema: int = SCHEMA


def format_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as JSON; numpy values become plain ones. Raise ModelBinaryError for what JSON can't hold."""
    try:
        text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False, allow_nan=False, default=_as_plain)
    except (TypeError, ValueError) as error:
        raise ModelBinaryError(
            f"{manifest.name}: metrics, params or attributes hold what JSON can't ({error})",
            hint="use numbers that are finite, strings, lists and dicts",
        ) from None
    return (text + "\n").encode()


def parse_manifest(data: bytes, *, source: Path) -> Manifest:
    """Read a manifest; raise ModelBinaryError that names `source` and the field for anything that isn't one."""
    try:
        content = json.loads(data)
    except ValueError as error:
        raise ModelBinaryError(f"{source}: no JSON ({error})", hint="train the model again") from None
    if not isinstance(content, dict) or "sha256" not in content or "schema" not in content:
        raise ModelBinaryError(f"{source}: no manifest of a model binary", hint="only save_model writes these")
    if content["schema"] != SCHEMA:
        raise ModelBinaryError(
            f"{source}: schema {content['schema']!r}, this version reads {SCHEMA}", hint="train the model again"
        )
    try:
        manifest = Manifest(**content)
    except TypeError as error:
        raise ModelBinaryError(f"{source}: no manifest of a model binary ({error})") from None
    _check(manifest, source)
    return manifest


def _check(manifest: Manifest, source: Path) -> None:
    """Check what the loader relies on: nobody's manifest leads it to a file in another folder."""
    if not isinstance(manifest.sha256, str) or not _SHA256.fullmatch(manifest.sha256):
        raise ModelBinaryError(f"{source}: sha256 {manifest.sha256!r} is no sha256")
    if not isinstance(manifest.file, str) or Path(manifest.file).name != manifest.file:
        raise ModelBinaryError(f"{source}: file {manifest.file!r} is no plain file name")
    for key, kind in (("format", str), ("model_class", str), ("size", int), ("metrics", dict), ("attributes", dict)):
        if not isinstance(getattr(manifest, key), kind):
            raise ModelBinaryError(f"{source}: {key} {getattr(manifest, key)!r} is no {kind.__name__}")


def _as_plain(value: Any) -> Any:
    """Turn numpy scalars and arrays (and alike) into what JSON knows."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__}")
