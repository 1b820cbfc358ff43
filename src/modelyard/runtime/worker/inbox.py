"""A worker's inbox: requests are read off every connection into one bounded queue, where those for a model meet.

The main thread reads while it waits for a request, so that none has to change threads. While the model computes, a
second thread looks every few milliseconds: it only moves bytes, and tells who finds the queue full.

A connection may carry many requests at once, each with a number `n` that its answer repeats; {"cancel": n} says that
nobody waits for it any more. {"bye": true} comes from here: send nothing more on this connection, connect again.

The supervisor now and then sends an empty line on the lifeline, which is answered at once: one that hangs would not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket
from typing import Any, NamedTuple

from modelyard.runtime.daemon.channels import NonsenseError, check_request
from modelyard.runtime.daemon.wire import Frame, FrameReader, WireError, encode_frame
from modelyard.runtime.failures import format_trace
from modelyard.runtime.primitives import (
    EVENT_READ,
    DefaultSelector,
    Socket,
    allocate_lock,
    end_process,
    monotonic,
    sleep,
    start_new_thread,
    write_log,
)

_CHUNK = 1 << 18
_SEND_TIMEOUT = 10.0
_LOOK_AGAIN = 0.01
_REST_AFTER = 1.0
_ALIVE = b'{"state": "alive"}\n'


class Connection:
    """A gateway's connection; answers go out in any order and from any thread."""

    def __init__(self, sock: socket, *, max_body: int) -> None:
        sock.settimeout(_SEND_TIMEOUT)
        self.sock = sock
        self.is_open = True
        self._reader = FrameReader(max_body=max_body)
        self._jobs: dict[Any, Job] = {}
        self._sending = allocate_lock()

    def receive(self) -> list[Job]:
        """Read what has arrived; the connection is closed afterwards where the peer hung up or broke the protocol."""
        try:
            data = self.sock.recv(_CHUNK)
            self.is_open = self.is_open and bool(data)
            self._reader.feed(data)
            jobs = []
            while (frame := self._reader.next_frame()) is not None:
                check_request(frame.header)
                if "cancel" in frame.header:
                    self._cancel(frame.header["cancel"])
                else:
                    job = Job(frame, self)
                    self._jobs[job.number] = job
                    jobs.append(job)
            return jobs
        except (OSError, WireError, NonsenseError):
            self.is_open = False
            return []

    def send(self, answers: Iterable[Answer]) -> None:
        """Send answers; a peer that has gone is no error."""
        frames = []
        for job, header, body in answers:
            self._jobs.pop(job.number, None)
            frames.append(encode_frame({**header, "n": job.number}, body))
        self._send(b"".join(frames))

    def say_bye(self) -> None:
        """Ask the peer to send nothing more; what it has sent is answered."""
        self._send(encode_frame({"bye": True}))

    def hang_up(self) -> None:
        """Tell the peer. The descriptor goes with the last reference: a job that has one must not meet it reused."""
        with suppress(OSError):
            self.sock.shutdown(SHUT_RDWR)

    def _cancel(self, number: Any) -> None:
        job = self._jobs.pop(number, None)
        if job is not None:
            job.is_cancelled = True

    def _send(self, data: bytes) -> None:
        with self._sending:
            try:
                self.sock.sendall(data)
            except OSError:
                self.is_open = False
                self.hang_up()  # half an answer may have left: nothing may follow it


class Job:
    """A request that waits for its answer; `deadline` is when its client has been told that it took too long."""

    def __init__(self, frame: Frame, connection: Connection) -> None:
        self.header, self.body = frame
        self.number: int = self.header["n"]
        self.deadline = monotonic() + float(self.header.get("timeout", 0.0))
        self.connection = connection
        self.is_cancelled = False
        self.decoded: Any = self
        """What serving reads out of it, once; the job itself before."""

    @property
    def is_wanted(self) -> bool:
        """Tell whether somebody still waits for the answer."""
        return self.connection.is_open and not self.is_cancelled and monotonic() < self.deadline


class Answer(NamedTuple):
    """What a job is answered: a header, and the body that the client gets."""

    job: Job
    header: Mapping[str, Any]
    body: bytes = b""


