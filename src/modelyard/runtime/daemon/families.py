"""A worker and every process that comes from it end together, wherever they went. For any Python from 3.9 on.

A process can leave its group, its session and its parent, but keeps a variable that its first ancestor here was given.
So a worker's family is: whoever is below it, and whoever has its mark. Where there is no /proc (macOS), it is the
worker's process group.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress

MARK = "MODELYARD_WORKER"
_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36
_ENVIRONMENT_AT = 47  # env_start among the fields of /proc/<pid>/stat that follow the command's name
_TIMES = slice(11, 13)  # utime and stime, likewise
_PATIENCE = 0.1


def adopt_orphans() -> None:
    """Have processes whose parents end become this one's children, as those of PID 1 do: it can reap and find them."""
    _control(_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Have the system kill this process when the one that started it ends, however it does."""
    _control(_SET_PDEATHSIG, signal.SIGKILL)


def take_mark(mark: str) -> None:
    """Give a fork a mark of its own, of the length of its parent's.

    What /proc shows of a process is the memory that it was started with, so the mark is written there as well.
    """
    before, os.environ[MARK] = os.environ.get(MARK, ""), mark
    old, new = (f"{MARK}={value}".encode() for value in (before, mark))
    if len(old) == len(new):
        with suppress(OSError, ValueError, IndexError):
            offset = _read("/proc/self/environ").index(old)
            start = int(_read_stat("self")[_ENVIRONMENT_AT])
            with open("/proc/self/mem", "r+b", buffering=0) as memory:  # noqa: PTH123
                memory.seek(start + offset)
                if memory.read(len(old)) == old:
                    memory.seek(start + offset)
                    memory.write(new)


def is_parent(parent: int, pid: int) -> bool:
    """Tell whether one process is the parent of another, which may have ended; true where nobody can know."""
    if sys.platform != "linux":
        return True
    with suppress(OSError, IndexError):
        return int(_read_stat(str(pid))[1]) == parent
    return False


def read_work(pid: int) -> float | None:
    """The seconds that a process has computed; None where nobody can know."""
    with suppress(OSError, IndexError):
        return sum(map(int, _read_stat(str(pid))[_TIMES])) / os.sysconf("SC_CLK_TCK")
    return None


def end_family(mark: str, pid: int | None = None) -> None:
    """Kill everything whose mark begins with `mark`, and `pid` with all below it; return when that has ended, or soon.

    `pid` is given only while nobody has reaped it.
    """
    deadline = time.monotonic() + _PATIENCE
    family = _find_family(mark, pid)  # before its parents end, which shows who they were
    if pid is not None:
        _kill_group(pid)
    while family and time.monotonic() < deadline:
        _kill(family)
        time.sleep(0.001)
        family = _find_family(mark, pid)  # one that forked meanwhile has left somebody


def _find_family(mark: str, pid: int | None) -> set[int]:
    parents = _list_parents()
    family = {one for one in parents if one == pid or _has_mark(one, mark)}
    grows = True
    while grows:
        below = {one for one, parent in parents.items() if parent in family} - family
        family |= below
        grows = bool(below)
    return family - {os.getpid()}


def _list_parents() -> dict[int, int]:
    """The parent of every process that runs; a zombie does not."""
    parents = {}
    with suppress(OSError):
        for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
            with suppress(OSError, IndexError):
                state, parent = _read_stat(name)[:2]
                if state not in ("Z", "X"):
                    parents[int(name)] = int(parent)
    return parents


def _read_stat(pid: str) -> list[str]:
    """The fields of /proc/<pid>/stat that follow the command's name, which may hold anything."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].decode().split()


def _has_mark(pid: int, mark: str) -> bool:
    with suppress(OSError):
        return f"\0{MARK}={mark}".encode() in b"\0" + _read(f"/proc/{pid}/environ")
    return False


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (some hundred files a look)
        return file.read()


def _kill_group(pid: int) -> None:
    """Kill a process and the group that it leads; one that has left it leads none."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    _kill([pid])


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _control(option: int, value: int) -> None:
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            ctypes.CDLL(None).prctl(option, ctypes.c_ulong(value), 0, 0, 0)
