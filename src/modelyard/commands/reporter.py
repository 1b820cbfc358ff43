"""How a command says what it does, without knowing about terminals."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

OnOutput = Callable[[str], None]


class Reporter(Protocol):
    """Whoever is told about progress."""

    def step(self, text: str) -> AbstractContextManager["Step"]:
        """Announce work that may take longer than a second; the step receives its output."""

    def note(self, text: str) -> None:
        """Say one line that matters after the fact."""


class Step(Protocol):
    """Work under way."""

    def output(self, line: str) -> None:
        """Pass on one line that the work printed."""

    def done(self, text: str) -> None:
        """Say how it ended, in place of the announcement."""
