"""The gateway's side of the Unix socket to one worker."""

import os
import secrets
import select
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from modelyard.runtime.daemon.channels import NonsenseError, check_answer
from modelyard.runtime.daemon.taken import read_taken
from modelyard.runtime.daemon.wire import Frame, FrameReader, WireError, encode_frame

_CHUNK = 1 << 18
_MAX_ANSWER = (1 << 32) - 1
_LOOK_EVERY = 0.1

NUMBERS = count(secrets.randbits(62))
"""Of requests to workers, in this process and no other's range."""


class NotConnectedError(Exception):
    """No worker listens."""


class NotTakenError(Exception):
    """The worker ended before it had taken the request: another one may carry it out."""


class NoAnswerError(Exception):
    """The worker ended after it had taken the request: nobody knows how far it got. `pid` was its process."""

    def __init__(self, reason: str, *, pid: str = "") -> None:
        super().__init__(reason)
        self.pid = pid


class NonsenseAnswerError(NoAnswerError):
    """What the worker sent is no answer, which says nothing of how far it got."""


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class WorkerClient:
    """Keeps the connections that were needed at once, and connects again when a worker was started again."""

    def __init__(self, *paths: Path) -> None:
        self._paths = deque(map(str, paths))
        self._idle: deque[socket.socket] = deque()

    def call(
        self, header: dict[str, Any], body: bytes, *, timeout: float, is_gone: Callable[[], bool] = lambda: False
    ) -> Frame:
        """Send a request and wait for its answer.

        Raises NotConnectedError, NotTakenError, NoAnswerError, TimeoutError after `timeout` seconds, and
        ClientGoneError soon after `is_gone` is true. A request that could not be sent whole over a kept connection (the
        worker was started again meanwhile) is sent once more over a new one.
        """
        deadline = time.monotonic() + timeout
        number = next(NUMBERS)
        sock = self._send(encode_frame({**header, "n": number, "timeout": timeout}, body), timeout)
        address = sock.getpeername()
        try:
            frame, is_kept = _receive(sock, deadline, is_gone)
            if frame.header["n"] != number:
                raise NonsenseError(f"an answer to what nobody has asked: {frame.header['n']}")
        except (WireError, NonsenseError) as error:
            sock.close()
            raise NonsenseAnswerError(str(error), pid=pid_of(address)) from None
        except NoAnswerError as error:
            sock.close()
            if was_taken(address, number):
                raise NoAnswerError(str(error), pid=pid_of(address)) from None
            raise NotTakenError(str(error)) from None
        except BaseException:
            sock.close()
            raise
        if is_kept:
            self._idle.append(sock)
        else:
            sock.close()
        return frame

    def sweep(self) -> None:
        """Close the kept connections whose worker said bye: it waits for that before it ends."""
        for _ in range(len(self._idle)):
            sock = self._take_idle()
            if sock is None:
                return
            self._idle.appendleft(sock)

    def close(self) -> None:
        """Close the kept connections."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def _send(self, request: bytes, timeout: float) -> socket.socket:
        kept = self._take_idle()
        if kept is None:
            return self._send_over_new(request, timeout)
        try:
            kept.settimeout(timeout)
            kept.sendall(request)
        except TimeoutError:
            kept.close()
            raise
        except OSError:
            kept.close()
            self.close()  # the others may lead to the same worker, which has gone
            return self._send_over_new(request, timeout)
        return kept

    def _take_idle(self) -> socket.socket | None:
        """A kept connection on which nothing has come: what could come is a bye, or the end."""
        while True:
            try:
                sock = self._idle.pop()
            except IndexError:
                return None
            if not _can_read(sock.fileno()):
                return sock
            sock.close()

    def _send_over_new(self, request: bytes, timeout: float) -> socket.socket:
        for path in tuple(self._paths):
            self._paths.rotate(1)
            try:
                return self._send_to(path, request, timeout)
            except NotConnectedError as error:
                reason = error
        raise reason

    def _send_to(self, path: str, request: bytes, timeout: float) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        try:
            sock.connect(path)
            sock.sendall(request)
        except OSError as error:
            sock.close()
            if isinstance(error, TimeoutError):
                raise
            raise NotConnectedError(str(error)) from None
        return sock


def was_taken(address: str, number: int) -> bool:
    """Tell whether the worker that listened there may have begun a request before it ended."""
    taken = read_taken(address)
    return taken is None or number in taken


def pid_of(address: str) -> str:
    """The process of the worker that listened there."""
    return address.rpartition(".")[2]


def watch_end(address: str) -> int | None:
    """A descriptor that can be read once the worker that listens there has ended, whoever keeps its connections.

    None where the system has no such thing; raises ConnectionRefusedError where it has ended.
    """
    try:
        return os.pidfd_open(int(pid_of(address)))  # type: ignore[attr-defined,unused-ignore]
    except ProcessLookupError:
        raise ConnectionRefusedError("its process has ended") from None
    except (AttributeError, ValueError, OSError):
        return None


def _can_read(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _has_ended(address: str) -> bool:
    try:
        life = watch_end(address)
    except ConnectionRefusedError:
        return True
    if life is None:
        return False
    try:
        return _can_read(life)
    finally:
        os.close(life)


def _receive(sock: socket.socket, deadline: float, is_gone: Callable[[], bool]) -> tuple[Frame, bool]:
    """The answer, and whether the connection takes another request."""
    reader = FrameReader(max_body=_MAX_ANSWER)
    is_kept = True
    while True:
        while (frame := reader.next_frame()) is None:
            reader.feed(_receive_some(sock, deadline, is_gone))
        check_answer(frame.header)
        if "bye" not in frame.header:
            return frame, is_kept and reader.is_empty
        is_kept = False


def _receive_some(sock: socket.socket, deadline: float, is_gone: Callable[[], bool]) -> bytes:
    data = None
    has_ended = False
    while data is None:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        if is_gone():
            raise ClientGoneError
        sock.settimeout(min(remaining, _LOOK_EVERY))
        try:
            data = _read(sock)
        except TimeoutError:
            if has_ended:  # and has left no answer: a process that it has started may keep the connection
                raise NoAnswerError("its process ended") from None
            has_ended = _has_ended(sock.getpeername())
    return data


def _read(sock: socket.socket) -> bytes:
    try:
        data = sock.recv(_CHUNK)
    except TimeoutError:
        raise
    except ConnectionResetError as error:
        # Of a Unix socket, this means that the peer ended without having read what it was sent.
        raise NotTakenError(str(error)) from None
    except OSError as error:
        raise NoAnswerError(str(error)) from None
    if not data:
        raise NoAnswerError("the connection was closed")
    return data
