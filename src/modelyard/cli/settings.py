"""What the process was started with, read once and passed on."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from modelyard.engines.protocols import Engine


@dataclass(frozen=True)
class Settings:
    """The folder a command works in, the process's environment, and how much to say."""

    directory: Path
    environ: Mapping[str, str]
    verbose: bool

    @classmethod
    def from_process(cls, *, directory: str | None, verbose: bool) -> "Settings":
        """Read the process's own folder and environment."""
        return cls(Path(directory or ".").resolve(), dict(os.environ), verbose)

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace that holds the folder."""
        return find_workspace(self.directory)

    def path(self, text: str) -> Path:
        """Make a path that a person typed absolute."""
        return (self.directory / text).resolve()

    def locate(self, text: str) -> Path:
        """The model directory, project or all/ that a person typed, as a path or by its name."""
        from modelyard.commands.subject import locate

        return locate(self.workspace, text, start=self.directory)

    def open_engine(self, name: str | None, *, quiet: bool = False) -> "Engine":
        """Open the engine that is named, or one that is found; that one is said, unless a program reads along."""
        from modelyard import engines

        choice = engines.choose_engine(name, self.environ)
        if choice.found and not quiet:
            say_engine(choice.name, choice.found)
        return engines.open_engine(choice.name, self.environ)


def say_engine(name: str, found: str) -> None:
    """Say which engine was found, and how to choose."""
    choose = "choose with --engine or MODELYARD_ENGINE (make: ENGINE=local|docker|podman)"
    click.echo(f"engine: {name} ({found}); {choose}", err=True)
