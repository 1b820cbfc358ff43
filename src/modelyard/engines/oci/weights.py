"""What layers weigh unpacked, as every engine counts them: read once, for a layout has them compressed."""

import gzip
import os
from pathlib import Path

from modelyard.engines.oci.layout import Descriptor, Layout

_BLOCK = 1 << 20


def weigh_layer(layout: Layout, layer: Descriptor) -> int:
    """The bytes of a layer's tar; of one that is compressed in another way than gzip, as it is."""
    note = layout.root / "weights" / layer["digest"].removeprefix("sha256:")
    try:
        return int(note.read_text())
    except (FileNotFoundError, ValueError):
        pass
    size = _unpacked(layout.path(layer["digest"]))
    write_weight(layout, layer["digest"], size)
    return size


def write_weight(layout: Layout, digest: str, size: int) -> None:
    """Note what a layer weighs."""
    note = layout.root / "weights" / digest.removeprefix("sha256:")
    note.parent.mkdir(parents=True, exist_ok=True)
    part = note.with_name(f".{note.name}.{os.getpid()}.part")
    part.write_text(str(size))
    part.replace(note)


def _unpacked(path: Path) -> int:
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path.stat().st_size
    total = 0
    with gzip.open(path) as content:
        while block := content.read(_BLOCK):
            total += len(block)
    return total
