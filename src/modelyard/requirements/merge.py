"""The union of many requirements files: each line once, sorted, with the model directories that ask for it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelyard.network import mask_credentials
from modelyard.requirements.parse import RequirementLine

_NAMED = 4


@dataclass(frozen=True, kw_only=True)
class MergedLine:
    """One line of the union, and every line that asks for it."""

    text: str
    lines: tuple[RequirementLine, ...]

    @property
    def first(self) -> RequirementLine:
        """The line that asked for it first."""
        return self.lines[0]

    @property
    def origins(self) -> tuple[str, ...]:
        """The model directories that ask for it, in order."""
        return tuple(dict.fromkeys(line.origin for line in self.lines))

    @property
    def where(self) -> str:
        """The first place that asks for it, the text, and how many others do."""
        others = len(self.lines) - 1
        return f"{self.first.place}: {mask_credentials(self.text)}" + (f" (and {others} more)" if others else "")


def merge_requirements(lines: Iterable[RequirementLine]) -> tuple[MergedLine, ...]:
    """Merge lines: index options first, then requirements by name."""
    by_text: dict[str, list[RequirementLine]] = {}
    for line in lines:
        by_text.setdefault(line.text, []).append(line)
    merged = (MergedLine(text=text, lines=tuple(same)) for text, same in by_text.items())
    return tuple(sorted(merged, key=lambda line: (line.first.name, line.text)))


def format_merged(merged: Sequence[MergedLine], *, everyone: int) -> str:
    """Write the union, each line with the model directories it comes from; `everyone` is how many there are."""
    return "".join(f"{line.text}{_annotate(line, everyone)}\n" for line in merged)


def _annotate(line: MergedLine, everyone: int) -> str:
    if len(line.origins) == everyone and everyone > 1:
        return "  # every model"
    shown, others = line.origins[:_NAMED], len(line.origins) - _NAMED
    return f"  # {', '.join(shown)}" + (f" and {others} more" if others > 0 else "")
