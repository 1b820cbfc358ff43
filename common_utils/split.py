"""Splitting rows into a part to train on and a part to hold out."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def split_stratified(labels: Sequence[Any], *, held_out: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices to train on and the indices to hold out, each sorted; every class has the same share in both.

    `held_out` is a fraction between 0 and 1. A class with at least two rows is in both parts. The same seed gives the
    same split.

    >>> train, test = split_stratified(["a", "b"] * 50, held_out=0.2)
    >>> len(train), len(test)
    (80, 20)
    """
    if not 0 < held_out < 1:
        raise ValueError(f"held_out is {held_out}, expected a fraction between 0 and 1")
    generator = np.random.default_rng(seed)
    _, classes = np.unique(np.asarray(labels), return_inverse=True)
    chosen = [np.empty(0, dtype=np.intp)]
    for number in range(classes.max(initial=-1) + 1):
        members = generator.permutation(np.flatnonzero(classes == number))
        count = round(len(members) * held_out)
        chosen.append(members[: min(max(count, 1), len(members) - 1)])
    test = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(classes)), test), test
