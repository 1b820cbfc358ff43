"""One client's connection, as the event loop sees it: reads a request, has it answered, reads the next."""

import secrets
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Protocol
from wsgiref.handlers import format_date_time

from modelyard.runtime.daemon.settings import Settings
from modelyard.runtime.gateway.framing import END, MAX_HEAD, FramingError, Head, parse_head_again, take_chunks
from modelyard.runtime.gateway.hot import HotPath
from modelyard.runtime.gateway.links import Call
from modelyard.runtime.gateway.problems import Problem, find_phrase, render_problem

_CHUNK = 1 << 16
_MAX_PIPELINED = 1 << 16
_LINGER = 1.0
_NEVER = float("inf")


class Loop(Protocol):
    """What a connection needs of the event loop that it belongs to."""

    settings: Settings
    hot: HotPath
    selector: selectors.BaseSelector
    clients: "set[Client]"
    held: int
    """Bytes of requests that are being read or answered."""

    @property
    def is_stopping(self) -> bool:
        """Tell whether it takes no more requests."""

    def submit(self, client: "Client", head: Head, first: bytes, body: bytes, *, is_last: bool) -> bool:
        """Have the app answer a request; False where too many wait already."""

    def call_soon(self, work: Callable[[], None]) -> None:
        """Do something when the events at hand are handled."""


