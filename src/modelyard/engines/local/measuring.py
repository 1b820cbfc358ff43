"""The bill of an image of the embedded engine: its folder, and the environments it shares with others."""

from pathlib import Path

from modelyard.engines.local.environments import environment_size
from modelyard.engines.local.images import RECORD
from modelyard.engines.protocols import Image
from modelyard.images.bill import Bill, LayerSize, bill_packages, is_record
from modelyard.machine.home import Home, measure_tree, read_record


def measure_image(home: Home, image: Image) -> Bill:
    """Measure an image."""
    folder = home.images / image.id
    environments: dict[str, str] = (read_record(folder / RECORD) or {}).get("environments", {})
    layers = [LayerSize(title=f"source: {image.name} ({image.kind})", size=measure_tree(folder))]
    sizes: dict[str, int] = {}
    records: dict[str, str] = {}
    for name, key in environments.items():
        layers.append(LayerSize(title=f"environment: {name}", size=environment_size(home, key)))
        _read_environment(home.environments / key, name, sizes, records)
    return Bill(
        size=image.size,
        layers=tuple(sorted(layers, key=lambda layer: -layer.size)),
        packages=bill_packages(sizes, records),
    )


def _read_environment(folder: Path, name: str, sizes: dict[str, int], records: dict[str, str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            place = f"{name}/{path.relative_to(folder).as_posix()}"
            sizes[place] = path.stat().st_size
            if is_record(place):
                records[place] = path.read_text(encoding="utf-8", errors="replace")
