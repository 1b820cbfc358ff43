"""How much memory a process holds."""

import os
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
