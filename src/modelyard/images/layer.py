"""Layers: tar files that come out the same whoever writes them and whenever. Sorted, one time, fixed owners."""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from modelyard.errors import EngineError
from modelyard.images.folders import NO_FOLDERS, Folders

UID, GID = 1001, 0
MTIME = 1  # 1970-01-01T00:00:01Z. Not 0, which some tools (zip among them) take for "no time"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """An uncompressed layer on disk; `digest` is its diff id.

    `modules` are the top-level modules that it lets Python import, by environment.
    """

    path: Path
    digest: str
    modules: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size


def write_source_layer(
    path: Path,
    root: str,
    source: Path,
    *,
    scripts: Mapping[str, Path] | None = None,
) -> Layer:
    """Write a layer with the folder `source` at `root`, for the application's own user, and with scripts, for root.

    Its group may do what its owner may, so that any uid of group 0 can run it.
    """
    with path.open("wb") as file, new_tar(file) as archive:
        place = PurePosixPath(root.strip("/"))
        for parent in reversed(place.parents[:-1]):
            archive.addfile(_as_layer_member(_folder(str(parent)), uid=0))
        _add_tree(archive, place, source)
        for target, script in sorted((scripts or {}).items()):
            _add_file(archive, target.strip("/"), script, uid=0, mode=0o755)
    return Layer(path, digest_file(path))


def write_files_layer(
    path: Path, files: Mapping[str, bytes | Path], *, executable: str = "/", links: Mapping[str, str] | None = None
) -> Layer:
    """Write a layer of files and symbolic links by their path in the image, owned by root.

    Content that is given can be run below the folder `executable`; files of this machine where they can be here.
    """
    links = links or {}
    parents = {PurePosixPath(name.strip("/")).parent for name in (*files, *links)}
    folders = {folder for parent in parents for folder in (parent, *parent.parents) if folder.parts}
    with path.open("wb") as file, new_tar(file) as archive:
        for folder in sorted(folders):
            archive.addfile(_as_layer_member(_folder(str(folder)), uid=0))
        for name, target in sorted(links.items()):
            member = tarfile.TarInfo(name.strip("/"))
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(_as_layer_member(member, uid=0, mode=0o777))
        for name, content in sorted(files.items()):
            if isinstance(content, Path):
                mode = 0o755 if content.stat().st_mode & 0o100 else 0o644
                _add_file(archive, name.strip("/"), content, uid=0, mode=mode)
                continue
            member = tarfile.TarInfo(name.strip("/"))
            member.size = len(content)
            mode = 0o755 if name.startswith(f"{executable}/") else 0o644
            archive.addfile(_as_layer_member(member, uid=0, mode=mode), io.BytesIO(content))
    return Layer(path, digest_file(path))


def write_layer(path: Path, archive: IO[bytes], parent: str, *, is_left_out: Callable[[PurePosixPath], bool]) -> Layer:
    """Write a layer of a tar stream as an engine's get_archive gives it: below `parent`, owned by root.

    Members that `is_left_out` says so of are dropped. Raises EngineError for a member that leaves `parent`.
    """
    modules: dict[str, set[str]] = {}
    root = PurePosixPath(parent.strip("/"))
    with (
        path.open("wb") as file,
        tarfile.open(fileobj=archive, mode="r|") as source,
        new_tar(file) as target,
    ):
        for folder in (*reversed(root.parents[:-1]), root):
            target.addfile(_as_layer_member(_folder(str(folder)), uid=0))
        for member in source:
            name = PurePosixPath(member.name)
            check_member(name)
            if name.parts and not is_left_out(name):
                content = source.extractfile(member) if member.isreg() else None
                modules.setdefault(name.parts[0], set()).update(find_modules(name))
                member.name = str(root / name)
                if member.islnk():
                    check_member(PurePosixPath(member.linkname))
                    member.linkname = str(root / member.linkname)
                target.addfile(_as_layer_member(member, uid=0), content)
    return Layer(path, digest_file(path), {name: frozenset(found) for name, found in modules.items()})


def copy_safely(
    source: IO[bytes],
    target: IO[bytes],
    root: str,
    *,
    folders: Folders = NO_FOLDERS,
    uid: int | None = None,
) -> int:
    """Copy a tar that a container streamed, with every member below `root`; return how many files it has.

    The `folders` that the other container has stay out of it. With `uid`, `root` and all in it belong to that user.
    Raises EngineError for a member, or a link, that leaves `root`, and for what is no tar.
    """
    place = PurePosixPath("/", root)
    count = 0
    try:
        with tarfile.open(fileobj=source, mode="r|*") as archive, new_tar(target) as copy:
            if uid is not None:
                copy.addfile(_as_layer_member(_folder(_relative(folders.place(place))), uid=uid))
            for member in archive:
                name = PurePosixPath(member.name)
                check_member(name)
                if member.issym() or member.islnk():
                    _check_link(member, name)
                if member.isdir() and folders.find(place / name):
                    continue
                member.name = _relative(folders.place(place / name))
                if member.islnk():
                    member.linkname = _relative(folders.place(place / member.linkname))
                if uid is not None:
                    member.uid, member.gid, member.uname, member.gname = uid, GID, "", ""
                member.pax_headers = {}
                copy.addfile(member, archive.extractfile(member) if member.isreg() else None)
                count += member.isreg()
    except tarfile.TarError as error:
        raise EngineError(
            f"what should be a tar is none: {error}", hint="save-artifacts must write one to stdout"
        ) from None
    return count


def _relative(path: PurePosixPath) -> str:
    return str(path).lstrip("/") or "."


def _check_link(member: tarfile.TarInfo, name: PurePosixPath) -> None:
    base = PurePosixPath() if member.islnk() else name.parent
    resolved = os.path.normpath(base / member.linkname)
    if member.islnk() or not member.linkname.startswith("/"):
        check_member(PurePosixPath(resolved))


def check_member(name: PurePosixPath) -> None:
    """Raise EngineError for a name in a tar that is absolute or climbs out with `..`."""
    if name.is_absolute() or ".." in name.parts:
        raise EngineError(
            f"a tar holds {str(name)!r}, which leaves the folder it belongs into",
            hint="the image that streamed it is broken or hostile: do not use it",
        )


def pack(files: Mapping[str, bytes], *, executable: Iterable[str] = ()) -> bytes:
    """A small tar of files in memory, sorted."""
    buffer = io.BytesIO()
    with new_tar(buffer) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if name in executable else 0o644
            archive.addfile(_as_layer_member(member, uid=0), io.BytesIO(content))
    return buffer.getvalue()


def digest_file(path: Path) -> str:
    """The digest of a file, as images name their layers."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


