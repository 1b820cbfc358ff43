"""Orders to the supervisor, over a Unix socket in the run directory: what is to become of one model.

An order is a line of JSON, {"do": "reload", "model": "..."}. Its answer, {"error": null or "why not"}, comes when the
model is as it was asked to be, or is known not to become so. Whoever waits for none just closes. The gateway's order
{"do": "end", "model": "...", "pid": 1, "why": "..."} is for a worker that answers nonsense.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Literal

from modelyard.runtime.daemon.channels import NonsenseError, parse_order_answer

Deed = Literal["reload", "load", "unload"]
ORDERS_FILE = "orders.sock"
LONGEST_ORDER = 1 << 16


def give_order(run_dir: Path, do: Deed, model: str, *, timeout: float | None) -> str | None:
    """Have the supervisor do it; return why it could not be done, or None. Without a timeout, wait for no answer.

    Raises OSError where no supervisor takes orders, or it ends before it has answered.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(str(run_dir / ORDERS_FILE))
        sock.sendall(json.dumps({"do": do, "model": model}).encode() + b"\n")
        if timeout is None:
            return None
        with sock.makefile("rb") as answers:
            line = answers.readline(LONGEST_ORDER)
    if not line:
        raise ConnectionError("the supervisor ended")
    try:
        return parse_order_answer(line)
    except NonsenseError as error:
        raise ConnectionError(str(error)) from None


def accuse(run_dir: Path, model: str, pid: int, why: str) -> None:
    """Have the supervisor end a worker; wait for nothing, as an event loop must not."""
    order = {"do": "end", "model": model, "pid": pid, "why": why}
    with suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.setblocking(False)
        sock.connect(str(run_dir / ORDERS_FILE))
        sock.send(json.dumps(order).encode() + b"\n")
