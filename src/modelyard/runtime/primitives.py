"""What a worker talks with: parts of Python's library as they are before the model's code is imported.

A model may replace any of them in their modules: `json.dumps = orjson.dumps`, gevent's patches, a clock made for tests.
A worker's modules take them from here (a test holds it), so that its answers, its news and its end do not change.
"""

from __future__ import annotations

import json
import socket
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from mmap import mmap
from os import O_RDWR, close, devnull, dup2, fsdecode, fstat, getpid, rename, stat, unlink, urandom, write
from os import _exit as end_process
from os import open as open_file
from os.path import abspath
from selectors import EVENT_READ, DefaultSelector
from signal import SIG_BLOCK, SIG_DFL, SIG_UNBLOCK, SIGTERM, pthread_sigmask
from signal import signal as set_handler
from struct import Struct, pack_into, unpack_from
from struct import error as struct_error
from time import monotonic, sleep
from typing import Any

__all__ = [
    "EVENT_READ",
    "SIGTERM",
    "SIG_BLOCK",
    "SIG_DFL",
    "SIG_UNBLOCK",
    "Decoder",
    "DefaultSelector",
    "Encoder",
    "Socket",
    "Struct",
    "abspath",
    "allocate_lock",
    "close",
    "dump_json",
    "end_process",
    "end_process_after",
    "ensure_streams",
    "fsdecode",
    "getpid",
    "load_json",
    "mmap",
    "monotonic",
    "open_file",
    "pack_into",
    "pthread_sigmask",
    "rename",
    "set_handler",
    "sleep",
    "start_new_thread",
    "stat",
    "struct_error",
    "unlink",
    "unpack_from",
    "urandom",
    "write_all",
    "write_log",
]


class Encoder(json.JSONEncoder):
    """`json.JSONEncoder`, whose methods stay."""

    encode = json.JSONEncoder.encode
    iterencode = json.JSONEncoder.iterencode


class Decoder(json.JSONDecoder):
    """`json.JSONDecoder`, whose methods stay; it decodes bytes as well."""

    raw_decode = json.JSONDecoder.raw_decode
    _decode = json.JSONDecoder.decode
    _detect_encoding = staticmethod(json.detect_encoding)

    def decode(self, text: str | bytes, *where: Any) -> Any:
        """Decode one document, in the encoding that its bytes are in."""
        return self._decode(text if isinstance(text, str) else text.decode(self._detect_encoding(text)), *where)


class Socket(socket.socket):
    """`socket.socket`, whose methods stay."""

    recv = socket.socket.recv
    sendall = socket.socket.sendall
    settimeout = socket.socket.settimeout
    setblocking = socket.socket.setblocking
    shutdown = socket.socket.shutdown
    _accept = socket.socket._accept  # type: ignore[attr-defined]  # that of C, which `accept` calls

    def accept_one(self) -> Socket:
        """Accept a connection."""
        return Socket(fileno=self._accept()[0])


dump_json: Callable[[Any], str] = Encoder().encode
load_json: Callable[[str | bytes], Any] = Decoder().decode


def write_log(text: str) -> None:
    """Write a line to the log, whatever the model has made of sys.stderr."""
    with suppress(OSError):
        write_all(2, f"{text}\n".encode(errors="backslashreplace"))


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, which a pipe may take in pieces."""
    while data:
        data = data[write(descriptor, data) :]


def ensure_streams() -> None:
    """Have the descriptors of standard input, output and error open: else the next socket would be one of them."""
    for number in range(3):
        try:
            fstat(number)
        except OSError:
            nothing = open_file(devnull, O_RDWR)  # the lowest that is free
            if nothing != number:
                dup2(nothing, number)
                close(nothing)


def end_process_after(seconds: float) -> None:
    """End the process in so many seconds, if threads that the model has started keep it until then."""

    def end() -> None:
        sleep(seconds)
        end_process(0)

    start_new_thread(end, ())