class Client:
    """A connection; its `deadline` bounds each of: waiting for a request, reading it, writing the answer."""

    def __init__(self, worker: Loop, sock: socket.socket, address: Any) -> None:
        self.address = address
        self.server_address = sock.getsockname()
        self._worker = worker
        self._sock = sock
        self._in = bytearray()
        self._out = b""
        self._head: Head | None = None
        self._body_at = 0
        self._chunked = bytearray()
        self._at_hand = 0
        self._held = 0
        self._is_busy = False
        self._is_last = False
        self._is_lingering = False
        self._call: Call | None = None
        self._events = selectors.EVENT_READ
        sock.setblocking(False)
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.deadline = time.monotonic() + worker.settings.header_timeout
        worker.selector.register(sock, selectors.EVENT_READ, self._handle)

    # What the worker tells it

    @property
    def is_gone(self) -> bool:
        """Tell whether the connection has ended."""
        return self._sock.fileno() < 0

    def time_out(self) -> None:
        """Give up: a request that has begun is answered 408, everything else just ends."""
        if self._is_busy or self._is_lingering or self._out or not self._in:
            self._close()
            return
        what = "head" if self._head is None else "body"
        self._refuse(Problem(408, f"the request's {what} did not come in time"))

    def end(self) -> bool:
        """Give up because the daemon ends; tell whether a request remains that was accepted and not answered."""
        if not self._is_busy:
            self.time_out()
            return False
        if self._out or self._is_lingering:
            return False
        limit = self._worker.settings.stop_timeout
        self._refuse(Problem(503, f"the daemon stops, and had no answer after {limit:g} s more", retry_after=1))
        return True

    def prepare_to_end(self) -> None:
        """Take one request more at most: one that has begun, or is on its way, is answered."""
        self._is_last = True
        if not self._is_busy and not self._out and not self._in:
            self.deadline = min(self.deadline, time.monotonic() + _LINGER)

    def respond_raw(self, response: bytes, keeps_alive: bool) -> None:
        """Send what the app answered."""
        self._finish(response, keeps_alive=keeps_alive)

    def respond(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        """Send an answer, soon: those to a shared call leave together, which wakes their readers less often."""
        self._call = None
        response = self._format(status, headers, body)
        self._worker.call_soon(lambda: self._finish(response, keeps_alive=True))

    # Reading

    def _handle(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write()
        if events & selectors.EVENT_READ and self._sock.fileno() >= 0:
            self._read()

    def _read(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
        elif not self._is_lingering:
            self._in += data
            self._count_held()
            if not self._is_busy and self._is_too_much():
                self._refuse(Problem(503, "too many large requests are being read already", retry_after=1))
            elif not self._is_busy:
                self._advance()
            elif len(self._in) > _MAX_PIPELINED:
                self._listen(selectors.EVENT_WRITE if self._out else 0)

    def _count_held(self) -> None:
        """Tell the worker how many bytes of requests this connection holds."""
        held = len(self._in) + len(self._chunked) + self._at_hand
        self._worker.held += held - self._held
        self._held = held

    def _is_too_much(self) -> bool:
        """Tell whether all connections hold more than they may, and this one more than a small request."""
        return self._worker.held > self._worker.settings.max_buffered and self._held > _CHUNK

    def _advance(self) -> None:
        """Do what the bytes that are there allow."""
        if self._head is None and not self._read_head():
            return
        assert self._head is not None
        settings = self._worker.settings
        if self._head.is_odd or self._head.length > settings.max_body:
            self._is_last = True  # where the next request would begin, nobody can or wants to know
            self._start(self._body_at)
        elif self._head.is_chunked:
            self._read_chunks()
        elif len(self._in) >= self._body_at + self._head.length:
            self._start(self._body_at + self._head.length)

    def _go_on(self) -> None:
        """Take up the next request, which came with the one before."""
        if self._sock.fileno() >= 0 and not self._is_busy:
            self._advance()

    def _read_head(self) -> bool:
        if self._in.startswith(b"\r\n"):
            del self._in[:2]
        end = self._in.find(END)
        if end < 0 or end > MAX_HEAD:
            if len(self._in) > MAX_HEAD:
                self._refuse(Problem(431, f"the request's head is larger than {MAX_HEAD} bytes"))
            elif b"\n\n" in self._in:
                self._refuse(Problem(400, "the lines of the request's head end with LF: HTTP ends them with CRLF"))
            return False
        self._head = parse_head_again(bytes(self._in[:end]))
        self._body_at = end + len(END)
        if self._head.fault:
            self._refuse(Problem(400, self._head.fault))
            return False
        settings = self._worker.settings
        self.deadline = time.monotonic() + settings.body_timeout
        if self._head.expects_continue and self._head.length <= settings.max_body:
            with suppress(OSError):
                self._sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _read_chunks(self) -> None:
        try:
            is_end = take_chunks(self._in, self._body_at, self._chunked)
        except FramingError as error:
            self._refuse(Problem(400, f"the body is no chunked body: {error}"))
            return
        max_body = self._worker.settings.max_body
        if len(self._chunked) + len(self._in) - self._body_at > max_body + MAX_HEAD:
            self._refuse(Problem(413, f"the body is larger than {max_body} bytes (MAX_BODY)"))
        elif is_end:
            body = bytes(self._chunked)
            self._chunked.clear()
            self._start(self._body_at, body)

    # Answering

    def _start(self, end: int, chunked: bytes = b"") -> None:
        """Have the request that ends there answered; the body of a chunked one has been taken out."""
        head, body_at = self._head, self._body_at
        assert head is not None
        with memoryview(self._in) as view:
            first, body = bytes(view[:body_at]), chunked or bytes(view[body_at:end])
        del self._in[:end]
        self._head = None
        self._is_busy = True
        self.deadline = _NEVER
        self._is_last = self._is_last or not head.keeps_alive
        self._at_hand = body_at + len(body)
        hot = self._worker.hot
        route = hot.find_route(head) if head.length <= self._worker.settings.max_body else None
        if route is not None:
            self._call = hot.start(route, head, body, self.respond)
            return
        if not self._worker.submit(self, head, first, body, is_last=self._is_last):
            self._refuse(Problem(503, "too many requests wait already", retry_after=1))

    def _refuse(self, problem: Problem) -> None:
        """Answer an error of the connection itself, and end it."""
        self._is_busy = self._is_last = True
        request_id = secrets.token_hex(8)
        response = render_problem(problem, request_id)
        headers = [(name, value) for name, value in response.headers if name != "Content-Length"]
        self._in.clear()
        self._chunked.clear()
        self.respond(problem.status, [*headers, ("X-Request-Id", request_id)], response.get_data())

    def refuse_connection(self) -> None:
        """Tell a client that there are too many of them already."""
        self._refuse(Problem(503, "too many clients are connected", retry_after=1))

    def _finish(self, response: bytes, *, keeps_alive: bool) -> None:
        if self._sock.fileno() < 0:
            return
        self._is_last = self._is_last or not keeps_alive
        self._at_hand = 0
        self._count_held()
        self._out = response
        self.deadline = time.monotonic() + self._worker.settings.body_timeout
        self._write()

    def _write(self) -> None:
        if self._out:
            try:
                sent = self._sock.send(self._out)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._close()
                return
            self._out = self._out[sent:]
        if self._out:
            self._listen(selectors.EVENT_READ | selectors.EVENT_WRITE)
            return
        self._is_busy = False
        if self._is_last:
            self._linger()
            return
        self._listen(selectors.EVENT_READ)
        self.deadline = time.monotonic() + self._worker.settings.keepalive
        if self._in:
            self.deadline = time.monotonic() + self._worker.settings.header_timeout
            self._worker.call_soon(self._go_on)

    def _linger(self) -> None:
        """End the connection so that the answer arrives although the client may still be sending."""
        self._is_lingering = True
        self.deadline = time.monotonic() + _LINGER
        self._in.clear()
        self._listen(selectors.EVENT_READ)
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close()

    def _close(self) -> None:
        if self._sock.fileno() < 0:
            return
        self._listen(0)
        self._sock.close()
        self._worker.clients.discard(self)
        self._in.clear()
        self._chunked.clear()
        self._at_hand = 0
        self._count_held()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _listen(self, events: int) -> None:
        before, self._events = self._events, events
        if before == events:
            return
        if before and events:
            self._worker.selector.modify(self._sock, events, self._handle)
        elif before:
            self._worker.selector.unregister(self._sock)
        elif events:
            self._worker.selector.register(self._sock, events, self._handle)

    def _format(self, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
        connection = "close" if self._is_last or self._worker.is_stopping else "keep-alive"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers if name != "Connection")
        head = (
            f"HTTP/1.1 {status} {find_phrase(status)}\r\n"
            f"Server: gunicorn\r\nDate: {_date()}\r\nConnection: {connection}\r\n"
            f"{lines}Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("latin-1") + body


_date_made = (0, "")


def _date() -> str:
    global _date_made
    now = int(time.time())
    if _date_made[0] != now:
        _date_made = (now, format_date_time(now))
    return _date_made[1]
