"""Files of arrays: .npy, .npz, IDX, pickles of arrays, each as it is or packed with gzip; told apart by content."""

import gzip
import math
import shutil
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelyard.datasets.pickles import load_arrays
from modelyard.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_FORMATS = "files are .npy, .npz, IDX (MNIST's own) or .pkl of arrays, each also as .gz"
_NUMBERS = "biuf"
# http://yann.lecun.com/exdb/mnist/: two zero bytes, the type of the items, the number of dimensions, their sizes.
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def split_name(text: str) -> tuple[str, str | None]:
    """Part a file from the array of it that is meant.

    >>> split_name("mnist.npz:x_train"), split_name("s3://bucket/train.npy")
    (('mnist.npz', 'x_train'), ('s3://bucket/train.npy', None))
    """
    file, colon, name = text.rpartition(":")
    is_archive = colon and file.lower().endswith((".npz", ".npz.gz"))
    return (file, name) if is_archive else (text, None)


def open_array(path: Path, *, name: str | None = None, scratch: Path) -> "Array":
    """Open the array in a file, memory-mapped where its format allows; `scratch` is a folder for what is unpacked.

    `name` chooses one of several arrays of an .npz. Raises InputError for what holds no array of numbers.
    """
    try:
        array = _open_as(path, path, name, scratch)
    except (ValueError, EOFError, zipfile.BadZipFile, struct.error, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}: can't be read as arrays ({error})", hint=_FORMATS) from None
    if array.dtype.kind not in _NUMBERS:
        raise InputError(f"{path}: an array of {array.dtype}, expected numbers", hint="turn names into numbers first")
    if array.ndim == 0 or array.size == 0:
        raise InputError(f"{path}: an array of shape {array.shape} has no samples in it")
    return array


def _read_start(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: no such file", hint=_FORMATS)
    with path.open("rb") as file:
        return file.read(8)


def _open_as(path: Path, origin: Path, name: str | None, scratch: Path) -> "Array":
    """Open what `path` holds; `origin` is the file that a person knows, which it may have been unpacked from."""
    import numpy

    start = _read_start(path)
    if start.startswith(b"\x1f\x8b"):
        return _open_as(_unpack(path, scratch), origin, name, scratch)
    if start.startswith(b"PK"):
        return _open_archive(path, origin, name, scratch)
    if name is not None:
        raise InputError(f"{origin}: no .npz, so it has no array called {name!r}", hint="leave out the name")
    if start.startswith(b"\x93NUMPY"):
        mapped: Array = numpy.load(path, mmap_mode="r", allow_pickle=False)
        return mapped
    if start.startswith(b"\0\0") and len(start) > 3 and start[2] in _IDX_TYPES:
        return _open_idx(path)
    if start.startswith((b"\x80", b"(", b"]", b"c")):  # protocol 2 and later; what older ones begin with
        with path.open("rb") as file:
            return numpy.asarray(load_arrays(file, origin))
    raise InputError(f"{origin}: a file of no kind that is known here", hint=_FORMATS)


def _unpack(path: Path, scratch: Path) -> Path:
    target = scratch / f"unpacked-{len(list(scratch.iterdir()))}"
    with gzip.open(path) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain, 1 << 20)
    return target


def _open_archive(path: Path, origin: Path, name: str | None, scratch: Path) -> "Array":
    """Take one array out of an .npz; it is unpacked, so that it can be memory-mapped."""
    with zipfile.ZipFile(path) as archive:
        names = [entry.removesuffix(".npy") for entry in archive.namelist()]
        chosen = name or (names[0] if len(names) == 1 else None)
        if chosen not in names:
            what = f"no array {name!r} in it" if name else f"{len(names)} arrays in it"
            raise InputError(f"{origin}: {what} ({', '.join(names) or 'none'})", hint=f"name one: {origin.name}:NAME")
        target = scratch / f"unpacked-{len(list(scratch.iterdir()))}"
        with archive.open(f"{chosen}.npy") as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    return _open_as(target, origin, None, scratch)


def _open_idx(path: Path) -> "Array":
    import numpy

    with path.open("rb") as file:
        kind, dimensions = struct.unpack(">xxBB", file.read(4))
        shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
    dtype, offset = numpy.dtype(_IDX_TYPES[kind]), 4 + 4 * dimensions
    expected = offset + math.prod(shape) * dtype.itemsize
    if path.stat().st_size != expected:
        raise ValueError(f"IDX of shape {shape} has {expected} bytes, this file {path.stat().st_size}")
    if not math.prod(shape):
        return numpy.empty(shape, dtype)
    return numpy.memmap(path, dtype, mode="r", offset=offset, shape=shape)
