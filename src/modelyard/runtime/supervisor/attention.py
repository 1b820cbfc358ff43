"""Whether a worker reacts between calls: it is asked now and then, and its silence is counted."""

from collections.abc import Callable
from contextlib import suppress

_ASK_EVERY = 5.0
_LONGEST_LOOK = 1.0


class Attention:
    """How long a worker has not reacted; it is asked by `ask`, which may raise OSError."""

    def __init__(self) -> None:
        self._looked_at = self._asked_at = 0.0
        self._silent_for: float | None = None
        """Seconds since it was asked; None where it has answered."""

    @property
    def is_asked(self) -> bool:
        """Tell whether an answer is awaited."""
        return self._silent_for is not None

    def hear(self) -> None:
        """Take its answer, or that there is another process to ask."""
        self._silent_for = None

    def look_away(self, now: float) -> float:
        """Note that nobody looks; return the seconds that this counts for, since this was last asked for."""
        looked = min(now - self._looked_at, _LONGEST_LOOK)
        self._looked_at = now
        return looked

    def watch(self, now: float, ask: Callable[[], object], *, computes: bool) -> float:
        """Ask when it is time to; return for how many seconds it has not reacted, computing nothing.

        Only the time in which this process looked counts: where all were frozen together, nobody is to blame.
        """
        looked = self.look_away(now)
        if self._silent_for is not None:
            self._silent_for = 0.0 if computes else self._silent_for + looked
        elif now - self._asked_at > _ASK_EVERY:
            with suppress(OSError):
                ask()
                self._asked_at, self._silent_for = now, 0.0
        return self._silent_for or 0.0
