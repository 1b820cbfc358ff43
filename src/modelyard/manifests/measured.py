"""What was measured of a daemon: how long its models take to load, and what memory its processes hold."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import InputError

_MEMORY = re.compile(r"^modelyard_resident_memory_bytes\{[^}]*\} (\d+(?:\.\d+)?(?:e[+-]?\d+)?)$", re.MULTILINE)
_STEP = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One daemon, as its `/routes` and `/metrics` told."""

    name: str
    """Of the model directory or `all/`: `income/rf`."""
    load_seconds: Mapping[str, float]
    """By model."""
    workers: Mapping[str, int]
    """The processes of each model, by its first route."""
    memory_bytes: int | None
    """What all processes hold together; None where the system does not tell."""

    @property
    def seconds(self) -> float:
        """How long all models take where they load one after the other, as they do on one core."""
        return sum(self.load_seconds.values())

    @property
    def workers_variable(self) -> str:
        """WORKERS with which a daemon runs as many processes as were measured.

        >>> Measured(name="m", load_seconds={}, workers={"a": 1, "b": 2}, memory_bytes=None).workers_variable
        '1,b=2'
        """
        return ",".join(["1", *(f"{route}={count}" for route, count in self.workers.items() if count != 1)])


def measure(routes: Mapping[str, Any], metrics: str) -> Measured:
    """What a daemon's `/routes` and `/metrics` tell; raise InputError while one of its models is not ready."""
    loads: dict[str, float] = {}
    workers: dict[str, int] = {}
    for one in routes["routes"]:
        if one["state"] != "ready" or one["load_seconds"] is None:
            raise InputError(
                f"{one['model']} is {one['state']}, so that nothing can be measured",
                hint="wait until the daemon is ready: modelyard serve returns when it is",
            )
        if one["model"] not in loads:
            workers[one["route"]] = one["workers"]
        loads[one["model"]] = one["load_seconds"]
    held = [float(number) for number in _MEMORY.findall(metrics)]
    return Measured(
        name=routes["name"], load_seconds=loads, workers=workers, memory_bytes=round(sum(held)) if held else None
    )


def write_measured(path: Path, measured: Measured) -> None:
    """Keep what was measured beside the environment that it was measured with."""
    path.write_text(json.dumps({"schema": 1, **asdict(measured)}, indent=2) + "\n", encoding="utf-8")


def read_measured(path: Path) -> Measured | None:
    """What was kept; None where nothing was. Raises InputError for a file that holds something else."""
    if not path.is_file():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        memory = kept["memory_bytes"]
        return Measured(
            name=str(kept["name"]),
            load_seconds={str(model): _seconds(value) for model, value in kept["load_seconds"].items()},
            workers={str(route): int(count) for route, count in kept["workers"].items()},
            memory_bytes=None if memory is None else int(memory),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: holds nothing that was measured ({type(error).__name__}: {error})",
            hint="remove it, or measure again: modelyard manifests DIRECTORY --measure URL",
        ) from None


def round_memory(size: float) -> str:
    """A quantity of memory, rounded up to 64 MiB.

    >>> round_memory(100_000_000)
    '128Mi'
    """
    return f"{math.ceil(size / _STEP) * 64}Mi"


def _seconds(value: Any) -> float:
    seconds = float(value)
    if not 0 <= seconds < 1e9:
        raise ValueError(f"{value!r} is no number of seconds")
    return seconds
