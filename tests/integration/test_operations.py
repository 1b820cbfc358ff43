"""A daemon as its operator sees it: tokens, metrics of several processes, the access log, traces."""

import json
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.daemons import Daemon, wait_until

pytestmark = pytest.mark.integration

FILES = {
    "p.py": "import os\ndef echo(msg): return msg.payload\ndef whoami(msg): return os.getpid()\ndef fail(msg): 1 / 0\n"
    "def traced(msg): return [msg.request_id, msg.traceparent]\n"
}
ROUTES = "echo:p:echo,whoami:p:whoami,fail:p:fail,traced:p:traced"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
Start = Callable[..., Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start one daemon of three routes."""
    started: list[Daemon] = []

    def start_one(**environ: str) -> Daemon:
        started.append(Daemon(tmp_path, FILES, {"ROUTES": ROUTES, **environ}))
        return started[-1]

    yield start_one
    for daemon in started:
        daemon.process.kill()
        daemon.process.wait()


def ask(daemon: Daemon, path: str, payload: Any = 1, *, token: str | None = None) -> int:
    """The status of a POST."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return daemon.request("POST", path, json.dumps(payload).encode(), **headers)[0]


def test_a_token_closes_a_route_in_every_protocol(start: Start, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.mkdir()
    (tokens / "echo.token").write_text("sesame\n")
    (tokens / "fail").write_text("other\n")
    daemon = start(MODELYARD_TOKENS=str(tokens)).wait_ready()
    v2 = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}
    requests = {
        "/echo": 1,
        "/v1/models/echo:predict": {"instances": [1]},
        "/v2/models/echo/infer": v2,
        "/seldon/echo/api/v1.0/predictions": {"data": {"ndarray": [[1]]}},
    }
    for path, payload in requests.items():
        assert ask(daemon, path, payload) == 401, path
        assert ask(daemon, path, payload, token="wrong") == 401, path
        assert ask(daemon, path, payload, token="other") == 403, path
        assert ask(daemon, path, payload, token="sesame") not in (401, 403), path
    assert ask(daemon, "/echo", token="sesame") == 200
    assert ask(daemon, "/whoami") == 200
    assert ask(daemon, "/admin/reload", token="sesame") == 403
    (tokens / "admin").write_text("root\n")
    wait_until(lambda: ask(daemon, "/admin/reload", token="root") == 202)
    assert ask(daemon, "/admin/reload") == 401
    assert not re.search("sesame|other|root", daemon.log)


def test_broken_tokens_are_said_before_anything_starts(start: Start, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("echo=a\nehco=b\n")
    daemon = start(MODELYARD_TOKENS=str(tmp_path / "tokens"))
    assert daemon.process.wait(20) != 0
    assert f"{tmp_path}/tokens:2: a token for 'ehco', which is no route here" in daemon.log
    assert "Traceback" not in daemon.log


def test_a_gateway_that_starts_while_the_tokens_are_broken_keeps_those_that_were_read_before(
    start: Start, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("echo=first\n")
    daemon = start(MODELYARD_TOKENS=str(tokens), GATEWAY_WORKERS="1").wait_ready()
    tokens.write_text("echo=second\n")
    wait_until(lambda: ask(daemon, "/echo", token="second") == 200)
    tokens.write_text("second\n")
    name = b"modelyard.runtime.gateway\0"
    gateways = [pid for pid in daemon.children() if name in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(max(gateways), signal.SIGKILL)
    wait_until(lambda: f"stay in force: {tokens}:1: no '='" in daemon.log)
    assert [ask(daemon, "/echo", token=token) for token in ("first", "second", None)] == [401, 200, 401]
    tokens.unlink()
    gone = f"stay in force: MODELYARD_TOKENS {tokens}: No such file"
    wait_until(lambda: ask(daemon, "/echo", token="second") == 200 and gone in daemon.log)
    assert ask(daemon, "/echo") == 401
    tokens.write_text("echo=third\n")
    wait_until(lambda: ask(daemon, "/echo", token="third") == 200)


def metric(daemon: Daemon, name: str) -> float:
    """One value of /metrics; 0 where it is not there."""
    lines = daemon.request("GET", "/metrics")[1].decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0.0)


def send(daemon: Daemon, count: int) -> None:
    """Send that many requests, each on a connection of its own."""
    for _ in range(count):
        assert daemon.post("echo", 1) == (200, 1)


def counters(daemon: Daemon) -> list[Path]:
    """The files that gateway processes, those that ended included, count into."""
    return list(daemon.run_dir.glob("gateway-*.counters"))


def test_metrics_are_those_of_all_gateway_processes_and_outlive_them(start: Start) -> None:
    daemon = start(GATEWAY_WORKERS="2", WORKERS="1").wait_ready()
    answered = 'modelyard_requests_total{route="echo",status="200"}'
    wait_until(lambda: len(counters(daemon)) == 2)
    send(daemon, 40)
    assert metric(daemon, answered) == 40
    os.kill(int(counters(daemon)[0].stem.rpartition("-")[2]), signal.SIGKILL)
    wait_until(lambda: len(counters(daemon)) == 3)
    send(daemon, 40)
    assert metric(daemon, answered) == 80
    assert metric(daemon, 'modelyard_call_seconds_count{route="echo"}') == 80
    assert metric(daemon, 'modelyard_requests_in_flight{route="echo"}') == 0
    assert metric(daemon, 'modelyard_resident_memory_bytes{process="gateway"}') > 10e6


def test_metrics_count_what_a_model_did_before_its_process_was_started_again(start: Start) -> None:
    daemon = start(WORKERS="1").wait_ready()
    assert daemon.post("fail")[0] == 500
    pid = daemon.post("whoami")[1]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: daemon.post("whoami")[0] == 200)
    assert metric(daemon, 'modelyard_worker_restarts_total{model="p"}') == 1
    assert metric(daemon, 'modelyard_call_seconds_count{route="fail"}') == 1
    assert metric(daemon, 'modelyard_request_errors_total{route="fail",cause="failed"}') == 1


def test_the_access_log_has_one_object_for_each_request(start: Start) -> None:
    daemon = start(MODELYARD_LOG="json", MODELYARD_ACCESS_LOG="1").wait_ready()
    daemon.request(
        "POST", "/echo", b'"a-secret"', **{"X-Request-Id": "mine", "traceparent": f"00-{TRACE}-{'1' * 16}-01"}
    )
    daemon.post("fail")
    assert daemon.stop() == 0
    entries = [json.loads(line) for line in daemon.log.splitlines()]
    access = [entry for entry in entries if entry["logger"] == "modelyard.access"]
    (mine,) = [entry for entry in access if entry["request_id"] == "mine"]
    assert (mine["route"], mine["status"], mine["trace_id"], mine["bytes_in"]) == ("echo", 200, TRACE, 10)
    (failed,) = [entry for entry in access if entry["path"] == "/fail"]
    assert (failed["status"], failed["cause"]) == (500, "failed")
    assert "a-secret" not in daemon.log


def test_what_gunicorn_says_is_in_the_log_as_all_else_is(start: Start) -> None:
    daemon = start(MODELYARD_LOG="json").wait_ready()
    (gateway,) = counters(daemon)
    os.kill(int(gateway.stem.rpartition("-")[2]), signal.SIGKILL)
    wait_until(lambda: len(counters(daemon)) == 2)
    entries = [json.loads(line) for line in daemon.log.splitlines()]
    (killed,) = [entry for entry in entries if entry["logger"] == "gunicorn.error"]
    assert "was sent SIGKILL" in killed["message"]


class Collector(ThreadingHTTPServer):
    """Takes OTLP traces over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CollectorHandler)
        self.spans: list[Any] = []


class CollectorHandler(BaseHTTPRequestHandler):
    """Keeps the spans that are sent."""

    server: Collector

    def do_POST(self) -> None:
        """Take one batch."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sent = ExportTraceServiceRequest.FromString(body)
        self.server.spans += [span for one in sent.resource_spans for scope in one.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A running collector."""
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_requests_are_spans_of_the_trace_that_they_belong_to(start: Start, collector: Collector) -> None:
    port = collector.server_address[1]
    daemon = start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_BSP_SCHEDULE_DELAY="100").wait_ready()
    traced = {"traceparent": f"00-{TRACE}-{'1' * 16}-01", "X-Request-Id": "mine"}
    assert daemon.request("POST", "/echo", b"1", **traced)[0] == 200
    daemon.post("fail")
    assert daemon.stop() == 0
    spans = {span.name: span for span in collector.spans}
    mine, failed = spans["POST /echo"], spans["POST /fail"]
    assert (mine.trace_id.hex(), mine.parent_span_id.hex()) == (TRACE, "1" * 16)
    assert attributes(mine) >= {"http.route": "/echo", "modelyard.request_id": "mine"}.items()
    assert failed.trace_id.hex() != TRACE
    assert attributes(failed) >= {"error.type": "failed"}.items()
    assert failed.status.code == 2


def attributes(span: Any) -> Any:
    """The attributes that are text."""
    found: Mapping[str, str] = {item.key: item.value.string_value for item in span.attributes}
    return found.items()


def test_the_models_code_is_told_the_trace(start: Start) -> None:
    daemon = start().wait_ready()
    given = f"00-{TRACE}-{'1' * 16}-01"
    headers = {"traceparent": given, "X-Request-Id": "mine"}
    v1 = "/v1/models/traced:predict"
    assert daemon.request("POST", "/traced", b"1", **headers) == (200, ["mine", given])
    assert daemon.request("POST", v1, b"{}", **headers) == (200, {"predictions": ["mine", given]})
    for nonsense in ("nonsense", given.replace("00-", "ff-", 1), given.replace("1" * 16, "0" * 16)):
        assert daemon.request("POST", "/traced", b"1", traceparent=nonsense)[1][1] is None


def test_the_models_code_is_within_the_span(start: Start, collector: Collector) -> None:
    port = collector.server_address[1]
    daemon = start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_BSP_SCHEDULE_DELAY="100").wait_ready()
    told = daemon.request("POST", "/traced", b"1", traceparent=f"00-{TRACE}-{'1' * 16}-01")[1][1]
    assert daemon.stop() == 0
    span = next(span for span in collector.spans if span.name == "POST /traced")
    assert told == f"00-{TRACE}-{span.span_id.hex()}-01"


def test_without_a_collector_nothing_is_traced(start: Start) -> None:
    daemon = start().wait_ready()
    assert daemon.post("echo", 1) == (200, 1)
    assert "trace" not in daemon.log
