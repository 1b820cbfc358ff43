"""How many workers the next epoch gets: one more while that pays, one fewer where it costs."""

from collections.abc import Sequence
from dataclasses import dataclass

BETTER, WORSE = 0.95, 1.2


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How an epoch went: `undisturbed` where nothing was done twice."""

    parallelism: int
    seconds: float
    samples: int
    undisturbed: bool = True


def next_parallelism(paces: Sequence[Pace], *, limit: int) -> int:
    """Return the workers of the next epoch, at least 1 and at most `limit`.

    One more after the first epoch, and whenever the time a sample took fell by 5 %; one fewer where it rose by 20 %.
    A number that was left for being slower is not tried again.

    >>> slow, fast = Pace(parallelism=1, seconds=10, samples=100), Pace(parallelism=2, seconds=6, samples=100)
    >>> next_parallelism([slow], limit=4), next_parallelism([slow, fast], limit=4)
    (2, 3)
    """
    refused: set[int] = set()
    chosen = paces[0].parallelism
    for number, pace in enumerate(paces):
        chosen = pace.parallelism
        before = _pace_before(paces, number)
        if before is not None and pace.undisturbed and pace.parallelism > 1 and _change(before, pace) >= WORSE:
            refused.add(pace.parallelism)
    last, before = paces[-1], _pace_before(paces, len(paces) - 1)
    if last.undisturbed:
        if before is None or _change(before, last) <= BETTER:
            chosen = last.parallelism + 1
        elif _change(before, last) >= WORSE:
            chosen = last.parallelism - 1
    if chosen in refused:
        lower = [number for number in range(1, chosen) if number not in refused]
        chosen = last.parallelism if last.parallelism not in refused else max(lower, default=1)
    return max(1, min(chosen, limit))


def _pace_before(paces: Sequence[Pace], number: int) -> Pace | None:
    return next((pace for pace in reversed(paces[:number]) if pace.undisturbed), None)


def _change(before: Pace, after: Pace) -> float:
    return (after.seconds / after.samples) / max(before.seconds / before.samples, 1e-12)
