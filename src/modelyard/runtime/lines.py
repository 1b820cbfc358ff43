"""Lines from descriptors that must not block."""

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import IO

Channel = IO[bytes] | socket.socket
_CHUNK = 1 << 16


class LineBuffer:
    """Makes lines of bytes as they arrive; a line longer than `limit` is cut into pieces."""

    def __init__(self, limit: int = 1 << 16) -> None:
        self._limit = limit
        self._rest = b""

    def take(self, data: bytes) -> list[str]:
        """The lines that `data` completes; no data completes the last one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._rest and (not data or len(self._rest) > self._limit):
            lines.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace").rstrip("\r") for line in lines]


def read_lines(
    selector: selectors.BaseSelector, channel: Channel, read: Callable[[int], bytes], into: LineBuffer
) -> list[str]:
    """Read what is there; at its end, stop following the channel."""
    try:
        data = read(_CHUNK)
    except BlockingIOError:
        return []
    except OSError:
        data = b""
    if not data:
        unfollow(selector, channel)
    return into.take(data)


def unfollow(selector: selectors.BaseSelector, channel: Channel) -> None:
    with suppress(KeyError):
        selector.unregister(channel)
