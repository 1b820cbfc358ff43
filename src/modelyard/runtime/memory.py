"""How much memory a process holds, and how it holds no more than it needs."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path

_RESIDENT = 1  # the second field of statm, in pages


def read_resident_bytes(pid: int) -> int | None:
    """The resident memory of a process in bytes; None where it has gone, or the system has no /proc.

    >>> read_resident_bytes(-1) is None
    True
    """
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[_RESIDENT]
    except (OSError, IndexError):
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def settle_memory() -> None:
    """Give back what loading has left unused, and let collections pass over what stays.

    A forest of scikit-learn leaves as much unused as it holds. Where processes are forked from this one, what
    collections do not touch remains shared.
    """
    gc.collect()
    gc.freeze()
    with suppress(ImportError, OSError, AttributeError):  # malloc_trim is glibc's
        import ctypes

        ctypes.CDLL(None).malloc_trim(0)
