"""The folders that steps hand on: squares of pixels with their index, and features of the same index."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dogs_vs_cats.common_utils.tables import Indexed, read_index

INDEX, ABOUT, LABELS = "index.csv", "index.json", "labels.json"
PIXELS, FEATURES = "pictures.npy", "features.npy"


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Values of some pictures, memory-mapped, with the index's line of each."""

    index: Sequence[Indexed]
    values: np.ndarray
    names: Sequence[str]

    def part(self, split: str) -> "Rows":
        """Return the pictures of one part."""
        numbers = [number for number, row in enumerate(self.index) if row.split == split]
        return Rows(index=[self.index[number] for number in numbers], values=self.values[numbers], names=self.names)

    @property
    def labels(self) -> np.ndarray:
        """The labels, int64."""
        return np.array([row.label for row in self.index], np.int64)

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Yield the values, some at a time."""
        for start in range(0, len(self.values), size):
            yield self.values[start : start + size]


def read_pictures(folder: Path) -> Rows:
    """Read what prep made."""
    return _read(folder, PIXELS)


def read_features(folder: Path) -> Rows:
    """Read what features made."""
    return _read(folder, FEATURES)


def _read(folder: Path, name: str) -> Rows:
    index, values = read_index(folder / INDEX), np.load(folder / name, mmap_mode="r", allow_pickle=False)
    if len(index) != len(values):
        raise ValueError(f"{folder / name}: {len(values)} rows, and {len(index)} in {INDEX}: made by different runs")
    names = json.loads((folder / LABELS).read_text(encoding="utf-8"))
    return Rows(index=index, values=values, names=names)
