"""Moving files between this machine and a store: `fetch` and `push` one, `fetch_all` and `push_all` a folder."""

import errno
import fcntl
import glob
import hashlib
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from modelyard.errors import InputError, StoreError
from modelyard.store.address import Address, parse_address
from modelyard.store.folder import FolderStore
from modelyard.store.protocols import (
    CHUNK,
    ChangedFileError,
    Entry,
    InterruptedTransferError,
    OnProgress,
    Store,
)

ATTEMPTS = 5
_log = logging.getLogger(__name__)


def open_store(address: Address) -> Store:
    """Return the store that holds an address."""
    if address.bucket is None:
        return FolderStore()
    from modelyard.store.s3 import S3Store  # boto3 takes a second to load

    return S3Store(address.bucket)


def fetch(url: str, target: Path, *, sha256: str | None = None, progress: OnProgress | None = None) -> Path:
    """Get one file as `target` (below it, where that is a folder) and return its path.

    It goes on where an earlier download stopped. Size and sha256 (`sha256`, else the one that the store knows) are
    checked before the file gets its name, so what was there before stays until the new file is whole. Nothing is
    downloaded where the file is there already. Raises InputError for a bad `url`, StoreError for everything else.
    """
    address = parse_address(url)
    if address.is_folder:
        raise InputError(f"{address}: a folder, expected one file", hint="name a file in it, or get all: store pull")
    store = open_store(address)
    return _fetch(store, store.stat(address.key), _file_in(target, address.name), address, sha256, progress)


def fetch_all(url: str, folder: Path, *, progress: OnProgress | None = None) -> list[Path]:
    """Get one file, or every file below an address that ends with `/`, into `folder`; return their paths."""
    address = parse_address(url)
    if not address.is_folder:
        folder.mkdir(parents=True, exist_ok=True)
        return [fetch(url, folder, progress=progress)]
    store = open_store(address)
    entries = list(store.entries(address.key))
    if not entries:
        raise StoreError(f"{address}: nothing there", hint=f"see what there is: modelyard store ls {address}")
    targets = [_inside(folder, entry.key.removeprefix(address.key), address) for entry in entries]
    return [
        _fetch(store, store.stat(entry.key), target, Address(key=entry.key, bucket=address.bucket), None, progress)
        for entry, target in zip(entries, targets, strict=True)
    ]


def push(path: Path, url: str, *, progress: OnProgress | None = None) -> str:
    """Put one file at `url` (below it, where that ends with `/`), with its sha256; return the address it has there."""
    address = parse_address(url)
    if address.is_folder:
        address = address.below(path.name)
    try:
        before, digest = path.stat(), _digest(path)
        open_store(address).write(address.key, path, sha256=digest, on_progress=progress or _ignore)
        after = path.stat()
    except OSError as error:
        raise InputError(f"{path}: can't read it ({error.strerror or error})", hint="name a file") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise StoreError(f"{path}: changed while it was pushed", hint=f"push it again; {address} is damaged")
    return str(address)


def push_all(path: Path, url: str, *, progress: OnProgress | None = None) -> list[str]:
    """Put one file, or every file below a folder, at `url`; return the addresses. Hidden files are passed over."""
    if not path.is_dir():
        return [push(path, url, progress=progress)]
    root = parse_address(url)
    entries = list(FolderStore().entries(str(path)))
    if not entries:
        raise InputError(f"{path}: no file in this folder", hint="name a folder that holds files")
    names = [Path(entry.key).relative_to(path).as_posix() for entry in entries]
    return [push(path / name, str(root.below(name)), progress=progress) for name in names]


def list_files(url: str) -> list[tuple[Address, Entry]]:
    """List one file, or every file below a folder (a bucket's with or without the `/` at its end)."""
    address = parse_address(url)
    store = open_store(address)
    if address.bucket is not None and not address.is_folder:
        # A key and a folder may have the same name: s3://bucket/models is both of what starts with models/.
        found = [entry for entry in store.entries(address.key) if _is_or_below(entry.key, address.key)]
    else:
        found = list(store.entries(address.key)) if address.is_folder else [store.stat(address.key)]
    if not found and address.key and address.bucket is not None:
        store.stat(address.key)  # raises, and says why
    return [(Address(key=entry.key, bucket=address.bucket), entry) for entry in found]


