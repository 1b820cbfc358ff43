"""Tables as plain values: data frames and structured arrays as records, labelled series as objects."""

from __future__ import annotations

from collections import Counter
from typing import Any


def take_records(frame: Any) -> list[dict[Any, Any]]:
    """The rows of a data frame, an object each; an index that says more than a number is among its columns.

    Raises TypeError for columns of the same name: an object holds one of them.
    """
    if _is_labelled(frame.index):
        frame = frame.reset_index()
    if not frame.columns.is_unique:
        raise TypeError(f"more than one of its columns is named {_find_twin(frame.columns)!r}")
    return frame.to_dict(orient="records")  # type: ignore[no-any-return]


def take_labelled(series: Any) -> Any:
    """The values of a series; an object where they have labels. Raises TypeError for labels that are not unique."""
    if not _is_labelled(series.index):
        return series.tolist()
    if not series.index.is_unique:
        raise TypeError(f"more than one of its values has the label {_find_twin(series.index)!r}")
    return dict(zip(series.index.tolist(), series.tolist()))


def take_fields(array: Any) -> Any:
    """The elements of a structured array, an object each."""
    return list(array) if getattr(array, "ndim", 0) else {name: array[name] for name in array.dtype.names}


def _is_labelled(index: Any) -> bool:
    """Tell whether an index has names, or labels that are no whole numbers: what only counts rows tells nothing."""
    return any(name is not None for name in index.names) or getattr(index.dtype, "kind", "O") not in "iu"


def _find_twin(names: Any) -> Any:
    return next(name for name, count in Counter(names).items() if count > 1)
