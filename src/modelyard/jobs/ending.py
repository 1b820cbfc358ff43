"""How a job ended: from its exit code, what the training told last, and whether it was asked to stop."""

from dataclasses import dataclass

from modelyard.jobs.events import Events
from modelyard.jobs.record import State

_TERMINATED = 143
_KILLED = 137


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The state of a job that has ended, and why."""

    state: State
    reason: str | None = None


def decide_ending(exit_code: int | None, events: Events, *, was_asked_to_stop: bool) -> Ending:
    """Say how a job ended; None is the exit code of what nobody saw end.

    >>> nothing = Events(task={}, epochs=(), restarts=(), end=None)
    >>> decide_ending(143, nothing, was_asked_to_stop=True).state
    'stopped'
    """
    said = str((events.end or {}).get("status") or "")
    reason = (events.end or {}).get("reason")
    told = str(reason) if reason else None
    if exit_code is None:
        return _unseen(said, told)
    if exit_code == 0:
        return Ending(state="stopped" if said == "stopped" else "finished", reason=told)
    if was_asked_to_stop and exit_code in (_TERMINATED, _KILLED):
        how = "was killed: it had not ended in time" if exit_code == _KILLED else "ended at once, and saved nothing"
        return Ending(state="stopped", reason=f"it was asked to stop and {how}")
    return Ending(state="failed", reason=told or f"it exited with {exit_code}")


def _unseen(said: str, told: str | None) -> Ending:
    for state in ("finished", "stopped", "failed"):
        if said == state:
            return Ending(state=state, reason=told)
    return Ending(state="lost", reason="it is gone, and nobody saw how it ended: was the machine switched off?")
