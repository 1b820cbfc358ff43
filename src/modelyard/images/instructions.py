"""Dockerfile instructions of values that a person wrote: nothing in a value can end its line or be expanded."""

import re
from collections.abc import Mapping

from modelyard.errors import InputError

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


def format_instructions(instruction: str, values: Mapping[str, str]) -> list[str]:
    r"""Write ENV or LABEL lines; raise InputError for what such a line can't hold.

    >>> print(*format_instructions("ENV", {"A": 'x="$HOME"\\'}))
    ENV A="x=\"\$HOME\"\\"
    """
    return [f"{instruction} {_checked(instruction, key)}={quote_value(key, value)}" for key, value in values.items()]


def quote_value(key: str, value: str) -> str:
    """Quote a value so that a Dockerfile's parser reads it back as it is."""
    if any(character in value for character in "\n\r\0"):
        raise InputError(f"{key}={value!r} holds a line break or NUL, which an image can't carry", hint="remove it")
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def is_name(text: str) -> bool:
    """Whether a variable or label may be called so."""
    return _KEY.fullmatch(text) is not None


def _checked(instruction: str, key: str) -> str:
    if not is_name(key):
        raise InputError(f"{key!r} is no name for {instruction}", hint="use letters, digits, '_', '.', '/' and '-'")
    return key
