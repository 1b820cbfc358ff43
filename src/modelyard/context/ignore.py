"""`.s2iignore`: glob patterns, one a line, of what is not staged; `!` takes a pattern's files back in.

The patterns are upstream's: Go's filepath.Match against the path from the model directory, so `*` stays in one folder.
https://github.com/openshift/source-to-image/blob/master/docs/builder_image.md
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelyard.errors import InputError, at
from modelyard.runtime.text_lines import split_lines

IGNORE_FILE = ".s2iignore"


@dataclass(frozen=True)
class IgnoreRules:
    """The rules of one `.s2iignore`, in order: the last one that matches a file or a folder above it decides."""

    rules: tuple[tuple[re.Pattern[str], bool], ...] = ()

    def is_ignored(self, path: PurePosixPath) -> bool:
        """Tell whether the file at `path`, relative to the model directory, is left out."""
        names = [str(parent) for parent in (path, *path.parents)][:-1]
        ignored = False
        for pattern, leaves_out in self.rules:
            if any(pattern.fullmatch(name) for name in names):
                ignored = leaves_out
        return ignored


def parse_ignore_rules(text: str, *, source: Path | str = IGNORE_FILE) -> IgnoreRules:
    """Parse the text of an ignore file.

    >>> rules = parse_ignore_rules("*.log\\n!keep.log")
    >>> [rules.is_ignored(PurePosixPath(name)) for name in ("a.log", "keep.log", "sub/a.log")]
    [True, False, False]
    """
    rules = []
    for number, raw in enumerate(split_lines(text), start=1):
        line = raw.strip()
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").strip().removeprefix("./").strip("/")
            rules.append((_compile(pattern, place=at(source, number)), not line.startswith("!")))
    return IgnoreRules(tuple(rules))


def read_ignore_rules(folder: Path, *, name: str = "") -> IgnoreRules:
    """Read the ignore file of a folder, `name` to its user; no rules where there is none."""
    path = folder / IGNORE_FILE
    if not path.is_file():
        return IgnoreRules()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name or path}: not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None
    return parse_ignore_rules(text, source=name or path)


def _compile(pattern: str, *, place: str) -> re.Pattern[str]:
    try:
        return re.compile(_as_regex(pattern))
    except re.error as error:
        raise InputError(f"{place}: {pattern!r} is no pattern ({error})", hint="correct what stands in [ ]") from None


def _as_regex(pattern: str) -> str:
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[\^?[^\]/]+\])", pattern)
    return "".join(
        part.replace("\\", "\\\\") if part.startswith("[") else wildcards.get(part, re.escape(part)) for part in parts
    )
