"""Base images: what others are made on top of, got into a layout once and read there, never run."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from modelyard.engines.oci.address import Address
from modelyard.engines.oci.connection import Connection
from modelyard.engines.oci.documents import parse_object
from modelyard.engines.oci.layout import CONFIG, LAYER, Descriptor, Layout
from modelyard.engines.oci.places import Place, parse_place, take
from modelyard.engines.oci.registry import Registry
from modelyard.engines.oci.transfer import OnTransfer, pick
from modelyard.errors import EngineError
from modelyard.images.base_python import read_interpreter
from modelyard.images.builder import BASE_IMAGE
from modelyard.images.configuration import Parent
from modelyard.images.interpreter import Interpreter
from modelyard.images.listing import Listing, opened_layer, read_content, read_listing
from modelyard.images.platforms import TargetPlatform
from modelyard.images.tree import Found, Tree, merge
from modelyard.machine.home import read_record, write_record
from modelyard.machine.output import OnOutput, discard

BASE = "io.modelyard.base"
"""The annotation of a descriptor in index.json that says which base, for which platform, it is."""
_STATE = "io.modelyard.base.state"
_OCI_TYPES = {
    "application/vnd.docker.container.image.v1+json": CONFIG,
    "application/vnd.docker.image.rootfs.diff.tar": LAYER.removesuffix("+gzip"),
    "application/vnd.docker.image.rootfs.diff.tar.gzip": LAYER,
}


@dataclass(frozen=True, kw_only=True)
class Base:
    """An image of a layout that others stand on."""

    reference: str
    platform: TargetPlatform
    descriptor: Descriptor
    """Its manifest's."""
    id: str
    """The digest of its configuration, which engines call it by."""
    document: Mapping[str, Any]
    """Its whole configuration."""
    layers: Sequence[Descriptor]
    """From the bottom up, with the media types of OCI."""
    layout: Layout

    @property
    def digest(self) -> str:
        """The digest of its manifest."""
        return str(self.descriptor["digest"])

    @property
    def config(self) -> Mapping[str, Any]:
        """What its configuration says of what runs in it: Env, Cmd, User, ..."""
        return self.document.get("config") or {}

    @property
    def variables(self) -> dict[str, str]:
        """Its environment."""
        return dict(line.partition("=")[::2] for line in self.config.get("Env") or ())

    @property
    def parent(self) -> Parent:
        """What the configuration of an image on top needs of it."""
        diff_ids = tuple(self.document["rootfs"]["diff_ids"])
        history = self.document.get("history") or ()
        if sum(not line.get("empty_layer") for line in history) != len(diff_ids):
            history = [{"created_by": "a layer of the image below"} for _ in diff_ids]
        return Parent(
            architecture=self.document.get("architecture") or self.platform.architecture,
            os=self.document.get("os") or self.platform.os,
            variant=self.document.get("variant") or "",
            config=self.config,
            diff_ids=diff_ids,
            history=history,
        )

    @cached_property
    def tree(self) -> Tree:
        """Its files, as `listings` tell."""
        return merge(self.listings)

    @cached_property
    def listings(self) -> Sequence[tuple[str, Listing]]:
        """What each layer holds, with its digest.

        Raises EngineError for a layer that is broken, or not the one that its configuration names.
        """
        listings = []
        for layer, diff_id in zip(self.layers, self.parent.diff_ids, strict=True):
            listing = _list_layer(self.layout, layer["digest"], self.reference)
            if listing.diff_id != diff_id:
                raise EngineError(
                    f"{self.reference}: the layer {layer['digest']} unpacks to {listing.diff_id}, not to {diff_id}",
                    hint="its configuration and its layers don't belong together: name another image",
                )
            listings.append((layer["digest"], listing))
        return listings

    def read(self, found: Found) -> bytes:
        """The content of a file of the tree."""
        name = f"{self.reference}: the layer {found.layer}"
        return read_content(self.layout.path(found.layer), name, found.member)

    def read_all(self, files: Sequence[Found]) -> dict[str, bytes]:
        """The contents of many files, by their path; each layer is read once."""
        contents = {}
        for layer in dict.fromkeys(found.layer for found in files):
            with opened_layer(self.layout.path(layer), f"{self.reference}: the layer {layer}") as stream:
                wanted = [found for found in files if found.layer == layer]
                for found in sorted(wanted, key=lambda each: each.member.offset):
                    stream.seek(found.member.offset)
                    contents[found.path] = stream.read(found.member.size)
        return contents

    @cached_property
    def interpreter(self) -> Interpreter:
        """Its Python, read once. Raises EngineError that says what was found where there is none that fits."""
        record = self.layout.root / "interpreters" / f"{self.digest.removeprefix('sha256:')}.json"
        known = read_record(record)
        if known is not None:
            return Interpreter(**known)
        found = read_interpreter(self.tree, self.read, self.variables, self.reference)
        if found.machine != self.platform.machine:
            raise EngineError(
                f"{self.reference} is said to be for {self.platform}, but its {found.path} is for {found.machine}",
                hint=f"{BASE_IMAGE} names another base image",
            )
        record.parent.mkdir(parents=True, exist_ok=True)
        write_record(record, asdict(found))
        return found


