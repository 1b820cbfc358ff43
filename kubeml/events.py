"""What a training tells while it runs: a line for a person, and an event, an object of JSON on a line, for programs."""

import json
import os
import time
from typing import Any

_EVERY = 10.0


def emit(event: str, **values: Any) -> None:
    """Append an event to the file that MODELYARD_EVENTS names, where it is set, in one write."""
    path = os.environ.get("MODELYARD_EVENTS")
    if path:
        line = json.dumps({"event": event, "time": round(time.time(), 3), **values}, default=str) + "\n"
        with open(path, "ab", buffering=0) as file:  # noqa: PTH123 (no buffer: a line is there whole, or not)
            file.write(line.encode())


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


class Progress:
    """Says every ten seconds how far an epoch is."""

    def __init__(self, *, epoch: int, epochs: int, workers: int, rows: int, before: float) -> None:
        self.epoch, self.epochs, self.workers, self.rows, self.before = epoch, epochs, workers, rows, before
        self.started = self._said = time.monotonic()

    def advance(self, done: int, loss: float) -> None:
        """Tell of `done` rows of the epoch, if it is time."""
        now = time.monotonic()
        if now - self._said >= _EVERY and done:
            self._said = now
            pace = done / (now - self.started)
            left = (self.rows - done + self.rows * (self.epochs - self.epoch)) / pace
            say(
                f"epoch {self.epoch}/{self.epochs}  {100 * done // self.rows} %  loss {loss:.4f}  "
                f"{describe_workers(self.workers)}  {pace:,.0f} samples/s  {describe_time(left)} left"
            )


def describe_epoch(record: dict[str, Any], *, epochs: int) -> str:
    """One line of an epoch that is done."""
    parts = [f"epoch {record['epoch']}/{epochs}", f"loss {record['train_loss']:.4f}"]
    if record["accuracy"] is not None:
        parts.append(f"validation loss {record['validation_loss']:.4f}")
        parts.append(f"accuracy {record['accuracy']:.4f}")
    parts.append(describe_workers(record["parallelism"]))
    parts.append(f"{record['samples_per_second']:,.0f} samples/s")
    left = (epochs - record["epoch"]) * record["seconds"]
    return "  ".join([*parts, f"{describe_time(left)} left"] if left else parts)


def describe_workers(count: int) -> str:
    """The number of workers in words."""
    return "1 worker" if count == 1 else f"{count} workers"


def describe_time(seconds: float) -> str:
    """A time as people say it.

    >>> describe_time(7.4), describe_time(150), describe_time(7300)
    ('7 s', '3 min', '2 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{-(-seconds // 60):.0f} min" if seconds < 6000 else f"{seconds / 3600:.0f} h"
