"""Rows of mixed values to numbers: numeric columns (standardised on request), categories one-hot.

Fitted when training, stored as JSON in the manifest's attributes, used again when predicting. Needs numpy only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from numbers import Real
from typing import Any

import numpy as np

# Below this many rows plain Python beats setting up numpy calls a column. Both ways give the same bits.
_FEW = 24
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Column:
    """One input column: numeric where `categories` is None."""

    name: str
    categories: tuple[str, ...] | None = None
    mean: float = 0.0
    scale: float = 1.0

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return 1 if self.categories is None else len(self.categories)


class FeatureEncoder:
    """Turns rows into a float32 array (rows, features). A category that training has not seen is all zeros.

    `unknown` counts those, by column.

    >>> encoder = FeatureEncoder.fit([[25, "red"], [35, "blue"]], names=["age", "colour"])
    >>> encoder.transform([[30, "red"], [40, "green"]]).tolist()
    [[30.0, 0.0, 1.0], [40.0, 0.0, 0.0]]
    >>> encoder.unknown
    Counter({'colour': 1})
    >>> FeatureEncoder.from_dict(encoder.to_dict()).feature_names
    ('age', 'colour=blue', 'colour=red')
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        self.columns = tuple(columns)
        self.unknown: Counter[str] = Counter()
        self._plans = []
        position = 0
        for column in self.columns:
            lookup = None
            if column.categories is not None:
                lookup = {category: position + offset for offset, category in enumerate(column.categories)}
            self._plans.append((column, lookup, position, column.mean, column.scale))
            position += column.width
        self.width = position

    @classmethod
    def fit(cls, rows: Sequence[Sequence[Any]], *, names: Sequence[str], standardize: bool = False) -> "FeatureEncoder":
        """Learn categories, means and scales. A column of strings is categorical, a column of numbers numeric."""
        if not rows:
            raise ValueError("no rows to learn from")
        for index, row in enumerate(rows):
            if len(row) != len(names):
                raise ValueError(f"row {index} has {len(row)} values, expected {len(names)} ({', '.join(names)})")
        columns = zip(names, zip(*rows, strict=True), strict=True)
        return cls(_fit_column(name, values, standardize=standardize) for name, values in columns)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of every feature, in the order of the array's columns."""
        return tuple(
            name
            for column in self.columns
            for name in (
                [column.name] if column.categories is None else [f"{column.name}={c}" for c in column.categories]
            )
        )

    def transform(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        """Return the features of `rows` as float32; raise ValueError naming instance, column and value."""
        try:
            return self._transform(rows)
        except (TypeError, ValueError, OverflowError, AttributeError):
            # Something is not as it should be: look at every cell. What is only unusual (numpy values) is made plain.
            return self._transform(self._checked(rows))

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold and `from_dict` takes."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "FeatureEncoder":
        """Make an encoder from what `to_dict` returned."""
        return cls(
            Column(**{**column, "categories": None if column["categories"] is None else tuple(column["categories"])})
            for column in data["columns"]
        )

    def _transform(self, rows: Sequence[Sequence[Any]]) -> np.ndarray:
        _require(set(map(type, rows)) <= {list, tuple})
        _require(set(map(len, rows)) <= {len(self.columns)})
        encode = self._encode_few if len(rows) < _FEW else self._encode_many
        features, unknown = encode(rows)
        _require(bool(np.isfinite(features).all()))
        self.unknown.update(unknown)
        return features

    def _encode_few(self, rows: Sequence[Sequence[Any]]) -> tuple[np.ndarray, list[str]]:
        unknown = []
        values = [[0.0] * self.width for _ in rows]
        for row, encoded in zip(rows, values, strict=True):
            for value, (column, lookup, position, mean, scale) in zip(row, self._plans, strict=True):
                if lookup is None:
                    _require(type(value) is float or type(value) is int)
                    encoded[position] = (float(value) - mean) / scale
                else:
                    _require(type(value) is str)
                    found = lookup.get(value)
                    if found is None:
                        unknown.append(column.name)
                    else:
                        encoded[found] = 1.0
        with np.errstate(over="ignore"):
            return np.array(values, dtype=np.float32).reshape(len(rows), self.width), unknown

    def _encode_many(self, rows: Sequence[Sequence[Any]]) -> tuple[np.ndarray, list[str]]:
        unknown: list[str] = []
        features = np.zeros((len(rows), self.width), dtype=np.float32)
        for values, (column, lookup, position, mean, scale) in zip(zip(*rows, strict=True), self._plans, strict=True):
            types = set(map(type, values))
            if lookup is None:
                _require(types <= {int, float})
                with np.errstate(over="ignore"):
                    features[:, position] = (np.array(values, dtype=np.float64) - mean) / scale
            else:
                _require(types == {str})
                found = np.fromiter(map(lookup.get, values, repeat(-1)), dtype=np.intp, count=len(values))
                known = np.flatnonzero(found >= 0)
                features[known, found[known]] = 1.0
                unknown += [column.name] * (len(values) - len(known))
        return features, unknown

    def _checked(self, rows: Any) -> list[list[Any]]:
        """Return rows of plain int, float and str; raise ValueError for the first cell that is none of these."""
        rows = _as_list(rows)
        if rows is None:
            raise ValueError("instances must be a list of lists")
        return [self._checked_row(index, row) for index, row in enumerate(rows)]

    def _checked_row(self, index: int, row: Any) -> list[Any]:
        values = _as_list(row)
        if values is None:
            raise ValueError(f"instance {index}: {_shown(row)} is no list of {len(self.columns)} values")
        if len(values) != len(self.columns):
            names = ", ".join(column.name for column in self.columns)
            raise ValueError(f"instance {index}: {len(values)} values, expected {len(self.columns)} ({names})")
        return [
            _checked_value(value, column, place=f"instance {index}, column {number} ({column.name})")
            for number, (value, column) in enumerate(zip(values, self.columns, strict=True), start=1)
        ]


def _fit_column(name: str, values: Sequence[Any], *, standardize: bool) -> Column:
    if all(isinstance(value, str) for value in values):
        return Column(name=name, categories=tuple(sorted(set(map(str, values)))))
    for index, value in enumerate(values):
        _checked_value(value, Column(name=name), place=f"row {index}, column {name}")
    if not standardize:
        return Column(name=name)
    numbers = np.array(values, dtype=np.float64)
    return Column(name=name, mean=float(numbers.mean()), scale=float(numbers.std()) or 1.0)


def _checked_value(value: Any, column: Column, *, place: str) -> Any:
    if column.categories is not None:
        if not isinstance(value, str):
            example = f", for example {column.categories[0]!r}" if column.categories else ""
            raise ValueError(f"{place}: {_shown(value)} is no string{example}")
        return str(value)
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise ValueError(f"{place}: {_shown(value)} is no number")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not abs(number - column.mean) / column.scale <= _LARGEST:
        raise ValueError(f"{place}: {_shown(value)} is not finite, or too large")
    return number


def _as_list(value: Any) -> list[Any] | None:
    if isinstance(value, np.ndarray) and value.ndim:
        return list(value)
    return list(value) if isinstance(value, (list, tuple)) else None


def _require(condition: bool) -> None:
    """Leave the fast way; the careful way then finds out what is wrong, and where."""
    if not condition:
        raise TypeError


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text[:60]}... ({type(value).__name__})" if len(text) > 60 else f"{text} ({type(value).__name__})"
