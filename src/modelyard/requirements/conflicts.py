"""Conflicts that the lines alone prove, without an index: a version range that no version can be in."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from packaging.specifiers import Specifier
from packaging.version import Version

from modelyard.requirements.merge import MergedLine
from modelyard.requirements.parse import INDEX_OPTION


def find_exclusive_pairs(merged: Sequence[MergedLine]) -> tuple[tuple[MergedLine, MergedLine], ...]:
    """Pairs of lines that no version of a package satisfies together.

    A pair is only named where the lines prove it; which versions exist, and what they need, is the resolver's to say.
    Intervals on a line that meet in pairs have a point in common, so looking at pairs is enough.
    """
    by_name: dict[tuple[str, str], list[MergedLine]] = {}
    for line in merged:
        requirement = line.first.requirement
        if requirement is not None:
            by_name.setdefault((line.first.name, str(requirement.marker or "")), []).append(line)
        elif line.text.startswith(f"{INDEX_OPTION} "):
            by_name.setdefault(("", INDEX_OPTION), []).append(line)
    return tuple(pair for lines in by_name.values() for pair in combinations(lines, 2) if _exclude_each_other(*pair))


def _exclude_each_other(left: MergedLine, right: MergedLine) -> bool:
    one, two = left.first.requirement, right.first.requirement
    if one is None or two is None:
        return True  # two index options: a file has one
    if one.url or two.url:
        return bool(one.url and two.url and one.url != two.url)
    specifiers = [*one.specifier, *two.specifier]
    # `===` compares texts, which need not even be versions
    return all(spec.operator != "===" for spec in specifiers) and _is_empty(specifiers)


def _is_empty(specifiers: Sequence[Specifier]) -> bool:
    pins = {Version(spec.version) for spec in specifiers if spec.operator == "==" and not spec.version.endswith(".*")}
    if pins:  # `==1.0` holds 1.0+cpu too, so the pin that satisfies all may be any of them
        return not any(all(spec.contains(pin, prereleases=True) for spec in specifiers) for pin in pins)
    lows = list(_lower_bounds(specifiers))
    highs = list(_upper_bounds(specifiers))
    return any(
        low > high or (low == high and not (low_included and high_included))
        for low, low_included in lows
        for high, high_included in highs
    )


def _lower_bounds(specifiers: Iterable[Specifier]) -> Iterator[tuple[Version, bool]]:
    for spec in specifiers:
        if spec.operator in (">=", "~=", ">"):
            yield Version(spec.version), spec.operator != ">"
        elif spec.operator == "==":
            yield Version(spec.version.removesuffix(".*")), True


def _upper_bounds(specifiers: Iterable[Specifier]) -> Iterator[tuple[Version, bool]]:
    for spec in specifiers:
        if spec.operator in ("<", "<="):
            yield Version(spec.version), spec.operator == "<="
        elif spec.operator == "~=":
            yield _next_release(Version(spec.version).release[:-1]), False
        elif spec.operator == "==" and spec.version.endswith(".*"):
            yield _next_release(Version(spec.version.removesuffix(".*")).release), False


def _next_release(release: Sequence[int]) -> Version:
    """The first version after all that start with `release`: (1, 4) gives 1.5."""
    return Version(".".join(map(str, (*release[:-1], release[-1] + 1))))
