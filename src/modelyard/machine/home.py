"""The embedded engine's home: where its folders lie, its locks, and writing records whole or not at all."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import EngineError


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Home:
    """`environments/`, `lib/`, `images/`, `tags/`, `containers/`, `layers/` and `locks/` below `root`."""

    root: Path

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Home":
        """$MODELYARD_HOME, else modelyard/ in $XDG_DATA_HOME, else in ~/.local/share."""
        if environ.get("MODELYARD_HOME"):
            return cls(Path(environ["MODELYARD_HOME"]).expanduser().absolute())
        data = environ.get("XDG_DATA_HOME") or Path(environ.get("HOME") or Path.home(), ".local", "share")
        return cls(Path(data, "modelyard").absolute())

    @property
    def environments(self) -> Path:
        """One folder a key, with a virtual environment each."""
        return self.root / "environments"

    @property
    def images(self) -> Path:
        """One folder an image id."""
        return self.root / "images"

    @property
    def libs(self) -> Path:
        """One folder a digest, with the runtime as images carry it."""
        return self.root / "lib"

    @property
    def tags(self) -> Path:
        """One file a tag, with an image id."""
        return self.root / "tags"

    @property
    def containers(self) -> Path:
        """One folder a container id."""
        return self.root / "containers"

    @property
    def layers(self) -> Path:
        """One folder a process that lays out an image's layers, gone with it."""
        return self.root / "layers"

    @property
    def locks(self) -> Path:
        """One empty file a lock."""
        return self.root / "locks"

    @contextmanager
    def lock(self, name: str, *, shared: bool = False, on_wait: Callable[[], None] = nothing) -> Iterator[int]:
        """Hold a lock between processes; yields its descriptor.

        A child that inherits the descriptor holds the lock as well, so that work it goes on with when this process is
        killed is not taken for finished.
        """
        path = self.locks / name
        path.parent.mkdir(parents=True, exist_ok=True)
        operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        is_held = False
        while not is_held:
            with _opened(path, os.O_RDWR | os.O_CREAT) as descriptor:
                if not _try_lock(descriptor, operation):
                    on_wait()
                    fcntl.flock(descriptor, operation)
                is_held = _is_file_at(path, descriptor)
                if is_held:
                    yield descriptor

    def is_held(self, name: str) -> bool:
        """Tell whether a process holds a lock, such as the child that a killed one has left."""
        try:
            with _opened(self.locks / name, os.O_RDWR) as descriptor:
                return not _try_lock(descriptor, fcntl.LOCK_EX)
        except FileNotFoundError:
            return False

    def remove_free_locks(self) -> None:
        """Remove the files of locks that nobody holds."""
        for path in self.locks.glob("*"):
            with suppress(FileNotFoundError), _opened(path, os.O_RDWR) as descriptor:
                if _try_lock(descriptor, fcntl.LOCK_EX) and _is_file_at(path, descriptor):
                    path.unlink()  # who has opened it meanwhile sees that it is gone, and makes another


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_at(path: Path, descriptor: int) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def explaining_disk_errors() -> Iterator[None]:
    """Make what the file system refuses (no space, no permission) an error that says what and where."""
    try:
        yield
    except OSError as error:
        place, reason = _explain(error)
        is_full = os.strerror(errno.ENOSPC) in reason
        hint = "free disk space: modelyard prune" if is_full else "is MODELYARD_HOME writable?"
        raise EngineError(f"{place}: {reason}", hint=hint) from error


def _explain(error: OSError) -> tuple[str, str]:
    """Where it happened, and why; of copying a tree, the first file that could not be written."""
    if isinstance(error, shutil.Error):
        _, place, reason = error.args[0][0]
        return str(place), str(reason)
    return str(error.filename or "the disk"), error.strerror or str(error)


def write_record(path: Path, record: Mapping[str, object]) -> None:
    """Write a JSON file so that a reader sees the old one or the new one, never a part."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a JSON file that `write_record` wrote; None where there is none."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return record


def remove_tree(path: Path) -> None:
    """Remove a folder, and make it look gone at once: a folder that is half removed never carries its old name."""
    if not path.exists():
        return
    gone = path.with_name(f".{path.name}.{os.getpid()}.gone")
    path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def measure_tree(path: Path) -> int:
    """The bytes of all files below a folder, links not followed."""
    total = 0
    for folder, _, files in os.walk(path):
        total += sum(os.lstat(os.path.join(folder, file)).st_size for file in files)  # noqa: PTH118 (ten thousand files)
    return total
