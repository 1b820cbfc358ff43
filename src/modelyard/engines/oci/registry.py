"""A registry by the OCI distribution specification: manifests, blobs, and transfers that go on after a cut.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from modelyard.engines.oci.address import DIGEST, Address
from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.documents import parse_document
from modelyard.engines.oci.refusals import CutError, RegistryError, attempts
from modelyard.errors import EngineError

if TYPE_CHECKING:
    from requests import Response

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFESTS = (
    *(MANIFEST, INDEX),
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
CHUNK = 16 << 20
"""Bytes of one request of an upload: what a cut costs at most."""
_BLOCK = 1 << 18
_LARGEST_MANIFEST = 4 << 20  # what registries take at most
_GIVEN_UP = frozenset({400, 404, 416})
_DAMAGED = "its store, or a proxy before it, is damaged: nothing was kept"

OnBytes = Callable[[int], None]
"""Takes the number of bytes that went over the wire since it was called last; below zero where they go again."""


def ignore(count: int) -> None:
    """Take a number of bytes and do nothing with it."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest or an index as it came: its bytes decide its digest."""

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """What it is called."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @cached_property
    def document(self) -> dict[str, Any]:
        """What it says."""
        return parse_document(self.content, f"the manifest {self.digest[:19]}")


@dataclass(frozen=True)
class Registry:
    """What can be asked of any registry, over one connection."""

    connection: Connection

    def get_manifest(self, address: Address) -> Manifest:
        """The manifest or index that an address names; raise RegistryError where there is none, or it is another."""
        answer = self._ask("GET", address, f"manifests/{address.reference}", headers={"Accept": ", ".join(MANIFESTS)})
        if len(answer.content) > _LARGEST_MANIFEST:
            raise RegistryError(f"{address}: a manifest of {len(answer.content)} bytes", hint="no image has such a one")
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        manifest = Manifest(content=answer.content, media_type=media_type)
        _check_digest(address, address.digest or answer.headers.get("Docker-Content-Digest"), manifest.digest)
        try:
            said = manifest.document.get("mediaType", media_type)
        except EngineError as error:
            raise RegistryError(
                f"{address}: what was answered is no manifest: {error.message}", hint="is it a registry?"
            ) from None
        return replace(manifest, media_type=str(said))

    def find_manifest(self, address: Address) -> str | None:
        """The digest of the manifest at an address, if there is one."""
        accepted = {"Accept": ", ".join(MANIFESTS)}
        answer = self._ask("HEAD", address, f"manifests/{address.reference}", headers=accepted, allowed={404})
        return answer.headers.get("Docker-Content-Digest") if answer.status_code == 200 else None

    def put_manifest(self, address: Address, manifest: Manifest) -> str:
        """Upload a manifest by its tag, else its digest; what it names has to be there. Returns its digest."""
        place = f"manifests/{address.tag or manifest.digest}"
        headers = {"Content-Type": manifest.media_type}
        answer = self._ask("PUT", address, place, headers=headers, body=manifest.content, writes=True)
        if not {"Location", "Docker-Content-Digest"} & {name.title() for name in answer.headers}:
            raise RegistryError(f"{address}: what was answered to its manifest says of none", hint="is it a registry?")
        _check_digest(address, answer.headers.get("Docker-Content-Digest"), manifest.digest)
        return manifest.digest

    def put_referrer(self, address: Address, manifest: Manifest) -> bool:
        """Upload a manifest that has a subject; False where the registry keeps no list of those itself."""
        headers = {"Content-Type": manifest.media_type}
        answer = self._ask(
            "PUT", address, f"manifests/{manifest.digest}", headers=headers, body=manifest.content, writes=True
        )
        return "OCI-Subject" in answer.headers

    def find_referrers(self, address: Address, digest: str) -> Manifest | None:
        """The registry's own list of what has a digest as its subject; None where it keeps none."""
        answer = self._ask("GET", address, f"referrers/{digest}", headers={"Accept": INDEX}, allowed=range(300, 500))
        media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if answer.status_code != 200 or media_type != INDEX:
            return None
        return Manifest(content=answer.content, media_type=INDEX)

    def has_blob(self, address: Address, digest: str) -> bool:
        """Whether the repository has a blob."""
        return self._ask("HEAD", address, f"blobs/{digest}", allowed={404}, writes=True).status_code == 200

    def list_tags(self, address: Address) -> Iterator[str]:
        """The tags of a repository, page by page."""
        place = "tags/list?n=1000"
        while place:
            answer = self._ask("GET", address, place)
            yield from _tags_of(answer)
            following = re.search(r"[?]([^>]*)>;\s*rel=\"?next", answer.headers.get("Link", ""))
            place = f"tags/list?{following[1]}" if following else ""

    def download(self, address: Address, digest: str, size: int, target: Path, on_bytes: OnBytes = ignore) -> None:
        """Download a blob to `target`, going on with what is there; raise RegistryError for another content."""
        counted = 0

        def count_to(place: int) -> None:
            nonlocal counted
            on_bytes(place - counted)
            counted = place

        for attempt in attempts(f"download {digest[:19]} of {address}"):
            with attempt:
                self._download_rest(address, digest, size, target, count_to)
                break
        with target.open("rb") as file:
            found = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        if found != digest:
            target.unlink()
            raise RegistryError(f"{address}: the registry delivered {found} for the blob {digest}", hint=_DAMAGED)

    def upload(
        self, address: Address, digest: str, path: Path, *, mount: str | None = None, on_bytes: OnBytes = ignore
    ) -> bool:
        """Upload the file `path` as a blob, or have it mounted from the repository `mount`; True where that was done.

        What arrived before a cut is not sent again.
        """
        query = f"?{urlencode({'mount': digest, 'from': mount})}" if mount else ""
        answer = self._ask("POST", address, f"blobs/uploads/{query}", writes=True, mount=mount)
        if answer.status_code == 201:
            return True
        location, offset, size = _location(answer), 0, path.stat().st_size
        for attempt in attempts(f"upload {digest[:19]} to {address}"):
            with attempt:
                if attempt.number:
                    arrived, location = self._ask_progress(address, location)
                    on_bytes(arrived - offset)
                    offset = arrived
                while offset < size:
                    piece = _read_piece(path, offset)
                    location = self._send_piece(address, location, piece, offset)
                    offset += len(piece)
                    on_bytes(len(piece))
                closing = f"{location}{'&' if urlsplit(location).query else '?'}{urlencode({'digest': digest})}"
                self.connection.ask("PUT", address, closing, writes=True)
                break
        return False

    def _send_piece(self, address: Address, location: str, piece: bytes, offset: int) -> str:
        place = f"{offset}-{offset + len(piece) - 1}"
        headers = {"Content-Type": "application/octet-stream", "Content-Range": place}
        return _location(self.connection.ask("PATCH", address, location, headers=headers, body=piece, writes=True))

    def _ask_progress(self, address: Address, location: str) -> tuple[int, str]:
        """How many bytes of an upload have arrived, and where the rest is to be sent.

        Some registries give up an upload that was cut in the middle of a piece: then it begins anew.
        """
        answer = self.connection.ask("GET", address, location, writes=True, allowed=_GIVEN_UP)
        if answer.status_code in _GIVEN_UP:
            url = self._url(address, "blobs/uploads/")
            return 0, _location(self.connection.ask("POST", address, url, writes=True))
        # `0-0` is one byte or none, as it is written; pieces are larger than one byte.
        last = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("Range", "0-0"))
        return (int(last[1]) + 1 if last and int(last[1]) else 0), _location(answer)

    def _download_rest(self, address: Address, digest: str, size: int, target: Path, count_to: OnBytes) -> None:
        from urllib3.exceptions import HTTPError

        there = target.stat().st_size if target.exists() else 0
        if there == size:
            return count_to(size)
        headers = {"Range": f"bytes={there}-"} if 0 < there < size else {}
        url = self._url(address, f"blobs/{digest}")
        with self.connection.ask("GET", address, url, headers=headers, stream=True) as answer:
            with target.open("ab" if answer.status_code == 206 else "wb") as file:
                count_to(file.tell())
                try:
                    for block in answer.raw.stream(_BLOCK, decode_content=False):
                        file.write(block)
                        count_to(file.tell())
                        if file.tell() > size:
                            raise RegistryError(f"{address}: a blob is longer than the {size} bytes announced")
                except HTTPError as error:
                    raise CutError(f"the connection ended ({type(error).__name__})") from error
            if target.stat().st_size < size:
                raise CutError(f"it ended after {target.stat().st_size} of {size} bytes")

    def _ask(self, method: str, address: Address, place: str, **options: Any) -> "Response":
        """One request, made again a few times where the connection is cut or the registry is overloaded."""
        for attempt in attempts(f"{'push to' if options.get('writes') else 'pull'} {address}"):
            with attempt:
                return self.connection.ask(method, address, self._url(address, place), **options)
        raise AssertionError("the last attempt raises")

    def _url(self, address: Address, place: str) -> str:
        return f"{self.connection.base(address)}/v2/{address.name}/{place}"


def _read_piece(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(CHUNK)


def _location(answer: "Response") -> str:
    """Where an upload goes on: the registry may say it without its own name."""
    location = answer.headers.get("Location")
    if not location:
        raise RegistryError(f"{answer.url}: no Location for an upload", hint="is it a registry?")
    return urljoin(answer.url, location)


def _tags_of(answer: "Response") -> list[str]:
    try:
        return [str(tag) for tag in answer.json()["tags"] or ()]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise RegistryError(f"{answer.url}: what was answered is no list of tags", hint="is it a registry?") from None


def _check_digest(address: Address, expected: str | None, found: str) -> None:
    if expected is not None and re.fullmatch(DIGEST, expected) and expected != found:
        raise RegistryError(f"{address}: the registry delivered {found} for the manifest {expected}", hint=_DAMAGED)
