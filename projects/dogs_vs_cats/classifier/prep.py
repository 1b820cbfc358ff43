"""Prep: every picture scaled to the same square, and an index that says which part each is in.

The folder `pictures` that it makes: index.csv (path, label, split), pictures.npy (uint8, a square for each line of the
index), labels.json, and left_out.csv with each picture that was not as it should be. No path of it is absolute and
nothing in it is a pickle.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common_utils.dataset import write_sidecar
from common_utils.progress import ProgressBar
from dogs_vs_cats.common_utils.pictures import PictureError, Prepared, prepare
from dogs_vs_cats.common_utils.prepared import INDEX, LABELS, PIXELS
from dogs_vs_cats.common_utils.settings import read_choice, read_number
from dogs_vs_cats.common_utils.split import SPLITS, choose_split, read_shares
from dogs_vs_cats.common_utils.tables import Indexed, Listed, check_same_names, read_listed, write_index, write_rows
from utils.data_reference import read_sidecar

LEFT_OUT = "left_out.csv"
_THREADS, _AT_ONCE = 4, 256


@dataclass(frozen=True, kw_only=True)
class Found:
    """What came of one picture: its pixels, or what is wrong with it."""

    row: Listed
    prepared: Prepared | None
    problem: str = ""
    """Why it can't be used, or what had to be changed."""


def prep(msg: Any) -> dict[str, Any]:
    """Make the folder `pictures` of the folder `images`."""
    data, images = msg.payload["params"]["data"], Path(msg.payload["inputs"]["images"])
    shares, size = read_shares(data), read_number(data, "data.img_dimensions", least=32)
    seed = read_number(data, "data.split_seed", least=0)
    rows = read_listed(images / "images.csv")
    names, folder = check_same_names(rows), Path(msg.payload["outputs"]["pictures"])
    folder.mkdir(parents=True, exist_ok=True)
    policy = Policy.of(data)
    kept = write_pixels(folder / PIXELS, policy.sort(read_all(rows, images, size)), size=size)
    write_rows(folder / LEFT_OUT, ["path", "what", "why"], policy.noted)
    policy.check()
    index = [
        Indexed(path=row.s3_image, label=row.label, split=choose_split(row.s3_image, shares, seed=seed)) for row in kept
    ]
    check_parts(index, names)
    write_index(folder / INDEX, index)
    about = read_sidecar(images / "images.csv")
    write_sidecar(folder / INDEX, source=about["source"], recipe="prep", synthetic=about["synthetic"])
    (folder / LABELS).write_text(json.dumps(names) + "\n", encoding="utf-8")
    sizes = Counter(row.split for row in index)
    return {
        "metrics": {"pictures": len(index), "left_out": policy.left_out, **{part: sizes[part] for part in SPLITS}},
        "left_out": policy.noted[:100],
    }


class Policy:
    """What is done with pictures that are not as they should be, and a note of each."""

    def __init__(self, *, bad: str, odd: str) -> None:
        self.bad, self.odd = bad, odd
        self.noted: list[dict[str, str]] = []
        self.refused: list[str] = []
        self.left_out = 0

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Policy":
        """Read it from the configuration."""
        bad = read_choice(data, "data.bad_pictures", ("leave_out", "refuse"))
        return cls(bad=bad, odd=read_choice(data, "data.odd_pictures", ("convert", "leave_out", "refuse")))

    def sort(self, found: Iterator[Found]) -> Iterator[tuple[Listed, np.ndarray]]:
        """Yield the pictures that are taken, and note the others by name."""
        for one in found:
            way = (self.bad if one.prepared is None else self.odd) if one.problem else ""
            if one.problem:
                self._note(one, way)
            if one.prepared is not None and way in ("", "convert"):
                yield one.row, one.prepared.pixels

    def check(self) -> None:
        """Raise PictureError that lists the pictures, where they are to be refused."""
        if self.refused:
            raise PictureError(f"{len(self.refused)} pictures are refused:\n  " + "\n  ".join(self.refused[:50]))

    def _note(self, one: Found, way: str) -> None:
        what = {"leave_out": "left out", "refuse": "refused", "convert": "converted"}[way]
        self.noted.append({"path": one.row.s3_image, "what": what, "why": one.problem})
        print(f"{what}: {one.row.s3_image}: {one.problem}")
        self.left_out += way == "leave_out"
        if way == "refuse":
            self.refused.append(f"{one.row.s3_image}: {one.problem}")


def read_all(rows: Sequence[Listed], images: Path, size: int) -> Iterator[Found]:
    """Read the pictures in the order of the table, some at a time."""

    def read(row: Listed) -> Found:
        try:
            prepared = prepare(images / row.local_image, size)
        except (PictureError, OSError) as error:
            return Found(row=row, prepared=None, problem=str(error))
        return Found(row=row, prepared=prepared, problem=", ".join(prepared.oddities))

    with ProgressBar("preparing", total=len(rows)) as bar, ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(rows), _AT_ONCE):
            for found in pool.map(read, rows[start : start + _AT_ONCE]):
                bar.advance()
                yield found


def write_pixels(path: Path, pictures: Iterator[tuple[Listed, np.ndarray]], *, size: int) -> list[Listed]:
    """Write the squares one after the other, however many there are, and return the lines that they belong to."""
    kept = []
    with path.open("wb") as file:
        _write_header(file, count=0, size=size)
        for row, pixels in pictures:
            file.write(pixels.tobytes())
            kept.append(row)
        file.seek(0)
        _write_header(file, count=len(kept), size=size)
    return kept


def _write_header(file: BinaryIO, *, count: int, size: int) -> None:
    """Write the header of a .npy file; numpy leaves room in it for the first axis to grow."""
    shape = (count, size, size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def check_parts(index: Sequence[Indexed], names: Sequence[str]) -> None:
    """Raise ValueError where a part has no picture of a class: nothing could be learned, or measured, there."""
    counts = Counter((row.split, row.label) for row in index)
    for part in SPLITS:
        for label, name in enumerate(names):
            if not counts[part, label]:
                raise ValueError(f"no {name} in the part {part}: {len(index)} pictures are too few for these shares")
