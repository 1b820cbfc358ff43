"""Digests of files and folders of the project that steps take; what has not been touched is not read again."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.context.build_context import digest_parts
from modelyard.errors import InputError
from modelyard.flows.artifacts import measure
from modelyard.machine.home import read_record, write_record

_SETTLED = 2.0  # seconds; what was written just now may be written again within the clock's tick


@dataclass
class PathDigests:
    """Digests by path, remembered in a file with what the file system said of each."""

    file: Path
    known: dict[str, Any] = field(default_factory=dict)
    is_changed: bool = False

    @classmethod
    def load(cls, file: Path) -> "PathDigests":
        """Read what was remembered."""
        return cls(file, read_record(file) or {})

    def digest(self, path: Path, *, place: str) -> str:
        """The digest of what is at a path; raise InputError, for the input at `place`, where nothing is."""
        if not path.exists():
            raise InputError(f"{place}: {path} is not there", hint="put it there, or correct the path")
        looks, newest = _look(path)
        known = self.known.get(str(path))
        if known and known["looks"] == looks:
            return str(known["digest"])
        digest, _ = measure(path)
        if time.time() - newest > _SETTLED and _look(path)[0] == looks:
            self.known[str(path)] = {"looks": looks, "digest": digest}
            self.is_changed = True
        return digest

    def save(self) -> None:
        """Remember what was read."""
        if self.is_changed:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            write_record(self.file, self.known)


def _look(path: Path) -> tuple[str, float]:
    """What the file system says of all files at a path, and when the last one was changed."""
    files = [path] if path.is_file() else [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    parts, newest = [str(len(files))], 0.0
    for file in sorted(files):
        about = file.stat()
        parts += [str(file), str(about.st_size), str(about.st_mtime_ns), str(about.st_ctime_ns), str(about.st_ino)]
        newest = max(newest, about.st_mtime, about.st_ctime)
    return digest_parts(map(os.fsencode, parts)), newest
