"""A process that has imported what the models of one environment need, and forks their workers.

Run as `<environment's python> -m modelyard.runtime.worker.forkserver <descriptor>`. Over that socket go lines of JSON:

- {"preload": [modules]} is answered {"preloaded": true}, or {"refused": "why"} where a fork would not be safe
- {"fork": settings}, with the descriptors `control`, `clock` and output, is answered {"forked": pid}
- {"exit": pid, "code": code} tells of a worker's end

It runs no code of the application, which its workers import themselves.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from modelyard.runtime.daemon.families import end_with_parent, take_mark
from modelyard.runtime.daemon.memory import settle_memory

_CHUNK = 1 << 20
_DESCRIPTORS = 3


def main(control: socket.socket) -> int:
    """Obey until the supervisor is gone; in a forked process, be a worker."""
    end_with_parent()
    settings = serve(control)
    if settings is None:
        os._exit(0)  # whatever an import has started does not keep it
    from modelyard.runtime.worker import worker

    return worker.main(settings)


def serve(control: socket.socket) -> Mapping[str, Any] | None:
    """Obey until the supervisor is gone, and return None; return the settings of a worker in its process."""
    with selectors.DefaultSelector() as selector, _waking_at_exits() as woken:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        rest = b""
        while True:
            for key, _ in selector.select():
                if key.fileobj is woken:
                    woken.recv(4096)
                    _tell_exits(control)
                    continue
                data, descriptors, _, _ = socket.recv_fds(control, _CHUNK, _DESCRIPTORS)
                if not data:
                    return None
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    order = json.loads(line)
                    if "preload" in order:
                        _tell(control, **preload(order["preload"]))
                    elif (settings := _fork(control, order["fork"], descriptors)) is not None:
                        return settings


def preload(modules: Iterable[str]) -> dict[str, Any]:
    """Import modules as far as that goes; refuse to fork where one has started a thread."""
    for name in ("modelyard.runtime.worker.worker", *modules):
        with suppress(BaseException):  # its worker will say what is wrong with it
            importlib.import_module(name)
    if threading.active_count() > 1:
        return {"refused": f"an import has started a thread ({threading.enumerate()[-1].name})"}
    settle_memory()
    return {"preloaded": True}


def _fork(control: socket.socket, settings: Mapping[str, Any], descriptors: list[int]) -> Mapping[str, Any] | None:
    """Fork a worker; return its settings in its own process only."""
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        _tell(control, forked=pid)
        return None
    os.setpgid(0, 0)
    take_mark(settings["mark"])
    control.close()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ours, clock, output = descriptors
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # else all workers would draw the same numbers
    return {**settings, "control": ours, "clock": clock}


def _tell_exits(control: socket.socket) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _tell(control, exit=pid, code=os.waitstatus_to_exitcode(status))


def _tell(control: socket.socket, **news: Any) -> None:
    with suppress(OSError):
        control.sendall(json.dumps(news).encode() + b"\n")


def _waking_at_exits() -> socket.socket:
    """A socket that can be read when a worker has ended."""
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.detach(), warn_on_full_buffer=False)
    return woken


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # the supervisor alone decides when it ends
    sys.exit(main(socket.socket(fileno=int(sys.argv[1]))))
