"""Say which lines of requirements cannot go together."""

from collections.abc import Iterator, Sequence

from modelyard.errors import InputError
from modelyard.requirements.conflicts import find_exclusive_pairs
from modelyard.requirements.merge import MergedLine
from modelyard.runtime.assembling.installation import find_python_hint


def find_conflicts(merged: Sequence[MergedLine]) -> Iterator[InputError]:
    """Yield an error for each pair of lines that no version satisfies together, whatever an index holds."""
    for pair in find_exclusive_pairs(merged):
        yield explain_conflict(pair)


def explain_conflict(lines: Sequence[MergedLine], *, words: str = "", asked: str = "") -> InputError:
    """An error that names each of `lines` by file and line, with the resolver's own `words`.

    `asked` says what asks for the Python that they are for, where something does.
    """
    told = "".join(f"\n  {line}" for line in words.splitlines())
    hint = "correct the line" if len(lines) == 1 else "agree on versions"
    return InputError(f"{describe_conflict(lines)}{told}", hint=find_python_hint(words, asked=asked) or hint)


def describe_conflict(lines: Sequence[MergedLine]) -> str:
    """Say of lines, each by its place, that they fight."""
    first, *others = [line.where for line in lines]
    if not others:
        return f"{first} cannot be installed"
    if len(others) == 1:
        return f"{first} cannot go with {others[0]}"
    return "\n  ".join((f"{first} cannot go with all of", *others))
