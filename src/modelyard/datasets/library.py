"""The data sets of a project: a folder of arrays with a manifest each, written whole or not at all."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.errors import InputError
from modelyard.machine.processes import start_time
from modelyard.runtime.nearest import ask_whether_meant, describe_choices

if TYPE_CHECKING:
    from modelyard.datasets.arrays import Array

MANIFEST = "manifest.json"
PARTS = ("train", "test")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_CHUNK = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Part:
    """The samples of one part and their labels; each array's first axis counts the samples."""

    data: "Array"
    labels: "Array"


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set on disk."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.stat().st_size for file in self.path.iterdir())


def check_name(name: str) -> str:
    """Return a name that a folder and a `KubeDataset(name)` may have; raise InputError for another."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name for a data set", hint="use letters, digits, '_', '-' and '.'")
    return name


def find_datasets(folder: Path) -> tuple[DataSet, ...]:
    """Every data set below a project's data/, by name; other files and folders there are none."""
    paths = sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST}"))
    return tuple(found for path in paths if (found := _read(path)) is not None)


def find_dataset(folder: Path, name: str) -> DataSet:
    """The data set of that name; raise InputError that lists those there are."""
    found = _read(folder / name) if _NAME.fullmatch(name) else None
    if found is None:
        names = [dataset.path.name for dataset in find_datasets(folder)]
        meant = ask_whether_meant(name, names)
        raise InputError(
            f"{folder / name}: no such data set{meant} (data sets here: {describe_choices(name, names, none='none')})",
            hint="make it: modelyard dataset create",
        )
    return found


def remove_dataset(folder: Path, name: str) -> Path:
    """Remove a data set at once: half of one never carries its name."""
    path = find_dataset(folder, name).path
    gone = path.with_name(f".{name}.{os.getpid()}.part")
    path.rename(gone)
    shutil.rmtree(gone)
    return path


@contextmanager
def scratch_beside(folder: Path, name: str) -> Iterator[Path]:
    """A folder beside the data sets, gone in the end; what killed processes have left of it goes first."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.part"):
        pid = left.suffixes[-2][1:] if len(left.suffixes) > 1 else ""
        if left.is_dir() and pid.isdigit() and start_time(int(pid)) is None:
            shutil.rmtree(left, ignore_errors=True)
    scratch = folder / f".{name}.{os.getpid()}.part"
    scratch.mkdir()
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_dataset(folder: Path, name: str, parts: Mapping[str, Part], *, scratch: Path) -> DataSet:
    """Write arrays and manifest below `scratch`, then rename: the data set is whole or not there."""
    check_parts(parts)
    target = folder / check_name(name)
    check_free(target)
    made = scratch / "made"
    made.mkdir()
    manifest: dict[str, Any] = {"schema": 1, "name": name, "created": datetime.now(UTC).isoformat(timespec="seconds")}
    digests = {}
    for part in PARTS:
        data, labels = f"{part}-data.npy", f"{part}-labels.npy"
        arrays = parts[part]
        digests[data], digests[labels] = _write(arrays.data, made / data), _write(arrays.labels, made / labels)
        manifest[part] = {
            "data": data,
            "labels": labels,
            "samples": len(arrays.data),
            "shape": list(arrays.data.shape[1:]),
            "dtype": str(arrays.data.dtype.newbyteorder("=")),
            "label_shape": list(arrays.labels.shape[1:]),
            "label_dtype": str(arrays.labels.dtype.newbyteorder("=")),
        }
    manifest["digests"] = digests
    _write_text(made / MANIFEST, json.dumps(manifest, indent=2) + "\n")
    try:
        made.rename(target)
    except OSError:
        check_free(target)
        raise
    return DataSet(path=target, manifest=manifest)


def check_free(target: Path) -> None:
    """Raise InputError where something of that name is there."""
    if target.exists():
        raise InputError(
            f"{target}: is there already", hint=f"another name, or: modelyard dataset delete -n {target.name}"
        )


def check_parts(parts: Mapping[str, Part]) -> None:
    """Raise InputError where labels and samples differ in number, or the test's arrays in shape from the training's."""
    for name in PARTS:
        samples, labels = len(parts[name].data), len(parts[name].labels)
        if samples != labels:
            raise InputError(
                f"--{name}data has {samples} samples and --{name}labels {labels} labels",
                hint="the first axis of both counts the samples: are these the files of one another?",
            )
    for kind, option in (("data", "data"), ("labels", "labels")):
        train, test = (getattr(parts[name], kind).shape[1:] for name in PARTS)
        if train != test:
            raise InputError(f"a sample of --train{option} has the shape {train}, one of --test{option} {test}")


def _read(path: Path) -> DataSet | None:
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise InputError(f"{path / MANIFEST}: no JSON ({error})", hint=f"remove {path} and make it again") from None
    is_ours = isinstance(manifest, dict) and all(isinstance(manifest.get(part), dict) for part in PARTS)
    return DataSet(path=path, manifest=manifest) if is_ours else None


def _write(array: "Array", path: Path) -> str:
    """Write an array as .npy in this machine's byte order, piece by piece; return the sha256 of the file."""
    import numpy

    dtype = array.dtype.newbyteorder("=")
    digest = hashlib.sha256()
    with path.open("wb") as file:
        header = {"descr": numpy.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": array.shape}
        numpy.lib.format.write_array_header_1_0(file, header)
        file.flush()
        digest.update(path.read_bytes())
        for rows in _pieces(array):
            content = numpy.ascontiguousarray(rows, dtype=dtype).data
            file.write(content)
            digest.update(content)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _pieces(array: "Array") -> Iterator["Array"]:
    rows = max(1, _CHUNK // max(1, array.nbytes // len(array)))
    return (array[start : start + rows] for start in range(0, len(array), rows))


def _write_text(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def describe(datasets: Sequence[DataSet]) -> list[dict[str, Any]]:
    """The manifests, with name and bytes, for programs."""
    return [{**dataset.manifest, "name": dataset.path.name, "bytes": dataset.size} for dataset in datasets]
