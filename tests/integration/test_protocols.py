"""The protocols of the real daemon, as independent clients of theirs see them."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_daemon import Daemon
from tests.integration.uv_environments import make_environment

pytestmark = pytest.mark.integration

PREDICT = """
    def total(msg):
        return [sum(row) for row in msg.payload["instances"]]

    def shout(msg):
        return [word.upper() for word in msg.payload["instances"]]

    def older(msg):
        inputs = msg.payload["inputs"]
        return {"ages": [age + 1 for age in inputs["age"]], "known": inputs["flag"]}

    def refuse(msg):
        raise ValueError("no such colour")

    class Linear:
        def predict(self, X, names):
            import numpy as np
            return np.asarray(X, dtype=float) @ [[2.0], [3.0]]

    def size(msg):
        return len(msg.payload["binData"])
"""
ROUTES = ("total", "shout", "older", "refuse", "Linear", "size")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("d")
    environ = {"ROUTES": ",".join(f"{name}:predict:{name}" for name in ROUTES), "MODELYARD_RUN_DIR": ""}
    running = Daemon(folder, {"predict.py": PREDICT}, environ)
    yield running.wait_ready()
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def seen_by_triton(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Any:
    python = make_environment(tmp_path_factory.mktemp("clients") / "triton", ["tritonclient[http]"])
    script = Path(__file__).with_name("triton_requests.py")
    command = [python, script, f"127.0.0.1:{daemon.port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_triton_s_client_sees_a_server_and_its_models(seen_by_triton: Any) -> None:
    assert (seen_by_triton["live"], seen_by_triton["ready"], seen_by_triton["model_ready"]) == (True, True, True)
    assert seen_by_triton["nope_ready"] is False
    assert seen_by_triton["server"] == "modelyard"
    assert seen_by_triton["inputs"] == []
    assert seen_by_triton["repository"] == list(ROUTES)


def test_triton_s_client_infers_in_bytes_and_in_json(seen_by_triton: Any) -> None:
    assert seen_by_triton["total_True"] == ["7", [4.0, -1.0]]
    assert seen_by_triton["total_False"] == ["7", [4.0, -1.0]]
    assert seen_by_triton["shout"] == ["CAFÉ", "X"]
    assert seen_by_triton["older"] == [[26, 39], [True, False]]


def test_triton_s_client_gets_the_model_s_refusal(seen_by_triton: Any) -> None:
    assert seen_by_triton["refused"] == ["422", "no such colour"]


def test_a_class_and_a_function_answer_through_every_protocol(daemon: Daemon) -> None:
    body = json.dumps({"instances": [[1, 2]]}).encode()
    assert daemon.request("POST", "/v1/models/total:predict", body) == (200, {"predictions": [3]})
    assert daemon.request("POST", "/v1/models/Linear:predict", body) == (200, {"predictions": [[8.0]]})
    target = {"X-Amzn-SageMaker-Target-Model": "Linear", "Content-Type": "text/csv", "Accept": "text/csv"}
    assert daemon.request("POST", "/invocations", b"1,2\n3,4\n", **target) == (200, b"8.0\n18.0\n")
    assert daemon.request("GET", "/ping")[0] == 200
    message = json.dumps({"data": {"ndarray": [[1, 2]]}}).encode()
    expected = {"data": {"names": ["t:0"], "ndarray": [[8.0]]}, "meta": {}}
    assert daemon.request("POST", "/seldon/Linear/predict", message) == (200, expected)


@pytest.mark.parametrize("asks", ["keep-alive", "close", "TE, keep-alive"])
@pytest.mark.parametrize("path", ["/total", "/v1/models/total:predict"])
def test_a_connection_goes_on_just_when_the_answer_says_so(daemon: Daemon, path: str, asks: str) -> None:
    connection = HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    connection.request("POST", path, b'{"instances": [[1]]}', {"Connection": asks, "Content-Type": "application/json"})
    response = connection.getresponse()
    response.read()
    goes_on = response.getheader("Connection") == "keep-alive"
    assert goes_on == (asks == "keep-alive")
    if connection.sock is not None:  # the client closes it where it is told to
        connection.sock.settimeout(0.3 if goes_on else 20)
        with pytest.raises(TimeoutError) if goes_on else nullcontext():
            assert connection.sock.recv(1) == b""
    connection.close()


def test_a_picture_is_uploaded_as_a_form(daemon: Daemon) -> None:
    picture = bytes(range(256))
    form = b'--b\r\nContent-Disposition: form-data; name="binData"; filename="x.png"\r\n\r\n%b\r\n--b--\r\n' % picture
    answer = daemon.request("POST", "/size", form, **{"Content-Type": "multipart/form-data; boundary=b"})
    assert answer == (200, len(base64.b64encode(picture)))
