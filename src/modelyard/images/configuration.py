"""The configuration of an image on top of another: what it inherits, what it adds, and the id that this gives it.

https://github.com/opencontainers/image-spec/blob/main/config.md, and Docker's own fields beside it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.images.layer import Layer

EPOCH = "1970-01-01T00:00:00Z"
_INHERITED = ("Entrypoint", "ExposedPorts", "Healthcheck", "OnBuild", "Shell", "StopSignal", "Volumes", "WorkingDir")


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The image below, wherever that was read: in an engine, a layout or a registry.

    `config` has the fields of a configuration's `config`; `diff_ids` are its layers and `history` its lines, each from
    the bottom up.
    """

    architecture: str
    os: str
    variant: str = ""
    config: Mapping[str, Any]
    diff_ids: Sequence[str]
    history: Sequence[Mapping[str, Any]]


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
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the configuration, such as `User`, in place of those below."""

    @property
    def title(self) -> str:
        """The last layer's line."""
        return self.digests[-1][0]

    @property
    def digests(self) -> list[tuple[str, str]]:
        """The line and the digest of each layer, from the bottom up."""
        return [*self.known, *((title, layer.digest) for title, layer in self.layers)]


def make_config(parent: Parent, change: Change) -> bytes:
    """The configuration of the image, in bytes: its digest is the image's id, so no clock and no host name is in it."""
    below = parent.config
    config = {
        "User": below.get("User", ""),
        "Env": merge_environment(below.get("Env") or (), change.environment),
        "Cmd": list(change.command) if change.command is not None else below.get("Cmd"),
        "Labels": {**(below.get("Labels") or {}), **change.labels},
        **{key: below[key] for key in _INHERITED if below.get(key)},
        **change.settings,
    }
    document = {
        "architecture": parent.architecture,
        "os": parent.os,
        "created": EPOCH,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [*parent.diff_ids, *(digest for _, digest in change.digests)]},
        "history": [
            *map(_without_nothing, parent.history),
            *({"created": EPOCH, "created_by": title} for title, _ in change.digests),
        ],
    }
    if parent.variant:
        document["variant"] = parent.variant
    return encode(document)


def _without_nothing(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of history without the comment that it has not got: engines tell an empty one."""
    return {key: value for key, value in line.items() if (key, value) != ("comment", "")}


def merge_environment(below: Sequence[str], added: Mapping[str, str]) -> list[str]:
    """KEY=VALUE lines of an image: those below, with what is added in place of the same key or sorted at the end.

    >>> merge_environment(["PATH=/bin", "A=1"], {"B": "3", "A": "2"})
    ['PATH=/bin', 'A=2', 'B=3']
    """
    variables = dict(line.partition("=")[::2] for line in below)
    return [f"{key}={value}" for key, value in {**variables, **dict(sorted(added.items()))}.items()]


def image_id(config: bytes) -> str:
    """The id of the image that has this configuration."""
    return f"sha256:{hashlib.sha256(config).hexdigest()}"


def encode(document: object) -> bytes:
    """JSON that is the same bytes for the same content."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
