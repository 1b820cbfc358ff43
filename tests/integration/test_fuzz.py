"""What generated requests and hostile bytes do to the daemon: nothing."""

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from modelyard.runtime.daemon.memory import read_resident_bytes
from tests.integration.daemons import Daemon, wait_until
from tests.integration.picture_models import ROUTES, application_files

pytestmark = pytest.mark.integration

ANSWERING = ("income", "digit", "grey")
TOKEN = {"Authorization": "Bearer sesame"}
# A model may refuse what looks like its test instances, and take more than that.
NOT_OURS = [positive_data_acceptance, negative_data_rejection]
HOSTILE_REQUESTS = 1500
PATIENCE = 5.0
GROWTH = 24 * 1024 * 1024
TRUE_SERVER_ERRORS = {501, 503, 505}  # an unknown method or transfer coding, a full queue, another HTTP version


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon whose models fail on nothing: what they don't understand is the client's mistake."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "tokens").write_text("locked=sesame\nadmin=root\n")
    routes = ",".join(item for item in ROUTES.split(",") if not item.startswith("broken"))
    environ = {"ROUTES": routes, "MODELYARD_TOKENS": str(folder / "tokens"), "MAX_BODY": "100000"}
    environ["DEFAULT_ROUTE"] = "income"
    environ["PRELOAD"] = "0"  # no fork takes the place of a process that is to stay
    started = Daemon(folder, application_files(), environ).wait_ready()
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="module")
def api(daemon: Daemon) -> Any:
    """The interface as the daemon describes it."""
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{daemon.port}/openapi.json")


@pytest.mark.parametrize("path", [*ANSWERING, "locked", "livez", "readyz", "health", "routes", "metrics"])
def test_the_daemon_does_what_its_openapi_document_says(api: Any, path: str) -> None:
    operation = api[f"/{path}"]["POST" if path in (*ANSWERING, "locked") else "GET"]
    headers = TOKEN if path == "locked" else {}

    @given(case=operation.as_strategy())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def send(case: Case) -> None:
        case.call_and_validate(headers=headers, excluded_checks=NOT_OURS, timeout=PATIENCE)

    send()


PROTOCOLS = {
    "GET": ["/v1/models", "/v1/models/{model}", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/{model}",
            "/v2/models/{model}/ready", "/ping", "/models", "/models/{model}", "/health/ping", "/health/status",
            "/seldon/{route}/api/v1.0/metadata", "/seldon.json"],
    "POST": ["/v1/models/{model}:predict", "/v2/models/{model}/infer", "/v2/repository/index", "/invocations",
             "/v2/repository/models/{model}/load", "/v2/repository/models/{model}/unload", "/models",
             "/models/{model}/invoke"],
    "DELETE": ["/models/{model}"],
}  # fmt: skip
# These tell of a client's mistake in its message with 500, as a Seldon server does.
SELDON = ["/predict", "/seldon/{route}/api/v1.0/predictions", "/send-feedback", "/aggregate"]


@pytest.mark.parametrize(
    ("method", "path"),
    [*((method, path) for method, paths in PROTOCOLS.items() for path in paths), *(("POST", path) for path in SELDON)],
)
def test_the_protocols_do_what_the_openapi_document_says(api: Any, method: str, path: str) -> None:
    excluded = [*NOT_OURS, *([not_a_server_error] if path in SELDON else [])]

    @given(case=api[path][method].as_strategy())
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    def send(case: Case) -> None:
        case.call_and_validate(excluded_checks=excluded, timeout=PATIENCE)

    send()


def plain(body: bytes = b'{"instances": [[25, "x"]]}', *headers: bytes, path: bytes = b"/income") -> bytes:
    """A request as it should be."""
    head = [b"POST %b HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*head, b"", body])


CHUNKED = b"POST /income HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CRAFTED = {
    "a body that is cut off": plain()[:-5],
    "a negative length": plain().replace(b"Length: ", b"Length: -"),
    "a length that is no number": plain().replace(b"Length: ", b"Length: x"),
    "an endless length": plain().replace(b"Length: ", b"Length: 9" + b"9" * 40),
    "two lengths": plain(b"[1]", b"Content-Length: 200"),
    "a length and chunks": plain(b"0\r\n\r\n", b"Transfer-Encoding: chunked"),
    "an unknown transfer coding": plain(b"[1]", b"Transfer-Encoding: gzip"),
    "a chunk that is no number": CHUNKED + b"zz\r\n[1]\r\n0\r\n\r\n",
    "an endless chunk": CHUNKED + b"f" * 30 + b"\r\n",
    "a chunk that is cut off": CHUNKED + b"5\r\n[1",
    "a header without an end": b"POST /income HTTP/1.1\r\nX: " + b"a" * 200_000,
    "very many headers": plain(b"[1]", *[b"X-%d: 1" % number for number in range(5000)]),
    "a header without a colon": plain(b"[1]", b"nonsense"),
    "a header with NUL": plain(b"[1]", b"X-A: a\0b"),
    "a blank before the colon": plain(b"[1]", b"Content-Type : text/plain"),
    "a folded header": plain(b"[1]", b"X-A: a\r\n b"),
    "bare line feeds": plain().replace(b"\r\n", b"\n"),
    "an absolute address": plain(path=b"http://elsewhere/income"),
    "a path with dots": plain(path=b"/income/../../etc/passwd"),
    "a path that is no UTF-8": plain(path=b"/\xff\xfe%ff%00"),
    "a path of 100 kB": plain(path=b"/" + b"a" * 100_000),
    "an unknown method": plain().replace(b"POST", b"BREW"),
    "no method": b" / HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/3.0": b"GET /livez HTTP/3.0\r\nHost: x\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 64,
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"\x5a" * 200,
    "an upgrade": plain(b"[1]", b"Connection: Upgrade", b"Upgrade: websocket"),
    "100-continue": plain(b"[1]", b"Expect: 100-continue"),
    "another expectation": plain(b"[1]", b"Expect: the-moon"),
    "nothing but line ends": b"\r\n" * 1000,
    "a deeply nested body": plain(b"[" * 90_000),
    "a body that is no UTF-8": plain(b'"\xff\xfe\x00"'),
    "half a surrogate": plain(b'{"payload": "\\ud800"}'),
    "a number without end": plain(b'{"instances": [[1' + b"0" * 50_000 + b"]]}"),
    "1e999": plain(b'{"instances": [[1e999, 1]]}'),
    "a multipart body without parts": plain(b"--x--", b"Content-Type: multipart/form-data; boundary=x"),
    "a multipart body without a boundary": plain(b"--x--", b"Content-Type: multipart/form-data"),
    "many requests on one line": plain() * 50,
}


