"""Where the supervisor takes orders: the other end of `daemon.orders`."""

import json
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.runtime.daemon.channels import NonsenseError, parse_order
from modelyard.runtime.daemon.orders import LONGEST_ORDER, ORDERS_FILE
from modelyard.runtime.supervisor.lines import LineBuffer, read_lines, unfollow

Reply = Callable[[str | None], None]
Take = Callable[[Mapping[str, Any], Reply], None]
_MOST_SILENT = 64
_PATIENCE = 10.0


class Orders:
    """The supervisor's ear: hands each order to `take`, with the way to answer it."""

    def __init__(self, run_dir: Path, selector: selectors.BaseSelector, take: Take) -> None:
        self._selector = selector
        self._take = take
        self._silent: list[_Order] = []
        self._path = run_dir / ORDERS_FILE
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
            order = _Order(self._selector, sock, self._take)
            self._selector.register(sock, selectors.EVENT_READ, order.read)
            self._silent = [one for one in self._silent if one.is_silent]
            self._silent.append(order)
            for late in [one for one in self._silent[:-1] if one.is_late or len(self._silent) > _MOST_SILENT][:1]:
                late.close()


class _Order:
    """One connection: a line comes, and a line goes."""

    def __init__(self, selector: selectors.BaseSelector, sock: socket.socket, take: Take) -> None:
        self._selector = selector
        self._sock = sock
        self._take = take
        self._lines = LineBuffer(limit=LONGEST_ORDER)
        self._late_at = time.monotonic() + _PATIENCE
        self.is_silent = True
        """Whether neither an order nor its end has come yet."""

    @property
    def is_late(self) -> bool:
        """Tell whether the order has taken too long to come."""
        return self.is_silent and time.monotonic() > self._late_at

    def close(self) -> None:
        """Wait for it no longer."""
        self.is_silent = False
        unfollow(self._selector, self._sock)
        self._sock.close()

    def read(self) -> None:
        """Take the order, when it has come whole; one connection brings one."""
        lines = read_lines(self._selector, self._sock, self._sock.recv, self._lines)
        if not lines:
            self.is_silent = self._sock in self._selector.get_map()
            return
        self.is_silent = False
        unfollow(self._selector, self._sock)
        try:
            order = parse_order(lines[0])
        except NonsenseError as error:
            self._answer(str(error))
        else:
            self._take(order, self._answer)

    def _answer(self, error: str | None) -> None:
        """Say what came of it; one who has gone is no error."""
        unfollow(self._selector, self._sock)
        with suppress(OSError), self._sock:
            self._sock.sendall(json.dumps({"error": error}).encode() + b"\n")
