"""Whether a process that loads a model computes: one that waits for something else leaves its core to others."""

from modelyard.runtime.daemon.families import read_work

_AT_WORK = 0.1  # of a core, over so many seconds:
_WORK_TIME = 10.0


class Effort:
    """What a process has computed since it was last looked at."""

    def __init__(self) -> None:
        self.is_idle = False
        self._work = self._seen_at = 0.0

    def begin(self, now: float) -> None:
        """Begin again, for another process."""
        self.is_idle, self._work, self._seen_at = False, 0.0, now

    def look(self, pid: int, now: float) -> None:
        """See what it has computed, where the last look was some time ago."""
        if now - self._seen_at < _WORK_TIME:
            return
        work = read_work(pid)
        self.is_idle = work is not None and work - self._work < _AT_WORK * (now - self._seen_at)
        self._work, self._seen_at = work or 0.0, now
