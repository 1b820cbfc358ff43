"""Orders to the supervisor, over a Unix socket in the run directory: what is to become of one model.

An order is a line of JSON, {"do": "reload", "model": "..."}. Its answer, {"error": null or "why not"}, comes when the
model is as it was asked to be, or is known not to become so. Whoever waits for none just closes.
"""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from modelyard.runtime.lines import LineBuffer, read_lines, unfollow

Deed = Literal["reload", "load", "unload"]
Reply = Callable[["str | None"], None]
Take = Callable[[Deed, str, Reply], None]
_FILE = "orders.sock"


def give_order(run_dir: Path, do: Deed, model: str, *, timeout: float | None) -> str | None:
    """Have the supervisor do it; return why it could not be done, or None. Without a timeout, wait for no answer.

    Raises OSError where no supervisor takes orders, or it ends before it has answered.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(str(run_dir / _FILE))
        sock.sendall(json.dumps({"do": do, "model": model}).encode() + b"\n")
        if timeout is None:
            return None
        with sock.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise ConnectionError("the supervisor ended")
    error: str | None = json.loads(line)["error"]
    return error


class Orders:
    """The supervisor's ear: hands each order to `take`, with the way to answer it."""

    def __init__(self, run_dir: Path, selector: selectors.BaseSelector, take: Take) -> None:
        self._selector = selector
        self._take = take
        self._path = run_dir / _FILE
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        """Take no more orders."""
        unfollow(self._selector, self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with suppress(OSError):
            sock = self._listener.accept()[0]
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, _Order(self._selector, sock, self._take).read)


class _Order:
    """One connection: a line comes, and a line goes."""

    def __init__(self, selector: selectors.BaseSelector, sock: socket.socket, take: Take) -> None:
        self._selector = selector
        self._sock = sock
        self._take = take
        self._lines = LineBuffer()

    def read(self) -> None:
        """Take the order, when it has come whole."""
        for line in read_lines(self._selector, self._sock, self._sock.recv, self._lines):
            order = json.loads(line)
            self._take(order["do"], order["model"], self._answer)

    def _answer(self, error: str | None) -> None:
        """Say what came of it; one who has gone is no error."""
        unfollow(self._selector, self._sock)
        with suppress(OSError), self._sock:
            self._sock.sendall(json.dumps({"error": error}).encode() + b"\n")
