"""A TCP proxy that breaks connections: after so many bytes of an answer, or of a request, so many times."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class CuttingProxy:
    """Passes everything on to `port`, but breaks each of the next `cuts` connections after `limit` bytes of answers.

    `sent` counts the bytes of requests that arrived here.
    """

    def __init__(self, port: int) -> None:
        self.upstream, self.limit, self.cuts, self.done, self.sent = port, 0, 0, 0, 0
        self.cuts_answers = True
        self._lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def cut_after(self, limit: int, *, times: int, of_requests: bool = False) -> None:
        """Break the next `times` connections that would pass more than `limit` bytes."""
        self.limit, self.cuts, self.done, self.cuts_answers = limit, times, 0, not of_requests

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.upstream))
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        passed = 0
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if not is_answer:
                    with self._lock:
                        self.sent += len(data)
                if (
                    is_answer is self.cuts_answers
                    and self.cuts
                    and passed + len(data) > self.limit
                    and self._take_cut()
                ):
                    target.sendall(data[: max(0, self.limit - passed)])
                    break
                target.sendall(data)
                passed += len(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _take_cut(self) -> bool:
        with self._lock:
            if not self.cuts:
                return False
            self.cuts -= 1
            self.done += 1
            return True


@contextmanager
def run_cutting_proxy(port: int) -> Iterator[CuttingProxy]:
    """Run a proxy to `port` of this machine."""
    proxy = CuttingProxy(port)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.listener.shutdown(socket.SHUT_RDWR)
        proxy.listener.close()
        thread.join(5)
