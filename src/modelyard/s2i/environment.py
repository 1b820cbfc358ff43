"""`.s2i/environment` of any source, and `-E FILE`, as upstream reads them: loosely, unlike a model directory's."""

from pathlib import Path

from modelyard.errors import InputError, at
from modelyard.images.instructions import is_name


def read_variables(path: Path, *, name: str = "") -> dict[str, str]:
    """Read an environment file; `name` is what the user calls it, where `path` is a copy."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name or path}: not UTF-8 text (byte {error.start})", hint="save it as UTF-8") from None
    return parse_variables(text, source=name or str(path))


def parse_variables(text: str, *, source: str) -> dict[str, str]:
    r"""Parse NAME=VALUE lines. A line without a name or `=` says nothing; of a name set twice the last line counts.

    >>> parse_variables("# comment\nA=1\nno variable\nA = b=c\nQ='x y'\n=x", source="environment")
    {'A': 'b=c', 'Q': 'x y'}

    Raises InputError for a name that no image can hold, and for a NUL.
    """
    variables: dict[str, str] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        name, equals, value = (part.strip() for part in raw.partition("="))
        if not (name and equals) or name.startswith(("#", "//")):
            continue
        if not is_name(name):
            hint = "leave 'export' out" if name.startswith("export ") else "a name has no blanks or quotes"
            raise InputError(f"{at(source, number)}: {name!r} is no name of a variable", hint=hint)
        if "\0" in value:
            raise InputError(f"{at(source, number)}: the value of {name} holds a NUL byte", hint="remove it")
        variables[name] = _unquote(value)
    return variables


def _unquote(value: str) -> str:
    is_quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value
