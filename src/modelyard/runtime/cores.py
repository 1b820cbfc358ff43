"""The cores of this process, and what numerical libraries are told of them. For any Python from 3.9 on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# Measured with a small CNN on busy cores: threads that spin while they wait take two to seven times the time to answer,
# two to nine to train; glibc otherwise gives a batch's memory back after every call, whose page faults are half of it.
_FRUGAL = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


def library_variables(environ: Mapping[str, str], *, workers: int) -> dict[str, str]:
    """What numerical libraries are told: thread pools of a size that `workers` together do not exceed the cores.

    Nothing of pools where that is the size they have by themselves: a size that is set counts in the processes that a
    model starts, too. Threads sleep while they wait, and memory is kept for the next call. A variable that the user has
    set stays.
    """
    threads = max(1, count_cores() // max(1, workers))
    pools = dict.fromkeys(_POOLS, str(threads)) if threads < count_processors() else {}
    return {name: value for name, value in {**pools, **_FRUGAL}.items() if not environ.get(name)}


def count_cores() -> int:
    """The cores this process may use, by its affinity and the quota of its control group."""
    quota = read_quota()
    return count_processors() if quota is None else max(1, min(count_processors(), math.ceil(quota)))


def count_processors() -> int:
    """The cores this process may run on; a quota may allow it the time of fewer, which no library looks at."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """The cores that the control group (v2, or v1) may use; None where nothing limits them."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (root / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    return None
