"""The daemon's child processes: how they end, and when they are started again."""

import signal
import time
from typing import Protocol

NEVER = float("inf")
STEADY = 5.0


class Child(Protocol):
    """A child process, or a child's."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None:
        """The exit code, when it has ended."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal, if it still runs."""


class Process:
    """A child process with the time at which it is to be started (again)."""

    def __init__(self) -> None:
        self.popen: Child | None = None
        self.start_at = 0.0
        self._failures = 0

    @property
    def may_start(self) -> bool:
        """Tell whether nothing but `start_at` keeps it from starting."""
        return True

    def start(self) -> None:
        """Start it; raise OSError where the system can't."""
        raise NotImplementedError

    @property
    def is_running(self) -> bool:
        """Tell whether the process lives, as far as `take_exit` has seen."""
        return self.popen is not None

    def take_exit(self) -> int | None:
        """The exit code, once, when the process has ended; negative for a signal."""
        if self.popen is None or self.popen.poll() is None:
            return None
        code = self.popen.returncode
        self.popen = None
        return code

    def plan_restart(self, *, served_for: float) -> None:
        """Start again soon after it has served, and later each time it ends without; capped either way."""
        self._failures = 0 if served_for > STEADY else min(self._failures + 1, 12)
        longest = 2.0 if served_for else 60.0
        self.start_at = time.monotonic() + min(longest, 0.05 * 2**self._failures)


SHORT_OF_SHARED_MEMORY = "/dev/shm was full, most often: a container has 64 MiB there, unless SHM_SIZE says more"


def describe_exit(code: int) -> str:
    """Say how a process ended.

    >>> describe_exit(-9)
    'killed by SIGKILL'
    """
    if code >= 0:
        return f"exit code {code}"
    if code == -signal.SIGBUS:
        return f"killed by SIGBUS: {SHORT_OF_SHARED_MEMORY}"
    names = {number.value: number.name for number in signal.Signals}
    return f"killed by {names.get(-code, f'signal {-code}')}"
