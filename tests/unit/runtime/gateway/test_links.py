"""The gateway's connections to workers, against sockets that a test plays the worker at."""

import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime.daemon.wire import FrameReader, encode_frame
from modelyard.runtime.gateway.client import ClientGoneError, NoAnswerError
from modelyard.runtime.gateway.links import Backend, Call, Link, Outcome
from modelyard.runtime.worker.worker import listen

MORE_THAN_A_SOCKET_TAKES = bytes(4 << 20)


class Loop:
    """An event loop with one model's workers, of which the test plays one."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "w.sock"
        self.listener = listen(str(self.path))
        self.selector = selectors.DefaultSelector()
        self.unsent: list[Link] = []
        self.backend = Backend([self.path], self.selector, limit=8, unsent=self.unsent)
        self.outcomes: list[Outcome] = []

    def send(self, body: bytes = b"") -> Call:
        """Have a call leave with the next turn."""
        call = Call({"route": "run"}, body, self.outcomes.append, deadline=time.monotonic() + 60)
        self.backend.send(call)
        return call

    def accept(self) -> socket.socket:
        """The worker's side of the connection."""
        worker, _ = self.listener.accept()
        worker.setblocking(False)
        return worker

    def turn(self) -> None:
        """Handle what has happened, then flush, as the gateway does."""
        for key, events in self.selector.select(0.1):
            key.data(events)
        for link in self.unsent:
            link.flush()
        self.unsent.clear()

    def close(self) -> None:
        """Close everything."""
        self.backend.close()
        self.selector.close()
        self.listener.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """An event loop, closed afterwards."""
    loop = Loop(tmp_path)
    yield loop
    loop.close()


def read_to_end(loop: Loop, worker: socket.socket) -> list[dict[str, Any]]:
    """What the worker is sent until its connection is closed: the headers."""
    reader = FrameReader(max_body=len(MORE_THAN_A_SOCKET_TAKES))
    headers = []
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            data = worker.recv(1 << 18)
        except BlockingIOError:
            loop.turn()
            continue
        if not data:
            return headers
        reader.feed(data)
        while (frame := reader.next_frame()) is not None:
            headers.append(frame.header)
    raise AssertionError("the connection was not closed within 10 s")


def test_a_connection_that_ends_while_it_takes_no_more_bytes_ends_its_calls_only(loop: Loop) -> None:
    loop.send(MORE_THAN_A_SOCKET_TAKES)
    worker = loop.accept()
    loop.send().cancel()
    worker.close()
    loop.turn()
    assert [type(outcome) for outcome in loop.outcomes] == [ClientGoneError, NoAnswerError]


def test_a_connection_that_was_told_bye_is_closed_when_the_last_cancel_has_left(loop: Loop) -> None:
    call = loop.send(MORE_THAN_A_SOCKET_TAKES)
    with loop.accept() as worker:
        loop.turn()
        worker.send(encode_frame({"bye": True}))
        loop.turn()
        call.cancel()
        assert read_to_end(loop, worker)[1:] == [{"cancel": call.number}]


def test_a_bye_says_nothing_of_later_connections(loop: Loop) -> None:
    old = loop.send()
    with loop.accept() as worker:
        worker.send(encode_frame({"bye": True}))
        loop.turn()
        loop.send()
        with loop.accept() as successor:
            loop.turn()
            worker.send(encode_frame({"bye": True}))
            loop.turn()
            loop.send()
            successor.send(encode_frame({"bye": True}) + encode_frame({"n": old.number + 1, "status": 200}))
            loop.turn()
            successor.send(encode_frame({"n": old.number + 2, "status": 200}))
            assert len(read_to_end(loop, successor)) == 2
