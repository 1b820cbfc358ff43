import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from modelyard.runtime.application import Application, Model
from modelyard.runtime.daemon.settings import PerRoute, Settings
from modelyard.runtime.daemon.site import Site
from modelyard.runtime.daemon.status import ModelStatus, write_status
from modelyard.runtime.daemon.taken import Taken
from modelyard.runtime.gateway.app import create_app
from modelyard.runtime.supervisor.gateway_process import GatewayProcess
from modelyard.runtime.supervisor.listening import bind
from modelyard.runtime.worker.worker import listen

PREDICT = """
    import os, time

    class Taken(Exception):
        status_code = 409

    def echo(msg):
        return msg.payload

    def numbers(msg):
        import numpy as np
        return {"values": np.array([1.0, np.nan]), "label": np.int64(3)}

    def refuse(msg):
        raise ValueError("no such colour: 'blurple'")

    def conflict(msg):
        raise Taken("taken")

    def fail(msg):
        return {}["secret key"]

    def leave(msg):
        raise SystemExit(3)

    def die(msg):
        os._exit(7)

    def hang(msg):
        time.sleep(60)

    def nap(msg):
        time.sleep(0.5)
"""
FUNCTIONS = ("echo", "numbers", "refuse", "conflict", "fail", "leave", "die", "hang", "nap")
SETTINGS = Settings(request_timeout=PerRoute(5.0), max_body=1000)
INSTANCES = '{"instances": [[25, "</textarea><script>alert(1)</script>"]]}'

MakeClient = Callable[..., FlaskClient]


@pytest.fixture
def make_client(tmp_path: Path, run_dir: Path) -> Iterator[MakeClient]:
    """A client of the app, with settings and statuses of the one model."""
    apps = []

    def make(*statuses: ModelStatus, settings: Settings = SETTINGS, names: tuple[str, ...] = ("m",)) -> FlaskClient:
        models = (Model(name="m", routes=FUNCTIONS, instances="instances.json"),)
        models += tuple(Model(name=name, routes=(name,)) for name in names[1:])
        (tmp_path / "instances.json").write_text(INSTANCES)
        write_status(run_dir, statuses or [ModelStatus(name=name, state="ready") for name in names])
        application = Application(name="income/all", kind="predict", models=models)
        apps.append(create_app(application, root=tmp_path, run_dir=run_dir, settings=settings))
        return apps[-1].test_client()

    yield make
    for app in apps:
        app.extensions["fleet"].close()
        app.extensions["conversion"].close()


@pytest.fixture
def client(make_client: MakeClient, start_worker: Any) -> FlaskClient:
    """A client of the app, in front of a real worker."""
    start_worker(PREDICT, *FUNCTIONS).news()
    return make_client()


def problem(response: Any, status: int) -> Mapping[str, Any]:
    """The problem document of an answer that must have this status."""
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    document = response.json
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["request_id"] == response.headers["X-Request-Id"]
    return document


# Answers


def test_envelope_and_bare_bodies_are_answered_in_kind(client: FlaskClient) -> None:
    assert client.post("/echo", json={"payload": {"a": 1}}).json == {"payload": {"a": 1}}
    assert client.post("/echo", json={"instances": [[1]]}).json == {"instances": [[1]]}


def test_numpy_and_nan_become_json(client: FlaskClient) -> None:
    assert client.post("/numbers", json={}).json == {"values": [1.0, None], "label": 3}


def test_a_body_without_a_declared_type_is_taken_as_json(client: FlaskClient) -> None:
    assert client.post("/echo", data=b"[1]").json == [1]
    assert client.post("/echo", data=b"[1]", content_type="application/vnd.x+json; charset=utf-8").json == [1]


