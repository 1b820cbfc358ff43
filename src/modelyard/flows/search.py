"""The trials of a search, and which of them is the best."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelyard.errors import InputError
from modelyard.flows.config import Config, check_parameter
from modelyard.flows.definition import Flow, Search, Step

Params = Mapping[str, Any]
_DEFAULT_TRIALS = 10


def resolve_space(search: Search, config: Config) -> dict[str, Any]:
    """Each parameter with its values, or its range."""
    return {
        name: _as_list(config.get(values)) if isinstance(values, str) else values
        for name, values in search.over.items()
    }


def count_trials(search: Search, config: Config) -> int | None:
    """How many trials it has; None where the grid says it."""
    if isinstance(search.trials, str):
        return int(config.get(search.trials))
    return search.trials


def check_search(step: Step, flow: Flow, config: Config) -> None:
    """Raise InputError for a search that has no trials, or is over what the step does not read."""
    search = step.search
    if search is None:
        return
    where = flow.document.where("steps", step.name, "search")
    for name, values in search.over.items():
        for each in (name, values) if isinstance(values, str) else (name,):
            check_parameter(each, where, config)
        if name not in step.params and name.partition(".")[0] not in step.params:
            raise InputError(f"{where}: {step.name} does not read {name}", hint=f"add it to the params of {step.name}")
    if isinstance(search.trials, str):
        check_parameter(search.trials, where, config)
        count = config.get(search.trials)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(
                f"{config.where(search.trials)}: {search.trials} is {count!r}: no number of trials", hint="at least 1"
            )
    for name, values in resolve_space(search, config).items():
        origin = config.where(name) if isinstance(search.over[name], str) else where
        if isinstance(values, dict):
            _check_range(name, values, search, origin)
        elif not values:
            raise InputError(
                f"{origin}: {name} is an empty list: there is nothing to try", hint="write a value or more"
            )


def _check_range(name: str, values: Mapping[str, Any], search: Search, where: str) -> None:
    low, high = values["min"], values["max"]
    if search.method == "grid":
        raise InputError(f"{where}: a grid has no ranges, and {name} is one", hint="write a list, or method: random")
    if not low < high or (values.get("log") and low <= 0):
        above = " above 0" if values.get("log") else ""
        raise InputError(f"{where}: {name} from {low} to {high} is no range", hint=f"min is less than max{above}")


def plan_trials(search: Search, config: Config) -> list[dict[str, Any]]:
    """The parameters of each trial of a grid or random search, in order."""
    space, count = resolve_space(search, config), count_trials(search, config)
    if search.method == "grid":
        return list(_combine(space))[:count]
    return list(_draw(space, count or _DEFAULT_TRIALS, seed=search.seed))


def count_default(search: Search, config: Config) -> int:
    """How many trials a search without an end of its own has."""
    return count_trials(search, config) or _DEFAULT_TRIALS


def _combine(space: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    from itertools import product

    for values in product(*space.values()):
        yield dict(zip(space, values, strict=True))


def _draw(space: Mapping[str, Any], count: int, *, seed: int) -> Iterator[dict[str, Any]]:
    """Seeded and without replacement; of lists alone at most all there are."""
    generator = random.Random(seed)
    lists = {name: values for name, values in space.items() if not isinstance(values, dict)}
    most = math.prod(len(values) for values in lists.values()) if len(lists) == len(space) else None
    seen: set[str] = set()
    while len(seen) < (count if most is None else min(count, most)):
        drawn = {name: _draw_one(values, generator) for name, values in space.items()}
        if repr(drawn) in seen:
            if most is not None and len(seen) * 2 > most:  # drawing again and again would take long: deal the rest
                rest = [each for each in _combine(lists) if repr(each) not in seen]
                generator.shuffle(rest)
                yield from rest[: min(count, most) - len(seen)]
                return
            continue
        seen.add(repr(drawn))
        yield drawn


def _draw_one(values: Any, generator: random.Random) -> Any:
    if not isinstance(values, dict):
        return generator.choice(values)
    low, high = values["min"], values["max"]
    if values.get("log"):
        drawn = math.exp(generator.uniform(math.log(low), math.log(high)))
    else:
        drawn = generator.uniform(low, high)
    return max(low, min(high, round(drawn))) if values.get("whole") else drawn


def merge_params(params: Mapping[str, Mapping[str, Any]], trial: Params) -> dict[str, dict[str, Any]]:
    """What a trial's function gets: the step's parameters with one value for each that is searched."""
    merged = {group: dict(about) for group, about in params.items()}
    for name, value in trial.items():
        group, _, key = name.partition(".")
        merged.setdefault(group, {})[key] = value
    return merged


def pick_best(metrics: Sequence[float | None], *, direction: str) -> int | None:
    """The index of the best trial; None where none has the metric. NaN never wins, of equals the first does.

    >>> pick_best([0.5, float("nan"), 0.9, 0.9, None], direction="maximum")
    2
    """
    sign = 1 if direction == "maximum" else -1
    counted = [(sign * value, -index) for index, value in enumerate(metrics) if value is not None and value == value]
    return -max(counted)[1] if counted else None


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]
