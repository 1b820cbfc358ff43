"""Image references: `name[/name...][:tag]`. One grammar for every engine."""

import re

from modelyard.errors import InputError

_NAME = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
# A registry: the first part, when it looks like a host (as Docker tells it from a name).
_HOST = r"(?=[^/]*[.:]|localhost/)[A-Za-z0-9]+(?:[.-]+[A-Za-z0-9]+)*(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_ORIGINS = "--{}, or CONTAINER_NAME in a Makefile, on make's command line or in the environment"
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
_REFERENCE = re.compile(rf"(?P<name>(?:{_HOST}/)?{_NAME}(?:/{_NAME})*)(?::(?P<tag>{_TAG}))?")


def check_container_name(name: str, *, source: str = "") -> None:
    """Raise InputError for what no engine takes as a container's name; `source` says where it comes from."""
    if not _CONTAINER.fullmatch(name):
        raise InputError(
            f"{source}{name!r} is no name of a container",
            hint=f"write two or more letters, digits, '.', '_', '-', no sign first ({_ORIGINS.format('name')})",
        )


def normalise_tag(text: str, *, source: str = "") -> str:
    """Write a tag in full; raise InputError for what is no reference. `source` says where it comes from.

    >>> normalise_tag("income/rf")
    'income/rf:latest'
    """
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise InputError(
            f"{source}{text!r} is no image tag",
            hint=f"write name:tag in small letters, digits and '.', '_', '-', '/' ({_ORIGINS.format('tag')})",
        )
    return f"{match['name']}:{match['tag'] or 'latest'}"
