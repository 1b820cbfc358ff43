"""Lines of output, passed on as they come."""

from collections.abc import Callable

OnOutput = Callable[[str], None]
"""Takes one line of output of a command or an engine, without its line end."""


def discard(line: str) -> None:
    """Take a line of output and do nothing with it."""
