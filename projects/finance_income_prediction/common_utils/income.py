"""The Adult data: its columns, and how a raw row becomes a row that names its categories. Standard library only."""

from collections.abc import Iterable, Iterator
from typing import Any

NUMERIC = frozenset({"age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"})
COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
)
LABEL = "income"
LABELS = ("<=50K", ">50K")
EXAMPLE = '[25, "workclass_Private", 226802, ...]'


def prepare_row(values: list[str]) -> list[Any]:
    """Name the categories of a raw row and make numbers of its numbers; the label comes last.

    An unknown value is "?" in the raw data and a category like any other here.

    >>> prepare_row("25 Private 226802 11th 7 a b c d Male 0 0 40 ? <=50K.".split())[:4]
    [25, 'workclass_Private', 226802, 'education_11th']
    """
    *features, label = values
    named = [
        int(value) if name in NUMERIC else f"{name}_{value}" for name, value in zip(COLUMNS, features, strict=True)
    ]
    label = label.removesuffix(".")
    if label not in LABELS:
        raise ValueError(f"{label!r} is none of {' '.join(LABELS)}")
    return [*named, label]


def prepare_lines(lines: Iterable[str], *, source: str) -> Iterator[list[Any]]:
    """Prepare the lines of a raw file (no header, a comment line in the test set, blank lines at the end)."""
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("|"):
            continue
        try:
            yield prepare_row([value.strip() for value in line.split(",")])
        except ValueError as error:
            raise ValueError(f"{source}:{number}: no row of the Adult data ({error})") from None
