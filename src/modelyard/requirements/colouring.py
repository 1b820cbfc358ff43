"""Sort units of models into few groups that hold no known clash: first fit, the most constrained first, then reordered.

This is colouring of a (hyper)graph, for which no fast exact method is known: the result is good, and not proved best.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from modelyard.requirements.parse import RequirementLine

# Lines that cannot all be installed into one environment.
Clash = frozenset[str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Unit:
    """Models that ask for equal lines and the same Python, and so are never apart."""

    names: tuple[str, ...]
    lines: tuple[RequirementLine, ...]
    texts: frozenset[str]
    python: str | None = None
    asked: str = ""
    """What asks for that Python, where something does."""


Group = tuple[Unit, ...]
# Orders for another round. As the units of one group stay together, a round never ends with more groups than before
# (iterated greedy: Culberson & Luo, "Exploring the k-colorable landscape with iterated greedy", 1996).
_ORDERS: tuple[Callable[[Sequence[Group]], Iterable[Group]], ...] = (
    lambda groups: reversed(groups),
    lambda groups: sorted(groups, key=len, reverse=True),
    lambda groups: sorted(groups, key=len),
    lambda groups: reversed(groups),
)


def colour(units: Sequence[Unit], clashes: Iterable[Clash]) -> tuple[Group, ...]:
    """Group `units`, so that no group holds all lines of a clash."""
    rests = {unit: [clash - unit.texts for clash in clashes if not clash.isdisjoint(unit.texts)] for unit in units}
    best = groups = _first_fit(_by_constraint(units, rests), rests)
    for order in _ORDERS:
        if len(best) < 3:
            break  # one is the least there can be, and two are only made where one is not possible
        groups = _first_fit([unit for group in order(groups) for unit in group], rests)
        best = min(best, groups, key=len)
    return best


def _by_constraint(units: Sequence[Unit], rests: Mapping[Unit, Sequence[Clash]]) -> list[Unit]:
    """Order units so that the next is always one with the fewest groups left to it (DSATUR: Brélaz, 1979)."""
    order: list[Unit] = []
    texts: list[set[str]] = []
    closed: dict[Unit, set[int]] = {unit: set() for unit in units}
    while closed:
        unit = max(closed, key=lambda each: (len(closed[each]), len(rests[each])))
        taken = closed.pop(unit)
        home = next(number for number in range(len(texts) + 1) if number not in taken)
        texts += [set()] if home == len(texts) else []
        texts[home] |= unit.texts
        order.append(unit)
        for other, numbers in closed.items():
            if home not in numbers and any(rest <= texts[home] for rest in rests[other]):
                numbers.add(home)
    return order


def _first_fit(units: Iterable[Unit], rests: Mapping[Unit, Sequence[Clash]]) -> tuple[Group, ...]:
    groups: list[list[Unit]] = []
    texts: list[set[str]] = []
    for unit in units:
        home = next((n for n, held in enumerate(texts) if not any(rest <= held for rest in rests[unit])), None)
        if home is None:
            groups.append([])
            texts.append(set())
        groups[-1 if home is None else home].append(unit)
        texts[-1 if home is None else home].update(unit.texts)
    return tuple(map(tuple, groups))
