"""The text of a Dockerfile as instructions, each with the number of its line.

https://docs.docker.com/reference/dockerfile/#format
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modelyard.errors import InputError

KNOWN = (
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
    *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
)
_DIRECTIVE = re.compile(r"#\s*(?P<name>[A-Za-z][A-Za-z0-9]*)\s*=\s*(?P<value>.+?)\s*")
_FLAG = re.compile(r"--(?P<name>[a-z][a-z-]*)(?:=(?P<value>\S*))?(?:\s+|$)")
_HEREDOC = re.compile(r"(?<!<)<<-?(['\"]?)(?P<end>[A-Za-z_][A-Za-z0-9_]*)\1")


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction; `rest` is what follows its name and flags, its lines joined."""

    file: str
    line: int
    name: str
    rest: str
    flags: Mapping[str, str] = field(default_factory=dict)
    has_heredoc: bool = False
    escape: str = "\\"

    @property
    def where(self) -> str:
        """File and line, for errors."""
        return f"{self.file}:{self.line}"

    @property
    def text(self) -> str:
        """The whole of it in one line."""
        flags = "".join(f" --{name}{f'={value}' if value else ''}" for name, value in self.flags.items())
        return f"{self.name}{flags} {self.rest}".rstrip()

    @property
    def array(self) -> list[str] | None:
        """The strings of the JSON form; None where it is no such form."""
        if not self.rest.startswith("["):
            return None
        try:
            found = json.loads(self.rest)
        except ValueError:
            return None
        return found if all(isinstance(each, str) for each in found) else None

    def refuse(self, reason: str, hint: str | None = None) -> InputError:
        """The error for what is wrong with it."""
        return InputError(f"{self.where}: {self.name}: {reason}", hint=hint)


def parse_dockerfile(text: str, file: str) -> list[Instruction]:
    """Parse a Dockerfile, which errors call `file`; raise InputError with its line for what is none."""
    lines = text.removeprefix("\ufeff").splitlines()
    escape = _read_escape(lines, file)
    found = list(_read(enumerate(lines, 1), file, escape))
    if not found:
        raise InputError(f"{file}: holds no instruction", hint="begin it with FROM")
    return found


def parse_instruction(text: str, file: str, line: int, escape: str = "\\") -> Instruction:
    """Parse one instruction whose lines are joined."""
    name, rest = [*text.split(maxsplit=1), ""][:2]
    name = name.upper()
    if name not in KNOWN:
        raise InputError(f"{file}:{line}: {name} is no instruction", hint=f"those there are: {', '.join(KNOWN)}")
    flags = {}
    while match := _FLAG.match(rest):
        flags[match["name"]] = match["value"] or ""
        rest = rest[match.end() :]
    has_heredoc = name in ("RUN", "COPY", "ADD") and _HEREDOC.search(rest) is not None
    return Instruction(file=file, line=line, name=name, rest=rest, flags=flags, has_heredoc=has_heredoc, escape=escape)


def _read_escape(lines: list[str], file: str) -> str:
    """What stands at the end of a line that goes on: a directive at the top may say so."""
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        if match["name"].lower() == "escape":
            if match["value"] not in ("\\", "`"):
                raise InputError(f"{file}:{number}: escape is {match['value']!r}", hint="write \\ or `")
            return match["value"]
    return "\\"


def _read(lines: Iterator[tuple[int, str]], file: str, escape: str) -> Iterator[Instruction]:
    goes_on = re.compile(rf"{re.escape(escape)}[ \t]*$")
    for number, line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        whole = [goes_on.sub("", text)]
        while goes_on.search(text):
            # Comments and empty lines do not end it.
            text = next((line for _, line in lines if line.strip() and not line.lstrip().startswith("#")), "")
            whole.append(goes_on.sub("", text))
        instruction = parse_instruction("".join(whole).strip(), file, number, escape)
        if instruction.has_heredoc:
            _skip_heredocs(instruction, lines)
        yield instruction


def _skip_heredocs(instruction: Instruction, lines: Iterator[tuple[int, str]]) -> None:
    for match in _HEREDOC.finditer(instruction.rest):
        if not any(line.strip() == match["end"] for _, line in lines):
            raise instruction.refuse(f"<<{match['end']} has no end", f"write {match['end']} alone on a line")
