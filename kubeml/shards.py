"""Who trains what, and when: decided by numbers alone, so that every worker knows of every other what it does.

The rows of an epoch are in one order, cut into batches; each worker has some that follow each other. A round is K
batches of each worker, and ends with an averaging.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Shards:
    """`rows` in batches of `batch`, the last one smaller, shared by `workers`, whose counts differ by at most one.

    >>> shards = Shards(rows=10, batch=2, workers=2)
    >>> [list(shards.batches(rank)) for rank in (0, 1)], shards.count_rounds(2)
    ([[0, 1, 2], [3, 4]], 2)
    """

    rows: int
    batch: int
    workers: int

    @property
    def count(self) -> int:
        """How many batches there are."""
        return -(-self.rows // self.batch)

    def batches(self, rank: int) -> range:
        """The batches of a worker, by their number."""
        each, more = divmod(self.count, self.workers)
        start = rank * each + min(rank, more)
        return range(start, start + each + (rank < more))

    def place(self, number: int) -> slice:
        """Where the rows of a batch stand in the order of the epoch."""
        return slice(number * self.batch, min(self.rows, (number + 1) * self.batch))

    def size(self, number: int) -> int:
        """How many rows a batch has."""
        place = self.place(number)
        return place.stop - place.start

    def steps(self) -> int:
        """The most batches that a worker has."""
        return len(self.batches(0))

    def count_rounds(self, k: int) -> int:
        """How many rounds an epoch has; K of -1 makes one."""
        return 1 if k == -1 else max(1, -(-self.steps() // k))

    def in_round(self, rank: int, number: int, k: int) -> range:
        """The batches of a worker in a round, by their number; none where it has done all of its own."""
        own = self.batches(rank)
        return own if k == -1 else own[number * k : (number + 1) * k]

    def rows_in_round(self, rank: int, number: int, k: int) -> int:
        """How many rows a worker trains in a round."""
        return sum(self.size(batch) for batch in self.in_round(rank, number, k))


def order_rows(rows: int, *, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
    """The order of the rows in an epoch, the same for everybody."""
    if not shuffle:
        return np.arange(rows)
    return np.random.default_rng([seed, epoch]).permutation(rows)


def seed_of(*numbers: int) -> int:
    """One seed for any numbers, below 2**63."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def seed_everything(seed: int) -> None:
    """Seed all that a user's code may draw from, so that what was done once can be done again."""
    import torch

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def take(order: np.ndarray, shards: Shards, numbers: range) -> Iterator[list[int]]:
    """The rows of each of these batches."""
    for number in numbers:
        yield order[shards.place(number)].tolist()
