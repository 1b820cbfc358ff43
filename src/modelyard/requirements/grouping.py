"""Work out which models share an environment: propose groups, have uv check each, learn from what fights, repeat."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from modelyard.requirements.colouring import Clash, Group, Unit, colour
from modelyard.requirements.conflicts import find_exclusive_pairs
from modelyard.requirements.merge import MergedLine, merge_requirements
from modelyard.requirements.parse import RequirementLine
from modelyard.requirements.resolve import Resolve
from modelyard.requirements.together import explain_conflict

# Every round learns a clash that was not known before; real workspaces need a handful.
_MOST_ROUNDS = 64


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What one model asks for.

    `python_file` is how its `.python-version` is called, whether it has one or not; `asked` says which line of it asks
    for what.
    """

    name: str
    lines: tuple[RequirementLine, ...]
    python: str | None = None
    python_file: str = ".python-version"
    asked: str = ""


@dataclass(frozen=True, kw_only=True)
class SharedNeeds:
    """Models that go together, with the union of their lines."""

    models: tuple[Needs, ...]
    merged: tuple[MergedLine, ...]

    @property
    def python(self) -> str | None:
        """The Python that each of them asks for."""
        return self.models[0].python

    @property
    def texts(self) -> frozenset[str]:
        """The lines, without their places."""
        return frozenset(line.text for line in self.merged)


@dataclass
class Findings:
    """What is known of clashes: proved by the lines, or learned from the resolver, with its words."""

    clashes: dict[Clash, str] = field(default_factory=dict)
    unknown: str = ""
    """Why the resolver could not tell, where it could not."""
    is_complete: bool = True
    """Whether the groups were all checked within the bounds of the search."""


def group_needs(models: Sequence[Needs], resolve: Resolve | None) -> tuple[tuple[SharedNeeds, ...], Findings]:
    """Group models into the fewest environments found, the largest first, and say what was learned on the way.

    Without `resolve` (or where it can't tell), only what the lines alone prove keeps models apart. Raises InputError
    for a model whose own lines cannot be installed together: one model is never split.
    """
    found = Findings(clashes=dict.fromkeys(_find_static_clashes(models), ""))
    units = _make_units(models)
    pythons = dict.fromkeys(unit.python for unit in units)
    groups = [
        group
        for python in pythons
        for group in _group_units([unit for unit in units if unit.python == python], resolve, found)
    ]
    by_name = {model.name: (number, model) for number, model in enumerate(models)}
    shared = []
    for group in groups:
        members = sorted(by_name[name] for unit in group for name in unit.names)
        kept = tuple(model for _, model in members)
        shared.append((members[0][0], SharedNeeds(models=kept, merged=_merge(kept))))
    shared.sort(key=lambda item: (-len(item[1].models), item[0]))
    return tuple(item for _, item in shared), found


def _make_units(models: Iterable[Needs]) -> tuple[Unit, ...]:
    same: dict[tuple[str | None, frozenset[str]], list[Needs]] = {}
    for model in models:
        same.setdefault((model.python, frozenset(line.text for line in model.lines)), []).append(model)
    return tuple(
        Unit(
            names=tuple(model.name for model in equal),
            lines=tuple(line for model in equal for line in model.lines),
            texts=texts,
            python=python,
            asked=equal[0].asked,
        )
        for (python, texts), equal in same.items()
    )


def _find_static_clashes(models: Iterable[Needs]) -> Iterator[Clash]:
    for pair in find_exclusive_pairs(merge_requirements(line for model in models for line in model.lines)):
        yield frozenset(line.text for line in pair)


def _group_units(units: Sequence[Unit], resolve: Resolve | None, found: Findings) -> tuple[Group, ...]:
    """Group units of one Python. What uv says of one Python may not hold for another, but only ever adds a group."""
    for _ in range(_MOST_ROUNDS):
        groups = colour(units, found.clashes)
        learned = dict(_check(groups, resolve, found)) if resolve else {}
        if not learned:
            return groups
        found.clashes.update(learned)
    found.is_complete = False
    return tuple((unit,) for unit in units)


def _check(groups: Iterable[Group], resolve: Resolve, found: Findings) -> Iterator[tuple[Clash, str]]:
    for group in groups:
        merged = _merge(group)
        texts = [line.text for line in merged]
        if found.unknown or not merged:
            continue
        verdict = resolve(texts, python=group[0].python)
        if verdict.status == "unknown":
            found.unknown = verdict.explanation.partition("\n")[0] or "no reason was given"
        elif verdict.status == "conflict":
            fighting = frozenset(verdict.fighting) & set(texts) or frozenset(texts)
            yield _blame(group, fighting, verdict.explanation, resolve), verdict.explanation


def _blame(group: Group, fighting: Clash, words: str, resolve: Resolve) -> Clash:
    """The lines to keep apart; raise InputError where they are of one unit, which can't be installed even alone."""
    owner = next((unit for unit in group if fighting <= unit.texts), None)
    if owner is None:
        return fighting
    alone = _merge((owner,))
    verdict = resolve([line.text for line in alone], python=owner.python) if len(group) > 1 else None
    if verdict is None or verdict.status == "conflict":
        blamed = verdict.fighting if verdict else fighting
        raise explain_conflict([line for line in alone if line.text in blamed] or alone, words=words, asked=owner.asked)
    # it is not the lines but another unit's options, such as an index that lacks the package
    options = {line.text for line in _merge(group) if line.first.requirement is None}
    return fighting | options if not fighting | options <= owner.texts else frozenset().union(*(u.texts for u in group))


def _merge(asking: Iterable[Unit | Needs]) -> tuple[MergedLine, ...]:
    return merge_requirements(line for each in asking for line in each.lines)
