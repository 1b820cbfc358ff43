"""The run directory: a folder for sockets and state, which the daemon's processes find each other by."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.runtime.daemon.status import socket_path
from modelyard.runtime.errors import InputError

_MOUNT_FOR_TMP = (
    "a read-only container needs a mount at /tmp (--tmpfs /tmp; in Kubernetes an emptyDir), "
    "or MODELYARD_RUN_DIR with a folder that can be written"
)
_MOUNT_FOR_RUN_DIR = "name a folder that the daemon may write, such as a mount at /tmp"
_MAX_SOCKET_PATH = 100


def _make_run_dir() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="modelyard-"))
    except OSError as error:
        raise InputError(f"there is no folder for sockets and state: {error.strerror}", hint=_MOUNT_FOR_TMP) from None


@contextmanager
def open_run_dir(given: str | None) -> Iterator[Path]:
    """Make the run directory; a new one, where none is given, is removed at the end."""
    path = Path(given).absolute() if given else _make_run_dir()
    if len(str(socket_path(path, 999))) > _MAX_SOCKET_PATH:
        raise InputError(
            f"MODELYARD_RUN_DIR {path} is too long for the sockets in it", hint="use a short one, such as /tmp/run"
        )
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise InputError(
            f"MODELYARD_RUN_DIR {path} cannot be written: {error.strerror}", hint=_MOUNT_FOR_RUN_DIR
        ) from None
    try:
        yield path
    finally:
        if not given:
            shutil.rmtree(path, ignore_errors=True)
