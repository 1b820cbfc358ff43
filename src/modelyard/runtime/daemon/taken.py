"""Which requests a worker has in its hands, in a file that outlives it.

Where a worker is killed, whoever sent it requests finds out which of them it may have begun. The others are as good as
never sent: they go to the next worker.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from modelyard.runtime.daemon.channels import read_shared
from modelyard.runtime.daemon.memory import reserve_disk
from modelyard.runtime.primitives import Struct, getpid, mmap, pack_into, struct_error, unpack_from

_IDLE = Struct("=Q")
_LARGEST = 1 << 26
_HEAD = Struct("=QQQ")


class Taken:
    """What one worker shows; the requests in the file are its own from the first one on.

    Before, they are those of its predecessor, which may still answer some. So the file says, too, who has begun none.
    """

    def __init__(self, socket: Path, *, most: int) -> None:
        """At most so many requests are in its hands at once."""
        size = Struct(f"={most + 3}Q").size
        with _path(socket).open("a+b") as file:
            file.truncate(max(size, file.seek(0, 2)))
            reserve_disk(file.fileno(), size)
            self._memory = mmap(file.fileno(), size)
        self._pid = getpid()
        _IDLE.pack_into(self._memory, 0, self._pid)

    def show(self, numbers: Collection[int]) -> None:
        """Show the requests that are begun now, in place of those before, which are answered."""
        if _IDLE.unpack_from(self._memory) == (self._pid,):
            _IDLE.pack_into(self._memory, 0, 0)
        pack_into(f"={len(numbers) + 2}Q", self._memory, _IDLE.size, self._pid, len(numbers), *numbers)


def read_taken(address: str) -> frozenset[int] | None:
    """The numbers that the worker behind a connection took last; None where nobody knows any more.

    `address` is where the connection leads: the worker's socket, by the name it had until it took its place.
    """
    socket, _, pid = address.rpartition(".")
    try:
        data = read_shared(_path(Path(socket)), _LARGEST)
        idle, owner, count = _HEAD.unpack_from(data)
        numbers = unpack_from(f"={count}Q", data, _HEAD.size)
    except (OSError, struct_error):
        return None
    if str(idle) == pid:
        return frozenset()
    return frozenset(numbers) if str(owner) == pid else None


def own_socket(socket: Path, pid: int) -> Path:
    """The name that a worker's socket has until it is put in its place."""
    return socket.with_name(f"{socket.name}.{pid}")


def _path(socket: Path) -> Path:
    return socket.with_suffix(".taken")
