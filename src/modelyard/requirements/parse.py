"""Requirements files: one requirement or index option a line, with its place, in one canonical spelling."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from modelyard.errors import InputError, at
from modelyard.runtime.text_lines import split_lines

# Options of a requirements file that hold for all of it, by their long form; the first takes one value a file.
INDEX_OPTION = "--index-url"
_OPTIONS = {
    "-i": INDEX_OPTION,
    "--index-url": INDEX_OPTION,
    "--extra-index-url": "--extra-index-url",
    "-f": "--find-links",
    "--find-links": "--find-links",
    "--no-binary": "--no-binary",
    "--only-binary": "--only-binary",
}
# How the value of an option begins; `$` is a variable's, which uv fills in.
_ADDRESSES = {
    INDEX_OPTION: re.compile(r"(https?|file)://|[$/]", re.IGNORECASE),
    "--extra-index-url": re.compile(r"(https?|file)://|[$/]", re.IGNORECASE),
    "--find-links": re.compile(r"(https?|file)://|[$]", re.IGNORECASE),
}
_FLAGS = frozenset({"--no-index"})
_INCLUDES = ("-r", "--requirement", "-c", "--constraint", "-e", "--editable")
_COMMENT = re.compile(r"(^|\s+)#.*")
_HASH = re.compile(r"\s--hash[= ](\S+)")


@dataclass(frozen=True, kw_only=True)
class RequirementLine:
    """One line of a requirements file. Lines with equal `text` ask for the same thing."""

    text: str
    requirement: Requirement | None
    """None for an index option."""
    place: str
    """The file and line it comes from."""
    origin: str = ""
    """Which model directory asks for it."""

    @property
    def name(self) -> str:
        """The distribution's normalised name; empty for an index option."""
        return canonicalize_name(self.requirement.name) if self.requirement else ""


def read_requirements(path: Path, *, shown: str | None = None, origin: str = "") -> tuple[RequirementLine, ...]:
    """Read a requirements file; no lines where there is no file. `shown` is how the file is called in places."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ()
    except UnicodeDecodeError as error:
        raise InputError(f"{shown or path}: not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None
    return parse_requirements(text, source=shown or str(path), origin=origin)


def parse_requirements(text: str, *, source: str, origin: str = "") -> tuple[RequirementLine, ...]:
    r"""Parse the text of a requirements file.

    >>> [line.text for line in parse_requirements("Numpy >=2,<3 # fast\n\nfoo[b,a]==1\n", source="r.txt")]
    ['numpy>=2,<3', 'foo[a,b]==1']

    Raises InputError naming file and line for what is no requirement, and for one that names another file.
    """
    return tuple(
        _parse_line(line, place=at(source, number), origin=origin) for number, line in _logical_lines(split_lines(text))
    )


def _logical_lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """Lines without comments, those that end in a backslash joined, each with the number it starts at."""
    start, joined = 0, ""
    for number, raw in enumerate(lines, start=1):
        start = start or number
        line = raw.rstrip()
        if line.endswith("\\") and not line.lstrip().startswith("#") and number < len(lines):
            joined += line[:-1] + " "
            continue
        line = _COMMENT.sub("", joined + line).strip()
        if line:
            yield start, line
        start, joined = 0, ""


def _parse_line(line: str, *, place: str, origin: str) -> RequirementLine:
    if not line.replace("\t", " ").isprintable():
        raise InputError(f"{place}: {line!r} holds a control character", hint="remove it")
    if line.startswith("-"):
        return RequirementLine(text=_parse_option(line, place), requirement=None, place=place, origin=origin)
    text = _HASH.sub("", line)
    if text.startswith((".", "/", "~", "file:")) or re.match(r"\S+\s*@\s*(file:)?[./~]", text):
        _refuse_other_file(line, place)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{place}: {line!r} is no requirement ({reason})", hint="write name, name==1.2 or name @ https://..."
        ) from None
    hashes = "".join(f" --hash={value}" for value in sorted(_HASH.findall(line)))
    return RequirementLine(
        text=format_requirement(requirement) + hashes, requirement=requirement, place=place, origin=origin
    )


def format_requirement(requirement: Requirement) -> str:
    """Spell a requirement in one way: normalised name, sorted extras, versions from low to high, no needless spaces."""
    name = canonicalize_name(requirement.name)
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker else ""
    if requirement.url:
        return f"{name}{extras} @ {requirement.url}{' ' if marker else ''}{marker}"
    # `>=1,<2` reads better than packaging's own order `<2,>=1`.
    specifiers = sorted(map(str, requirement.specifier), key=lambda text: ("=~>!<".index(text[0]), text))
    return f"{name}{extras}{','.join(specifiers)}{marker}"


def _parse_option(line: str, place: str) -> str:
    name, _, value = re.sub(r"[\s=]+", " ", line, count=1).partition(" ")
    value = value.strip()
    if name in _INCLUDES or name[:2] in ("-r", "-c", "-e"):
        _refuse_other_file(line, place)
    if name in _FLAGS and not value:
        return name
    if name not in _OPTIONS or not value or re.search(r"\s", value):
        raise InputError(
            f"{place}: {line!r} is an option that can't stand in a model's requirements",
            hint="set it in pip's own settings, which every build reads: pip config set ...",
        )
    option = _OPTIONS[name]
    if option in _ADDRESSES and not _ADDRESSES[option].match(value):
        raise InputError(
            f"{place}: {line!r}: {value!r} is no address",
            hint="write https://..., or set a folder in pip's own settings, which every build reads: pip config set "
            f"global.{option.removeprefix('--')} ...",
        )
    return f"{option} {value}"


def _refuse_other_file(line: str, place: str) -> None:
    raise InputError(
        f"{place}: {line!r} names another file, which the build context has not",
        hint="write the requirements themselves into this file",
    )
