"""What the process was started with, read once and passed on."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from modelyard.workspace import Workspace, find_workspace


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
