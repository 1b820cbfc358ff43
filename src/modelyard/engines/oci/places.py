"""Where images are copied from and to: a registry, an OCI layout, or an archive of one; all pass through one layout.

host/name:tag        a registry
oci:DIR[:NAME]       an OCI image layout
oci-archive:FILE     a tar of one
docker-archive:FILE  what `docker save` writes and `docker load` reads
"""

import fcntl
import glob
import gzip
import io
import json
import lzma
import os
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from modelyard.engines.oci.address import Address, parse_address
from modelyard.engines.oci.layout import CONFIG, NAME, Descriptor, Layout, read_index
from modelyard.engines.oci.registry import MANIFEST, Registry
from modelyard.engines.oci.transfer import OnTransfer, Sent, pick, pull, push
from modelyard.errors import EngineError, InputError
from modelyard.images.layer import digest_file

ARCHIVES = ("oci-archive", "docker-archive")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A file or folder of this machine that holds images; `name` is one of them."""

    kind: str
    """`oci`, `oci-archive` or `docker-archive`."""
    path: Path
    name: str | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}{f':{self.name}' if self.name else ''}"


def parse_place(text: str, folder: Path) -> Address | Place:
    """Parse where an image is; paths are relative to `folder`. Raises InputError.

    >>> str(parse_place("oci:out:v1", Path("/w")))
    'oci:/w/out:v1'
    """
    kind, colon, rest = text.partition(":")
    if colon and kind in ("oci", *ARCHIVES):
        path, _, name = rest.partition(":")
        if not path:
            raise InputError(f"{text!r} names no {'folder' if kind == 'oci' else 'file'}", hint=f"write {kind}:PATH")
        return Place(kind=kind, path=(folder / path).absolute(), name=name or None)
    return parse_address(text)


def take(
    place: Address | Place,
    layout: Layout,
    registry: Registry,
    *,
    platforms: Iterable[str] = (),
    on_transfer: OnTransfer | None = None,
) -> dict[str, Any]:
    """Bring an image into a layout, and return its descriptor there."""
    if isinstance(place, Address):
        return pull(registry, place, layout, platforms=platforms, on_transfer=on_transfer)
    return dict(pick(layout, _take_file(place, layout), platforms, str(place)))


def _take_file(place: Place, layout: Layout) -> Descriptor:
    if place.kind == "oci":
        other = Layout(place.path)
        return carry(other, _choose(other.index, place), layout)
    with _opened_archive(place) as archive:
        names = {member.name.removeprefix("./") for member in archive if member.isfile() or member.islnk()}
        if "index.json" in names and place.kind == "oci-archive":
            return _take_layout(archive, place, layout)
        if "manifest.json" in names:
            return _take_saved(archive, place, layout)
    raise EngineError(f"{place.path}: neither an OCI layout nor what docker save writes", hint="name another file")


def put(
    layout: Layout,
    top: Descriptor,
    place: Address | Place,
    registry: Registry,
    *,
    mounts: Iterable[str] = (),
    on_transfer: OnTransfer | None = None,
) -> Sent:
    """Put an image of a layout somewhere; what is there already is not written again."""
    if isinstance(place, Address):
        return push(layout, top, registry, place, mounts=mounts, on_transfer=on_transfer)
    if place.kind == "oci":
        other = Layout(place.path)
        other.tag(carry(layout, top, other), place.name or "latest")
        return Sent(digest=top["digest"], tags=(place.name or "latest",))
    _write_archive(layout, top, place)
    return Sent(digest=top["digest"], tags=(place.name,) if place.name else ())


def carry(source: Layout, top: Descriptor, target: Layout) -> dict[str, Any]:
    """Copy what an image needs from one layout to another, each blob whole or not at all."""

    def copy_from(digest: str) -> Callable[[Path], None]:
        def copy(part: Path) -> None:
            shutil.copyfile(source.path(digest), part)
            check_content(part, digest)

        return copy

    for each in source.walk(top):
        target.fetch(each["digest"], copy_from(each["digest"]))
    return {key: value for key, value in top.items() if key != "annotations"}


def _choose(index: list[dict[str, Any]], place: Place) -> dict[str, Any]:
    names = {str((each.get("annotations") or {}).get(NAME) or each["digest"]): each for each in index}
    if place.name is not None and place.name in names:
        return names[place.name]
    if place.name is None and len(index) == 1:
        return index[0]
    what = f"no image {place.name!r}" if place.name else f"{len(index)} images"
    raise EngineError(f"{place.path} holds {what}", hint=f"name one: {', '.join(sorted(names)) or 'it is empty'}")


def check_content(path: Path, digest: str) -> None:
    if (found := digest_file(path)) != digest:
        path.unlink()
        raise EngineError(
            f"the blob {digest} has the content of {found}: nothing was kept", hint="copy the image again"
        )


@contextmanager
def _opened_archive(place: Place) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(place.path) as archive:
            yield archive
    except FileNotFoundError:
        raise EngineError(f"{place.path}: there is no such file", hint="name another") from None
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = str(error).partition("\n")[0]
        raise EngineError(
            f"{place.path}: no tar archive, or not all of one: {reason}", hint="write it again, or name another file"
        ) from None


def _member(archive: tarfile.TarFile, name: str, place: Place) -> IO[bytes]:
    for spelt in (name, f"./{name}"):
        try:
            file = archive.extractfile(spelt)
        except KeyError:
            continue
        if file is not None:
            return file
    raise EngineError(f"{place.path}: it names {name}, but does not hold it", hint="write the archive again")


def _take_layout(archive: tarfile.TarFile, place: Place, layout: Layout) -> dict[str, Any]:
    top = _choose(read_index(_member(archive, "index.json", place).read(), place.path), place)

    def bring(descriptor: Mapping[str, Any]) -> None:
        digest = str(descriptor["digest"])
        with _member(archive, f"blobs/{digest.replace(':', '/')}", place) as file:
            layout.fetch(digest, lambda part: _extract(file, part, digest))
        if "manifest" in descriptor["mediaType"] or "index" in descriptor["mediaType"]:
            document = layout.read_manifest(descriptor).document
            config = [document["config"]] if "config" in document else []
            for child in (*document.get("manifests", ()), *config, *document.get("layers", ())):
                bring(child)

    bring(top)
    return {key: value for key, value in top.items() if key != "annotations"}


def _extract(file: IO[bytes], part: Path, digest: str) -> None:
    with part.open("wb") as target:
        shutil.copyfileobj(file, target)
    check_content(part, digest)


def _take_saved(archive: tarfile.TarFile, place: Place, layout: Layout) -> dict[str, Any]:
    """Make an image of what `docker save` wrote: its layers are compressed once."""
    saved = _read_saved(_member(archive, "manifest.json", place).read(), place)
    matches = [each for each in saved if place.name in (None, *(each.get("RepoTags") or ()))]
    if len(matches) != 1:
        known = ", ".join(tag for each in saved for tag in each.get("RepoTags") or ())
        raise EngineError(
            f"{place.path} holds {len(matches)} such images", hint=f"name one: {known or 'none has a name'}"
        )
    config = _member(archive, matches[0]["Config"], place).read()
    layers = []
    for diff_id, name in zip(_diff_ids(config, place, matches[0]["Layers"]), matches[0]["Layers"], strict=True):
        with layout.scratch(diff_id) as part:
            with _member(archive, name, place) as file:
                _write_uncompressed(file, part)
            if (found := digest_file(part)) != diff_id:
                raise EngineError(f"{place.path}: the layer {diff_id} has the content of {found}")
            layers.append(layout.compress(part, diff_id))
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.write(config, CONFIG),
        "layers": layers,
    }
    return layout.write_json(document, MANIFEST)


def _read_saved(content: bytes, place: Place) -> list[dict[str, Any]]:
    """The images that a manifest.json of `docker save` names."""
    try:
        saved = [dict(each) for each in json.loads(content)]
        if all(isinstance(each["Config"], str) and isinstance(each["Layers"], list) for each in saved):
            return saved
    except (ValueError, RecursionError, KeyError, TypeError):
        pass
    raise EngineError(f"{place.path}: its manifest.json is none of docker save's", hint="write the archive again")


def _diff_ids(config: bytes, place: Place, layers: list[str]) -> list[str]:
    """What the configuration of an image says of its layers."""
    try:
        found = [str(each) for each in json.loads(config)["rootfs"]["diff_ids"]]
    except (ValueError, RecursionError, KeyError, TypeError):
        found = []
    if len(found) != len(layers):
        raise EngineError(f"{place.path}: its image has other layers than it says", hint="write the archive again")
    return found


def _write_uncompressed(file: IO[bytes], part: Path) -> None:
    magic = file.read(2)
    file.seek(0)
    with part.open("wb") as target:
        shutil.copyfileobj(gzip.GzipFile(fileobj=file) if magic == b"\x1f\x8b" else file, target)


def _write_archive(layout: Layout, top: Descriptor, place: Place) -> None:
    """Write a tar of a layout with one image; docker load reads its manifest.json, others its index.json."""
    parts = {each["digest"]: each for each in layout.walk(top)}
    named = {**top, "annotations": {NAME: place.name}} if place.name else dict(top)
    files: dict[str, bytes | Path] = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [named]}, sort_keys=True).encode(),
    }
    if place.kind == "docker-archive":
        document = layout.read_manifest(top).document
        if "layers" not in document:
            raise EngineError(f"{place}: docker-archive holds one platform", hint="choose it: --platform linux/amd64")
        saved = {
            "Config": _blob(document["config"]["digest"]),
            "RepoTags": [place.name] if place.name else None,
            "Layers": [_blob(each["digest"]) for each in document["layers"]],
        }
        files["manifest.json"] = json.dumps([saved], sort_keys=True).encode()
    files |= {_blob(digest): layout.path(digest) for digest in parts}
    place.path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(place.path)
    part = place.path.with_name(f".{place.path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                for name, content in sorted(files.items()):
                    _add(archive, name, content)
        part.replace(place.path)
    finally:
        part.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what kills have left of an archive; not what another process is at, and has locked."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def _blob(digest: str) -> str:
    return str(PurePosixPath("blobs", *digest.split(":")))


def _add(archive: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    member = tarfile.TarInfo(name)
    if isinstance(content, bytes):
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
        return
    member.size = content.stat().st_size
    with content.open("rb") as file:
        archive.addfile(member, file)
