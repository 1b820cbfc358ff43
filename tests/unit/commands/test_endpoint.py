import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from modelyard.commands.endpoint import Endpoint, send_instances
from modelyard.errors import EndpointError, InputError
from modelyard.workspace import ModelDirectory
from tests.conftest import write_files


class Server(ThreadingHTTPServer):
    """Answers POSTs with `answer`: a status, a content type and a body."""

    answer = (200, "application/json", b'{"predictions": [1]}')
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, bytes, str | None]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, body, self.headers["Content-Type"]))
        status, kind, answer = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def endpoint(server) -> Endpoint:
    return Endpoint(host="127.0.0.1", port=server.server_port)


def test_every_route_gets_the_instances(model, server, endpoint):
    routes = "ROUTES=a:income.rf.predict:predict,b:income.rf.predict:predict\n"
    write_files(model.path, {".s2i/environment": routes})
    answers = list(send_instances(endpoint, [ModelDirectory(model.path)]))
    assert [path for path, _, _ in server.seen] == ["/a", "/b"]
    assert [(json.loads(body), kind) for _, body, kind in server.seen] == [
        ({"instances": [[1, 2]]}, "application/json")
    ] * 2
    assert [(answer.model, answer.route, answer.status, answer.body) for answer in answers] == [
        ("income/rf", "a", 200, {"predictions": [1]}),
        ("income/rf", "b", 200, {"predictions": [1]}),
    ]
    assert all(0 < answer.seconds < 5 for answer in answers)
    for answer in answers:
        answer.raise_for_status()


PROBLEM = b'{"type": "about:blank", "status": 422, "detail": "instance 0 has 2 columns"}'


@pytest.mark.parametrize(
    ("answer", "said", "hint"),
    [
        ((404, "application/json", b'{"detail": "no route"}'), "answered 404: no route", "another daemon"),
        (
            (422, "application/problem+json", PROBLEM),
            "answered 422: instance 0 has 2 columns",
            "projects/income/rf/test/test_instances.json",
        ),
        ((500, "text/html", b"<h1>no</h1>"), "answered 500: <h1>no</h1>", "modelyard logs"),
        ((503, "application/json", b'["busy"]'), r"answered 503: \['busy'\]", "modelyard logs"),
    ],
)
def test_any_other_status_is_an_error_with_what_was_said(model, server, endpoint, answer, said, hint):
    server.answer = answer
    [answered] = send_instances(endpoint, [model])
    with pytest.raises(EndpointError, match=f"income/rf: POST /income-rf {said}") as error:
        answered.raise_for_status()
    assert hint in error.value.hint


def test_an_answer_that_is_no_json_though_it_says_so_is_an_error(model, server, endpoint):
    server.answer = (200, "application/json", b"{")
    with pytest.raises(EndpointError, match=r"income/rf: no answer from .*/income-rf: .* no JSON"):
        list(send_instances(endpoint, [model]))


def test_nobody_there_is_an_error(model, server):
    port = server.server_port
    server.server_close()
    with pytest.raises(EndpointError, match=f"no answer from http://127.0.0.1:{port}/income-rf") as error:
        list(send_instances(Endpoint(host="127.0.0.1", port=port), [model]))
    assert "make predict" in error.value.hint


def test_a_model_without_a_route_is_no_success(model, endpoint):
    write_files(model.path, {".s2i/environment": "TRAIN_MODULE=income.rf.train\n"})
    with pytest.raises(InputError, match="no route to test"):
        list(send_instances(endpoint, [ModelDirectory(model.path)]))


def test_broken_instances_are_named_before_anything_is_sent(model, server, endpoint):
    write_files(model.path, {"test/test_instances.json": '{"instances": ['})
    with pytest.raises(InputError, match=r"test_instances\.json:1"):
        list(send_instances(endpoint, [model]))
    assert server.seen == []
