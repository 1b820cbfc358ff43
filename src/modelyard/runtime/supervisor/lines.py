"""Lines from descriptors that must not block."""

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import IO

Channel = IO[bytes] | socket.socket
_CHUNK = 1 << 16
MAX_LINE = 1 << 16


class LineBuffer:
    """Makes lines of bytes as they arrive; a line longer than `limit` is cut into pieces."""

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.limit = limit
        self._rest = bytearray()

    def take(self, data: bytes) -> list[str]:
        """The lines that `data` completes; no data completes the last one."""
        first, *others = data.split(b"\n")
        self._rest += first
        lines: list[bytes] = []
        if others:
            lines = [bytes(self._rest), *others[:-1]]
            self._rest = bytearray(others[-1])
        if self._rest and (not data or len(self._rest) > self.limit):
            lines.append(bytes(self._rest))
            self._rest.clear()
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
