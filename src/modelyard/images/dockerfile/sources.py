"""What COPY and ADD can take files from: the build context, or the files of another image."""

import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Literal, Protocol

from modelyard.images.dockerfile.ignoring import Patterns, match_paths
from modelyard.images.tree import Found, Tree

_WILD = frozenset("*?[\\")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A file, folder or link to copy; `path` is where it is below its source."""

    path: str
    kind: Literal["file", "folder", "link"]
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    target: str = ""
    """Of a link."""
    open: Callable[[], IO[bytes]] | None = None


class Source(Protocol):
    """Where files are taken from; paths have slashes, and none at the front."""

    def find(self, path: str) -> Item | None:
        """What is at a path, links followed."""

    def walk(self, path: str) -> Iterator[Item]:
        """What is below a folder, folders before what is in them, links as they are."""

    @property
    def paths(self) -> Sequence[str]:
        """All there is."""


def select(source: Source, pattern: str) -> list[Item]:
    """What a source of COPY names; a pattern may name several, or none."""
    path = posixpath.normpath(posixpath.join("/", pattern)).lstrip("/")
    names = match_paths(path, source.paths) if _WILD.intersection(path) else [path]
    return [found for name in names if (found := source.find(name)) is not None]


@dataclass(frozen=True)
class Context:
    """A folder of this machine, without what a .dockerignore leaves out.

    Modes are as git knows them, a file may be run or not: what a umask made of the others is no part of the source.
    """

    root: Path
    ignored: Patterns

    def find(self, path: str) -> Item | None:
        """What is at a path; None also for what is left out, and for a link out of the context."""
        place = Path(os.path.realpath(self.root / path))
        root = Path(os.path.realpath(self.root))
        if not place.is_relative_to(root) or not place.exists():
            return None
        name = place.relative_to(root).as_posix()
        if (
            path
            and (self.ignored.ignores(path) or self.ignored.ignores(name))
            and not (place.is_dir() and self.ignored.takes_in and any(self.walk(name)))
        ):
            return None
        return _describe(place, path)

    def walk(self, path: str) -> Iterator[Item]:
        """What is below a folder and not left out, sorted."""
        yield from self._walk(Path(os.path.realpath(self.root / path)), "")

    @cached_property
    def paths(self) -> Sequence[str]:
        """All that is not left out."""
        return [item.path for item in self.walk("")]

    def _walk(self, folder: Path, below: str) -> Iterator[Item]:
        root = Path(os.path.realpath(self.root))
        for path in sorted(folder.iterdir(), key=lambda each: each.name):
            name = posixpath.join(below, path.name)
            is_folder = path.is_dir() and not path.is_symlink()
            is_ignored = self.ignored.ignores(path.relative_to(root).as_posix())
            if is_ignored and not (is_folder and self.ignored.takes_in):
                continue
            item = _describe(path, name)
            if item is None:
                continue
            inside = list(self._walk(path, name)) if is_folder else []
            if not is_ignored or inside:
                yield item
            yield from inside


def _describe(path: Path, name: str) -> Item | None:
    """What is at a path of this machine; None for what no image holds: sockets, devices, pipes."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return Item(path=name, kind="link", mode=0o777, target=os.readlink(path))  # noqa: PTH115 (as it is written)
    if stat.S_ISDIR(found.st_mode):
        return Item(path=name, kind="folder", mode=0o755)
    if stat.S_ISREG(found.st_mode):
        mode = 0o755 if found.st_mode & 0o100 else 0o644
        return Item(path=name, kind="file", mode=mode, size=found.st_size, open=lambda: path.open("rb"))
    return None


@dataclass(frozen=True)
class ImageFiles:
    """The files of an image, with their modes; `opener` opens one of them."""

    tree: Tree
    opener: Callable[[Found], IO[bytes]]

    def find(self, path: str) -> Item | None:
        """What is at a path."""
        found = self.tree.find(path) if path else None
        if not path:
            return Item(path="", kind="folder", mode=0o755)
        return self._describe(found, path) if found else None

    def walk(self, path: str) -> Iterator[Item]:
        """What is below a folder."""
        top = self.tree.find(path)
        prefix = f"{top.path.rstrip('/')}/" if top else ""
        for found in self.tree.walk() if top else ():
            if found.path.startswith(prefix):
                item = self._describe(found, found.path.removeprefix(prefix))
                if item is not None:
                    yield item

    @cached_property
    def paths(self) -> Sequence[str]:
        """All there is."""
        return [found.path.lstrip("/") for found in self.tree.walk()]

    def _describe(self, found: Found, path: str) -> Item | None:
        member = found.member
        if member.kind not in ("file", "folder", "link"):
            return None
        kind: Literal["file", "folder", "link"] = member.kind
        return Item(
            path=path,
            kind=kind,
            mode=member.mode,
            uid=member.uid,
            gid=member.gid,
            size=member.size,
            target=member.target,
            open=lambda: self.opener(found),
        )


def name_of(item: Item) -> str:
    """The last part of where something comes from."""
    return PurePosixPath(item.path).name
