"""A worker's inbox, over real sockets, without its second thread."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime.daemon.wire import FrameReader, encode_frame
from modelyard.runtime.worker.inbox import Answer, Connection, Inbox
from modelyard.runtime.worker.worker import listen

MORE_THAN_A_SOCKET_TAKES = bytes(4 << 20)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(10)
        yield ours, theirs


def request(number: int) -> bytes:
    """A request as a gateway sends it."""
    return encode_frame({"route": "run", "n": number, "timeout": 60.0})


def receive_headers(sock: socket.socket, count: int) -> list[dict[str, Any]]:
    """The headers of the next frames."""
    reader = FrameReader(max_body=1 << 20)
    headers: list[dict[str, Any]] = []
    while len(headers) < count:
        reader.feed(sock.recv(1 << 16))
        while (frame := reader.next_frame()) is not None:
            headers.append(frame.header)
    return headers


def test_the_request_in_hand_is_not_one_that_waits(tmp_path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    inbox = Inbox(pair[0], limit=1, max_body=100, show_waiting=lambda _: None)
    path = tmp_path / "w.sock"
    with listen(str(path)) as listener, socket.socket(socket.AF_UNIX) as client:
        inbox.open(listener)
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(request(1))
        job = inbox.take()
        assert job
        with job.connection.sock:
            client.sendall(request(2) + request(3) + request(4))
            assert inbox.has_more()
            refused = receive_headers(client, 2)
    assert [(header["n"], header["status"]) for header in refused] == [(3, 429), (4, 429)]


def test_what_one_call_left_is_offered_to_the_next(tmp_path: Path, pair: tuple[socket.socket, socket.socket]) -> None:
    inbox = Inbox(pair[0], limit=8, max_body=100, show_waiting=lambda _: None)
    path = tmp_path / "w.sock"
    with listen(str(path)) as listener, socket.socket(socket.AF_UNIX) as client:
        inbox.open(listener)
        client.connect(str(path))
        client.sendall(request(1) + request(2) + request(3))
        first = inbox.take()
        assert first
        with first.connection.sock:
            inbox.offer_waiting(lambda job: False)
            second = inbox.take()
            assert second
            offered: list[int] = []
            inbox.offer_waiting(lambda job: offered.append(job.number) is None)
    assert (first.number, second.number, offered) == (1, 2, [3])


def test_nothing_follows_half_an_answer(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    connection = Connection(ours, max_body=100)
    ours.settimeout(0.05)
    theirs.sendall(request(1) + request(2))
    first, second = connection.receive()
    theirs.sendall(request(3))
    connection.send([Answer(first, {"status": 200}, MORE_THAN_A_SOCKET_TAKES)])
    connection.receive()
    assert not connection.is_open
    received = 0
    while data := theirs.recv(1 << 18):
        received += len(data)
        connection.send([Answer(second, {"status": 200}, b"somebody else's")])
        assert b"somebody" not in data
    assert 0 < received < len(MORE_THAN_A_SOCKET_TAKES)
