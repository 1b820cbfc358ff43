"""A data set on disk: `data/<name>/` with a manifest and four .npy files. Needs numpy only."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from kubeml.errors import KubeError

MANIFEST = "manifest.json"
_AGAIN = "make the data set again"


def find_folder(name: str, root: Path | None = None) -> Path:
    """Return the folder of a data set; raise KubeError that names those there are."""
    root = root or Path("data")
    folder = root / name
    if Path(name).name != name or not (folder / MANIFEST).is_file():
        there = sorted(path.parent.name for path in root.glob(f"*/{MANIFEST}"))
        raise KubeError(
            f"no data set named {name!r} (in {root}: {', '.join(there) or 'none'})",
            hint=f"make it: make data, or modelyard dataset create -n {name} --traindata FILE --trainlabels FILE "
            "--testdata FILE --testlabels FILE",
        )
    return folder


def is_there(name: str, root: Path | None = None) -> bool:
    """Tell whether there is a data set of that name."""
    return ((root or Path("data")) / name / MANIFEST).is_file()


def open_folder(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Map the arrays of both parts; raise KubeError for what does not fit together."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        names = {part: (manifest[part]["data"], manifest[part]["labels"]) for part in ("train", "test")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KubeError(f"{folder / MANIFEST}: no manifest of a data set ({error!r})", hint=_AGAIN) from None
    parts = {}
    for part, (data, labels) in names.items():
        parts[part] = _open_array(folder, data), _open_array(folder, labels)
        rows, others = map(len, parts[part])
        if rows != others or not rows or manifest[part].get("samples", rows) != rows:
            said = manifest[part].get("samples", "any number")
            raise KubeError(
                f"{folder}: {part} has {rows} rows in {data} and {others} in {labels}, and the manifest says {said}: "
                "expected as many, and at least one",
                hint=_AGAIN,
            )
    return parts


def _open_array(folder: Path, name: Any) -> np.ndarray:
    if not isinstance(name, str) or Path(name).name != name:
        raise KubeError(f"{folder / MANIFEST}: {name!r} is no file of the data set", hint=_AGAIN)
    try:
        # Copy on write: what a user's code changes is its own, and torch takes such arrays without a warning.
        mapped = np.load(folder / name, mmap_mode="c", allow_pickle=False)
        if not isinstance(mapped, np.memmap) or not mapped.ndim:
            raise ValueError("expected one array with rows")
    except (OSError, ValueError, EOFError) as error:
        raise KubeError(f"{folder / name}: can't read an array from it ({error})", hint=_AGAIN) from None
    # A plain array on the same pages: each row that is taken from a memmap makes an object of that class, slowly.
    return mapped.view(np.ndarray)


def write_folder(folder: Path, *, train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]) -> None:
    """Write a data set, as `modelyard dataset create` does: the arrays, and last the manifest with their digests."""
    from common_utils.arrays import write_arrays

    manifest: dict[str, Any] = {"schema": 1, "name": folder.name}
    digests = {}
    (folder / MANIFEST).unlink(missing_ok=True)
    for part, (data, labels) in {"train": train, "test": test}.items():
        if len(data) != len(labels) or not len(data):
            raise KubeError(f"{part}: {len(data)} rows and {len(labels)} labels: expected as many, and at least one")
        names = f"{part}-data.npy", f"{part}-labels.npy"
        for name, array in zip(names, (data, labels), strict=True):
            write_arrays(folder / name, array)
            digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        manifest[part] = {
            "data": names[0],
            "labels": names[1],
            "samples": len(data),
            "shape": list(data.shape[1:]),
            "dtype": str(data.dtype),
            "label_shape": list(labels.shape[1:]),
            "label_dtype": str(labels.dtype),
        }
    manifest["digests"] = digests
    part_file = folder / f".{MANIFEST}.{os.getpid()}.part"
    part_file.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    part_file.replace(folder / MANIFEST)
