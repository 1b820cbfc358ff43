"""What a person sees on the terminal: steps with a spinner and a time, tables, JSON for programs."""

import json
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.status import Status

_SHOWN: deque[str] = deque(maxlen=200)
"""The last lines of output that were shown as they came."""


class ConsoleStep:
    """One step: its output is shown while it runs on a terminal, as plain lines elsewhere."""

    def __init__(self, text: str, status: "Status | None", *, show_output: bool) -> None:
        self.text = text
        self._status = status
        self._show_output = show_output

    def output(self, line: str) -> None:
        """Show one line of output: behind the spinner on a terminal, indented elsewhere."""
        if self._show_output:
            click.echo(f"     {line}", err=True)
            _SHOWN.append(line.strip())
        elif self._status is not None and line.strip():
            from rich.markup import escape

            if line.strip().startswith("warning: "):  # of what is said only once, nothing may be written over it
                self._status.console.print(f"     {line.strip()}", markup=False, highlight=False, soft_wrap=True)
            width = max(20, self._status.console.width - len(self.text) - 8)
            self._status.update(f"{escape(self.text)} [dim]{escape(line.strip()[:width])}[/dim]")

    def done(self, text: str) -> None:
        """Replace the announcement by how it ended."""
        self.text = text


class Console:
    """Reports on standard error, so that standard output holds results alone."""

    def __init__(self, *, verbose: bool = False) -> None:
        _SHOWN.clear()
        self._verbose = verbose
        self._is_terminal = sys.stderr.isatty()

    def note(self, text: str) -> None:
        """Say one line."""
        click.echo(f"     {text}", err=True)

    @contextmanager
    def step(self, text: str) -> Iterator[ConsoleStep]:
        """Announce a step, show that it goes on, and say how long it took."""
        started = time.monotonic()
        if self._is_terminal and not self._verbose:
            from rich.console import Console as RichConsole

            with RichConsole(stderr=True).status(text) as status:
                step = ConsoleStep(text, status, show_output=False)
                yield step
        else:
            click.echo(f"---> {text}", err=True)
            step = ConsoleStep(text, None, show_output=True)
            yield step
        self._end(step, announced=text, seconds=time.monotonic() - started)

    def _end(self, step: ConsoleStep, *, announced: str, seconds: float) -> None:
        took = f" ({seconds:.1f} s)" if seconds >= 0.1 else ""
        if self._is_terminal and not self._verbose:
            click.echo(click.style("  ok ", fg="green") + step.text + took, err=True)
        elif step.text != announced:
            click.echo(f"     {step.text}{took}", err=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table to standard output, as wide as its content where that is no terminal."""
    from rich.console import Console as RichConsole
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    RichConsole(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)


def print_json(value: Any) -> None:
    """Print a value for programs: one indented JSON document."""
    click.echo(json.dumps(value, indent=2, default=str))


def leave_out_shown(message: str) -> str:
    """An error's message without the lines of output that stand above it already."""
    first, *others = message.split("\n")
    new = [line for line in others if line.strip() not in _SHOWN]
    return message if len(new) == len(others) else "\n".join([f"{first.rstrip(':')} (see above)", *new])


def cut(text: str, width: int) -> str:
    """Cut a text to what fits on a line.

    >>> cut("a long text", 6)
    'a lon…'
    """
    return text if len(text) <= width else text[: width - 1] + "…"


def format_size(size: int) -> str:
    """Say a number of bytes the way a person reads it.

    >>> format_size(1234567)
    '1.2 MB'
    """
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def format_age(created: float) -> str:
    """Say how long ago a POSIX time was."""
    seconds = max(0, time.time() - created)
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now" if seconds < 1 else f"{int(seconds)} second{'s' if seconds >= 2 else ''} ago"
