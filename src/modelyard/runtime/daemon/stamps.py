"""Tells whether a file has changed."""

from __future__ import annotations

from modelyard.runtime.primitives import stat


def take_stamp(path: str) -> list[int] | None:
    """What is different when a file may have changed; None where there is none."""
    try:
        about = stat(path)
    except OSError:
        return None
    return [about.st_mtime_ns, about.st_size, about.st_ino]
