"""One setup.sh of many: each model's in a section that runs as it would run alone, equal ones once."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Section:
    """One script, the model directories it comes from, and the line that ends it in the merged file."""

    names: tuple[str, ...]
    body: str
    """Ends with a newline."""

    @property
    def title(self) -> str:
        """The names as one word of shell."""
        return shlex.quote(", ".join(self.names))

    @property
    def delimiter(self) -> str:
        """A line that the script does not hold."""
        lines = set(self.body.splitlines())
        delimiter = "END"
        while delimiter in lines:
            delimiter += "_"
        return delimiter


def merge_scripts(scripts: Iterable[tuple[str, str]]) -> tuple[Section, ...]:
    """Merge (model directory, text of its setup.sh) in order; a missing final newline glues nothing together."""
    names: dict[str, list[str]] = {}
    for name, text in scripts:
        names.setdefault(text if text.endswith("\n") else f"{text}\n", []).append(name)
    return tuple(Section(names=tuple(same), body=body) for body, same in names.items())
