"""The names that somebody else's Makefile sets, with those that stand in them filled in; its recipes stay unread."""

import re
from pathlib import Path

_LINE = re.compile(r"(?:export\s+|override\s+)*(?P<name>[A-Za-z_]\w*)\s*(?:[:?]|::)?=\s*(?P<value>[^\n]*)")
_REFERENCE = re.compile(r"\$[({](\w+)[)}]")
_INCLUDE = re.compile(r"^-?include\s+.*\brecipes\.mk\b", re.MULTILINE)
_DEEPEST = 10
_LONGEST = 1 << 12  # names that hold each other grow without end


def read_names(text: str) -> dict[str, str]:
    """The plain variables of a Makefile; those whose value needs make to be known are left out.

    >>> read_names("MODEL_NAME ?= rf # mine\\nCONTAINER_NAME := $(MODEL_NAME)-image\\nDAY = $(shell date)\\n")
    {'MODEL_NAME': 'rf', 'CONTAINER_NAME': 'rf-image'}
    """
    raw: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        match = _LINE.fullmatch(line.rstrip())
        if match:
            value = re.sub(r"(^|\s)#.*", "", match["value"]).strip().strip("\"'")
            if len(value) <= _LONGEST:
                raw[match["name"]] = value
    filled = {name: _fill(value, raw) for name, value in raw.items()}
    return {name: value for name, value in filled.items() if "$" not in value}


def includes_recipes(text: str) -> bool:
    """Tell whether a Makefile has its recipes from the workspace's recipes.mk."""
    return _INCLUDE.search(text) is not None


def read_text(path: Path) -> str | None:
    """The text of a file as it is, bytes that are no UTF-8 kept; None where there is no file."""
    return path.read_bytes().decode("utf-8", errors="surrogateescape") if path.is_file() else None


def _fill(value: str, names: dict[str, str]) -> str:
    for _ in range(_DEEPEST):
        filled = _REFERENCE.sub(lambda match: names.get(match[1], match[0]), value)
        if filled == value or len(filled) > _LONGEST:
            break
        value = filled
    return value
