"""The root of every error that modelyard raises on purpose."""

from __future__ import annotations

from pathlib import Path


class ModelyardError(Exception):
    """Say what happened, with the offending value and where it came from; `hint` says what to do next.

    `exit_code` is what a command exits with, `status` the HTTP status where the error reaches a client.
    """

    exit_code = 1
    status = 500

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  hint: {self.hint}"


class InputError(ModelyardError):
    """A file or value that a person wrote is wrong."""

    exit_code = 3
    status = 400


def at(path: Path | str, line: int | None = None) -> str:
    """Format a place in a file the way editors and terminals make clickable.

    >>> at("projects/x/.s2i/environment", 3)
    'projects/x/.s2i/environment:3'
    """
    return str(path) if line is None else f"{path}:{line}"
