"""Trees of files for a container, as one tar. A folder that the container has already is not in it: unpacked, its
mode and owner would be those of the tar, and a link to a folder would become one."""

import os
import stat
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from modelyard.images.folders import Folders
from modelyard.images.layer import GID, new_tar


def write_upload(
    target: IO[bytes], trees: Mapping[str, Path], *, uid: int, folders: Folders, shared: bool = False
) -> list[str]:
    """Write each tree at its absolute place, for the user `uid`; return the paths of the files.

    Files and new folders keep their modes. With `shared`, their group may do what their owner may, too.
    """
    files = []
    with new_tar(target) as archive:
        for root, tree in trees.items():
            place = PurePosixPath("/", root)
            for parent in reversed(place.parents):
                if not folders.find(parent):
                    archive.addfile(_describe(folders.place(parent), tarfile.DIRTYPE, 0o755, 0))
            tree = tree.resolve()
            for path in (tree, *sorted(tree.rglob("*"))):
                name = place / path.relative_to(tree)
                if path.is_dir() and not path.is_symlink() and folders.find(name):
                    continue
                name = folders.place(name)
                if _add(archive, name, path, uid, shared=shared):
                    files.append(str(name))
    return files


def _add(archive: tarfile.TarFile, name: PurePosixPath, path: Path, uid: int, *, shared: bool) -> bool:
    """Add what is at `path` as `name`; tell whether that is a file."""
    found = path.lstat()
    mode = found.st_mode & 0o7777
    mode |= (mode & 0o700) >> 3 if shared else 0
    if stat.S_ISLNK(found.st_mode):
        link = _describe(name, tarfile.SYMTYPE, 0o777, uid)
        link.linkname = os.readlink(path)  # noqa: PTH115 (as it is written)
        archive.addfile(link)
    elif stat.S_ISDIR(found.st_mode):
        archive.addfile(_describe(name, tarfile.DIRTYPE, mode, uid))
    elif stat.S_ISREG(found.st_mode):
        member = _describe(name, tarfile.REGTYPE, mode, uid)
        member.size = found.st_size
        with path.open("rb") as content:
            archive.addfile(member, content)
        return True
    return False


def _describe(name: PurePosixPath, kind: bytes, mode: int, uid: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(str(name).lstrip("/"))
    member.type, member.mode, member.uid, member.gid, member.mtime = kind, mode, uid, GID, 1
    return member