def open_base(
    reference: str,
    platform: TargetPlatform,
    environ: Mapping[str, str],
    layout: Layout,
    *,
    folder: Path | None = None,
    on_output: OnOutput = discard,
    on_transfer: OnTransfer | None = None,
) -> Base:
    """The image that `reference` names, got into the layout where it is missing.

    It is a tag or digest of the layout itself, else a place: host/name:tag, oci:DIR[:NAME], oci-archive:FILE[:NAME] or
    docker-archive:FILE[:NAME], below `folder`. A tag of a registry is asked for once, as engines do it: what it meant
    then is used until it is forgotten, with or without a network.
    """
    own = layout.find(reference)
    if own is not None:
        return read_base(layout, pick(layout, own, [str(platform)], reference), reference, platform)
    place = parse_place(reference, folder or Path.cwd())
    key, state = f"{place} {platform}", _state_of(place)
    known = _find_known(layout, key, state)
    if known is None:
        on_output(f"---> base image {reference}: get it for {platform}")
        known = _take(place, layout, platform, environ, on_transfer)
        _remember(layout, known, key, state)
    return read_base(layout, known, reference, platform)


def forget_bases(layout: Layout, is_kept: Callable[[Descriptor], bool] = lambda each: False) -> int:
    """Forget what was got as a base, so that `Layout.prune` frees what no image stands on; return how many."""
    with layout.changing() as index:
        left = [each for each in index if BASE not in (each.get("annotations") or {}) or is_kept(each)]
        count = len(index) - len(left)
        index[:] = left
    return count


def _take(
    place: Address | Place,
    layout: Layout,
    platform: TargetPlatform,
    environ: Mapping[str, str],
    on_transfer: OnTransfer | None,
) -> Descriptor:
    connection = Connection(environ)
    try:
        return take(place, layout, Registry(connection), platforms=[str(platform)], on_transfer=on_transfer)
    except EngineError as error:
        if isinstance(place, Address) and "could not" in error.message:
            hint = f"{error.hint or ''}; {BASE_IMAGE} names another: oci:DIR, oci-archive:FILE or docker-archive:FILE"
            raise EngineError(error.message, hint=hint.removeprefix("; ")) from error
        raise
    finally:
        connection.close()


def _state_of(place: Address | Place) -> str:
    """What changes when the file or folder of a place does."""
    if isinstance(place, Address):
        return ""
    path = place.path / "index.json" if place.kind == "oci" else place.path
    try:
        found = path.stat()
    except OSError:
        return "not there"
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ino}"


def _find_known(layout: Layout, key: str, state: str) -> Descriptor | None:
    """What was got as this base before, where all of it is still there."""
    for each in layout.index:
        notes = each.get("annotations") or {}
        if (notes.get(BASE), notes.get(_STATE)) == (key, state) and layout.has(each["digest"]):
            document = layout.read_manifest(each).document
            if all(layout.has(blob["digest"]) for blob in (document["config"], *document["layers"])):
                return each
    return None


def _remember(layout: Layout, found: Descriptor, key: str, state: str) -> None:
    with layout.changing() as index:
        index[:] = [each for each in index if (each.get("annotations") or {}).get(BASE) != key]
        index.append({**found, "annotations": {BASE: key, _STATE: state}})


def read_base(layout: Layout, found: Descriptor, reference: str, platform: TargetPlatform) -> Base:
    """An image that a layout has, to be called `reference` in errors. Raises EngineError for what is none."""
    manifest = layout.read_manifest(found).document
    if "config" not in manifest or "layers" not in manifest:
        raise EngineError(f"{reference}: no image, but {found['mediaType']}", hint="name another base image")
    config = parse_object(layout.read(manifest["config"]["digest"]), f"the configuration of {reference}")
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or len(diff_ids) != len(manifest["layers"]):
        raise EngineError(f"{reference}: its configuration names other layers than it has", hint="name another image")
    return Base(
        reference=reference,
        platform=platform,
        descriptor={key: found[key] for key in ("mediaType", "digest", "size")},
        id=manifest["config"]["digest"],
        document=config,
        layers=[_as_oci(each) for each in manifest["layers"]],
        layout=layout,
    )


def _as_oci(layer: Descriptor) -> Descriptor:
    media_type = _OCI_TYPES.get(layer["mediaType"], layer["mediaType"])
    return {"mediaType": media_type, "digest": layer["digest"], "size": layer["size"]}


def _list_layer(layout: Layout, digest: str, reference: str) -> Listing:
    """What a layer holds, read once."""
    record = layout.root / "listings" / f"{digest.removeprefix('sha256:')}.json"
    try:
        return Listing.from_json(json.loads(record.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError):
        pass  # none yet, or one that a kill or another version has left
    listing = read_listing(layout.path(digest), f"{reference}: the layer {digest}")
    record.parent.mkdir(parents=True, exist_ok=True)
    part = record.with_name(f".{record.name}.{os.getpid()}.part")
    part.write_text(json.dumps(listing.to_json(), separators=(",", ":")), encoding="utf-8")
    part.replace(record)
    return listing
