"""The files of an image: its layers on top of each other, with what each removes of those below.

https://github.com/opencontainers/image-spec/blob/main/layer.md#applying-changesets
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from modelyard.errors import EngineError
from modelyard.images.layer import check_member
from modelyard.images.listing import Listing, Member

ROOT = Member(name="", kind="folder", mode=0o755, uid=0, gid=0, size=0, target="", offset=0)
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_MOST_LINKS = 40  # as Linux has it


@dataclass
class _Node:
    member: Member
    layer: str
    below: "dict[str, _Node]" = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Found:
    """What is at a path: `path` has no link in it any more, `layer` is the digest of the layer that holds it."""

    path: str
    member: Member
    layer: str


class Tree:
    """The merged files of an image's layers."""

    def __init__(self) -> None:
        self._root = _Node(ROOT, "")

    def find(self, path: str) -> Found | None:
        """What a path leads to, links followed as in the image; None where that is nothing."""
        return self._found(path, follow=True)

    def look(self, path: str) -> Found | None:
        """What is at a path itself, be it a link."""
        return self._found(path, follow=False)

    def resolve(self, path: str) -> str:
        """Where something with this path comes to lie: no folder on the way to it is a link."""
        return self._walk(path, follow=False)[0]

    def walk(self) -> Iterator[Found]:
        """All there is, sorted by path, folders before what is in them."""
        yield from _walk_below(self._root, "")

    def add(self, listing: Listing, layer: str) -> None:
        """Put a layer on top. Raises EngineError for members that leave the image, or link to what is not there."""
        for member in listing.members:
            check_member(PurePosixPath(member.name))
        # What a layer removes is of the layers below, wherever in the tar it says so.
        for member in listing.members:
            self._remove(PurePosixPath(member.name))
        for member in listing.members:
            if not PurePosixPath(member.name).name.startswith(_WHITEOUT):
                self._put(member, layer)

    def _remove(self, name: PurePosixPath) -> None:
        if not name.name.startswith(_WHITEOUT):
            return
        _, folder = self._walk(str(name.parent), follow=True)
        if folder is not None and name.name == _OPAQUE:
            folder.below.clear()
        elif folder is not None:
            folder.below.pop(name.name.removeprefix(_WHITEOUT), None)

    def _put(self, member: Member, layer: str) -> None:
        if not member.name:
            self._root.member = member
            return
        path = PurePosixPath(member.name)
        place, _ = self._walk(member.name, follow=False)
        folder = self._make_folders(PurePosixPath(place).parent, layer)
        before = folder.below.get(path.name)
        keeps = before is not None and before.member.kind == "folder" and member.kind == "folder"
        below = before.below if before is not None and keeps else {}
        node = _Node(member, layer, below)
        if member.kind == "hard link":
            node = self._linked(member, layer)
        folder.below[path.name] = node

    def _linked(self, member: Member, layer: str) -> _Node:
        _, target = self._walk(member.target, follow=False)
        if target is None or target.member.kind == "folder":
            raise EngineError(
                f"the layer {layer} links {member.name} to {member.target}, which it does not hold",
                hint="the image is broken: name another, or make it again",
            )
        return _Node(replace(target.member, name=member.name), target.layer)

    def _make_folders(self, path: PurePosixPath, layer: str) -> _Node:
        node = self._root
        for depth, part in enumerate(path.parts[1:], 2):
            following = node.below.get(part)
            if following is None or following.member.kind != "folder":
                name = "/".join(path.parts[1:depth])
                following = node.below[part] = _Node(replace(ROOT, name=name), layer)
            node = following
        return node

    def _found(self, path: str, *, follow: bool) -> Found | None:
        place, node = self._walk(path, follow=follow)
        return None if node is None else Found(path=place, member=node.member, layer=node.layer)

    def _walk(self, path: str, *, follow: bool) -> tuple[str, _Node | None]:
        """Where a path leads, with no link in it, and what is there; the last part is followed with `follow`."""
        nodes: list[tuple[str, _Node | None]] = [("", self._root)]
        todo, links = list(reversed(_parts(path))), 0
        while todo:
            part = todo.pop()
            if part == "..":
                nodes = nodes[:-1] or nodes
                continue
            parent = nodes[-1][1]
            node = parent.below.get(part) if parent is not None else None
            if node is not None and node.member.kind == "link" and (todo or follow):
                links += 1
                if links > _MOST_LINKS:
                    return path, None
                nodes = nodes[:1] if node.member.target.startswith("/") else nodes
                todo.extend(reversed(_parts(node.member.target)))
                continue
            nodes.append((part, node))
        return "/" + "/".join(name for name, _ in nodes[1:]), nodes[-1][1]


def merge(layers: Iterable[tuple[str, Listing]]) -> Tree:
    """The files of layers, each with its digest, from the bottom up."""
    tree = Tree()
    for digest, listing in layers:
        tree.add(listing, digest)
    return tree


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _walk_below(node: _Node, place: str) -> Iterator[Found]:
    for name, child in sorted(node.below.items()):
        path = f"{place}/{name}"
        yield Found(path=path, member=child.member, layer=child.layer)
        yield from _walk_below(child, path)
