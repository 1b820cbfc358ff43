"""The tables of the flow: which pictures there are (CSV from the outside), and which part each is in (the index)."""

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

COLUMNS = ("bucket", "s3_image", "category", "label")
LOCAL = "local_image"
LABELS = ("cat", "dog")


class TableError(ValueError):
    """A table that is not what was expected: the message names file, line and value."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A line of the CSV: a picture somewhere, what it shows, and where it lies here once it is here."""

    bucket: str
    s3_image: str
    category: str
    label: int
    local_image: str = ""


@dataclass(frozen=True, kw_only=True)
class Indexed:
    """A line of the index: the picture's name, its label, and its part (train, val or test)."""

    path: str
    label: int
    split: str


def read_listed(path: Path) -> list[Listed]:
    """Read the CSV; raise TableError for other columns, labels that don't fit, and two lines of one picture."""
    rows = _read_rows(path, COLUMNS)
    listed = [_as_listed(row, place=f"{path} line {line}") for line, row in rows]
    if not listed:
        raise TableError(f"{path}: no pictures in it")
    _check_twins(listed, path)
    return listed


def check_same_names(rows: Iterable[Listed]) -> list[str]:
    """Return the labels' names, in order; raise TableError where a label has two names, or a number is left out."""
    names: dict[int, str] = {}
    for row in rows:
        if names.setdefault(row.label, row.category) != row.category:
            raise TableError(f"label {row.label} is {names[row.label]!r}, and {row.category!r} for {row.s3_image}")
    if sorted(names) != list(range(len(names))) or len(names) < 2:
        raise TableError(f"labels {sorted(names)}, expected 0, 1 and on, at least two of them")
    return [names[number] for number in range(len(names))]


def write_listed(path: Path, rows: Iterable[Listed]) -> None:
    """Write the CSV, with local_image as its last column."""
    write_rows(path, [field.name for field in fields(Listed)], [asdict(row) for row in rows])


def read_index(path: Path) -> list[Indexed]:
    """Read the index."""
    rows = _read_rows(path, [field.name for field in fields(Indexed)])
    return [Indexed(path=row["path"], label=int(row["label"]), split=row["split"]) for _, row in rows]


def write_index(path: Path, rows: Iterable[Indexed]) -> None:
    """Write the index."""
    write_rows(path, [field.name for field in fields(Indexed)], [asdict(row) for row in rows])


def write_rows(path: Path, names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV that is whole or not there."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def located(row: Listed, local_image: str) -> Listed:
    """Return the line with the place of its picture."""
    return replace(row, local_image=local_image)


def _read_rows(path: Path, names: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in names if name not in (reader.fieldnames or ())]
            if missing:
                found = ", ".join(reader.fieldnames or ()) or "none"
                raise TableError(f"{path}: no column {', '.join(missing)} (columns here: {found})")
            return [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise TableError(f"{path}: not there; `make data` makes one, or set csv.s3_images_csv") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: no CSV of UTF-8 text ({error})") from None


def _as_listed(row: Mapping[str, str | None], *, place: str) -> Listed:
    values = {name: (row[name] or "").strip() for name in COLUMNS}
    try:
        label = int(values["label"])
    except ValueError:
        raise TableError(f"{place}: label {values['label']!r} is no whole number") from None
    image = PurePosixPath(values["s3_image"])
    if not values["s3_image"] or image.is_absolute() or ".." in image.parts:
        raise TableError(f"{place}: s3_image {values['s3_image']!r} is no path below a bucket")
    local = (row.get(LOCAL) or "").strip()
    return Listed(**{**values, "label": label, LOCAL: local})


def _check_twins(rows: Iterable[Listed], path: Path) -> None:
    seen: dict[str, Listed] = {}
    for row in rows:
        twin = seen.setdefault(row.s3_image, row)
        if twin is not row:
            other = "" if twin.label == row.label else f", with labels {twin.label} and {row.label}"
            raise TableError(f"{path}: {row.s3_image} is there twice{other}")
