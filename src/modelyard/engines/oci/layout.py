"""An OCI image layout on disk: blobs by their digest, and index.json, which says what they are called.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md

Everything is written to a temporary name and renamed, index.json under a lock: a reader sees a whole layout at any
moment, and so does whoever comes after a kill.
"""

import fcntl
import gzip
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from modelyard.engines.oci.address import DIGEST
from modelyard.engines.oci.documents import parse_document
from modelyard.engines.oci.registry import INDEX, MANIFEST, Manifest
from modelyard.errors import EngineError

NAME = "org.opencontainers.image.ref.name"
STORE_LOCK = "oci-store"
"""Of a home: shared by who adds blobs that nothing names yet, held alone by who removes those that nothing names."""
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
_VERSION = {"imageLayoutVersion": "1.0.0"}
_BLOCK = 1 << 20
_LEVEL = 4
"""6 takes twice the time for 3% less."""

Descriptor = Mapping[str, Any]
"""`mediaType`, `digest`, `size`, and perhaps `platform` and `annotations`."""


@dataclass(frozen=True)
class Layout:
    """The layout in the folder `root`, made where there is none."""

    root: Path

    @property
    def blobs(self) -> Path:
        """Where the blobs are."""
        return self.root / "blobs" / "sha256"

    def path(self, digest: str) -> Path:
        """Where a blob is, or will be; raise EngineError for what is no digest, and so could be any path."""
        if not re.fullmatch(DIGEST, digest):
            raise EngineError(f"{digest!r} is no sha256 digest", hint="the image that names it is broken or hostile")
        return self.blobs / digest.removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        """Whether a blob is there."""
        return self.path(digest).is_file()

    def read(self, digest: str) -> bytes:
        """The content of a small blob; raise EngineError where it is missing or another."""
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise EngineError(f"{self.root}: the blob {digest} is missing", hint="copy the image again") from None
        if digest_bytes(content) != digest:
            raise EngineError(f"{self.path(digest)}: its content is another", hint="remove it and copy the image again")
        return content

    def read_manifest(self, descriptor: Descriptor) -> Manifest:
        """The manifest or index of a descriptor."""
        return Manifest(content=self.read(descriptor["digest"]), media_type=descriptor["mediaType"])

    def write(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Keep a small blob; return its descriptor."""
        digest = digest_bytes(content)
        if not self.has(digest):
            with self._part(digest) as part:
                part.write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def write_json(self, document: object, media_type: str) -> dict[str, Any]:
        """Keep a document, in one spelling; return its descriptor."""
        return self.write(json.dumps(document, sort_keys=True, separators=(",", ":")).encode(), media_type)

    def fetch(self, digest: str, download: Callable[[Path], None]) -> Path:
        """The path of a blob; `download` gets it to a temporary file where it is missing, and checks it."""
        if not self.has(digest):
            self.blobs.mkdir(parents=True, exist_ok=True)
            part = self.blobs / f".{digest.removeprefix('sha256:')}.download"  # goes on after a kill
            with _locked(self.blobs / f".{digest.removeprefix('sha256:')}.lock"):
                if not self.has(digest):
                    download(part)
                    _settle(part, self.path(digest))
        return self.path(digest)

    def compress(self, layer: Path, diff_id: str) -> dict[str, Any]:
        """Keep a layer, compressed; return its descriptor. What was compressed once is found again by its diff id."""
        found = self.find_compressed(diff_id)
        if found is not None:
            return found
        note = self._note(diff_id)
        self.blobs.mkdir(parents=True, exist_ok=True)
        part = self.blobs / f".{diff_id.removeprefix('sha256:')}.{os.getpid()}.part"
        try:
            with layer.open("rb") as source, part.open("wb") as target:
                digest = compress(source, target)
            _settle(part, self.path(digest))
        finally:
            part.unlink(missing_ok=True)
        note.parent.mkdir(exist_ok=True)
        scratch = note.with_name(f".{note.name}.{os.getpid()}.part")
        scratch.write_text(digest)
        scratch.replace(note)
        return {"mediaType": LAYER, "digest": digest, "size": self.path(digest).stat().st_size}

    def find_compressed(self, diff_id: str) -> dict[str, Any] | None:
        """The descriptor of a layer that was compressed before, where that is still here."""
        note = self._note(diff_id)
        if note.is_file() and self.has(digest := note.read_text().strip()):
            return {"mediaType": LAYER, "digest": digest, "size": self.path(digest).stat().st_size}
        return None

    def _note(self, diff_id: str) -> Path:
        return self.root / "compressed" / diff_id.removeprefix("sha256:")

    # ---- names

    @property
    def index(self) -> list[dict[str, Any]]:
        """The descriptors of index.json, with their names in `annotations`."""
        try:
            content = (self.root / "index.json").read_bytes()
        except FileNotFoundError:
            return []
        return read_index(content, self.root / "index.json")

    def find(self, name: str) -> dict[str, Any] | None:
        """The descriptor of a name, or of a digest."""
        for descriptor in self.index:
            if name in (descriptor["digest"], (descriptor.get("annotations") or {}).get(NAME)):
                return descriptor
        return None

    def tag(self, descriptor: Descriptor, name: str) -> None:
        """Let `name` mean a manifest, whatever it meant before."""
        named = {**descriptor, "annotations": {**(descriptor.get("annotations") or {}), NAME: name}}
        with self.changing() as index:
            index[:] = [each for each in index if (each.get("annotations") or {}).get(NAME) != name]
            index.append(named)

    def untag(self, name: str) -> bool:
        """Forget a name; False where there was none."""
        with self.changing() as index:
            left = [each for each in index if (each.get("annotations") or {}).get(NAME) != name]
            was_there = len(left) < len(index)
            index[:] = left
        return was_there

    @contextmanager
    def changing(self) -> Iterator[list[dict[str, Any]]]:
        """Change the list of descriptors; nobody else does meanwhile, and it is written when the change is done."""
        self.root.mkdir(parents=True, exist_ok=True)
        with _locked(self.root / ".lock"):
            index = self.index
            yield index
            ordered = sorted(index, key=lambda each: (each.get("annotations") or {}).get(NAME, ""))
            _write_json(self.root / "oci-layout", _VERSION)
            _write_json(self.root / "index.json", {"schemaVersion": 2, "mediaType": INDEX, "manifests": ordered})

    # ---- what is kept

    def walk(self, descriptor: Descriptor) -> Iterator[Descriptor]:
        """A descriptor and all that it needs, what is needed before who needs it; what is missing is an error."""
        if descriptor["mediaType"] in (MANIFEST, INDEX) or "manifest" in descriptor["mediaType"]:
            document = self.read_manifest(descriptor).document
            config = [document["config"]] if "config" in document else []
            for child in (*document.get("manifests", ()), *config, *document.get("layers", ())):
                yield from self.walk(child)
        yield descriptor

    def free(self, descriptor: Descriptor) -> int:
        """Remove those blobs of an image that is named no more that nothing else needs; return their bytes."""
        freed = 0
        with _locked(self.root / ".lock"):
            kept = {each["digest"] for top in self.index for each in self.walk(top)}
            for digest in {each["digest"] for each in self.walk(descriptor)} - kept:
                freed += self.path(digest).stat().st_size
                self.path(digest).unlink()
        return freed

    def prune(self) -> int:
        """Remove blobs that nothing needs, and what kills have left; return their bytes."""
        freed = 0
        with _locked(self.root / ".lock"):
            kept = {self.path(each["digest"]) for top in self.index for each in self.walk(top)}
            for path in [*self.blobs.glob("*"), *self.blobs.glob(".*")]:
                if path.is_file() and path not in kept:
                    freed += path.stat().st_size
                    path.unlink()
            for note in (self.root / "compressed").glob("*"):
                if not self.has(note.read_text().strip()):
                    note.unlink()
        return freed

    def verify(self) -> list[str]:
        """What is wrong with it: blobs that are missing, or that are not what their names say."""
        wrong = []
        for top in self.index:
            try:
                found = [each["digest"] for each in self.walk(top)]
            except EngineError as error:
                wrong.append(error.message)
                continue
            wrong += [f"the blob {digest} is missing or damaged" for digest in found if not self._is_whole(digest)]
        return sorted(set(wrong))

    def _is_whole(self, digest: str) -> bool:
        try:
            with self.path(digest).open("rb") as file:
                return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == digest
        except FileNotFoundError:
            return False

    @contextmanager
    def scratch(self, diff_id: str) -> Iterator[Path]:
        """A file beside the blobs to make something in, gone afterwards."""
        self.blobs.mkdir(parents=True, exist_ok=True)
        part = self.blobs / f".{diff_id.removeprefix('sha256:')}.{os.getpid()}.scratch"
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _part(self, digest: str) -> Iterator[Path]:
        self.blobs.mkdir(parents=True, exist_ok=True)
        part = self.blobs / f".{digest.removeprefix('sha256:')}.{os.getpid()}.part"
        try:
            yield part
            _settle(part, self.path(digest))
        finally:
            part.unlink(missing_ok=True)


def compress(source: IO[bytes], target: IO[bytes]) -> str:
    """Write `source` to `target` as gzip without name and time, so that the same layer is the same blob; its digest."""
    hashed = _Hashing(target)
    with gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=hashed, mtime=0) as file:
        shutil.copyfileobj(source, file, _BLOCK)
    return f"sha256:{hashed.digest.hexdigest()}"


class _Hashing:
    """A file to write to that digests what it is given."""

    def __init__(self, file: IO[bytes]) -> None:
        self.digest = hashlib.sha256()
        self._file = file

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def read_index(content: bytes, path: Path) -> list[dict[str, Any]]:
    """The descriptors of an index.json; raise EngineError for what is none."""
    try:
        return list(parse_document(content, str(path))["manifests"])
    except (EngineError, KeyError):
        raise EngineError(f"{path}: no index of an OCI layout", hint="name another folder or file") from None


def digest_bytes(content: bytes) -> str:
    """The digest of a content, as images name it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def find_platforms(manifests: Sequence[Descriptor]) -> dict[str, Descriptor]:
    """The images of an index by platform (`linux/arm64`), without attestations, which have the platform `unknown`."""
    found = {}
    for descriptor in manifests:
        platform = descriptor.get("platform") or {}
        if platform.get("os", "unknown") != "unknown":
            parts = (platform["os"], platform.get("architecture", ""), platform.get("variant"))
            found["/".join(part for part in parts if part)] = descriptor
    return found


def _settle(part: Path, path: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _write_json(path: Path, document: object) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")), encoding="utf-8")
    _settle(part, path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