def test_the_request_id_is_taken_or_made(client: FlaskClient) -> None:
    assert client.post("/echo", json={}, headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    hostile = client.post("/echo", json={}, headers={"X-Request-Id": "a b<script>" + "x" * 200})
    assert re.fullmatch("[0-9a-f]{16}", hostile.headers["X-Request-Id"])


# Errors


def test_a_body_that_is_no_json_is_400(client: FlaskClient) -> None:
    assert "no JSON" in problem(client.post("/echo", data=b"{"), 400)["detail"]
    assert "NaN is no JSON" in problem(client.post("/echo", data=b"[NaN]"), 400)["detail"]
    assert "it is empty" in problem(client.post("/echo"), 400)["detail"]


def test_an_unknown_route_is_404_with_the_list_of_routes(client: FlaskClient) -> None:
    document = problem(client.post("/ecko", json={}), 404)
    assert document["detail"] == "no route /ecko"
    assert document["routes"] == [f"/{function}" for function in FUNCTIONS]


def test_another_method_is_405_and_told_which(client: FlaskClient) -> None:
    response = client.get("/echo")
    assert "/echo takes OPTIONS, POST, not GET" in problem(response, 405)["detail"]
    assert "POST" in response.headers["Allow"]
    problem(client.post("/health"), 405)


def test_a_body_that_is_too_large_is_413(client: FlaskClient) -> None:
    response = client.post("/echo", data=b"[" + b" " * 1000 + b"]")
    assert "larger than 1000 bytes (MAX_BODY)" in problem(response, 413)["detail"]


def test_a_body_that_is_declared_no_json_is_415(client: FlaskClient) -> None:
    response = client.post("/echo", data=b"a=1", content_type="application/x-www-form-urlencoded")
    assert "Content-Type: application/json" in problem(response, 415)["detail"]
    packed = client.post("/echo", data=b"[]", headers={"Content-Encoding": "gzip"})
    assert "without Content-Encoding" in problem(packed, 415)["detail"]


def test_what_the_model_refuses_is_422_or_its_own_status(client: FlaskClient) -> None:
    assert problem(client.post("/refuse", json={}), 422)["detail"] == "no such colour: 'blurple'"
    assert problem(client.post("/conflict", json={}), 409)["detail"] == "taken"


@pytest.mark.parametrize(("route", "cause"), [("fail", "KeyError: 'secret key'"), ("leave", "SystemExit: 3")])
def test_a_failure_is_500_with_its_cause_in_the_log_only(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, route: str, cause: str
) -> None:
    response = client.post(f"/{route}", json={})
    document = problem(response, 500)
    assert "secret" not in response.text
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "the code of m failed"
    assert record.fields["request_id"] == document["request_id"]  # type: ignore[attr-defined]
    assert cause in record.fields["trace"]  # type: ignore[attr-defined]
    assert client.post("/echo", json=1).json == 1


def test_a_process_that_ends_while_it_answers_is_502(
    make_client: MakeClient, start_worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker = start_worker(PREDICT, *FUNCTIONS)
    worker.news()
    client = make_client()
    assert "the process of m ended before it answered" in problem(client.post("/die", json={}), 502)["detail"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.fields["pid"] == worker.process.pid  # type: ignore[attr-defined]
    worker.process.wait(20)  # while it ends, it may still be sent a request, which then waits for the next one
    after = client.post("/echo", json={})
    assert problem(after, 503)["detail"].startswith("m is started again")
    assert after.headers["Retry-After"] == "1"


def test_an_answer_that_takes_too_long_is_504(make_client: MakeClient, start_worker: Any) -> None:
    start_worker(PREDICT, *FUNCTIONS).news()
    client = make_client(settings=Settings(request_timeout=PerRoute(0.1)))
    assert problem(client.post("/hang", json={}), 504)["detail"] == "m did not answer within 0.1 s"


@pytest.mark.parametrize(
    ("status", "detail", "retry_after"),
    [
        (ModelStatus(name="m", state="loading"), "m is loading", "1"),
        (ModelStatus(name="m", state="failed", reason="no file"), "m could not be loaded: no file", "10"),
        (ModelStatus(name="m", state="restarting", reason="exit code 7"), "m is started again: exit code 7", "1"),
    ],
)
def test_a_model_that_is_not_there_is_503_and_why(
    make_client: MakeClient, status: ModelStatus, detail: str, retry_after: str
) -> None:
    response = make_client(status).post("/echo", json={})
    assert problem(response, 503)["detail"] == detail
    assert response.headers["Retry-After"] == retry_after


def test_a_mistake_of_the_gateway_itself_is_500(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    monkeypatch.setattr(client.application.extensions["fleet"], "describe_routes", lambda: 1 / 0)
    assert problem(client.get("/routes"), 500)["detail"].startswith("the gateway failed")


# State


def test_routes_says_how_each_model_is(make_client: MakeClient) -> None:
    failed = ModelStatus(name="m", state="failed", reason="no file", restarts=2)
    answered = make_client(failed).get("/routes").json
    assert answered["name"] == "income/all"
    assert [route["route"] for route in answered["routes"]] == list(FUNCTIONS)
    assert answered["routes"][0] == {
        "route": "echo",
        "model": "m",
        "environment": "default",
        "state": "failed",
        "reason": "no file",
        "restarts": 2,
        "load_seconds": None,
        "load_seconds_left": None,
        "turn": None,
        "workers": 1,
        "reloads": 0,
        "reload_failures": 0,
        "reload_error": None,
        "batching": None,
        "protected": False,
    }


@pytest.mark.parametrize(
    ("ready", "states", "status"),
    [
        ("all", ("ready", "ready"), 200),
        ("all", ("ready", "loading"), 503),
        ("any", ("ready", "failed"), 200),
        ("any", ("loading", "failed"), 503),
    ],
)
def test_readiness_follows_the_models(make_client: MakeClient, ready: Any, states: Any, status: int) -> None:
    statuses = [ModelStatus(name=name, state=state) for name, state in zip(("m", "n"), states, strict=True)]
    client = make_client(*statuses, settings=Settings(ready=ready), names=("m", "n"))
    response = client.get("/readyz")
    assert response.status_code == status
    assert response.json["ready"] is (status == 200)
    if status == 503:
        waiting = [name for name, state in zip(("m", "n"), states, strict=True) if state != "ready"]
        assert list(response.json["models"]) == waiting


def test_it_is_not_ready_before_the_supervisor_wrote_anything(make_client: MakeClient, run_dir: Path) -> None:
    client = make_client()
    (run_dir / "status.json").unlink()
    assert client.get("/readyz").status_code == 503


def test_livez_and_health_answer_whatever_the_models_do(make_client: MakeClient) -> None:
    client = make_client(ModelStatus(name="m", state="failed", reason="x"))
    assert client.get("/livez").json == {"live": True}
    assert client.get("/health").text == "OK!"


def test_metrics_count_by_route_and_status(client: FlaskClient) -> None:
    for _ in range(2):
        client.post("/echo", json={})
    client.post("/refuse", json={})
    client.post("/conflict", json={})
    client.post("/echo", data=b"x" * 2000)
    response = client.get("/metrics")
    lines = response.text.splitlines()
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'modelyard_requests_total{route="echo",status="200"} 2' in lines
    assert 'modelyard_requests_total{route="echo",status="413"} 1' in lines
    assert 'modelyard_requests_total{route="refuse",status="422"} 1' in lines
    assert 'modelyard_requests_total{route="conflict",status="other"} 1' in lines
    assert 'modelyard_request_seconds_count{route="echo"} 3' in lines
    assert 'modelyard_request_seconds_bucket{route="echo",le="+Inf"} 3' in lines
    assert 'modelyard_model_ready{model="m"} 1' in lines
    assert 'modelyard_call_seconds_count{route="echo"} 2' in lines
    assert 'modelyard_batch_size_bucket{route="echo",le="1"} 2' in lines
    assert 'modelyard_queue_depth{model="m"} 0' in lines
    assert 'modelyard_request_errors_total{route="echo",cause="too_large"} 1' in lines
    assert 'modelyard_request_errors_total{route="conflict",cause="refused"} 1' in lines
    assert 'modelyard_requests_in_flight{route="echo"} 0' in lines


def test_requests_that_wait_are_seen_while_the_model_computes(
    client: FlaskClient, wait_until: Callable[[Callable[[], Any]], None]
) -> None:
    threads = [threading.Thread(target=lambda: client.application.test_client().post("/nap", json=1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: 'modelyard_queue_depth{model="m"} 2' in client.get("/metrics").text)
    assert 'modelyard_requests_in_flight{route="nap"} 3' in client.get("/metrics").text
    for thread in threads:
        thread.join()
    assert 'modelyard_queue_depth{model="m"} 0' in client.get("/metrics").text


def test_a_route_with_a_token_is_refused_before_its_body_is_read(
    make_client: MakeClient, start_worker: Any, tmp_path: Path
) -> None:
    start_worker(PREDICT, *FUNCTIONS).news()
    (tmp_path / "tokens").write_text("echo=sesame\n")
    client = make_client(settings=Settings(tokens=tmp_path / "tokens", max_body=1000))
    refused = client.post("/echo", data=b"x" * 2000)
    assert "send Authorization: Bearer" in problem(refused, 401)["detail"]
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="modelyard"'
    assert client.post("/echo", json=1, headers={"Authorization": "Bearer sesame"}).json == 1
    problem(client.post("/fail", json=1, headers={"Authorization": "Bearer sesame"}), 500)
    described = {route["route"]: route["protected"] for route in client.get("/routes").json["routes"]}
    assert (described["echo"], described["fail"]) == (True, False)
    assert 'modelyard_request_errors_total{route="echo",cause="unauthorized"} 1' in client.get("/metrics").text


# The access log


def access_log(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The fields of what the access log has."""
    return [record.fields for record in caplog.records if record.name == "modelyard.access"]  # type: ignore[attr-defined]


def test_requests_are_not_logged_unless_asked(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client.post("/echo", json="a-secret")
    assert access_log(caplog) == []


def test_the_access_log_has_no_payload_and_no_token(
    make_client: MakeClient, start_worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start_worker(PREDICT, *FUNCTIONS).news()
    client = make_client(settings=Settings(access_log=True))
    trace = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    sent = client.post("/echo", json="a-secret", headers={"Authorization": "Bearer hush", "X-Request-Id": "r", **trace})
    client.post("/refuse", json={})
    first, second = access_log(caplog)
    assert first.pop("milliseconds") > 0
    assert first == {
        "request_id": "r",
        "method": "POST",
        "path": "/echo",
        "route": "echo",
        "status": 200,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "bytes_in": 10,
        "bytes_out": len(sent.data),
    }
    assert (second["status"], second["cause"]) == (422, "refused")
    assert "secret" not in caplog.text
    assert "hush" not in caplog.text


def test_the_payload_is_logged_when_asked(
    make_client: MakeClient, start_worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    start_worker(PREDICT, *FUNCTIONS).news()
    client = make_client(settings=Settings(access_log=True, log_payload=True, max_body=1000))
    client.post("/echo", json={"payload": 7})
    assert client.post("/echo", data=b"x" * 2000).status_code == 413
    client.get("/routes")
    first, second, third = access_log(caplog)
    assert (json.loads(first["payload"]), json.loads(first["answer"])) == ({"payload": 7}, {"payload": 7})
    assert second["payload"] == ""
    assert "answer" not in third


# For people


def test_the_page_shows_the_test_instances_and_needs_nothing_from_elsewhere(make_client: MakeClient) -> None:
    page = make_client().get("/").text
    assert "income/all" in page
    assert "&#34;instances&#34;: [[25, &#34;&lt;/textarea&gt;" in page
    assert "<script>alert" not in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert [*re.findall('data-route="(.+?)"', page)] == list(FUNCTIONS)


def test_a_model_without_instances_has_an_empty_form(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    (tmp_path / "instances.json").unlink()
    assert "{&#34;payload&#34;: {}}" in client.get("/").text
    assert client.get("/openapi.json").status_code == 200


def test_openapi_describes_every_path(make_client: MakeClient) -> None:
    client = make_client()
    document = client.get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    answered = {f"/{function}" for function in FUNCTIONS}
    own = answered | {"/livez", "/readyz", "/health", "/routes", "/metrics"}
    rules = {re.sub(r"<(?:path:)?(\w+)>", r"{\1}", rule.rule) for rule in client.application.url_map.iter_rules()}
    hidden = {"/", "/docs", "/openapi.json", "/admin/reload", "/admin/reload/{route}"}
    hidden |= {"/v1/models/{model}:explain"}
    assert set(document["paths"]) == rules - hidden >= own | {"/v2/models/{model}/infer", "/invocations"}
    operations = [about for methods in document["paths"].values() for about in methods.values()]
    assert len({about["operationId"] for about in operations}) == len(operations)
    echo = document["paths"]["/echo"]["post"]
    assert echo["requestBody"]["content"]["application/json"]["example"] == json.loads(INSTANCES)
    assert set(echo["responses"]) >= {"200", "400", "413", "415", "422", "429", "500", "502", "503", "504"}


def test_routes_that_differ_in_a_dot_or_slash_only_are_kept_apart(tmp_path: Path, run_dir: Path) -> None:
    models = (Model(name="m", routes=("a.b", "a b".replace(" ", "/"), "a-b")),)
    app = create_app(Application(name="x", kind="predict", models=models), root=tmp_path, run_dir=run_dir)
    posts = {rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    assert posts >= {"/a.b", "/a/b", "/a-b"}


# Its process


def test_a_request_that_waited_leaves_in_the_turn_that_finds_a_worker(tmp_path: Path, run_dir: Path) -> None:
    path = run_dir / "w0.sock"
    Taken(path, most=1)  # the test is the workers, which begin nothing
    environ = {**os.environ, "ROUTES": "echo:predict:echo"}
    site = Site(root=tmp_path, run_dir=run_dir, environments=tmp_path, settings=Settings(), environ=environ)
    pauses = []
    with bind(Settings(host="127.0.0.1", port=0)) as server:
        gateway = GatewayProcess(site, [server])
        gateway.start()
        try:
            with socket.create_connection(server.getsockname()) as client:
                for number in range(4):
                    with listen(str(path)) as listener:
                        listener.settimeout(10)
                        if not number:
                            client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n7")
                        worker, _ = listener.accept()
                        found = time.monotonic()
                        assert b'"route"' in worker.recv(1 << 16)
                        pauses.append(time.monotonic() - found)
                        path.unlink()
                    worker.close()
        finally:
            gateway.kill()
            gateway.popen.wait(20)
            gateway.take_exit()
    assert min(pauses[1:]) < 0.05, pauses  # a turn in which nothing happens takes 0.1 s
