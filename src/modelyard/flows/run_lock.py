"""One run of a flow at a time."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.errors import ModelyardError

LOCK = "lock"
_TRIES = 20


class BusyError(ModelyardError):
    """Another run of the flow goes on."""


@contextmanager
def hold_lock(runs: Path, *, what: str) -> Iterator[None]:
    """Hold the lock of a project's runs/; raise BusyError, which says who has it, where another process does."""
    runs.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(runs / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not _take(descriptor):
            raise BusyError(f"{runs.parent}: {_read_holder(runs)} goes on", hint="wait until it has ended, or stop it")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "what": what}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Take the lock; who only looks whether it is held has it for a moment."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


def is_locked(runs: Path) -> bool:
    """Whether a run goes on."""
    try:
        descriptor = os.open(runs / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read_holder(runs: Path) -> str:
    try:
        about = json.loads((runs / LOCK).read_text())
        return f"{about['what']} (process {about['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
