"""Which folders a container has: what is unpacked there must not name them, or their mode and owner would change."""

from collections.abc import Callable
from functools import cache
from pathlib import PurePosixPath

Look = Callable[[PurePosixPath], PurePosixPath | None]
"""Says which folder an absolute path leads to, links followed; None where there is no folder."""


class Folders:
    """The folders that a container has, asked for once; below one that it lacks, nobody is asked."""

    def __init__(self, look: Look) -> None:
        @cache
        def find(path: PurePosixPath) -> PurePosixPath | None:
            parent = find(path.parent) if path.parent != path else path
            return parent and (path if path.parent == path else look(parent / path.name))

        self.find: Look = find

    def place(self, path: PurePosixPath) -> PurePosixPath:
        """Where something with this path comes to lie: no part of it is a link that the container has."""
        parent = path.parent
        return path if parent == path else (self.find(parent) or self.place(parent)) / path.name


NO_FOLDERS = Folders(lambda path: None)
