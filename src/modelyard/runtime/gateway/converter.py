"""A process that converts the bodies of protocols for a gateway process, which sees to it that it is no more than that.

Run as `python -m modelyard.runtime.gateway.converter <descriptor> <limits as JSON>`: it takes frames from the socket,
each with the name of a conversion and its arguments, and answers each with a frame. What takes longer than `seconds` of
a processor ends it, and so does what takes more than `memory` bytes: the gateway starts another one.
"""

import importlib
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.runtime.daemon.memory import read_resident_bytes
from modelyard.runtime.daemon.wire import Frame, FrameReader, WireError, encode_frame
from modelyard.runtime.gateway.problems import Problem

OUT_OF_MEMORY = 75
_CHUNK = 1 << 18
_MOST = (1 << 32) - 1
_MOST_KEPT = 96 << 20
_LONGEST = 1 << 14
_NICENESS = 5
_PAGES = 0  # the first field of statm


def main(fd: int, *, seconds: float, memory: int) -> int:
    """Convert until the gateway closes the socket, or this process has grown too large to be kept."""
    for number in (signal.SIGTERM, signal.SIGINT):  # the gateway decides when it ends
        signal.signal(number, signal.SIG_IGN)
    _give_way()
    _limit_memory(memory)
    try:
        with socket.socket(fileno=fd) as sock, suppress(OSError):
            for frame in _receive(sock):
                signal.setitimer(signal.ITIMER_PROF, seconds)
                header, body = convert(frame)
                signal.setitimer(signal.ITIMER_PROF, 0)
                is_last = (read_resident_bytes(os.getpid()) or 0) > _MOST_KEPT
                sock.sendall(encode_frame({**header, **({"bye": True} if is_last else {})}, body))
                if is_last:
                    break
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # the gateway waits, and taking apart what was made so far takes long
    return 0


def convert(frame: Frame) -> tuple[dict[str, Any], bytes]:
    """Carry out a conversion."""
    module, name = frame.header["convert"]
    function = getattr(importlib.import_module(module), name)
    try:
        about, body = function(frame.body, **frame.header["arguments"])
        encode_frame({"about": about})  # what is too long to be told is the request's fault
    except Problem as problem:
        members = {"status": problem.status, "headers": problem.headers, "cause": problem.cause}
        return {"problem": {**members, "detail": problem.detail[:_LONGEST]}}, b""
    except WireError:
        return {"problem": {"status": 413, "detail": "what the body holds beside its values is larger than 1 MB"}}, b""
    return {"about": about}, body


def _receive(sock: socket.socket) -> Iterator[Frame]:
    reader = FrameReader(max_body=_MOST)
    while data := sock.recv(_CHUNK):
        reader.feed(data)
        while (frame := reader.next_frame()) is not None:
            yield frame


def _give_way() -> None:
    """Leave the cores to the gateway and the models; where memory runs out, be the one that the system ends."""
    with suppress(OSError):
        os.nice(_NICENESS)
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit_memory(size: int) -> None:
    """Allow so many bytes beyond what this process has now; not where the system knows no such limit."""
    with suppress(OSError, ValueError):
        now = int(Path("/proc/self/statm").read_text().split()[_PAGES]) * os.sysconf("SC_PAGE_SIZE")
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (now + size, most))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), **json.loads(sys.argv[2])))
