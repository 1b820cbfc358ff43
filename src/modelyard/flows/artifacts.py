"""Artifacts: what steps have made, kept by the digest of what is in it."""

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.context.build_context import digest_parts
from modelyard.errors import RunError

_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An output of a step; `file` is the name that it was made as."""

    file: str
    digest: str
    size: int
    kind: str

    @property
    def about(self) -> dict[str, Any]:
        """As records have it."""
        return {"file": self.file, "digest": self.digest, "size": self.size, "kind": self.kind}


@dataclass(frozen=True)
class ArtifactStore:
    """The folder `artifacts/` of a project's runs/."""

    root: Path

    def path(self, digest: str) -> Path:
        """Where the artifact of a digest lies."""
        return self.root / digest

    def has_all(self, outputs: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether everything that a record names is there."""
        return all(self.path(about["digest"]).exists() for about in outputs.values())

    def keep(self, made: Path) -> Artifact:
        """Take over what a step has made, by a rename; it can't be written to afterwards."""
        materialise_links(made)
        digest, size = measure(made)
        kind = "folder" if made.is_dir() else "file"
        protect(made)
        self.root.mkdir(parents=True, exist_ok=True)
        kept = self.path(digest)
        try:
            if not kept.exists():
                made.rename(kept)
        except OSError as error:  # another step has made the same meanwhile
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        return Artifact(file=made.name, digest=digest, size=size, kind=kind)


def measure(path: Path) -> tuple[str, int]:
    """The digest of a file's content, or of a folder's names, executable bits and contents; and the bytes in it."""
    if not path.is_dir():
        return digest_file(path), path.stat().st_size
    files = sorted(each for each in path.rglob("*") if each.is_file())
    parts = [part for file in files for part in _describe(file, path)]
    folders = sorted(
        str(each.relative_to(path)) for each in path.rglob("*") if each.is_dir() and not any(each.iterdir())
    )
    return digest_parts([b"folder", *parts, *map(str.encode, folders)]), sum(file.stat().st_size for file in files)


def digest_file(path: Path) -> str:
    """The sha256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _describe(file: Path, root: Path) -> tuple[bytes, bytes, bytes]:
    mode = b"x" if file.stat().st_mode & 0o100 else b"-"
    return os.fsencode(file.relative_to(root).as_posix()), mode, digest_file(file).encode()


def materialise_links(made: Path) -> None:
    """Put what links lead to in their place: what they lead to is gone when the step has ended."""
    for path in [made, *(made.rglob("*") if made.is_dir() and not made.is_symlink() else ())]:
        if not path.is_symlink():
            continue
        target = path.resolve()
        if not target.exists():
            raise RunError(
                f"{path.name} is a link to {path.readlink()}, which is not there", hint="write the file itself"
            )
        path.unlink()
        if target.is_dir():
            shutil.copytree(target, path)
        else:
            shutil.copy2(target, path)


def protect(made: Path) -> None:
    """Take the right to write away from files: an artifact is what its name says."""
    for path in [made, *made.rglob("*")] if made.is_dir() else [made]:
        if path.is_file():
            path.chmod(path.stat().st_mode & 0o555 | 0o444)
