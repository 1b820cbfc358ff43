"""An image on top of one that the engine has: its configuration, and the archive that brings new layers.

The archive is that of `docker save` without the layers below, which the engine has already. Docker reads its
manifest.json (https://github.com/moby/docker-image-spec/blob/main/spec.md), Podman its index.json, because that names
layers by digest, so that those it has are not looked for
(https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.images.layer import Layer, read_blocks

EPOCH = "1970-01-01T00:00:00Z"
_BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Change:
    """What an image adds to the one below: layers with their `docker history`, variables, labels, a command.

    `known` are the digests of layers that the engine has, below the others.
    """

    layers: Sequence[tuple[str, Layer]]
    known: Sequence[tuple[str, str]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    command: Sequence[str] | None = None

    @property
    def title(self) -> str:
        """The last layer's line."""
        return self.digests[-1][0]

    @property
    def digests(self) -> list[tuple[str, str]]:
        """The line and the digest of each layer, from the bottom up."""
        return [*self.known, *((title, layer.digest) for title, layer in self.layers)]


def make_config(parent: Mapping[str, Any], history: Sequence[Mapping[str, Any]], change: Change) -> bytes:
    """The configuration of the image, in bytes: its digest is the image's id, so no clock and no host name is in it.

    `parent` and `history` are what the engine tells of the image below, `history` the newest first.
    """
    below = parent["Config"]
    diff_ids = list(parent["RootFS"]["Layers"])
    config = {
        "User": below.get("User", ""),
        "Env": merge_environment(below.get("Env") or (), change.environment),
        "Cmd": list(change.command) if change.command is not None else below.get("Cmd"),
        "Labels": {**(below.get("Labels") or {}), **change.labels},
        **{key: below[key] for key in _INHERITED if below.get(key)},
    }
    document = {
        "architecture": parent["Architecture"],
        "os": parent["Os"],
        "created": EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [*diff_ids, *(digest for _, digest in change.digests)]},
        "history": [
            *describe_layers(history, len(diff_ids)),
            *({"created": EPOCH, "created_by": title} for title, _ in change.digests),
        ],
    }
    if parent.get("Variant"):
        document["variant"] = parent["Variant"]
    return _encode(document)


_INHERITED = ("Entrypoint", "ExposedPorts", "Healthcheck", "OnBuild", "Shell", "StopSignal", "Volumes", "WorkingDir")


def merge_environment(below: Sequence[str], added: Mapping[str, str]) -> list[str]:
    """KEY=VALUE lines of an image: those below, with what is added in place of the same key or sorted at the end.

    >>> merge_environment(["PATH=/bin", "A=1"], {"B": "3", "A": "2"})
    ['PATH=/bin', 'A=2', 'B=3']
    """
    variables = dict(line.partition("=")[::2] for line in below)
    return [f"{key}={value}" for key, value in {**variables, **dict(sorted(added.items()))}.items()]


def describe_layers(history: Sequence[Mapping[str, Any]], layers: int) -> list[dict[str, Any]]:
    """The history of a configuration, oldest first, of what the engine's history call tells.

    That call does not tell which entries made no layer: the engine counts the others, and refuses a wrong number.
    """
    entries = [
        {"created": EPOCH, "created_by": entry.get("CreatedBy", ""), "comment": entry.get("Comment", "")}
        for entry in reversed(history)
    ]
    filled = [bool(entry.get("Size")) for entry in reversed(history)]
    for index, entry in enumerate(entries):
        if sum(filled) < layers and not filled[index] and not _only_sets_values(entry["created_by"]):
            filled[index] = True
    if sum(filled) != layers:
        return [{"created": EPOCH, "created_by": "a layer of the image below"} for _ in range(layers)]
    return [
        entry if has_layer else {**entry, "empty_layer": True} for entry, has_layer in zip(entries, filled, strict=True)
    ]


def _only_sets_values(created_by: str) -> bool:
    words = created_by.replace("/bin/sh -c #(nop)", "").split()
    return bool(words) and _VALUES.fullmatch(words[0]) is not None


_VALUES = re.compile("ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME")


def stream_archive(config: bytes, change: Change) -> Iterator[bytes]:
    """The archive to load: the configuration, the new layers, and the manifests that join them."""
    sizes = {layer.digest: layer.size for _, layer in change.layers}
    digests = json.loads(config)["rootfs"]["diff_ids"]
    layers = [_describe("image.rootfs.diff.tar", digest, sizes.get(digest, 0)) for digest in digests]
    manifest = _encode(
        {
            "schemaVersion": 2,
            "mediaType": f"{_DOCKER}.distribution.manifest.v2+json",
            "config": _describe("container.image.v1+json", image_id(config), len(config)),
            "layers": layers,
        }
    )
    index = [_describe("distribution.manifest.v2+json", image_id(manifest), len(manifest))]
    saved = [{"Config": _blob(image_id(config)), "RepoTags": None, "Layers": [*map(_blob, digests)]}]
    yield from _member("oci-layout", _encode({"imageLayoutVersion": "1.0.0"}))
    yield from _member("index.json", _encode({"schemaVersion": 2, "manifests": index}))
    yield from _member("manifest.json", _encode(saved))
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


def _encode(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def image_id(config: bytes) -> str:
    """The id of the image that has this configuration."""
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


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