@contextmanager
def new_tar(file: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """A tar without the zeros that Python fills its last 10 kB with: Podman stops reading before them and fails."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        yield archive
        end = archive.offset
    file.truncate(end + 2 * tarfile.BLOCKSIZE)


class ChunkReader(io.RawIOBase):
    """A file to read, of the chunks that an engine streams."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # typeshed's WriteableBuffer is private
        """Fill `buffer` with what comes next; 0 at the end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def read_blocks(path: Path) -> Iterator[bytes]:
    """The content of a file, block by block."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _add_tree(archive: tarfile.TarFile, root: PurePosixPath, folder: Path) -> None:
    uid = UID
    if root.parts:
        archive.addfile(_as_layer_member(_folder(str(root)), uid=uid, mode=0o775))
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        member = tarfile.TarInfo(str(root / path.relative_to(folder).as_posix()))
        if path.is_symlink():
            member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115 (as it is written)
            archive.addfile(_as_layer_member(member, uid=uid, mode=0o777))
        elif path.is_dir():
            archive.addfile(_as_layer_member(_folder(member.name), uid=uid, mode=0o775))
        elif path.is_file():
            _add_file(archive, member.name, path, uid=uid, mode=0o775 if path.stat().st_mode & 0o100 else 0o664)


def _add_file(archive: tarfile.TarFile, name: str, path: Path, *, uid: int, mode: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = path.stat().st_size
    with path.open("rb") as content:
        archive.addfile(_as_layer_member(member, uid=uid, mode=mode), content)


def _folder(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    return member


def _as_layer_member(member: tarfile.TarInfo, *, uid: int, mode: int | None = None) -> tarfile.TarInfo:
    member.uid, member.gid, member.uname, member.gname = uid, GID, "", ""
    member.mtime, member.pax_headers = MTIME, {}
    if mode is not None:
        member.mode = mode
    return member


_NO_MODULES = (".dist-info", ".pth", ".libs", "__pycache__")


def find_modules(name: PurePosixPath) -> set[str]:
    """The top-level module that a file of an environment makes importable: what stands right below site-packages."""
    if "site-packages" not in name.parts[:-1]:
        return set()
    below = name.parts[name.parts.index("site-packages") + 1 :]
    return {below[0].partition(".")[0]} if not below[0].endswith(_NO_MODULES) else set()
