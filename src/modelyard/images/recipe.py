"""A builder's Dockerfile, read: what its stages set, and which of their lines only an engine can do.

https://docs.docker.com/reference/dockerfile/
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modelyard.errors import WorkspaceError

_VARIABLE = re.compile(r"\\(?P<kept>\$)|\$(?:(?P<bare>\w+)|\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\})")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)")
_NANOSECONDS = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_HEALTH = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod", "retries": "Retries"}


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction, its continued lines joined; `line` is its first."""

    line: int
    keyword: str
    value: str

    @property
    def words(self) -> str:
        """What it asks for, however that is spaced."""
        return " ".join(self.value.split())


def read_instructions(text: str) -> Iterator[Instruction]:
    r"""The instructions of a Dockerfile.

    >>> list(read_instructions("# a\nRUN one \\\n # b\n && two\n"))
    [Instruction(line=2, keyword='RUN', value='one  && two')]
    """
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#") or (not parts and not line.strip()):
            continue
        first = first if parts else number
        is_continued = line.rstrip().endswith("\\")
        parts.append(line.rstrip().removesuffix("\\") if is_continued else line)
        if not is_continued:
            keyword, _, value = "".join(parts).strip().partition(" ")
            yield Instruction(line=first, keyword=keyword.upper(), value=value.strip())
            parts = []


def find_stage(instructions: Sequence[Instruction], name: str, file: str) -> list[Instruction]:
    """The instructions of a stage, after its FROM; raise WorkspaceError where there is no such stage."""
    starts = [place for place, each in enumerate(instructions) if each.keyword == "FROM"]
    for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
        words = instructions[start].value.split()
        if len(words) == 3 and words[1].lower() == "as" and words[2] == name:
            return list(instructions[start + 1 : end])
    raise WorkspaceError(f"{file}: has no stage {name!r}", hint=f"restore it: FROM ${{BASE_IMAGE}} AS {name}")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put the values of variables in place of their names.

    >>> expand("$A ${B:-c} \\\\$A", {"A": "a"})
    'a c $A'
    """

    def value(match: re.Match[str]) -> str:
        if match["kept"]:
            return "$"
        return variables.get(match["bare"] or match["name"]) or match["default"] or ""

    return _VARIABLE.sub(value, text)


def read_pairs(value: str, variables: Mapping[str, str]) -> dict[str, str]:
    r"""The KEY=VALUE of ENV and LABEL.

    >>> read_pairs('A=1 B="x y" C=$A', {"A": "2"})
    {'A': '1', 'B': 'x y', 'C': '2'}
    """
    pairs = {}
    for word in shlex.split(value, posix=True):
        key, _, text = word.partition("=")
        pairs[key] = expand(text, variables)
    return pairs


def read_command(value: str) -> list[str]:
    """The words of CMD and ENTRYPOINT: JSON, or a line for a shell."""
    try:
        found = json.loads(value)
    except ValueError:
        found = None
    return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else _in_shell(value)


def _in_shell(value: str) -> list[str]:
    return ["/bin/sh", "-c", value]


def read_health(value: str) -> dict[str, object]:
    """HEALTHCHECK, as images carry it.

    >>> read_health('--interval=10s --retries=2 CMD ["true"]')
    {'Interval': 10000000000, 'Retries': 2, 'Test': ['CMD', 'true']}
    """
    found: dict[str, object] = {}
    while match := re.match(r"--([a-z-]+)=(\S+)\s+", value):
        key = _HEALTH[match[1]]
        found[key] = int(match[2]) if key == "Retries" else _read_duration(match[2])
        value = value[match.end() :]
    keyword, _, command = value.partition(" ")
    if keyword.upper() == "NONE":
        return {"Test": ["NONE"]}
    words = read_command(command.strip())
    return {**found, "Test": ["CMD-SHELL", command.strip()] if words[:2] == ["/bin/sh", "-c"] else ["CMD", *words]}


def _read_duration(text: str) -> int:
    return round(sum(float(part["number"]) * _NANOSECONDS[part["unit"]] for part in _DURATION.finditer(text)))
