"""How much memory a process holds, and how it holds no more than it needs."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_sysconf = os.sysconf
_fallocate = getattr(os, "posix_fallocate", None)  # macOS has no such call
_RESIDENT = 1  # the second field of statm, in pages
_DONTNEED = 4  # MADV_DONTNEED


def read_resident_bytes(pid: int) -> int | None:
    """The resident memory of a process in bytes; None where it has gone, or the system has no /proc.

    >>> read_resident_bytes(-1) is None
    True
    """
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[_RESIDENT]
    except (OSError, IndexError):
        return None
    return int(pages) * _sysconf("SC_PAGE_SIZE")


def settle_memory() -> None:
    """Give back what loading has left unused, and let collections pass over what stays.

    A forest of scikit-learn leaves as much unused as it holds. Where processes are forked from this one, what
    collections do not touch remains shared. Of the libraries' files, the parts that loading alone has read go back
    to the page cache.
    """
    gc.collect()
    gc.freeze()
    with suppress(Exception):  # glibc's and Linux's alone; and the model may have replaced what ctypes needs
        import ctypes

        library = ctypes.CDLL(None)
        library.malloc_trim(0)
        with Path("/proc/self/smaps").open() as smaps:
            for start, size in find_unwritten_mappings(smaps):
                library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), _DONTNEED)


def reserve_disk(fd: int, size: int) -> None:
    """Have the disk hold a file of `size` bytes that is to be mapped; raise OSError where it is full.

    Else it would be a page that is written later and finds no room: that ends the process (SIGBUS).
    """
    if _fallocate is not None:
        _fallocate(fd, 0, size)


def find_unwritten_mappings(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """The address and size in bytes of each mapping, in the lines of /proc/<pid>/smaps, whose pages all are its file's.

    Pages that were written and swapped out are not among the anonymous ones. Where none is resident, there is nothing
    to give back; huge pages, and an emulator that counts nothing (QEMU's), look so.

    >>> mapping = ["7f00-8f00 r--p 00000000 08:01 99   /lib/libm.so", "Rss: 4 kB", "Anonymous: 0 kB", "Swap: 0 kB"]
    >>> list(find_unwritten_mappings(mapping))
    [(32512, 4096)]
    >>> list(find_unwritten_mappings([*mapping[:2], "Anonymous: 4 kB", "Swap: 0 kB"]))  # relocated when it was loaded
    []
    >>> list(find_unwritten_mappings([*mapping[:3], "Swap: 4 kB"]))  # and swapped out since
    []
    >>> list(find_unwritten_mappings([mapping[0], "Rss: 0 kB", *mapping[2:]]))
    []
    """
    place = None
    for line in smaps:
        first, *rest = line.rstrip("\n").split(maxsplit=5)
        if not first.endswith(":"):
            permissions, path = rest[0], rest[-1]
            start, end = (int(text, 16) for text in first.split("-"))
            place = (start, end - start) if path.startswith("/") and permissions in ("r-xp", "r--p") else None
        elif (first == "Rss:" and rest[0] == "0") or (first == "Anonymous:" and rest[0] != "0"):
            place = None
        elif place and first == "Swap:" and rest[0] == "0":
            yield place