def remove(url: str, *, recursive: bool = False) -> list[str]:
    """Remove one file, or with `recursive` all below a folder; return the addresses of what is gone."""
    address = parse_address(url)
    store = open_store(address)
    if address.is_folder and not recursive:
        raise InputError(f"{address}: a folder", hint="name a file in it, or remove all of it with --recursive")
    keys = [entry.key for entry in store.entries(address.key)] if address.is_folder else [address.key]
    for key in keys:
        store.remove(key)
    return [str(Address(key=key, bucket=address.bucket)) for key in keys]


def _fetch(
    store: Store, entry: Entry, target: Path, address: Address, sha256: str | None, progress: OnProgress | None
) -> Path:
    expected = sha256.lower() if sha256 else entry.sha256
    if address.bucket is None and address.path == target.absolute():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked_part(target, entry) as (part, file):
            if _is_same(target, entry, expected):
                _log.info("%s is there already, unchanged", target)
            else:
                _download(store, entry, file, part, progress or _ignore)
                _check(part, entry, expected, address)
                os.fsync(file.fileno())
                part.replace(target)
    except OSError as error:
        raise StoreError(
            f"{target}: can't write it ({error.strerror or error})",
            hint=f"it needs {entry.size:,} bytes and the right to write; what was there before is still there",
        ) from error
    return target


def _download(store: Store, entry: Entry, file: BinaryIO, part: Path, progress: OnProgress) -> None:
    """Append what is missing to the part; after a break go on from there, as long as each attempt brings something."""
    failures = 0
    while True:
        done = file.seek(0, os.SEEK_END)
        if done > entry.size:
            file.truncate(0)
            continue
        _check_space(part, entry.size - done)
        try:
            for chunk in store.read(entry, start=done):
                file.write(chunk)
                done += len(chunk)
                progress(done, entry.size)
            file.flush()
            return
        except InterruptedTransferError as error:
            file.flush()
            failures += 1
            if failures == ATTEMPTS:
                raise
            _log.warning("%s; attempt %d of %d", error.message, failures + 1, ATTEMPTS)
            time.sleep(min(0.2 * 2**failures, 5.0))
        except ChangedFileError:
            part.unlink()
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                part.unlink()  # half a file must not keep the disk full
            raise


def _check(part: Path, entry: Entry, expected: str | None, address: Address) -> None:
    size, digest = part.stat().st_size, _digest(part)
    if size == entry.size and expected in (None, digest):
        return
    part.unlink()
    if size != entry.size:
        raise StoreError(f"{address}: {size:,} bytes came, expected {entry.size:,}", hint="try again")
    raise StoreError(
        f"{address}: sha256 {digest}, expected {expected}",
        hint="damaged on the way or in the store: try again, then push the file again",
    )


def _check_space(part: Path, missing: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise StoreError(
            f"{part.parent}: {missing:,} bytes are needed, {free:,} are free", hint="make room, or use another disk"
        )


@contextmanager
def _locked_part(target: Path, entry: Entry) -> Iterator[tuple[Path, BinaryIO]]:
    """Open the part of this version of the file, and keep other processes from it; those wait and find the file there.

    A part that holds nothing is removed afterwards, one that holds something stays, to go on with.
    """
    version = hashlib.sha256(f"{entry.key} {entry.size} {entry.version}".encode()).hexdigest()[:12]
    part = target.with_name(f".{target.name}.{version}.part")
    while True:
        with part.open("ab") as file:
            _lock(file, target)
            if not _is_open_as(file, part):  # whoever held the lock has renamed or removed it meanwhile
                continue
            try:
                yield part, file
            finally:
                if _is_open_as(file, part) and not part.stat().st_size:
                    part.unlink()
            break
    _sweep(target)


def _lock(file: BinaryIO, target: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _log.warning("%s: another process is getting it, waiting", target)
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_open_as(file: BinaryIO, path: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _sweep(target: Path) -> None:
    """Remove what is left of earlier downloads of a file that is whole now; not what another process is at."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        with suppress(OSError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _is_same(target: Path, entry: Entry, expected: str | None) -> bool:
    if expected is None or not target.is_file() or target.stat().st_size != entry.size:
        return False
    return _digest(target) == expected


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _file_in(target: Path, name: str) -> Path:
    return target / name if target.is_dir() else target


def _inside(folder: Path, name: str, address: Address) -> Path:
    """Where a listed file belongs; a key that leads out of the folder is refused."""
    if name.startswith("/") or ".." in name.split("/"):
        raise StoreError(f"{address}: the key {name!r} leads out of the folder", hint="get the files one by one")
    return folder / name


def _is_or_below(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}/")


def _ignore(done: int, total: int) -> None:
    """Progress that nobody watches."""
