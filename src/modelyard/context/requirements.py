"""Requirements files as staging sees them: the lines that ask for something."""

import re
from collections.abc import Iterator
from pathlib import Path

from modelyard.errors import InputError, at

# A file beside the requirements file would have to be staged with it, at a path that means the same there.
_OTHER_FILE = re.compile(r"(-r|-c|-e|--requirement|--constraint|--editable)\b|\.{1,2}/|file:\.")


def requirement_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that asks for something, without comments; nothing where there is no file.

    Raises InputError for bytes that are no UTF-8.
    """
    if not path.is_file():
        return
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})", hint="save the file as UTF-8") from None
    for number, raw in enumerate(text.splitlines(), start=1):
        line = re.sub(r"(^|\s+)#.*", "", raw).strip()
        if line:
            yield number, line


def check_requirements(path: Path) -> None:
    """Raise InputError for a line that names another file, which would not be in the build context."""
    for number, line in requirement_lines(path):
        if _OTHER_FILE.match(line):
            raise InputError(
                f"{at(path, number)}: {line!r} names another file, which the build context has not",
                hint="write the requirements themselves into this file",
            )