def exchange(port: int, data: bytes, *, patience: float = PATIENCE) -> bytes:
    """What is answered to these bytes, until the daemon hangs up after we said that we are done."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as sock:
        answer = b""
        with suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while received := sock.recv(65536):
                answer += received
        return answer


def statuses_of(answer: bytes) -> list[int]:
    """The statuses of the answers; whatever else starts one is an error."""
    if not answer:
        return []
    assert answer.startswith(b"HTTP/1."), answer[:200]
    heads = [part for part in answer.split(b"HTTP/1.")[1:] if part[1:2] == b" " and part[2:5].isdigit()]
    return [int(head[2:5]) for head in heads]


@pytest.mark.parametrize("what", CRAFTED)
def test_a_crafted_request_is_answered_truly_or_hung_up_on(daemon: Daemon, what: str) -> None:
    for status in statuses_of(exchange(daemon.port, CRAFTED[what])):
        assert status < 500 or status in TRUE_SERVER_ERRORS, status
    assert daemon.request("GET", "/livez")[0] == 200


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Break a request somewhere."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(changed))
        match chance.randrange(5):
            case 0:
                changed[at] = chance.randrange(256)
            case 1:
                del changed[at : at + chance.randint(1, 20)]
            case 2:
                changed[at:at] = chance.randbytes(chance.randint(1, 20))
            case 3:
                changed[at:at] = chance.choice((b"\r\n", b"\0", b"\r\n\r\n", b"0\r\n\r\n", b"[" * 50, b":", b" "))
            case _:
                changed = changed[:at] + changed[at // 2 :]
        if not changed:
            return b"\r\n"
    return bytes(changed)


def test_hostile_bytes_break_hang_and_grow_nothing(daemon: Daemon) -> None:
    chance = random.Random(20)
    kinds = [data for data in CRAFTED.values() if len(data) < 5000]
    run(daemon.port, kinds, chance, 150)  # what is allocated once is allocated now
    before, processes = measure(daemon), daemon.children()
    run(daemon.port, kinds, chance, HOSTILE_REQUESTS)
    wait_until(lambda: daemon.post("income", {"instances": [[40, "x"]]})[0] == 200)
    assert daemon.children() == processes
    after = measure(daemon)
    assert after - before < GROWTH, f"from {before} to {after} bytes"
    page = daemon.request("GET", "/metrics")[1].decode()
    in_flight = [line for line in page.splitlines() if line.startswith("modelyard_requests_in_flight{")]
    assert all(line.endswith(" 0") for line in in_flight), in_flight


def run(port: int, kinds: list[bytes], chance: random.Random, count: int) -> None:
    """Send broken requests one after the other, some to hang up at once."""
    for _ in range(count):
        data = mutate(chance.choice(kinds), chance)
        if chance.random() < 0.1:
            with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sock:
                sock.sendall(data)
            continue
        for status in statuses_of(exchange(port, data)):
            assert status < 500 or status in TRUE_SERVER_ERRORS, (status, data)


def measure(daemon: Daemon) -> int:
    """The memory of all of the daemon's processes."""
    sizes = [read_resident_bytes(pid) for pid in (daemon.process.pid, *daemon.children())]
    if None in sizes:
        pytest.skip("this system does not say how much memory a process holds")
    return sum(size or 0 for size in sizes)


def test_clients_that_say_nothing_and_never_leave_keep_nobody_out(daemon: Daemon) -> None:
    beginnings: list[bytes] = [b"", b"P", b"POST /income HTTP/1.1\r\nHost: x\r\n", plain()[:-3]]
    silent = [socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE) for _ in range(200)]
    try:
        for number, sock in enumerate(silent):
            sock.sendall(beginnings[number % len(beginnings)])
        latencies = sorted(timed(lambda: daemon.post("income", {"instances": [[40, "x"]]})) for _ in range(30))
        assert latencies[-1] < 1.0
    finally:
        for sock in silent:
            sock.close()


def timed(call: Callable[[], Any]) -> float:
    """The seconds that a call takes; it must be answered 200."""
    started = time.perf_counter()
    assert call()[0] == 200
    return time.perf_counter() - started
