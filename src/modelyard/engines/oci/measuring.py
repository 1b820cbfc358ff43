"""The bill of an image of a layout: its layers by its history, its packages by the files that these hold."""

import tarfile
from collections.abc import Iterator, Mapping
from typing import Any

from modelyard.engines.oci.images import OciImages
from modelyard.engines.oci.layout import Descriptor, Layout
from modelyard.engines.oci.weights import weigh_layer
from modelyard.engines.protocols import Image
from modelyard.images.bill import Bill, LayerSize, bill_packages, is_record
from modelyard.images.builder import ENVIRONMENTS

_UNTITLED = "(a layer without a title)"
_OURS = ("requirements", "environment")


def measure_image(images: OciImages, image: Image) -> Bill:
    """Measure an image; of an index, its first."""
    layout = images.layout
    titled = list(_titled_layers(images, images.descriptor(image)))
    sizes: dict[str, int] = {}
    records: dict[str, str] = {}
    for title, layer in titled:
        if title.startswith(_OURS):
            _read_environments(layout, layer, sizes, records)
    layers = [LayerSize(title=title, size=weigh_layer(layout, layer)) for title, layer in titled]
    return Bill(
        size=image.size,
        layers=tuple(sorted(layers, key=lambda layer: -layer.size)),
        packages=bill_packages(sizes, records),
    )


def _titled_layers(images: OciImages, descriptor: Descriptor) -> Iterator[tuple[str, Descriptor]]:
    history: list[Mapping[str, Any]] = [
        line for line in images.config(descriptor)["history"] if not line.get("empty_layer")
    ]
    layers = images.layout.read_manifest(images.first(descriptor)).document["layers"]
    for line, layer in zip(history, layers, strict=True):
        yield line.get("created_by") or line.get("comment") or _UNTITLED, layer


def _read_environments(layout: Layout, layer: Descriptor, sizes: dict[str, int], records: dict[str, str]) -> None:
    """Add the bytes of each file of the environments, and the text of each RECORD."""
    root = f"{ENVIRONMENTS.strip('/')}/"
    with tarfile.open(layout.path(layer["digest"])) as archive:
        for member in archive:
            if member.isreg() and member.name.startswith(root):
                path = member.name.removeprefix(root)
                sizes[path] = member.size
                if is_record(path) and (file := archive.extractfile(member)):
                    records[path] = file.read().decode(errors="replace")
