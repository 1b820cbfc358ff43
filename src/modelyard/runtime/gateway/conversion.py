"""Where the bodies of protocols are turned into what models are sent, and models' answers into theirs.

A conversion is a plain function of a module: `convert(body, **arguments)` returns what there is to say of the result
(as JSON holds it) and the result. Small bodies are converted at once. Larger ones go to a process of their own (see
modelyard.runtime.gateway.converter), which has a limit of memory and of time, so that nothing that is sent takes more
of the gateway than its own bytes. Those of up to a megabyte have another one, so that they never wait for the largest.
"""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from modelyard.runtime.daemon.wire import Frame, FrameReader, WireError, encode_frame
from modelyard.runtime.gateway.converter import OUT_OF_MEMORY
from modelyard.runtime.gateway.problems import CLIENT_GONE, Problem

Convert = Callable[..., tuple[Mapping[str, Any], bytes]]
IsGone = Callable[[], bool]
SMALL = 1 << 13
"""Bytes of a body that is converted at once: not worth the way, and nothing that it can become takes long."""
_MEDIUM = 1 << 20
_MEMORY_OF_A_BYTE = 24
_LEAST_MEMORY = 64 << 20
_SECONDS_OF_A_BYTE = 10 / (1 << 24)
_LEAST_SECONDS = 4.0
_WAITING = 16
_PATIENCE = 30.0
_CHUNK = 1 << 18
_MOST = (1 << 32) - 1


class LimitError(Exception):
    """A conversion that takes more than it may have."""


class Conversion:
    """Converts what requests bring and models answer."""

    def __init__(self, *, max_body: int) -> None:
        self._max_body = max_body
        self._lanes = [make_lane(most) for most in sorted({min(_MEDIUM, max_body), max_body})]

    def read(self, convert: Convert, body: bytes, *, is_gone: IsGone, **arguments: Any) -> Frame:
        """What a request's body becomes. Raises Problem: what the conversion refuses, 413, 503 where too many wait."""
        try:
            result = self._convert(convert, body, is_gone, arguments)
        except LimitError as error:
            raise Problem(413, f"the body {error}: send fewer rows, or send JSON to the route itself") from None
        if len(result.body) > self._max_body:
            size = len(result.body)
            raise Problem(413, f"the body becomes {size} bytes of JSON, more than {self._max_body} (MAX_BODY)")
        return result

    def write(self, convert: Convert, content: bytes, *, is_gone: IsGone, **arguments: Any) -> Frame:
        """What a model's answer becomes. Raises Problem."""
        try:
            return self._convert(convert, content, is_gone, arguments)
        except LimitError as error:
            raise Problem(500, f"the answer {error}: ask for fewer rows, or send JSON to the route itself") from None

    def close(self) -> None:
        """End the processes."""
        for lane in self._lanes:
            lane.close()

    def _convert(self, convert: Convert, body: bytes, is_gone: IsGone, arguments: Mapping[str, Any]) -> Frame:
        if len(body) <= SMALL:
            about, result = convert(body, **arguments)
            return Frame(dict(about), result)
        lane = next((lane for lane in self._lanes if len(body) <= lane.most), self._lanes[-1])
        return lane.convert(convert, body, is_gone, arguments)


def make_lane(most: int) -> "Lane":
    """A lane with limits that leave room for what bodies of that size are in earnest."""
    seconds = max(_LEAST_SECONDS, most * _SECONDS_OF_A_BYTE)
    return Lane(most, seconds=seconds, memory=max(_LEAST_MEMORY, most * _MEMORY_OF_A_BYTE))


class Lane:
    """A process that converts bodies of up to `most` bytes, one after the other; started when one is there."""

    def __init__(self, most: int, *, seconds: float, memory: int) -> None:
        """A conversion may take so many seconds of a processor, and so many bytes beside the process itself."""
        self.most = most
        self._seconds = seconds
        self._memory = memory
        self._places = threading.BoundedSemaphore(_WAITING)
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None

    def convert(self, convert: Convert, body: bytes, is_gone: IsGone, arguments: Mapping[str, Any]) -> Frame:
        """Have a body converted; raise LimitError, or Problem."""
        header = {"convert": [convert.__module__, convert.__name__], "arguments": arguments}
        try:
            request = encode_frame(header, body)
        except WireError as error:
            raise LimitError(f"has {error}") from None
        with self._taking_turn():
            if is_gone():
                raise Problem(CLIENT_GONE, "the client has gone")
            frame = self._exchange(request)
        if "problem" in frame.header:
            raise Problem(**frame.header["problem"])
        return Frame(frame.header["about"], frame.body)

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._sock is not None:
            self._sock.close()
            self._process.kill()
            self._process.wait()
            self._process = self._sock = None

    @contextmanager
    def _taking_turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise _refuse()
        try:
            if not self._turn.acquire(timeout=_PATIENCE):
                raise _refuse()
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()

    def _exchange(self, request: bytes) -> Frame:
        sock = self._connect()
        reader = FrameReader(max_body=_MOST)
        try:
            sock.sendall(request)
            while (frame := reader.next_frame()) is None:
                data = sock.recv(_CHUNK)
                if not data:
                    raise EOFError
                reader.feed(data)
        except TimeoutError:
            self.close()
            raise _refuse() from None
        except (OSError, EOFError):
            raise self._find_end() from None
        if "bye" in frame.header:
            self.close()
        return frame

    def _connect(self) -> socket.socket:
        if self._sock is not None:
            return self._sock
        settings = json.dumps({"seconds": self._seconds, "memory": self._memory})
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "modelyard.runtime.gateway.converter", str(theirs.fileno()), settings]
            try:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),))
            except OSError as error:
                ours.close()
                raise Problem(503, f"no process can be started: {error}", retry_after=1) from None
        ours.settimeout(self._seconds + _PATIENCE)
        self._sock = ours
        return ours

    def _find_end(self) -> Exception:
        """Why the process has ended."""
        process = self._process
        assert process is not None
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)  # it has closed its socket; giving back its memory may take a while
        code = process.poll()
        self.close()
        if code in (OUT_OF_MEMORY, -signal.SIGKILL):
            return LimitError(f"takes more than {self._memory >> 20} MB of memory to convert")
        if code == -signal.SIGPROF:
            return LimitError(f"takes more than {self._seconds:g} s to convert")
        return RuntimeError(f"the process that converts bodies ended with {code}")


def _refuse() -> Problem:
    return Problem(503, "too many large bodies wait to be converted already", retry_after=1)
