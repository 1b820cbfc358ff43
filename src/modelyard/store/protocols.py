"""What a store is. Two kinds: a folder of this machine, and a bucket of any server that speaks S3."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelyard.errors import StoreError

OnProgress = Callable[[int, int], None]
"""Is told how many bytes of how many are done."""

CHUNK = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a store."""

    key: str
    size: int
    modified: float
    """POSIX time."""
    version: str = ""
    """Changes when the content does, as far as the store can tell; a resumed download goes on with the same one."""
    sha256: str | None = None
    """Known where modelyard wrote the file, or where the file can be read."""


class Store(Protocol):
    """Holds files by key. Every method raises StoreError that says what went wrong and what to do."""

    def check_writable(self, key: str) -> None:
        """Raise StoreError where it is clear, without a transfer, that no file can be put there."""

    def stat(self, key: str) -> Entry:
        """Look one file up."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """List the files below a folder (its key ends with `/`, or is empty for a whole bucket), sorted by key."""

    def read(self, entry: Entry, *, start: int) -> Iterator[bytes]:
        """Yield the content from byte `start` on; raise InterruptedTransferError where it stops short."""

    def write(self, key: str, source: Path, *, sha256: str, on_progress: OnProgress) -> None:
        """Put a file there, replacing what was; readers see the old one or the new one."""

    def remove(self, key: str) -> None:
        """Remove one file."""


class InterruptedTransferError(StoreError):
    """The connection broke while bytes were coming; what is there already stays good."""


class ChangedFileError(StoreError):
    """The file was replaced since it was looked up."""
