"""Showing how far a loop has come. Standard library only."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self


class ProgressBar:
    """One line on stderr: rewritten on a terminal, written every two seconds elsewhere (a log).

    with ProgressBar("training", total=100) as bar:
        for _ in range(100):
            bar.advance(lambda: f"loss {loss:.3g}")
    """

    def __init__(self, label: str, *, total: int) -> None:
        self.label, self.total, self.done = label, total, 0
        self._is_terminal = sys.stderr.isatty()
        self._pause = 0.1 if self._is_terminal else 2.0
        self._started = self._written = time.monotonic()
        self._note = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the line, so that what comes next starts on its own."""
        self._write(end="\n")

    def advance(self, note: Callable[[], str] | None = None) -> None:
        """Count one more; `note` is called only when the line is written, so it may be dear."""
        self.done += 1
        now = time.monotonic()
        if now - self._written >= self._pause or self.done == self.total:
            self._written = now
            self._note = note() if note else ""
            if self.done < self.total:
                self._write(end="\r" if self._is_terminal else "\n")

    def _write(self, *, end: str) -> None:
        filled = 30 * self.done // max(self.total, 1)
        rate = self.done / max(time.monotonic() - self._started, 1e-9)
        bar = f"[{'#' * filled}{'.' * (30 - filled)}] {self.done}/{self.total} {rate:,.0f}/s {self._note}"
        print(f"{self.label} {bar}".rstrip(), end=end, file=sys.stderr, flush=True)
