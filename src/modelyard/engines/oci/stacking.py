"""Images of a layout on top of each other: layers compressed once, a configuration, a manifest."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from modelyard.engines.oci.bases import Base
from modelyard.engines.oci.layout import CONFIG, Descriptor, Layout
from modelyard.engines.oci.registry import MANIFEST
from modelyard.engines.oci.weights import write_weight
from modelyard.images.configuration import EPOCH, Change, Parent, image_id, make_config
from modelyard.images.layer import Layer

MOST_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class Stacked:
    """An image to stand on: what its configuration says, and its compressed layers from the bottom up."""

    id: str
    """The digest of its configuration, which engines call it by."""
    parent: Parent
    layers: Sequence[Descriptor]


def stand_on(base: Base) -> Stacked:
    """A base image to stand on; its history is what an engine would tell of it, so that the same image comes out."""
    parent = base.parent
    history = []
    for line in parent.history:
        entry = {"created": EPOCH, "created_by": line.get("created_by", ""), "comment": line.get("comment", "")}
        history.append({**entry, "empty_layer": True} if line.get("empty_layer") else entry)
    return Stacked(
        id=base.id,
        parent=Parent(
            architecture=parent.architecture,
            os=parent.os,
            variant=parent.variant,
            config=parent.config,
            diff_ids=parent.diff_ids,
            history=history,
        ),
        layers=base.layers,
    )


def stack(layout: Layout, below: Stacked, change: Change) -> tuple[Descriptor, Stacked]:
    """Put layers on an image of a layout; return the descriptor of the new one, and itself to stand on."""
    layers = [*below.layers, *_compress(layout, change)]
    content = make_config(below.parent, change)
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": layout.write(content, CONFIG),
        "layers": layers,
    }
    descriptor = layout.write_json(document, MANIFEST)
    return descriptor, Stacked(id=image_id(content), parent=_as_parent(json.loads(content)), layers=layers)


def read_stacked(layout: Layout, descriptor: Descriptor) -> Stacked:
    """An image of a layout to stand on."""
    document = layout.read_manifest(descriptor).document
    config = json.loads(layout.read(document["config"]["digest"]))
    return Stacked(id=document["config"]["digest"], parent=_as_parent(config), layers=document["layers"])


def _as_parent(config: dict[str, Any]) -> Parent:
    return Parent(
        architecture=config["architecture"],
        os=config["os"],
        variant=config.get("variant", ""),
        config=config["config"],
        diff_ids=config["rootfs"]["diff_ids"],
        history=config["history"],
    )


def _compress(layout: Layout, change: Change) -> list[dict[str, Any]]:
    """The descriptors of a change's layers, compressed side by side where that was never done before."""
    layers = {layer.digest: layer for _, layer in change.layers}

    def compress(layer: Layer) -> dict[str, Any]:
        descriptor = layout.compress(layer.path, layer.digest)
        if layer.path.is_file():
            write_weight(layout, descriptor["digest"], layer.size)
        return descriptor

    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_WORKERS)) as pool:
        found = dict(zip(layers, pool.map(compress, layers.values()), strict=True))
    return [found[layer.digest] for _, layer in change.layers]
