"""Plan the environments of an `all/`: which model runs in which, what they are called, and why they are several."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from modelyard.context.build_context import digest_parts
from modelyard.context.grouping import Group, Grouping, Split, explain_split
from modelyard.requirements.grouping import Findings, Needs, SharedNeeds, group_needs
from modelyard.requirements.joining import find_join
from modelyard.requirements.merge import MergedLine, merge_requirements
from modelyard.requirements.resolve import Resolve
from modelyard.requirements.together import describe_conflict
from modelyard.runtime.application import DEFAULT_ENVIRONMENT

# What is said of one split, and for how many splits edits are tried: the rest would be more than anybody reads.
_MOST_REASONS = 4
_MOST_PAIRED = 5
"""Environments that are each set against each other; where there are more, each is against `default` alone."""
_MOST_JOINS = 12
_DERIVATION = re.compile(r"^(And )?[Bb]ecause ")


@dataclass(frozen=True, kw_only=True)
class EnvironmentsPlan:
    """The grouping, the merged lines of each group, and what a person should know beside the splits."""

    grouping: Grouping
    merged: tuple[tuple[MergedLine, ...], ...]
    notes: tuple[str, ...] = ()


def plan_environments(
    models: Sequence[Needs], resolve: Resolve | None, *, recorded: Grouping | None = None, trusts_record: bool = False
) -> EnvironmentsPlan:
    """Group models into environments.

    `recorded` is what was worked out before. Where it was of the same requirements, it is taken as it is when
    `trusts_record`, and when there is no answer: no `resolve`, or one that could not tell. With neither, what the lines
    alone prove keeps models apart. Raises InputError for a model that can't be installed even alone.
    """
    inputs = digest_needs(models)
    if recorded is not None and not _is_of(recorded, models, inputs):
        recorded = None
    if recorded is not None and (trusts_record or resolve is None):
        return _plan_recorded(recorded, models)
    shared, found = group_needs(models, resolve)
    if recorded is not None and found.unknown:
        return _plan_recorded(recorded, models, found)
    names = _name_groups(shared, found)
    grouping = Grouping(
        groups=tuple(
            Group(name=name, models=tuple(model.name for model in each.models), python=each.python)
            for name, each in zip(names, shared, strict=True)
        ),
        splits=tuple(_find_splits(shared, names, found, None if found.unknown else resolve)),
        decided_by="lines" if resolve is None or found.unknown else "resolver",
        inputs=inputs,
    )
    return EnvironmentsPlan(
        grouping=grouping, merged=tuple(each.merged for each in shared), notes=tuple(_explain(grouping, found))
    )


def _is_of(recorded: Grouping, models: Sequence[Needs], inputs: str) -> bool:
    names = sorted(name for group in recorded.groups for name in group.models)
    return recorded.inputs == inputs and names == sorted(model.name for model in models)


def _plan_recorded(recorded: Grouping, models: Iterable[Needs], found: Findings | None = None) -> EnvironmentsPlan:
    by_name = {model.name: model for model in models}
    merged = tuple(_merge(by_name[name] for name in group.models) for group in recorded.groups)
    return EnvironmentsPlan(grouping=recorded, merged=merged, notes=tuple(_explain(recorded, found)))


def digest_needs(models: Iterable[Needs]) -> str:
    """The digest of all that a grouping is worked out from, with the places that its explanations name."""
    stated = [[each.name, each.python, [[line.text, line.place] for line in each.lines]] for each in models]
    return digest_parts([json.dumps(stated).encode()])[:32]


def _explain(grouping: Grouping, found: Findings | None = None) -> Iterator[str]:
    if found and found.unknown:
        yield f"nobody could say whether the requirements fit together: {found.unknown}"
    if len(grouping.groups) == 1:
        return
    for group in grouping.groups:
        python = f" (Python {group.python})" if group.python else ""
        yield f"environment {group.name}{python}: {', '.join(group.models)}"
    for split in grouping.splits:
        yield from explain_split(split)
    if grouping.decided_by == "lines":
        yield "these environments follow from the lines alone: with the package index, there may be more or others"
    elif found and not found.is_complete:
        yield "the search for fewer environments was given up: every model that could not be placed has its own"


def _name_groups(shared: Sequence[SharedNeeds], found: Findings) -> list[str]:
    names = [DEFAULT_ENVIRONMENT]
    for number, each in enumerate(shared[1:], start=2):
        name = _suggest_name(each, shared[0], found) or f"group-{number}"
        names.append(name if name not in names else f"{name}-{number}")
    return names


def _suggest_name(each: SharedNeeds, default: SharedNeeds, found: Findings) -> str | None:
    """A name that says what is special: its Python, or the version that it pins and the default does not."""
    if each.python != default.python:
        return f"python-{each.python}" if each.python else None
    fighting = {text for clash in _clashes_between(each, default, found) for text in clash}
    for line in each.merged:
        requirement = line.first.requirement
        if line.text in fighting and requirement is not None:
            pins = [spec.version for spec in requirement.specifier if spec.operator == "=="]
            if pins:
                return re.sub(r"[^a-z0-9.]+", "-", f"{line.first.name}-{pins[0].removesuffix('.*')}".lower())
    return None


def _find_splits(
    shared: Sequence[SharedNeeds], names: Sequence[str], found: Findings, resolve: Resolve | None
) -> Iterator[Split]:
    against = len(shared) if len(shared) <= _MOST_PAIRED else 1
    pairs = [(one, other) for other in range(1, len(shared)) for one in range(min(other, against))]
    for number, (one, other) in enumerate(pairs):
        clashes = _clashes_between(shared[one], shared[other], found)
        asks = resolve if number < _MOST_JOINS else None
        fighting = [text for clash in clashes for text in clash]
        join = find_join(shared[one], shared[other], fighting, asks) if asks else None
        yield Split(
            environments=(names[one], names[other]),
            reasons=tuple(_say_reasons(shared[one], shared[other], clashes, found)),
            join=join or (),
            tried=asks is not None,
        )


def _clashes_between(one: SharedNeeds, other: SharedNeeds, found: Findings) -> list[frozenset[str]]:
    """The clashes that neither of two groups holds alone, the smallest first."""
    if one.python != other.python:
        return []
    both = one.texts | other.texts
    clashes = [
        clash for clash in found.clashes if clash <= both and not clash <= one.texts and not clash <= other.texts
    ]
    return sorted(clashes, key=lambda clash: (len(clash), sorted(clash)))


def _say_reasons(
    one: SharedNeeds, other: SharedNeeds, clashes: Sequence[frozenset[str]], found: Findings
) -> Iterator[str]:
    if one.python != other.python:
        yield "; ".join(_say_python(each) for each in (one, other))
        return
    for clash in clashes[:_MOST_REASONS]:
        lines = [line for line in one.merged if line.text in clash]
        lines += [line for line in other.merged if line.text in clash - one.texts]
        models = " and ".join(dict.fromkeys(line.origins[0] for line in lines))
        words = [line for line in found.clashes[clash].splitlines() if _DERIVATION.match(line)]
        yield "\n  ".join([f"{models}: {describe_conflict(lines)}", *words])
    if len(clashes) > _MOST_REASONS:
        yield f"and {len(clashes) - _MOST_REASONS} more such lines"


def _say_python(needs: SharedNeeds) -> str:
    model = needs.models[0]
    if needs.python:
        return f"{model.name} asks for Python {needs.python} in {model.python_file}"
    return f"{model.name} takes the builder's own Python, as it has no {model.python_file}"


def _merge(models: Iterable[Needs]) -> tuple[MergedLine, ...]:
    return merge_requirements(line for model in models for line in model.lines)
