"""Counts in memory that processes share through a file: written by one process, read by whoever has the file.

A file outlives its process, so that nothing that was counted is lost when one is started again.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

from modelyard.runtime.daemon.channels import clean_count, read_shared
from modelyard.runtime.daemon.memory import reserve_disk
from modelyard.runtime.primitives import mmap

_DOUBLE = 8
Values = Sequence[float]


def map_doubles(path: Path, count: int) -> memoryview[float]:
    """Map `count` doubles in the file at `path`: zeros where it is new, else what is there."""
    with path.open("a+b") as file:
        file.truncate(_DOUBLE * count)
        reserve_disk(file.fileno(), _DOUBLE * count)
        return memoryview(mmap(file.fileno(), _DOUBLE * count)).cast("d")


def read_doubles(path: Path, count: int) -> Values:
    """The doubles in the file at `path`; zeros where it is gone, half made, or holds what nobody counts."""
    try:
        data = read_shared(path, _DOUBLE * count)
    except OSError:
        data = b""
    found = array("d", data if len(data) == _DOUBLE * count else bytes(_DOUBLE * count))
    return array("d", map(clean_count, found))


class Histogram:
    """How a histogram lies in an array of doubles: a count for each bound, one above them, and the sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.width = len(self.bounds) + 2

    def observe(self, values: memoryview[float], start: int, value: float) -> None:
        """Count one `value` in the histogram that begins at `start`."""
        values[start + bisect_left(self.bounds, value)] += 1
        values[start + self.width - 1] += value


CALL_SECONDS = Histogram((0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0))
CALL_REQUESTS = Histogram((1, 2, 4, 8, 16, 32, 64, 128, 256))


class WorkerCounts:
    """What a worker counts: by route its calls of the model, their seconds and how many requests each answered.

    The last double of the file is how many requests wait for the worker now.
    """

    width = CALL_SECONDS.width + CALL_REQUESTS.width

    def __init__(self, path: Path, routes: Sequence[str]) -> None:
        self._starts = {route: number * self.width for number, route in enumerate(routes)}
        self._values = map_doubles(path, self.size(len(routes)))
        self.show_waiting(0)

    @classmethod
    def size(cls, routes: int) -> int:
        """The doubles in the file of a worker with that many routes."""
        return cls.width * routes + 1

    def count_call(self, route: str, requests: int, seconds: float) -> None:
        """Count one call of the model that answered `requests` of them."""
        start = self._starts[route]
        CALL_SECONDS.observe(self._values, start, seconds)
        CALL_REQUESTS.observe(self._values, start + CALL_SECONDS.width, requests)

    def show_waiting(self, requests: int) -> None:
        """Show how many requests wait."""
        self._values[-1] = requests


def counts_path(socket: Path) -> Path:
    """Where the worker that listens at `socket` counts."""
    return socket.with_suffix(".counts")
