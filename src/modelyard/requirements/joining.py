"""Find the smallest edit that would let two groups of models share an environment, by trying."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from modelyard.network import mask_credentials
from modelyard.requirements.conflicts import find_exclusive_pairs
from modelyard.requirements.grouping import SharedNeeds
from modelyard.requirements.merge import MergedLine, merge_requirements
from modelyard.requirements.parse import RequirementLine, format_requirement, parse_requirements
from modelyard.requirements.resolve import Resolve

# Bounds of one search: lines edited together, questions to the resolver, edits looked at.
_MOST_EDITS = 3
_MOST_QUESTIONS = 8
_MOST_TRIES = 500


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Write `text` in place of a line, at every place that asks for it; without a text, the line goes."""

    line: MergedLine
    text: str
    kind: int
    """Which of the ways to edit a line it is, from what changes least."""

    def __str__(self) -> str:
        old = mask_credentials(self.line.text)
        places = ", ".join(line.place for line in self.line.lines)
        return f"{places}: write {self.text} in place of {old}" if self.text else f"{places}: remove {old}"


def find_join(
    one: SharedNeeds, other: SharedNeeds, fighting: Iterable[str], resolve: Resolve
) -> tuple[str, ...] | None:
    """Find the fewest edits, each tried, that let two groups go together; None where none was found.

    `fighting` are lines that are known to fight. Of two edits of one size, that of `other` (the smaller group) is tried
    first. Where the two ask for different Pythons, asking for one is tried.
    """
    if one.python != other.python:
        return _join_pythons(one, other, resolve)
    trials = _Trials(one=one, other=other, resolve=resolve)
    queue = _Queue()
    queue.put((), _find_edits(one, other, fighting, ()))
    for edits in islice(queue, _MOST_TRIES):
        blamed = trials.find_fighting(edits)
        if blamed is None:
            return None
        if not blamed:
            return tuple(map(str, edits))
        if len(edits) < _MOST_EDITS:
            queue.put(edits, _find_edits(one, other, blamed, edits))
    return None


@dataclass(kw_only=True)
class _Trials:
    """Tries edits, and remembers what fought, so that nothing is asked that is known."""

    one: SharedNeeds
    other: SharedNeeds
    resolve: Resolve
    learned: list[frozenset[str]] = field(default_factory=list)
    questions: int = 0

    def find_fighting(self, edits: Sequence[Edit]) -> frozenset[str] | None:
        """The lines that fight after `edits`; none where the groups go together, None where nobody can say."""
        merged = _apply(edits, self.one, self.other)
        texts = frozenset(line.text for line in merged)
        proved = frozenset(line.text for pair in find_exclusive_pairs(merged) for line in pair)
        known = proved or next((fighting for fighting in self.learned if fighting <= texts), frozenset())
        if known:
            return known
        if self.questions >= _MOST_QUESTIONS:
            return None
        self.questions += 1
        verdict = self.resolve([line.text for line in merged], python=self.one.python)
        if verdict.status != "conflict":
            return frozenset() if verdict.status == "fits" else None
        self.learned.append(frozenset(verdict.fighting) or texts)
        return self.learned[-1]


class _Queue:
    """Edits to try together: those that touch the fewest lines and files come first, each set once."""

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple[int, ...], tuple[Edit, ...]]] = []
        self._seen: set[frozenset[tuple[int, str]]] = set()

    def put(self, made: tuple[Edit, ...], more: Iterable[Edit]) -> None:
        """Add `made` together with each of `more`."""
        for edit in more:
            edits = (*made, edit)
            key = frozenset((id(each.line), each.text) for each in edits)
            if key not in self._seen:
                self._seen.add(key)
                places = sum(len(each.line.lines) for each in edits)
                cost = (len(edits), places, sum(each.kind for each in edits), len(self._seen))
                heapq.heappush(self._waiting, (cost, edits))

    def __iter__(self) -> Iterator[tuple[Edit, ...]]:
        while self._waiting:
            yield heapq.heappop(self._waiting)[1]


def _find_edits(one: SharedNeeds, other: SharedNeeds, blamed: Iterable[str], made: Sequence[Edit]) -> Iterator[Edit]:
    """The ways to edit one more line that is blamed."""
    wanted = frozenset(blamed)
    for mine, theirs in ((other, one), (one, other)):
        for line in mine.merged:
            if line.text in wanted and all(edit.line is not line for edit in made):
                texts = dict.fromkeys(_rewrite(line, theirs.merged))
                yield from (Edit(line=line, text=text, kind=kind) for kind, text in enumerate(texts))


def _rewrite(line: MergedLine, theirs: Iterable[MergedLine]) -> Iterator[str]:
    """What might stand in place of a line: as the others ask, the same or newer, then any version."""
    requirement = line.first.requirement
    if requirement is None:
        yield ""
        return
    if requirement.url or "--hash" in line.text:
        return
    wanted = [
        *(
            str(asked.specifier)
            for asked in (each.first.requirement for each in theirs if each.first.name == line.first.name)
            if asked is not None and not asked.url
        ),
        _widen(requirement.specifier),
        "",
    ]
    for specifier in wanted:
        text = _with_specifier(requirement, specifier)
        if text != line.text:
            yield text


def _widen(specifiers: SpecifierSet) -> str:
    """The same or newer: pins become lower bounds, upper bounds go.

    >>> _widen(SpecifierSet("==1.3.*")), _widen(SpecifierSet(">=2,<3"))
    ('>=1.3', '>=2')
    """
    kept = []
    for each in specifiers:
        if each.operator in ("==", "~=", "==="):
            kept.append(f">={each.version.removesuffix('.*')}")
        elif each.operator in (">=", ">", "!="):
            kept.append(str(each))
    return ",".join(sorted(kept))


def _with_specifier(requirement: Requirement, specifier: str) -> str:
    changed = Requirement(str(requirement))
    changed.specifier = SpecifierSet(specifier)
    return format_requirement(changed)


def _apply(edits: Sequence[Edit], one: SharedNeeds, other: SharedNeeds) -> tuple[MergedLine, ...]:
    texts = {id(edit.line): edit.text for edit in edits}

    def edited() -> Iterator[RequirementLine]:
        for line in (*one.merged, *other.merged):
            text = texts.get(id(line))
            if text is None:
                yield from line.lines
            elif text:
                yield from parse_requirements(text, source=line.first.place, origin=line.first.origin)

    return merge_requirements(edited())


def _join_pythons(one: SharedNeeds, other: SharedNeeds, resolve: Resolve) -> tuple[str, ...] | None:
    merged = merge_requirements(line for each in (*one.merged, *other.merged) for line in each.lines)
    if find_exclusive_pairs(merged):
        return None
    for changed, kept in sorted([(other, one), (one, other)], key=lambda pair: len(pair[0].models)):
        if resolve([line.text for line in merged], python=kept.python).status == "fits":
            files = ", ".join(model.python_file for model in changed.models)
            return (f"{files}: write {kept.python}" if kept.python else f"{files}: remove",)
    return None
