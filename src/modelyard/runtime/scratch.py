"""Folders that live as long as a block of code: each is locked, so that those of killed processes are told apart."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# No other folder is ever looked at: it may be somebody's, or a running daemon's.
PREFIX = "modelyard-scratch-"
_held: set[int] = set()


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder below `parent`, or the temporary folder, gone in the end; so is what killed processes left there."""
    remove_abandoned(parent)
    path, lock = _make_locked(parent)
    _held.add(lock)
    try:
        folder = path / "folder"
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(path, ignore_errors=True)
        _held.discard(lock)
        os.close(lock)


def held_locks() -> tuple[int, ...]:
    """The locks of this process's folders, for a child that works in them to inherit, as it may outlive this one."""
    return tuple(_held)


def remove_abandoned(parent: Path | None = None) -> int:
    """Remove this user's folders that no living process holds; return how many bytes they had."""
    freed = 0
    for path in (parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is in use, or another process removes it now
            about = path.lstat()
            if stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid():
                freed += _remove_unless_held(path)
    return freed


def _remove_unless_held(path: Path) -> int:
    lock = _open_lock(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())
        shutil.rmtree(path, ignore_errors=True)
        return size
    finally:
        os.close(lock)


def _make_locked(parent: Path | None) -> tuple[Path, int]:
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        with suppress(FileNotFoundError):
            lock = _open_lock(path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                return path, lock
            os.close(lock)  # another process found it before it was locked, and removed it


def _open_lock(path: Path) -> int:
    return os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
