"""Save a model so that it can be trusted later: `save_model` when training, `load_model` when predicting.

    save_model(model, "adult_income_rf", metrics={"accuracy": 0.86}, data="data/adult.csv")
    model = load_model("adult_income_rf").model

A model named `rf` is two files: the manifest `rf.json` and the binary it names, `rf.<start of its sha256>.<suffix>`.
The manifest is written last, so a reader sees the old pair or the new one, never half of each.
"""

import hashlib
import logging
import os
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from utils.atomic import locked_folder, write_atomically
from utils.codecs.base import Codec, DecodeOptions
from utils.codecs.table import SUFFIXES, codec_for_format, codec_for_model
from utils.data_reference import describe_data
from utils.errors import ModelBinaryError
from utils.manifest import Manifest, format_manifest, parse_manifest

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model and its manifest."""

    model: Any
    manifest: Manifest

    @property
    def attributes(self) -> dict[str, Any]:
        """What training left for predict, for example the feature encoder."""
        return self.manifest.attributes


def save_model(
    model: Any,
    name: str,
    directory: Path | str = "models",
    *,
    format: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    data: Path | str | None = None,
    attributes: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
) -> Path:
    """Write the binary and the manifest of a model, and return the binary's path.

    `data` is the file it was trained on, `attributes` anything JSON can hold that predict needs. `format` is skops or
    joblib for scikit-learn, ubj or json for XGBoost, cbm for CatBoost, torch or safetensors for torch; the first is
    the default. Where anything fails (a full disk, Ctrl-C), the model that was there before is still there, whole.
    """
    folder = Path(directory)
    codec = codec_for_model(model, format=format)
    described = None if data is None else describe_data(data)
    binary = _encode(codec, model, name)
    digest = hashlib.sha256(binary).hexdigest()
    manifest = Manifest(
        name=_checked_name(name),
        file=f"{name}.{digest[:12]}.{codec.suffix}",
        format=codec.format,
        model_class=_class_name(model),
        sha256=digest,
        size=len(binary),
        framework=codec.framework,
        framework_version=_version_of(codec),
        python_version=platform.python_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        metrics=dict(metrics or {}),
        params=dict(params or {}),
        data=described,
        synthetic=bool(described and described["synthetic"]),
        source_digest=os.environ.get("MODELYARD_SOURCE_DIGEST") or None,
        attributes=dict(attributes or {}),
    )
    _publish(folder, manifest, binary, run=os.environ.get("MODELYARD_RUN_ID") or str(os.getpid()))
    return folder / manifest.file


def load_model(
    name: str,
    directory: Path | str = "models",
    *,
    into: Any = None,
    trusted: Iterable[str] = (),
    allow_pickle: bool = False,
) -> LoadedModel:
    """Load a model that `save_model` wrote; its digest is checked before a byte of it is decoded.

    `into` is the torch module that takes up the state_dict (without it, `model` is the state_dict); `trusted` names
    types that a skops file may hold beside the usual ones; `allow_pickle` is needed for joblib, which runs code.
    Raises ModelBinaryError for a file that is missing, truncated, tampered with, or not a model.
    """
    folder = Path(directory)
    manifest, binary = _read_pair(folder, _checked_name(name))
    codec = _codec_of(manifest, folder)
    options = DecodeOptions(
        class_name=manifest.model_class, allow_pickle=allow_pickle, trusted=tuple(trusted), into=into
    )
    path = folder / manifest.file
    try:
        _warn_of_other_version(manifest, codec)
        return LoadedModel(model=codec.decode(binary, options), manifest=manifest)
    except ModelBinaryError as error:
        raise ModelBinaryError(f"{path}: {error.message}", hint=error.hint) from None
    except ImportError as error:
        raise ModelBinaryError(
            f"{path}: {codec.format} needs {error.name}, which is not installed",
            hint="add it to requirements_predict.txt",
        ) from error
    except Exception as error:
        raise ModelBinaryError(
            f"{path}: {codec.framework} can't read it ({type(error).__name__}: {error})",
            hint=f"it was saved with {codec.framework} {manifest.framework_version}: use the same version",
        ) from error


def read_manifest(name: str, directory: Path | str = "models") -> Manifest:
    """Read the manifest of a model without its binary."""
    path = Path(directory) / f"{_checked_name(name)}.json"
    try:
        return parse_manifest(path.read_bytes(), source=path)
    except FileNotFoundError:
        raise ModelBinaryError(
            f"{path}: no such model (models here: {_describe_names(name, _model_names(path.parent))})",
            hint="train it first, or check MODEL_NAME",
        ) from None
    except OSError as error:
        raise ModelBinaryError(f"{path}: can't read it ({error.strerror})") from None


def _describe_names(wanted: str, names: list[str]) -> str:
    """All names where they are few, else the three nearest to what is wanted."""
    if len(names) <= 5:
        return ", ".join(names) or "none"
    near = get_close_matches(wanted, names, n=3, cutoff=0.0)
    return f"{', '.join(near)} and {len(names) - len(near)} others"


def _encode(codec: Codec, model: Any, name: str) -> bytes:
    try:
        return codec.encode(model)
    except ModelBinaryError as error:
        raise ModelBinaryError(f"{name}: it could not be loaded again: {error.message}", hint=error.hint) from error
    except ImportError as error:
        raise ModelBinaryError(
            f"{name}: {codec.format} needs {error.name}, which is not installed",
            hint="add it to requirements_train.txt and requirements_predict.txt",
        ) from error
    except Exception as error:
        raise ModelBinaryError(
            f"{name}: {codec.framework} can't write it as {codec.format} ({type(error).__name__}: {error})",
            hint="is the model trained, and is there space for temporary files?",
        ) from error


def _publish(folder: Path, manifest: Manifest, binary: bytes, *, run: str) -> None:
    part = folder / f".{manifest.name}.{run}.part"
    content = format_manifest(manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked_folder(folder):
            target = folder / manifest.file
            already_there = target.exists()
            write_atomically(target, binary, part=part)
            try:
                write_atomically(folder / f"{manifest.name}.json", content, part=part)
            except BaseException:
                if not already_there:
                    target.unlink(missing_ok=True)
                raise
            _remove_former(folder, manifest)
    except OSError as error:
        raise ModelBinaryError(
            f"{folder / manifest.file}: can't write it ({error.strerror or error})",
            hint=f"it needs {manifest.size + len(content):,} bytes and the right to write; nothing was changed",
        ) from error


def _remove_former(folder: Path, manifest: Manifest) -> None:
    """Remove the binaries of this model that its manifest no longer names."""
    former = re.compile(rf"{re.escape(manifest.name)}\.[0-9a-f]{{12}}\.(?:{'|'.join(SUFFIXES)})")
    for path in folder.iterdir():
        if former.fullmatch(path.name) and path.name != manifest.file:
            path.unlink(missing_ok=True)


def _read_pair(folder: Path, name: str) -> tuple[Manifest, bytes]:
    """Read the manifest and the binary it names; a writer may replace the pair in between, then read again."""
    manifest = read_manifest(name, folder)
    while True:
        try:
            binary = (folder / manifest.file).read_bytes()
            break
        except FileNotFoundError:
            newer = read_manifest(name, folder)
            if newer.file == manifest.file:
                raise ModelBinaryError(
                    f"{folder / manifest.file}: missing, but {folder / name}.json names it",
                    hint="copy both files, or train the model again",
                ) from None
            manifest = newer
        except OSError as error:
            raise ModelBinaryError(f"{folder / manifest.file}: can't read it ({error.strerror})") from None
    _check_digest(folder / manifest.file, manifest, binary)
    return manifest, binary


def _check_digest(path: Path, manifest: Manifest, binary: bytes) -> None:
    digest = hashlib.sha256(binary).hexdigest()
    if digest != manifest.sha256:
        truncated = f", {len(binary):,} bytes instead of {manifest.size:,}" if len(binary) != manifest.size else ""
        raise ModelBinaryError(
            f"{path}: not the file that was saved: sha256 {digest}, expected {manifest.sha256}{truncated}",
            hint="it was damaged or replaced: copy it again, or train the model again",
        )


def _codec_of(manifest: Manifest, folder: Path) -> Codec:
    try:
        return codec_for_format(manifest.format)
    except ModelBinaryError as error:
        raise ModelBinaryError(f"{folder / manifest.name}.json: {error.message}", hint=error.hint) from None


def _warn_of_other_version(manifest: Manifest, codec: Codec) -> None:
    """Frameworks promise little across minor versions, and wrong answers come without an error."""
    here = _version_of(codec)
    if here.split(".")[:2] != manifest.framework_version.split(".")[:2]:
        _log.warning(
            "model %s was saved with %s %s, here is %s",
            manifest.name,
            codec.framework,
            manifest.framework_version,
            here,
        )


def _model_names(folder: Path) -> list[str]:
    manifests = (path.stem for path in folder.glob("*.json"))
    return sorted(name for name in manifests if not re.search(r"\.[0-9a-f]{12}$", name))


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ModelBinaryError(
            f"{name!r} is no name for a model", hint="use letters, digits, '_', '-' and '.', no '-' or '.' first"
        )
    return name


def _class_name(model: Any) -> str:
    """The class that a framework itself would load: of a subclass of XGBClassifier, XGBClassifier."""
    for cls in type(model).__mro__:
        if cls.__module__.partition(".")[0] in ("xgboost", "catboost"):
            return cls.__name__
    return type(model).__name__


def _version_of(codec: Codec) -> str:
    return str(import_module(codec.package).__version__)
