"""What a .dockerignore leaves out of the context, by moby's rules.

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.errors import InputError

_IN_CLASS, _ESCAPED = re.compile(r"([\[&~|\\])"), r"\\\1"  # what Python would read otherwise there


@dataclass(frozen=True)
class Patterns:
    """The lines of a .dockerignore; the last that fits a path, or a folder above it, decides."""

    rules: tuple[tuple[re.Pattern[str], bool], ...] = ()
    """Each with whether it takes paths in again (`!`)."""

    @property
    def takes_in(self) -> bool:
        """Whether something below an ignored folder may not be."""
        return any(is_exception for _, is_exception in self.rules)

    def ignores(self, path: str) -> bool:
        """Whether a path below the context, with slashes, is left out."""
        parents = [str(parent) for parent in reversed(PurePosixPath(path).parents) if str(parent) != "."]
        ignored = False
        for rule, is_exception in self.rules:
            if is_exception == ignored and any(rule.fullmatch(each) for each in (path, *parents)):
                ignored = not is_exception
        return ignored


def parse_patterns(text: str, file: str) -> Patterns:
    """Parse a .dockerignore. Raises InputError with the line of a pattern that is none."""
    rules = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        is_exception = pattern.startswith("!")
        cleaned = posixpath.normpath(pattern.removeprefix("!").strip() or ".").lstrip("/")
        if is_exception and cleaned == ".":
            raise InputError(f"{file}:{number}: {line!r} names nothing to take in again", hint="write !PATH")
        try:
            rules.append((re.compile(translate(cleaned)), is_exception))
        except re.error:
            raise InputError(f"{file}:{number}: {line!r} is no pattern", hint="is a [ without its ]?") from None
    return Patterns(tuple(rules))


def read_patterns(context: Path, dockerfile: Path) -> Patterns:
    """The patterns of FILE.dockerignore beside the Dockerfile, else of the context's own .dockerignore."""
    for path in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore"):
        if path.is_file():
            return parse_patterns(path.read_text(encoding="utf-8"), str(path))
    return Patterns()


def translate(pattern: str, *, doubles: bool = True) -> str:
    r"""The regular expression of a pattern: `**` is any folders, `*` and `?` stay in one, `\` takes one as it is.

    >>> translate("**/a?.py")
    '(?:.*/)?a[^/]\\.py'
    """
    result, place = "", 0
    while place < len(pattern):
        char = pattern[place]
        if doubles and pattern.startswith("**", place):
            place += 3 if pattern.startswith("**/", place) else 2
            result += ".*" if place >= len(pattern) else "(?:.*/)?"
            continue
        place += 1
        if char == "*":
            result += "[^/]*"
        elif char == "?":
            result += "[^/]"
        elif char == "\\" and place < len(pattern):
            result, place = result + re.escape(pattern[place]), place + 1
        elif char == "[":
            end = pattern.find("]", place + 1)
            if end < 0:
                raise re.error("a [ without its ]")
            result += f"[{_IN_CLASS.sub(_ESCAPED, pattern[place:end])}]"
            place = end + 1
        else:
            result += re.escape(char)
    return result


def match_paths(pattern: str, paths: Iterable[str]) -> list[str]:
    """The paths that the pattern of a COPY fits, which has no `**`."""
    rule = re.compile(translate(pattern, doubles=False))
    return [path for path in paths if rule.fullmatch(path)]
