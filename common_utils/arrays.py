"""numpy files: written whole or not at all, read without pickle."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_arrays(path: Path | str, arrays: np.ndarray | Mapping[str, np.ndarray]) -> None:
    """Write one array (.npy) or several by name (.npz, compressed) under a temporary name, then rename it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            if isinstance(arrays, Mapping):
                np.savez_compressed(file, allow_pickle=False, **arrays)
            else:
                np.save(file, arrays, allow_pickle=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_array(path: Path | str) -> np.ndarray:
    """Read a .npy file; raise ValueError that names it where it is missing or none."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: can't read an array from it ({error})") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path}: several arrays, expected a .npy file with one")
    return array


def read_arrays(path: Path | str, *names: str) -> tuple[np.ndarray, ...]:
    """Read the named arrays of a .npz file; raise ValueError that names the file and what it lacks."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return tuple(file[name] for name in names)
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: can't read the arrays {', '.join(names)} from it ({error})") from None
