"""The daemon in front of clients that are slow, odd, gone, or many."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import pytest

from modelyard.runtime.application import APPLICATION_FILE, Application, Model, format_application
from tests.integration.daemons import Daemon, StartDaemon, starting_daemons, wait_until

pytestmark = pytest.mark.integration

PREDICT = """
    import os, time
    calls = []

    def double(msg):
        rows = msg.payload["instances"]
        calls.append(len(rows))
        if any(value < 0 for [value] in rows):
            raise ValueError("a negative number")
        time.sleep(0.02)
        return {"doubled": [2 * value for [value] in rows], "unit": "m"}

    def echo(msg):
        return msg.payload

    def sizes(msg):
        return calls

    def nap(msg):
        time.sleep(msg.payload)

    def hold(msg):
        if msg.payload == 0:  # not the test instances
            calls.append("hold")
            open("held", "a").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
"""


@pytest.fixture
def start_daemon() -> Iterator[StartDaemon]:
    """Start daemons of files and variables."""
    with starting_daemons() as start:
        yield start


def start(start_daemon: StartDaemon, **environ: str) -> Daemon:
    """Start a daemon of one model."""
    names = ("double", "echo", "sizes", "nap", "hold")
    files = {
        "predict.py": PREDICT,
        "instances.json": '{"instances": [[1], [2], [3]]}',
        APPLICATION_FILE: format_application(
            Application(name="m", kind="predict", models=(Model(name="m", routes=names, instances="instances.json"),))
        ),
    }
    return start_daemon(files, ROUTES=",".join(f"{name}:predict:{name}" for name in names), **environ).wait_ready()


def exchange(daemon: Daemon, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send parts over one connection; return everything that is answered until its end."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as sock:
        for part in parts:
            sock.sendall(part)
            time.sleep(pause)
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer


def post(body: bytes, *headers: bytes, route: bytes = b"echo", close: bool = True) -> bytes:
    """A request."""
    lines = [b"POST /%b HTTP/1.1" % route, b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, *([b"Connection: close"] if close else []), b"", body])


def test_requests_that_come_together_share_calls_and_one_bad_row_fails_alone(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    before = len(daemon.post("sizes")[1])
    values = [*range(40), -1, *range(40, 60)]
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda value: daemon.post("double", {"instances": [[value]]}), values))
    for value, (status, answer) in zip(values, answers, strict=True):
        if value < 0:
            assert (status, answer["detail"]) == (422, "a negative number")
        else:
            assert (status, answer) == (200, {"doubled": [2 * value], "unit": "m"})
    assert len(daemon.post("sizes")[1]) - before < len(values)
    described = {route["route"]: route["batching"] for route in daemon.request("GET", "/routes")[1]["routes"]}
    assert described["double"] == "on"
    assert described["sizes"].startswith("off: ")


def test_envelopes_and_bare_requests_share_calls_and_are_answered_in_kind(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon, BATCH_WAIT="0.05")
    bodies = [{"payload": {"instances": [[n]]}} if n % 2 else {"instances": [[n]]} for n in range(30)]
    with ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda body: daemon.post("double", body), bodies))
    for n, answer in enumerate(answers):
        bare = {"doubled": [2 * n], "unit": "m"}
        assert answer == (200, {"payload": bare} if n % 2 else bare)


@pytest.mark.parametrize(
    ("path", "environ"),
    [("/hold", {}), ("/v1/models/hold:predict", {}), ("/hold", {"MODELYARD_ACCESS_LOG": "1"})],
    ids=["hot", "protocol", "app"],
)
def test_a_request_whose_client_has_gone_is_not_computed(
    start_daemon: StartDaemon, path: str, environ: dict[str, str]
) -> None:
    daemon = start(start_daemon, **environ)
    request = post(b"0", route=path[1:].encode())
    with socket.create_connection(("127.0.0.1", daemon.port)) as first:
        first.sendall(request)
        wait_until(lambda: (daemon.root / "held").exists())
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", daemon.port)) as gone:
                gone.sendall(request)
        counted = 'modelyard_request_errors_total{route="hold",cause="client"} 5'
        wait_until(lambda: counted in daemon.request("GET", "/metrics")[1].decode())
        (daemon.root / "go").touch()
        assert daemon.post("sizes")[1].count("hold") == 1


def test_many_slow_clients_stop_nobody(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon, HEADER_TIMEOUT="2", BODY_TIMEOUT="2")
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port))) for _ in range(300)]
        for number, sock in enumerate(slow):
            sock.sendall(b"POST /echo HTTP/1.1\r\nHo" if number % 2 else post(b"[1, 2]")[:-3])
        started = time.monotonic()
        for _ in range(20):
            assert daemon.post("echo", 1) == (200, 1)
            assert daemon.request("GET", "/livez")[0] == 200
        assert time.monotonic() - started < 2
        for sock in slow:
            sock.settimeout(10)
            assert sock.recv(65536).startswith(b"HTTP/1.1 408 Request Timeout")
    assert daemon.post("echo", 1) == (200, 1)


def test_a_request_that_comes_byte_by_byte_is_answered(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    request = post(b"[1]")
    parts = [request[at : at + 1] for at in range(len(request))]
    assert exchange(daemon, *parts, pause=0.001).endswith(b"\r\n\r\n[1]")


def test_requests_on_one_connection_are_answered_in_order(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    requests = [post(b"%d" % number, close=number == 199) for number in range(200)]
    state = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = exchange(daemon, state + b"".join(requests))
    bodies = [part.split(b"HTTP/1.1")[0].strip() for part in answer.split(b"\r\n\r\n")[1:]]
    assert json.loads(bodies[0]) == {"live": True}
    assert bodies[1:] == [b"%d" % number for number in range(200)]


def test_requests_that_are_sent_far_ahead_wait_for_the_one_before(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    state = b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 8000 + b"\r\n\r\n"
    answer = exchange(daemon, post(b"0.3", route=b"nap", close=False) + 20 * state + post(b"1"))
    bodies = [part.split(b"HTTP/1.1")[0].strip() for part in answer.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"null", *20 * [b'{"live":true}'], b"1"]


def test_chunks_and_expect_and_http_1_0_work(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert exchange(daemon, chunked, b"2\r\n[1\r\n", b"1\r\n]\r\n0\r\n\r\n", pause=0.01).endswith(b"[1]")
    answer = exchange(daemon, post(b"[1]", b"Expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    assert answer.count(b"100 Continue") == 1
    assert exchange(daemon, b"POST /echo HTTP/1.0\r\nContent-Length: 1\r\n\r\n7").endswith(b"\r\n\r\n7")


def test_many_small_chunks_take_no_more_time_than_one(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    body = b"[" + b" " * 400_000 + b"7]"
    chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    started = time.monotonic()
    answer = exchange(daemon, chunked + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n[7]")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12", 400),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, 431),
        (post(b" " * 2000), 413),
        (post(b"{"), 400),
        (post(b"1", b"Content-Type: text/plain"), 415),
        (post(b"1", route=b"nowhere"), 404),
        (b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
    ],
)
def test_odd_requests_get_a_true_status_and_the_connection_ends(
    start_daemon: StartDaemon, request_: bytes, status: int
) -> None:
    daemon = start(start_daemon, MAX_BODY="1000")
    answer = exchange(daemon, request_)
    assert answer.startswith(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode())
    assert answer.count(b"\r\n\r\n") == 1
    assert b"application/problem+json" in answer
    assert daemon.post("echo", 1) == (200, 1)


def test_a_large_answer_is_sent_whole_to_a_client_that_reads_slowly(start_daemon: StartDaemon) -> None:
    daemon = start(start_daemon)
    body = json.dumps("x" * 5_000_000).encode()
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=10) as sock:
        sock.sendall(post(body))
        time.sleep(0.3)
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.endswith(b"\r\n\r\n" + body)


# Python imports it at every start: only the gateway gets a mistake.
MISTAKE = """
import sys
if "modelyard.runtime.gateway" in sys.orig_argv:
    from modelyard.runtime.gateway.fleet import Fleet
    Fleet.describe_routes = lambda fleet: 1 / 0
"""


def test_the_gateway_keeps_to_itself_what_went_wrong_with_it(start_daemon: StartDaemon, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(MISTAKE)
    daemon = start(start_daemon, PYTHONPATH=str(tmp_path))
    answer = daemon.request("GET", "/routes")
    assert answer[0] == 500
    assert "Traceback" not in json.dumps(answer[1])
    wait_until(lambda: "Traceback" in daemon.log)
