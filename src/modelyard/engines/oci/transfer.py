"""Copy images between layouts and registries: what is there is not sent again, blobs go side by side."""

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from modelyard.engines.oci.address import Address
from modelyard.engines.oci.layout import Descriptor, Layout, find_platforms
from modelyard.engines.oci.registry import Manifest, Registry
from modelyard.errors import EngineError

_PARALLEL = 4

OnTransfer = Callable[[int, int], None]
"""Takes the bytes that have gone over the wire so far, and those that will have in the end."""


@dataclass
class Sent:
    """What a transfer came to: the digest, and the bytes that went over the wire, were mounted, were there before."""

    digest: str = ""
    sent: int = 0
    mounted: int = 0
    known: int = 0
    tags: tuple[str, ...] = ()
    _lock: Lock = field(default_factory=Lock, repr=False)


def push(
    layout: Layout,
    top: Descriptor,
    registry: Registry,
    address: Address,
    *,
    mounts: Iterable[str] = (),
    on_transfer: OnTransfer | None = None,
) -> Sent:
    """Send an image or an index to a registry: first what it needs, at last itself, by its tag.

    `mounts` are repositories of the same registry that may have its blobs. Nothing of it shows there until all is sent.
    """
    parts = list({each["digest"]: each for each in layout.walk(top)}.values())
    manifests = [each for each in parts if _is_manifest(each)]
    blobs = [each for each in parts if not _is_manifest(each)]
    result = Sent(digest=top["digest"], tags=(address.tag,) if address.tag else ())
    if registry.find_manifest(address.at(top["digest"])) == top["digest"]:
        result.known = sum(each["size"] for each in blobs)
    else:
        _send_blobs(
            layout, blobs, registry, address, [name for name in mounts if name != address.name], result, on_transfer
        )
        for each in manifests[:-1]:
            registry.put_manifest(address.at(each["digest"]), layout.read_manifest(each))
    manifest = layout.read_manifest(top)
    if address.tag is None or registry.find_manifest(address) != top["digest"]:
        registry.put_manifest(address, manifest)
    return result


def _send_blobs(
    layout: Layout,
    blobs: list[Descriptor],
    registry: Registry,
    address: Address,
    mounts: list[str],
    result: Sent,
    on_transfer: OnTransfer | None,
) -> None:
    total = sum(each["size"] for each in blobs)

    def count(*, sent: int = 0, mounted: int = 0, known: int = 0) -> None:
        with result._lock:
            result.sent, result.mounted, result.known = (
                result.sent + sent,
                result.mounted + mounted,
                result.known + known,
            )
            if on_transfer is not None:
                on_transfer(result.sent, total - result.mounted - result.known)

    def send(blob: Descriptor) -> None:
        digest, size = blob["digest"], blob["size"]
        if registry.has_blob(address, digest):
            count(known=size)
            return
        mount = next((name for name in mounts if registry.has_blob(replace(address, name=name), digest)), None)
        if registry.upload(address, digest, layout.path(digest), mount=mount, on_bytes=lambda n: count(sent=n)):
            count(mounted=size)

    _side_by_side(send, blobs)


def pull(
    registry: Registry,
    address: Address,
    layout: Layout,
    *,
    platforms: Iterable[str] = (),
    on_transfer: OnTransfer | None = None,
) -> dict[str, Any]:
    """Get an image into a layout, of an index the given platforms alone (else all); return its descriptor."""
    manifest = registry.get_manifest(address)
    chosen = list(platforms)
    if chosen and "manifests" not in manifest.document:
        config, *_ = _blobs_of(manifest.document, address)
        layout.fetch(config["digest"], lambda part: registry.download(address, config["digest"], config["size"], part))
        _check_platform(layout, config, chosen, str(address))
    if "manifests" in manifest.document and len(chosen) == 1:
        manifest = registry.get_manifest(address.at(choose_platform(manifest, chosen[0], str(address))["digest"]))
    images = [manifest]
    if "manifests" in manifest.document:
        wanted = find_platforms(manifest.document["manifests"])
        keys = chosen or list(wanted)
        images = [
            registry.get_manifest(address.at(choose_platform(manifest, key, str(address))["digest"])) for key in keys
        ]
    blobs = {blob["digest"]: blob for image in images for blob in _blobs_of(image.document, address)}
    missing = [blob for digest, blob in blobs.items() if not layout.has(digest)]
    total, done, lock = sum(blob["size"] for blob in missing), 0, Lock()

    def count(number: int) -> None:
        nonlocal done
        with lock:
            done += number
            if on_transfer is not None:
                on_transfer(done, total)

    def get(blob: Descriptor) -> None:
        digest, size = blob["digest"], blob["size"]
        layout.fetch(digest, lambda part: registry.download(address, digest, size, part, on_bytes=count))

    _side_by_side(get, missing)
    for image in images:
        layout.write(image.content, image.media_type)
    return layout.write(manifest.content, manifest.media_type)


def pick(layout: Layout, top: Descriptor, platforms: Iterable[str], name: str) -> Descriptor:
    """What a layout has as `top`, of an index the one platform that is asked for; EngineError where it is not there."""
    manifest, wanted = layout.read_manifest(top), list(platforms)
    if "manifests" in manifest.document:
        found = [choose_platform(manifest, platform, name) for platform in wanted]
        return found[0] if len(found) == 1 else top
    if wanted:
        _check_platform(layout, manifest.document["config"], wanted, name)
    return top


def choose_platform(index: Manifest, platform: str, name: str) -> Descriptor:
    """The image of an index for a platform; raise EngineError that names those there are."""
    return _find_platform(find_platforms(index.document["manifests"]), platform, name)


def _check_platform(layout: Layout, config: Descriptor, platforms: Iterable[str], name: str) -> None:
    """Raise EngineError where a single image is for another platform than those."""
    found = find_platforms([{**config, "platform": json.loads(layout.read(config["digest"]))}])
    for platform in platforms:
        _find_platform(found, platform, name)


def _find_platform(found: Mapping[str, Descriptor], platform: str, name: str) -> Descriptor:
    matches = [each for key, each in found.items() if key == platform or key.startswith(f"{platform}/")]
    if not matches:
        raise EngineError(
            f"{name} has no image for {platform}", hint=f"it has {', '.join(sorted(found)) or 'none at all'}"
        )
    return matches[0]


def _blobs_of(document: Mapping[str, Any], address: Address) -> list[Descriptor]:
    if "config" not in document or "layers" not in document:
        raise EngineError(f"{address}: no image, but {document.get('mediaType', 'something else')}")
    return [document["config"], *document["layers"]]


def _is_manifest(descriptor: Descriptor) -> bool:
    return "manifest" in descriptor["mediaType"] or "index" in descriptor["mediaType"]


def _side_by_side(act: Callable[[Descriptor], None], blobs: Iterable[Descriptor]) -> None:
    """Act on each, some at the same time; the first failure ends what has not begun."""
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        for future in [pool.submit(act, blob) for blob in blobs]:
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
