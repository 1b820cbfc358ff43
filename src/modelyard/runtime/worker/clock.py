"""Shows the supervisor when the running call has to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modelyard.runtime.daemon.channels import CLOCK
from modelyard.runtime.primitives import close, end_process, getpid, mmap, monotonic


class Clock:
    """Shows the supervisor when the running call has to end, and how long it may take: two doubles in a shared file.

    Both are 0 while there is none.

    Only the supervisor can end an endless loop in C code, which lets no thread of this process run.
    """

    def __init__(self, fd: int) -> None:
        self._memory = mmap(fd, CLOCK.size)
        self._pid = getpid()
        close(fd)

    @contextmanager
    def running(self, seconds: float) -> Iterator[None]:
        """Show while inside that it may take `seconds` from now on.

        A process that the model has forked ends here: it must not answer as well.
        """
        CLOCK.pack_into(self._memory, 0, monotonic() + seconds, seconds)
        try:
            yield
        finally:
            if getpid() != self._pid:
                end_process(0)
            CLOCK.pack_into(self._memory, 0, 0.0, 0.0)
