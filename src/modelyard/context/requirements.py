"""Requirements files as staging sees them: the lines that ask for something."""

import re
from collections.abc import Iterator
from pathlib import Path

from modelyard.errors import InputError, at
from modelyard.runtime.text_lines import split_lines

# A file beside the requirements file would have to be staged with it, at a path that means the same there.
_OTHER_FILE = re.compile(r"(-r|-c|-e|--requirement|--constraint|--editable)\b|\.{1,2}/|file:\.")


def requirement_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that asks for something, without comments; nothing where there is no file.

    A line that goes on after a backslash, as those of lock files do, is one. Raises InputError for bytes that are no
    UTF-8.
    """
    if not path.is_file():
        return
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})", hint="save the file as UTF-8") from None
    start, joined = 0, ""
    for number, raw in enumerate(split_lines(text), start=1):
        start = start or number
        joined += re.sub(r"(^|\s+)#.*", "", raw).strip()
        if joined.endswith("\\"):
            joined = joined.removesuffix("\\").rstrip() + " "
            continue
        if joined:
            yield start, joined
        start, joined = 0, ""
    if joined:
        yield start, joined.rstrip()


def without_hashes(line: str) -> str:
    """A requirement as people read it: of a lock's line, the pin.

    >>> without_hashes("six==1.17.0 --hash=sha256:47 --hash=sha256:ff")
    'six==1.17.0'
    """
    return line.partition(" --hash=")[0]


def check_requirements(path: Path) -> None:
    """Raise InputError for a line that names another file, which would not be in the build context."""
    for number, line in requirement_lines(path):
        if _OTHER_FILE.match(line):
            raise InputError(
                f"{at(path, number)}: {line!r} names another file, which the build context has not",
                hint="write the requirements themselves into this file",
            )
