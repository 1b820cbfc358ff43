"""CSV files with a header: read with numbers as numbers, written whole or not at all. Standard library only."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Table:
    """Column names and rows of int, float and str."""

    names: tuple[str, ...]
    rows: list[list[Any]]

    def take_column(self, name: str) -> tuple["Table", list[Any]]:
        """Return the table without column `name`, and that column: features and labels."""
        if name not in self.names:
            raise ValueError(f"no column {name!r} (columns: {', '.join(self.names)})")
        at = self.names.index(name)
        rest = [row[:at] + row[at + 1 :] for row in self.rows]
        return Table(self.names[:at] + self.names[at + 1 :], rest), [row[at] for row in self.rows]


def read_table(path: Path | str) -> Table:
    """Read a CSV file; a column in which every value is a number holds int or float, any other str.

    Raises ValueError that names file and line where a row is shorter or longer than the header.
    """
    with Path(path).open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        names = tuple(next(reader, ()))
        if not names:
            raise ValueError(f"{path}: empty, expected a header and rows")
        rows = []
        for row in reader:
            if len(row) != len(names):
                raise ValueError(f"{path}:{reader.line_num}: {len(row)} values, the header has {len(names)}")
            rows.append(row)
    columns = [_as_numbers(column) for column in zip(*rows, strict=True)]
    return Table(names, [list(row) for row in zip(*columns, strict=True)])


def write_table(path: Path | str, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV file under a temporary name, then rename it."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(names)
            writer.writerows(rows)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _as_numbers(column: Sequence[str]) -> Sequence[Any]:
    for kind in (int, float):
        try:
            return [kind(value) for value in column]
        except ValueError:
            continue
    return column
