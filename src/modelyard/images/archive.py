"""The archive that brings an engine an image: its configuration, and the layers that the engine has not got.

The archive is that of `docker save` without the layers below, which the engine has already. Docker reads its
manifest.json (https://github.com/moby/docker-image-spec/blob/main/spec.md), Podman its index.json, because that names
layers by digest, so that those it has are not looked for
(https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
"""

import json
import tarfile
from collections.abc import Iterator

from modelyard.images.configuration import Change, encode, image_id
from modelyard.images.layer import read_blocks

_BLOCK = 512


def stream_archive(config: bytes, change: Change) -> Iterator[bytes]:
    """The archive to load: the configuration, the new layers, and the manifests that join them."""
    sizes = {layer.digest: layer.size for _, layer in change.layers}
    digests = json.loads(config)["rootfs"]["diff_ids"]
    layers = [_describe("image.rootfs.diff.tar", digest, sizes.get(digest, 0)) for digest in digests]
    manifest = encode(
        {
            "schemaVersion": 2,
            "mediaType": f"{_DOCKER}.distribution.manifest.v2+json",
            "config": _describe("container.image.v1+json", image_id(config), len(config)),
            "layers": layers,
        }
    )
    index = [_describe("distribution.manifest.v2+json", image_id(manifest), len(manifest))]
    saved = [{"Config": _blob(image_id(config)), "RepoTags": None, "Layers": [*map(_blob, digests)]}]
    yield from _member("oci-layout", encode({"imageLayoutVersion": "1.0.0"}))
    yield from _member("index.json", encode({"schemaVersion": 2, "manifests": index}))
    yield from _member("manifest.json", encode(saved))
    for blob in (manifest, config):
        yield from _member(_blob(image_id(blob)), blob)
    for _, layer in change.layers:
        yield _header(_blob(layer.digest), layer.size)
        yield from read_blocks(layer.path)
        yield _padding(layer.size)
    yield bytes(2 * _BLOCK)


_DOCKER = "application/vnd.docker"


def _describe(kind: str, digest: str, size: int) -> dict[str, object]:
    """Docker's own kinds of content: in those of OCI there is no health check."""
    return {"mediaType": f"{_DOCKER}.{kind}", "digest": digest, "size": size}


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _member(name: str, content: bytes) -> Iterator[bytes]:
    yield _header(name, len(content))
    yield content
    yield _padding(len(content))


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf()


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
