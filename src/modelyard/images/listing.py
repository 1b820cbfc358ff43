"""What a layer holds, member by member, read once from its tar: nothing is unpacked."""

import gzip
import hashlib
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from modelyard.errors import EngineError

Kind = Literal["file", "folder", "link", "hard link", "other"]
_KINDS: dict[bytes, Kind] = {
    **dict.fromkeys((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE), "file"),
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.LNKTYPE: "hard link",
}
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BLOCK = 1 << 20
_BROKEN = (tarfile.TarError, gzip.BadGzipFile, EOFError, lzma.LZMAError, zlib.error)


@dataclass(frozen=True, kw_only=True)
class Member:
    """One member of a layer. `name` has no slash at its ends; `offset` is where its content is, uncompressed."""

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    target: str
    """Of a link, what it names; else empty."""
    offset: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The members of a layer, in the order of its tar; `diff_id` is its digest, uncompressed."""

    diff_id: str
    members: Sequence[Member]

    def to_json(self) -> dict[str, Any]:
        """What is kept of it."""
        return {"diff_id": self.diff_id, "members": [list(vars(each).values()) for each in self.members]}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Listing":
        """What was kept."""
        names = tuple(Member.__annotations__)
        members = [Member(**dict(zip(names, values, strict=True))) for values in kept["members"]]
        return cls(diff_id=kept["diff_id"], members=members)


def read_listing(path: Path, name: str) -> Listing:
    """Read the layer at `path`, compressed or not; raise EngineError, which calls it `name`, if it is broken."""
    with opened_layer(path, name) as stream:
        hashing = _HashingReader(stream)
        with tarfile.open(fileobj=hashing, mode="r|") as archive:  # type: ignore[call-overload]  # it only reads
            members = [_describe(member) for member in archive]
        while hashing.read(_BLOCK):
            pass
    return Listing(diff_id=f"sha256:{hashing.digest.hexdigest()}", members=members)


def read_content(path: Path, name: str, member: Member) -> bytes:
    """The content of one file of a layer."""
    with opened_layer(path, name) as stream:
        stream.seek(member.offset)
        return stream.read(member.size)


@contextmanager
def opened_layer(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A layer to read, uncompressed; what breaks inside is an EngineError that calls it `name`."""
    with path.open("rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic == _ZSTD:
            raise EngineError(
                f"{name} is compressed with zstd, which is not read here",
                hint="skopeo copy --dest-compress-format gzip docker://IMAGE oci:DIR makes one that is: name oci:DIR",
            )
        try:
            yield gzip.GzipFile(fileobj=file) if magic[:2] == _GZIP else file  # type: ignore[misc]  # both read and seek
        except _BROKEN as error:
            what = "not all of a gzip" if magic[:2] == _GZIP else "neither gzip nor tar"
            raise EngineError(
                f"{name} is {what}: {str(error) or type(error).__name__}",
                hint="the image is broken: name another, or copy it again",
            ) from None


def _describe(member: tarfile.TarInfo) -> Member:
    return Member(
        name=member.name.removeprefix("./").strip("/") if member.name != "." else "",
        kind=_KINDS.get(member.type, "other"),
        mode=member.mode & 0o7777,
        uid=member.uid,
        gid=member.gid,
        size=member.size if member.isreg() else 0,
        target=member.linkname if member.issym() or member.islnk() else "",
        offset=member.offset_data,
    )


class _HashingReader:
    """A file to read that digests what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self.digest.update(block)
        return block
