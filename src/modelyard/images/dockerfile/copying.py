"""The layer that one COPY, ADD or WORKDIR makes: what it takes, and where that comes to lie in the image."""

import io
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from modelyard.errors import EngineError
from modelyard.images.dockerfile.parsing import Instruction
from modelyard.images.dockerfile.sources import Item, Source, name_of, select
from modelyard.images.layer import MTIME, Layer, check_member, digest_file, new_tar
from modelyard.images.tree import Tree

ReadText = Callable[[str], str]
"""The text of a file of the image; empty where there is none."""
_URL = re.compile(r"(https?|ftp|git|ssh)://|git@", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A COPY or ADD, its words expanded; `target` is absolute, with a slash at the end where it names a folder."""

    instruction: Instruction
    sources: tuple[str, ...]
    target: str
    owner: str | None = None
    mode: int | None = None

    @property
    def extracts(self) -> bool:
        """Whether tar archives are unpacked."""
        return self.instruction.name == "ADD"


def plan_copy(instruction: Instruction, words: list[str], folder: str, owner: str, mode: str) -> Copy:
    """What an instruction of these words says, in the working directory `folder`. Raises InputError."""
    if instruction.has_heredoc:
        raise instruction.refuse("files written as << are BuildKit's", hint="write the file beside, and COPY it")
    if len(words) < 2:
        raise instruction.refuse("names no source and target", hint=f"write {instruction.name} SOURCE TARGET")
    remote = next((word for word in words[:-1] if instruction.name == "ADD" and _URL.match(word)), None)
    if remote is not None:
        raise instruction.refuse(f"{remote} is fetched by engines alone", hint="fetch it, and COPY the file")
    target = posixpath.normpath(posixpath.join(folder, words[-1])).replace("//", "/")
    is_folder = words[-1].endswith(("/", "/.")) or words[-1] == "."
    if len(words) > 2 and not is_folder:
        raise instruction.refuse("several sources, and the target is no folder", hint=f"write {words[-1]}/ at its end")
    if mode and not re.fullmatch(r"[0-7]{3,4}", mode):
        raise instruction.refuse(f"--chmod={mode} is no mode", hint="write it in octal: 755")
    return Copy(
        instruction=instruction,
        sources=tuple(words[:-1]),
        target=f"{target.rstrip('/')}/" if is_folder else target,
        owner=owner or None,
        mode=int(mode, 8) if mode else None,
    )


def arrange(copy: Copy, source: Source, tree: Tree) -> dict[str, Item]:
    """What the layer holds, by its path in the image with no link in it. Raises InputError for what can't be."""
    chosen = [(pattern, select(source, pattern)) for pattern in copy.sources]
    missing = next((pattern for pattern, found in chosen if not found), None)
    if missing is not None:
        raise copy.instruction.refuse(
            f"{missing!r} is nothing in the build context, or left out by .dockerignore"
            if "from" not in copy.instruction.flags
            else f"{missing!r} is nothing in {copy.instruction.flags['from']}",
            hint="paths are below the folder of the build, links out of it are not followed",
        )
    items = [item for _, found in chosen for item in found]
    if len(items) > 1 and not copy.target.endswith("/"):
        raise copy.instruction.refuse("several sources, and the target is no folder", hint="end it with /")
    result: dict[str, Item] = {}
    for item in items:
        result |= _place(copy, item, source, tree)
    return result


def _place(copy: Copy, item: Item, source: Source, tree: Tree) -> dict[str, Item]:
    there = tree.find(copy.target)
    is_folder = copy.target.endswith("/") or (there is not None and there.member.kind == "folder")
    if item.kind == "folder":
        inside = {posixpath.join(copy.target, each.path): each for each in source.walk(item.path)}
        return _check(copy, {copy.target.rstrip("/") or "/": item, **inside}, tree)
    if copy.extracts and (members := _read_archive(copy, item)) is not None:
        root = Item(path="", kind="folder", mode=0o755)
        return _check(copy, {copy.target.rstrip("/") or "/": root, **members}, tree)
    target = posixpath.join(copy.target, name_of(item)) if is_folder else copy.target
    return _check(copy, {target: item}, tree)


def _check(copy: Copy, placed: Mapping[str, Item], tree: Tree) -> dict[str, Item]:
    """What is placed, behind the links of the image; folders that it has are left as they are."""
    result = {}
    for parent in {parent for path in placed for parent in PurePosixPath(path).parents}:
        check_folder(copy.instruction, str(parent), tree)
    for path, item in placed.items():
        if PurePosixPath(path).name.startswith(".wh."):
            raise copy.instruction.refuse(f"{item.path}: a name that begins with .wh. can't be in an image")
        there = tree.find(path) if item.kind != "link" else tree.look(path)
        is_folder = there is not None and there.member.kind == "folder"
        if is_folder and item.kind == "folder":
            continue
        if is_folder or (there is not None and item.kind == "folder"):
            what = "a folder" if is_folder else "a file"
            raise copy.instruction.refuse(f"{path} is {what} in the image, and {item.path} is none")
        result[there.path if there is not None else tree.resolve(path)] = item
    return result


def check_folder(instruction: Instruction, path: str, tree: Tree) -> None:
    """Raise InputError where something else than a folder is in a folder's place."""
    there = tree.find(path)
    if there is not None and there.member.kind != "folder":
        raise instruction.refuse(f"{path} is a file in the image, and no folder", hint="name another target")


def _read_archive(copy: Copy, item: Item) -> dict[str, Item] | None:
    """What a tar holds, by its place in the image; None for what is none."""
    assert item.open is not None
    try:
        with item.open() as file, tarfile.open(fileobj=file) as archive:
            members = list(archive)
    except (tarfile.TarError, EOFError, OSError):
        return None
    found = {}
    for member in members:
        check_member(PurePosixPath(member.name))
        name = member.name.removeprefix("./").strip("/")
        if name and name != ".":
            found[posixpath.join(copy.target, name)] = _as_item(copy, item, member)
    return found


def _as_item(copy: Copy, archive: Item, member: tarfile.TarInfo) -> Item:
    common = {"path": member.name, "mode": member.mode & 0o7777, "uid": member.uid, "gid": member.gid}
    if member.isdir():
        return Item(kind="folder", **common)  # type: ignore[arg-type]
    if member.issym():
        return Item(kind="link", target=member.linkname, **common)  # type: ignore[arg-type]
    if member.isreg() or member.islnk():
        return Item(kind="file", size=_size(archive, member), open=lambda: _open_member(archive, member), **common)  # type: ignore[arg-type]
    raise copy.instruction.refuse(f"{archive.path} holds {member.name}, which is no file, folder or link")


def _size(archive: Item, member: tarfile.TarInfo) -> int:
    return member.size if member.isreg() else len(_open_member(archive, member).read())


def _open_member(archive: Item, member: tarfile.TarInfo) -> IO[bytes]:
    assert archive.open is not None
    with archive.open() as file, tarfile.open(fileobj=file) as opened:
        found = opened.extractfile(member)
        if found is None:
            raise EngineError(f"{archive.path}: {member.name} links to what is no file", hint="make the archive again")
        return io.BytesIO(found.read())


def write_items(path: Path, items: Mapping[str, Item], tree: Tree, *, owner: tuple[int, int] | None = None) -> Layer:
    """Write a layer of items by their path, and of the folders above them that the image has not got."""
    above = {parent for name in items for parent in PurePosixPath(name).parents}
    made = {str(each): Item(path="", kind="folder", mode=0o755) for each in above if tree.find(str(each)) is None}
    made.pop("/", None)
    with path.open("wb") as file, new_tar(file) as archive:
        for name, item in sorted({**made, **items}.items()):
            _add(archive, name, replace(item, uid=owner[0], gid=owner[1]) if owner else item)
    return Layer(path, digest_file(path))


def _add(archive: tarfile.TarFile, name: str, item: Item) -> None:
    member = tarfile.TarInfo(name.strip("/"))
    member.type = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "link": tarfile.SYMTYPE}[item.kind]
    member.mode, member.uid, member.gid = item.mode, item.uid, item.gid
    member.mtime, member.linkname = MTIME, item.target
    if item.kind != "file":
        archive.addfile(member)
        return
    assert item.open is not None
    member.size = item.size
    with item.open() as content:
        archive.addfile(member, content)


def with_mode(items: Mapping[str, Item], mode: int | None) -> dict[str, Item]:
    """The items with the mode of --chmod, where there is one; links have none of their own."""
    return {
        name: item if mode is None or item.kind == "link" else replace(item, mode=mode) for name, item in items.items()
    }


@dataclass(frozen=True)
class Owners:
    """The users and groups of an image, by name."""

    read: ReadText = field(repr=False)

    def find(self, instruction: Instruction, text: str) -> tuple[int, int]:
        """The numbers of `user[:group]`; a user alone has the group of the same number, as Docker has it."""
        user, colon, group = text.partition(":")
        uid = self._number(instruction, user, "/etc/passwd")
        return uid, self._number(instruction, group, "/etc/group") if colon else uid

    def _number(self, instruction: Instruction, name: str, file: str) -> int:
        if name.isdigit():
            return int(name)
        for fields in self._lines(file):
            if len(fields) > 2 and fields[0] == name and fields[2].isdigit():
                return int(fields[2])
        raise instruction.refuse(f"--chown: the image's {file} has no {name!r}", hint="write a number")

    def _lines(self, file: str) -> Iterator[list[str]]:
        return (line.split(":") for line in self.read(file).splitlines())
