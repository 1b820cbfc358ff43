"""`.s2i/environment`: KEY=VALUE lines that become an image's environment. One grammar, one parser, one formatter."""

import re
from collections.abc import Mapping
from pathlib import Path

from modelyard.runtime.errors import InputError, at

# By these a system finds programs, libraries and files: builder, daemon and scripts would be others than are there.
OF_THE_SYSTEM = frozenset(
    {"PATH", "HOME", "LD_PRELOAD", "LD_AUDIT", "PYTHONHOME", "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "IFS"}
)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Environment(dict[str, str]):
    """The variables of one environment file; `lines` says where each was set, `source` in which file."""

    def __init__(self, values: Mapping[str, str] = {}, *, source: Path | str = "", lines: Mapping[str, int] = {}):
        super().__init__(values)
        self.source = source
        self.lines = dict(lines)

    def where(self, key: str) -> str:
        """Say where `key` was set, as file:line."""
        return at(self.source, self.lines.get(key))


def parse_environment(text: str, *, source: Path | str = ".s2i/environment") -> Environment:
    r"""Parse the text of an environment file.

    `#` starts a comment only at the start of a line, so values may hold it. One pair of matching quotes around a value
    is taken off. A byte order mark, CRLF line ends and a missing final newline are no error.

    >>> parse_environment("# routes\nROUTES=rf:predict:run\nURL='http://x/?a=b#c'")
    {'ROUTES': 'rf:predict:run', 'URL': 'http://x/?a=b#c'}

    Raises InputError for a line without `=`, a key that is no variable name, a NUL, and a key that is set twice.
    """
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        line = raw.removesuffix("\r").strip(" \t")
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key = key.rstrip(" \t")
        _check_line(key, equals, line, place=at(source, number))
        if key in values:
            raise InputError(
                f"{at(source, number)}: {key} is set a second time (first at line {lines[key]})",
                hint="keep one of the two lines",
            )
        values[key] = _unquote(value.strip(" \t"))
        lines[key] = number
    return Environment(values, source=source, lines=lines)


def read_environment(path: Path) -> Environment:
    """Read and parse the environment file at `path`."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file", hint="a model directory needs .s2i/environment with ROUTES and TRAIN_MODULE"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})", hint="save the file as UTF-8") from None
    return parse_environment(text, source=path)


def check_variables(environment: Environment) -> None:
    """Raise InputError for a variable that would keep the image's own programs from running, naming its line."""
    for name in environment:
        if name in OF_THE_SYSTEM:
            raise InputError(
                f"{environment.where(name)}: sets {name}, by which an image finds its own programs and files",
                hint="leave it out, or set it for your code alone: os.environ in Python, or -e when it is run",
            )


def format_environment(values: Mapping[str, str]) -> str:
    """Write variables so that `parse_environment` reads the same values back; raise InputError where it could not."""
    return "".join(f"{_checked_name(key)}={_quote(key, value)}\n" for key, value in values.items())


def _check_line(key: str, equals: str, line: str, *, place: str) -> None:
    if not equals:
        raise InputError(f"{place}: {line!r} has no '='", hint="write KEY=VALUE, or start a comment with '#'")
    if not NAME.fullmatch(key):
        hint = "leave 'export' out" if key.startswith("export ") else "use letters, digits and '_', no digit first"
        raise InputError(f"{place}: {key!r} is no variable name", hint=hint)
    if "\0" in line:
        raise InputError(f"{place}: the value of {key} holds a NUL byte", hint="remove it")


def _checked_name(key: str) -> str:
    if not NAME.fullmatch(key):
        raise InputError(f"{key!r} is no variable name", hint="use letters, digits and '_', no digit first")
    return key


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def _quote(key: str, value: str) -> str:
    if any(character in value for character in "\n\r\0"):
        raise InputError(f"{key}={value!r} does not fit on one line", hint="remove the line break or NUL")
    needs_quotes = value != value.strip(" \t") or _unquote(value) != value
    return f'"{value}"' if needs_quotes else value
