"""Progress of a transfer as lines, for logs and for output that is no terminal."""

from collections.abc import Callable

from modelyard.store.protocols import OnProgress


def as_lines(say: Callable[[str], None]) -> OnProgress:
    """Return a progress callback that says each tenth of the way once, and the end.

    >>> on_progress = as_lines(print)
    >>> for done in range(0, 2001, 250):
    ...     on_progress(done * 1000, 2000000)
    0.2 of 2.0 MB
    0.5 of 2.0 MB
    0.8 of 2.0 MB
    1.0 of 2.0 MB
    1.2 of 2.0 MB
    1.5 of 2.0 MB
    1.8 of 2.0 MB
    2.0 of 2.0 MB
    """
    said = 0

    def on_progress(done: int, total: int) -> None:
        nonlocal said
        tenth = 10 * done // max(total, 1)
        if tenth < said:  # the next file
            said = 0
        if tenth > said:
            said = tenth
            say(f"{done / 1e6:.1f} of {total / 1e6:.1f} MB")

    return on_progress