class Inbox:
    """Reads requests until `lifeline` reports that the supervisor closed it and every connection is gone."""

    def __init__(self, lifeline: socket, *, limit: int, max_body: int, show_waiting: Callable[[int], None]) -> None:
        """`limit` bounds the queue; `show_waiting` is told how long it is."""
        self._listener: Socket | None = None
        self._lifeline = lifeline
        self._limit = self._room = limit
        self._max_body = max_body
        self._show_waiting = show_waiting
        self._waiting: deque[Job] = deque()
        self._has_new = False
        """Whether one waits that has not been offered since the last one was taken."""
        self._selector = DefaultSelector()
        self._connections: set[Connection] = set()
        self._is_stopping = False
        self._reading = allocate_lock()
        self._is_computing = True
        self._rests = allocate_lock()

    def start(self) -> None:
        """Start to follow the lifeline: until `open`, its end ends the process."""
        self._selector.register(self._lifeline, EVENT_READ, self._heed)
        # Not of `threading`: gevent patches what a process of a single thread holds, and breaks one that has more.
        start_new_thread(self._look_meanwhile, ())

    def open(self, listener: Socket) -> None:
        """Accept connections from `listener`."""
        listener.setblocking(False)
        with self._reading:
            self._listener = listener
            self._selector.register(listener, EVENT_READ, lambda: self._accept(listener))

    def take(self) -> Job | None:
        """Wait for the next request that is wanted; None when there will be no more."""
        while True:
            with self._receiving():
                self._room = self._limit + 1  # what comes first is not one that waits
                while not self._waiting and not self._is_over:
                    self._handle_events(None)
                self._room = self._limit
                if not self._waiting:
                    return None
                job = self._waiting.popleft()
                self._has_new = bool(self._waiting)
            self._show_waiting(len(self._waiting))
            if job.is_wanted:
                return job

    def has_more(self) -> bool:
        """Tell whether more requests are there."""
        with self._receiving():
            self._handle_events(0.0)
        return bool(self._waiting)

    def offer_waiting(self, accept: Callable[[Job], bool], *, wait: float = 0.0) -> None:
        """Offer every request that is there, and hand over those that `accept` takes; first wait for another one."""
        with self._receiving():
            self._handle_events(0.0 if self._has_new else wait)
            if self._has_new:
                self._waiting = deque(job for job in self._waiting if job.is_wanted and not accept(job))
                self._has_new = False

    @property
    def _is_over(self) -> bool:
        return self._is_stopping and not self._connections

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        """Have the other thread leave the reading to this one."""
        self._is_computing = False
        with self._reading:
            yield
        self._is_computing = True
        if self._rests.locked():
            self._rests.release()

    def _look_meanwhile(self) -> None:
        """Read while the main thread computes; rest when it has not for a while."""
        try:
            rests_at = 0.0
            while True:
                self._rests.acquire(blocking=not self._is_computing and monotonic() >= rests_at)
                sleep(_LOOK_AGAIN)
                if self._is_computing:
                    with self._reading:
                        self._handle_events(0.0)
                    rests_at = monotonic() + _REST_AFTER
        except BaseException as error:
            # Without this thread the worker would be deaf, and look alive: end it, so that it is started again.
            write_log(format_trace(error))
            end_process(70)

    def _handle_events(self, wait: float | None) -> None:
        for key, _ in self._selector.select(wait):
            key.data()

    def _accept(self, listener: Socket) -> None:
        try:
            connection = Connection(listener.accept_one(), max_body=self._max_body)
        except OSError:
            return
        self._connections.add(connection)
        receive: Callable[[], None] = lambda: self._receive(connection)  # noqa: E731
        self._selector.register(connection.sock, EVENT_READ, receive)
        if self._is_stopping:
            connection.say_bye()

    def _receive(self, connection: Connection) -> None:
        for job in connection.receive():
            if len(self._waiting) < self._room:
                self._waiting.append(job)
                self._has_new = True
            else:
                connection.send([Answer(job, _describe_overload(self._limit))])
        self._show_waiting(len(self._waiting))
        if not connection.is_open:
            self._selector.unregister(connection.sock)
            self._connections.discard(connection)
            connection.hang_up()

    def _heed(self) -> None:
        """Answer the supervisor, or stop when it lets go."""
        with suppress(OSError):
            if self._lifeline.recv(4096):
                self._lifeline.sendall(_ALIVE)
                return
        self._stop()

    def _stop(self) -> None:
        if self._listener is None:
            end_process(0)
        self._selector.unregister(self._lifeline)
        self._accept(self._listener)  # who connected and was not seen yet is sent away in good order
        self._is_stopping = True
        for connection in self._connections:
            connection.say_bye()


def _describe_overload(limit: int) -> dict[str, Any]:
    return {"status": 429, "detail": f"{limit} requests wait for this model already", "retry_after": 1}
