"""A store that is a folder of this machine, for example a shared disk. Keys are absolute paths."""

import hashlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from modelyard.errors import StoreError
from modelyard.store.protocols import CHUNK, ChangedFileError, Entry, OnProgress


class FolderStore:
    """Files where they lie."""

    def stat(self, key: str) -> Entry:
        """Look one file up and compute its digest."""
        entry = _entry_of(Path(key))
        try:
            with Path(key).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _failed(key, error) from None
        return Entry(key=entry.key, size=entry.size, modified=entry.modified, version=entry.version, sha256=digest)

    def entries(self, prefix: str) -> Iterator[Entry]:
        """List the files below a folder; hidden ones, such as half-made downloads, are passed over."""
        folder = Path(prefix)
        if not folder.is_dir():
            raise StoreError(f"{prefix}: no such folder", hint=_hint(prefix))
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            if path.is_file() and not any(part.startswith(".") for part in parts):
                yield _entry_of(path)

    def read(self, entry: Entry, *, start: int) -> Iterator[bytes]:
        """Yield the content from byte `start` on."""
        try:
            if _entry_of(Path(entry.key)).version != entry.version:
                raise ChangedFileError(f"{entry.key}: changed while it was read", hint="try again")
            with Path(entry.key).open("rb") as file:
                file.seek(start)
                while chunk := file.read(CHUNK):
                    yield chunk
        except OSError as error:
            raise _failed(entry.key, error) from None

    def check_writable(self, key: str) -> None:
        """Raise StoreError where no file can be put there; nothing is made."""
        folder = Path(key).parent
        nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        if not nearest.is_dir():
            raise StoreError(f"{key}: {nearest} is no folder", hint="name another folder, or move what is there")
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise StoreError(f"{key}: {nearest} can't be written to", hint="name a folder that you may write to")

    def write(self, key: str, source: Path, *, sha256: str, on_progress: OnProgress) -> None:
        """Copy a file there under a temporary name, then rename it; a file that is there itself stays as it is."""
        self.check_writable(key)
        target = Path(key)
        if target.exists() and target.samefile(source):
            return
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            size, done, digest = source.stat().st_size, 0, hashlib.sha256()
            with source.open("rb") as reader, part.open("wb") as writer:
                while chunk := reader.read(CHUNK):
                    writer.write(chunk)
                    digest.update(chunk)
                    done += len(chunk)
                    on_progress(done, size)
                writer.flush()
                os.fsync(writer.fileno())
            if digest.hexdigest() != sha256:
                raise StoreError(f"{source}: changed while it was copied", hint="try again")
            part.replace(target)
        except OSError as error:
            raise _failed(key, error) from None
        finally:
            part.unlink(missing_ok=True)

    def remove(self, key: str) -> None:
        """Remove one file."""
        try:
            Path(key).unlink()
        except OSError as error:
            raise _failed(key, error) from None


def _entry_of(path: Path) -> Entry:
    try:
        found = path.stat()
    except OSError as error:
        raise _failed(str(path), error) from None
    version = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
    return Entry(key=str(path), size=found.st_size, modified=found.st_mtime, version=version)


def _failed(key: str, error: OSError) -> StoreError:
    reason = (error.strerror or str(error)).lower()
    hint = _hint(key) if isinstance(error, FileNotFoundError) else "nothing was changed"
    return StoreError(f"{key}: {reason}", hint=hint)


def _hint(key: str) -> str:
    return f"see what there is: modelyard store ls {shlex.quote(str(Path(key).parent))}"
