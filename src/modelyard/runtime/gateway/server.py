"""A gunicorn worker around one event loop: whole requests only reach a model or Flask, however slowly they come.

The loop reads and frames requests, and sends those of the hot path to the models' workers itself. What else there is,
it hands as a whole to a thread that runs the Flask app by way of gunicorn's own parser and response. So a slow client
costs a few kilobytes and no thread, and no thread ever waits for the network.
"""

import os
import resource
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from gunicorn.workers.base import Worker  # type: ignore[import-untyped]

from modelyard.runtime.daemon.settings import load_settings
from modelyard.runtime.gateway.exchange import Client
from modelyard.runtime.gateway.framing import Head
from modelyard.runtime.gateway.hot import HotPath
from modelyard.runtime.gateway.kinds import Kind, Kinds
from modelyard.runtime.gateway.wsgi import run_app

_BACKLOG = 2048
_AT_ONCE = 64
_TICK = 0.1
_LAST_WORDS = 0.5  # before the supervisor ends by force who has not ended
_THREADS = {Kind.PAGE: 1, Kind.METRICS: 1, Kind.STATE: 2}
_WAITING = 512  # to refuse costs more than to have them wait: those who are refused connect again
_PROBES_AT_ONCE = 32
_SPARE_FILES = 128
_FILES = 65536

Answered = tuple[bytes, bool]
"""The bytes of an answer, and whether the connection may go on."""


class EventWorker(Worker):  # type: ignore[misc]
    """Serves until it is told to stop; then answers everybody who connected before, and ends."""

    def run(self) -> None:
        """Serve; gunicorn calls it once, in the worker's process."""
        self.settings = load_settings(os.environ)
        self.hot: HotPath = self.wsgi.extensions["hot"]
        self.selector: selectors.BaseSelector = selectors.DefaultSelector()
        self.clients: set[Client] = set()
        self._pools = {kind: Pool(kind.value, threads, _WAITING) for kind, threads in _THREADS.items()}
        self._pools[Kind.MODEL] = Pool(Kind.MODEL.value, self.cfg.threads, self.settings.queue_size)
        self._kinds: Kinds = self.wsgi.extensions["kinds"]
        self._probes: deque[Callable[[], None]] = deque()
        self._done: deque[Callable[[], None]] = deque()
        self.held = 0
        """Bytes of requests that are being read or answered."""
        self._most_clients = raise_file_limit() - _SPARE_FILES
        self.hot.attach(self.selector)
        self.selector.register(self.PIPE[0], selectors.EVENT_READ, self._wake)
        for listener in self.sockets:
            listener.setblocking(False)
            self.selector.register(listener, selectors.EVENT_READ, self._acceptor(listener))
        self._loop()
        self.hot.close()

    @property
    def is_stopping(self) -> bool:
        """Tell whether it takes no more requests."""
        return not self.alive

    def submit(self, client: Client, head: Head, first: bytes, body: bytes, *, is_last: bool) -> bool:
        """Have the app answer a request, the connection's last or not; `first` are the bytes of its head.

        A probe is answered by the loop itself, everything else by a thread; False where too many wait for one.
        """
        kind = self._kinds.find(head)

        def answer() -> Answered:
            if client.is_gone and kind is not Kind.MODEL:  # those are counted
                return b"", False
            address, server = client.address, client.server_address
            return run_app(self, first, body, address, server, is_last=is_last, is_gone=lambda: client.is_gone)

        if kind is Kind.PROBE:
            self._probes.append(lambda: client.respond_raw(*answer()))
            return True
        return self._pools[kind].submit(answer, lambda work: self._wake_for(lambda: client.respond_raw(*work())))

    def call_soon(self, work: Callable[[], None]) -> None:
        """Do something when the events at hand are handled; for the loop's own thread."""
        self._done.append(work)

    def _loop(self) -> None:
        stop_at = float("inf")
        next_tick = 0.0
        while True:
            if self.is_stopping and stop_at == float("inf"):
                limit = self.settings.stop_timeout
                stop_at = time.monotonic() + limit - min(_LAST_WORDS, limit / 4)
                self._stop_accepting()
            for key, events in self.selector.select(0 if self._done or self._probes else _TICK):
                key.data(events)
            for _ in range(min(len(self._probes), _PROBES_AT_ONCE)):  # others get their turn in a flood of them
                self._probes.popleft()()
            now = time.monotonic()
            if now >= next_tick:
                next_tick = now + _TICK
                self._tick(now)
            for _ in range(len(self._done)):
                self._done.popleft()()
            self.hot.flush()
            if self.is_stopping and (not self.clients or now >= stop_at):
                self._end_clients()
                return

    def _tick(self, now: float) -> None:
        self.notify()
        self.hot.end_overdue()
        for client in [client for client in self.clients if now >= client.deadline]:
            client.time_out()
        if self.ppid != os.getppid():
            self.alive = False

    def _acceptor(self, listener: socket.socket) -> Callable[[int], None]:
        return lambda _: self._accept(listener, _AT_ONCE)

    def _accept(self, listener: socket.socket, count: int) -> None:
        for _ in range(count):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no descriptor left, or a client that has gone already
                self.log.warning("a connection was not accepted: %s", error)
                return
            client = Client(self, sock, address)
            self.clients.add(client)
            if len(self.clients) > self._most_clients:
                client.refuse_connection()

    def _stop_accepting(self) -> None:
        """Take the connections that wait, and close the listening sockets: who connects now is refused at once."""
        for listener in self.sockets:
            self.selector.unregister(listener)
            self._accept(listener, _BACKLOG)
            listener.close()
        for client in list(self.clients):
            client.prepare_to_end()

    def _end_clients(self) -> None:
        """Tell those who have not been answered so."""
        late = sum([client.end() for client in list(self.clients)])
        while self._done:
            self._done.popleft()()
        if late:
            self.log.warning("stopping: %s requests had no answer within STOP_TIMEOUT: they get 503", late)

    def _wake(self, _: int) -> None:
        with suppress(BlockingIOError):
            os.read(self.PIPE[0], 4096)

    def _wake_for(self, work: Callable[[], None]) -> None:
        """Have the loop do something; any thread may ask."""
        self._done.append(work)
        with suppress(BlockingIOError):
            os.write(self.PIPE[1], b"\0")

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGINT and SIGQUIT: the supervisor alone decides how to stop."""
        self.alive = False

    def init_signals(self) -> None:
        """Also outlive a terminal's Ctrl-C, which everyone in its group gets."""
        super().init_signals()
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class Pool:
    """Threads for requests of one kind, and how many of these may wait for one."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._threads = ThreadPoolExecutor(threads, name)
        self._room = threads + waiting

    def submit(self, answer: Callable[[], Answered], finish: Callable[[Callable[[], Answered]], None]) -> bool:
        """Have a thread answer, which then calls `finish` with what gives the answer; False where it is full."""
        if not self._room:
            return False
        self._room -= 1

        def take() -> Answered:
            self._room += 1
            return future.result()

        future = self._threads.submit(answer)
        future.add_done_callback(lambda _: finish(take))
        return True


def raise_file_limit() -> int:
    """Allow this process as many open files as it may have, within reason; return how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] if soft != resource.RLIM_INFINITY else _FILES
