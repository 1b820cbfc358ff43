"""Seldon's messages for functions, Seldon's classes behind the other protocols, and where its paths are."""

import base64
import json
from io import BytesIO
from typing import Any

import pytest

from modelyard.runtime.gateway.problems import IN_THE_LOG

FUNCTIONS = """
    def echo(msg): return msg.payload
    def total(msg): return [[sum(row)] for row in msg.payload["instances"]]
    def words(msg): return ["a", "b"]
    def greet(msg): return "hello"
    def number(msg): return 0.5
    def refuse(msg): raise ValueError("no such colour")
    def fail(msg): return {}["secret key"]
"""
NAMES = ("echo", "total", "words", "greet", "number", "refuse", "fail")
CLASSES = """
    import numpy as np

    class Double:
        def predict(self, X, names):
            if isinstance(X, bytes):
                return bytes(reversed(X))
            if isinstance(X, dict):
                return {"keys": sorted(X)}
            if np.asarray(X).ndim != 2:
                raise ValueError("rows, please")
            return np.asarray(X, dtype=float) * 2

        def tags(self):
            return {"by": "Double"}

    class Counting:
        def predict(self, X, names):
            return X

        def metrics(self):
            return [
                {"type": "COUNTER", "key": "my_count", "value": 2},
                {"type": "GAUGE", "key": "my_gauge", "value": 2.5, "tags": {"k": 'v"'}},
                {"type": "TIMER", "key": "my_timer", "value": 20.5},
                {"type": "COUNTER", "key": "no metric of Prometheus'", "value": 1},
            ]

    class Raw:
        def predict_raw(self, msg):
            return {"data": {"ndarray": [[len(row)] for row in msg["data"]["ndarray"]]}}

    class Broken:
        def __init__(self):
            raise OSError("no weights")

    made = Double()

    class Odd:
        def predict(self, X, names):
            return X

        def metrics(self):
            return [
                {"type": "GAUGE", "key": "odd_good", "value": 1, "tags": {"k": "v"}},
                {"type": "TIMER", "key": "odd_bucket_label", "value": 1, "tags": {"le": "x"}},
                {"type": "GAUGE", "key": "odd_label", "value": 1, "tags": {"a:b": "c"}},
                {"type": "COUNTER", "key": "odd_twice", "value": 1},
                {"type": "GAUGE", "key": "odd_twice_total", "value": 1},
            ]
"""


def predict(client: Any, message: Any, path: str = "/predict") -> Any:
    answer = client.post(path, json=message)
    assert answer.status_code == 200, answer.text
    return answer.json


# A function


@pytest.mark.parametrize(
    ("message", "payload"),
    [
        ({"jsonData": {"instances": [1]}}, {"instances": [1]}),
        ({"data": {"ndarray": [[1, "a"]]}}, {"instances": [[1, "a"]]}),
        ({"data": {"tensor": {"shape": [2, 1], "values": [1, 2]}}}, {"instances": [[1], [2]]}),
        ({"data": {"names": ["x"], "ndarray": [[1]]}}, {"instances": [[1]], "names": ["x"]}),
        ({"strData": "s"}, {"strData": "s"}),
        ({"binData": "YWJj"}, {"binData": "YWJj"}),
    ],
)
def test_a_function_gets_what_the_message_holds(serve: Any, message: Any, payload: Any) -> None:
    assert predict(serve(FUNCTIONS, *NAMES, default_route="echo"), message) == {"jsonData": payload, "meta": {}}


@pytest.mark.parametrize(
    ("function", "message", "reply"),
    [
        ("total", {"data": {"ndarray": [[1, 2]]}}, {"data": {"names": ["t:0"], "ndarray": [[3]]}}),
        (
            "total",
            {"data": {"tensor": {"shape": [1, 2], "values": [1, 2]}}},
            {"data": {"names": ["t:0"], "tensor": {"shape": [1, 1], "values": [3]}}},
        ),
        ("words", {"jsonData": 1}, {"data": {"names": [], "ndarray": ["a", "b"]}}),
        ("greet", {"jsonData": 1}, {"strData": "hello"}),
        ("number", {"jsonData": 1}, {"jsonData": 0.5}),
    ],
)
def test_a_function_s_answer_takes_the_form_of_the_request(serve: Any, function: str, message: Any, reply: Any) -> None:
    assert predict(serve(FUNCTIONS, *NAMES, default_route=function), {**message, "meta": {"puid": "p"}}) == {
        **reply,
        "meta": {"puid": "p"},
    }


@pytest.mark.parametrize(
    ("function", "status", "info", "reason"),
    [
        ("refuse", 422, "no such colour", "MICROSERVICE_BAD_DATA"),
        (
            "fail",
            500,
            f"the code of the model failed; {IN_THE_LOG} r-1",
            "MICROSERVICE_INTERNAL_ERROR",
        ),
    ],
)
def test_a_function_fails_with_its_true_status_in_seldon_s_form(
    serve: Any, caplog: pytest.LogCaptureFixture, function: str, status: int, info: str, reason: str
) -> None:
    answer = serve(FUNCTIONS, *NAMES, default_route=function).post(
        "/predict", json={"jsonData": {}}, headers={"X-Request-Id": "r-1"}
    )
    assert answer.status_code == status
    assert answer.json == {"status": {"code": -1, "info": info, "reason": reason, "status": 1}}
    assert ("secret key" in str([record.__dict__ for record in caplog.records])) == (status == 500)


def test_a_function_is_healthy_and_has_predict_only(serve: Any) -> None:
    client = serve(FUNCTIONS, *NAMES, default_route="echo")
    assert client.get("/health/status").json == {"meta": {}, "strData": "healthy"}
    assert client.get("/metadata").json["versions"] == [""]
    answer = client.post("/transform-input", json={"jsonData": 1})
    assert (answer.status_code, answer.json["status"]["info"]) == (400, "Transform input not defined")


# A class


def test_a_class_answers_native_requests_by_rows(serve: Any) -> None:
    client = serve(CLASSES, "Double")
    assert client.post("/Double", json={"instances": [[1, 2]]}).json == {"predictions": [[2.0, 4.0]]}
    assert client.post("/Double", json={"payload": {"instances": [[1]]}}).json == {"payload": {"predictions": [[2.0]]}}
    assert client.post("/Double", json={"other": 1}).json == {"keys": ["other"]}
    assert client.post("/Double", data={"binData": (BytesIO(b"ab"), "x")}).json == {
        "binData": base64.b64encode(b"ba").decode(),
        "meta": {"tags": {"by": "Double"}},
    }
    refused = client.post("/Double", json={"instances": [1]})
    assert (refused.status_code, refused.json["detail"]) == (422, "rows, please")


@pytest.mark.parametrize(
    "message", [{"binData": 5}, {"data": {"tensor": 5}}, {"data": {"tftensor": {}}}, {"data": True}]
)
def test_a_message_that_cannot_be_decoded_is_422_but_500_in_seldon_s_form(serve: Any, message: Any) -> None:
    client = serve(CLASSES, "Double")
    assert client.post("/Double", json=message).status_code == 422
    answer = client.post("/predict", json=message)
    assert (answer.status_code, answer.json["status"]["reason"]) == (500, "MICROSERVICE_INTERNAL_ERROR")


def test_meta_data_of_a_wrong_kind_is_left_out(serve: Any) -> None:
    message = {"jsonData": {}, "meta": {"tags": "x", "metrics": {}, "requestPath": 5, "puid": None}}
    assert predict(serve(CLASSES, "Double"), message)["meta"] == {"tags": {"by": "Double"}}


def test_a_class_answers_every_protocol(serve: Any) -> None:
    client = serve(CLASSES, "Double")
    rows = {"instances": [[1, 2]]}
    assert client.post("/v1/models/Double:predict", json=rows).json == {"predictions": [[2.0, 4.0]]}
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    output = {"name": "predictions", "shape": [1, 2], "datatype": "FP64", "data": [2.0, 4.0]}
    assert client.post("/v2/models/Double/infer", json={"inputs": [tensor]}).json["outputs"] == [output]
    assert client.post("/invocations", data="1,2", content_type="text/csv").json == {"predictions": [[2.0, 4.0]]}


def test_a_class_with_predict_raw_answers_native_requests_too(serve: Any) -> None:
    answer = serve(CLASSES, "Raw").post("/Raw", json={"instances": [[1, 2], [3]]})
    assert answer.json == {"predictions": [[2], [1]]}


def test_requests_for_a_class_share_calls_where_that_is_safe(start_worker: Any) -> None:
    files = {"instances.json": json.dumps({"instances": [[1, 2], [3, 4], [5, 6]]})}
    batch = {"size": {"Double": 8}, "wait": {}, "tolerance": 0.0}
    running = start_worker(CLASSES, "Double", files=files, instances="instances.json", batch=batch)
    assert running.news()["unbatched"] == {"Double": None}


def test_an_instance_that_is_made_already_serves(serve: Any) -> None:
    assert serve(CLASSES, "made").post("/made", json={"instances": [[1]]}).json == {"predictions": [[2.0]]}


def test_a_class_that_cannot_be_made_fails_to_load_and_says_why(start_worker: Any) -> None:
    running = start_worker(CLASSES, "Broken")
    news = running.news()
    assert (news["state"], news["reason"]) == ("failed", "OSError: no weights (predict.py:35)")


def test_the_trace_of_a_class_begins_with_its_own_code(serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = serve("class C:\n    def predict(self, X, names): return 1 / 0", "C")
    client.post("/C", json={"instances": [[1]]})
    client.post("/predict", json={"jsonData": 1})
    for record in caplog.records:
        trace = record.__dict__["fields"]["trace"]
        assert trace.count('File "') == 1
        assert "predict.py" in trace
    assert len(caplog.records) == 2


# The paths


def test_with_several_routes_each_has_a_folder_of_paths(serve: Any) -> None:
    client = serve(FUNCTIONS, *NAMES)
    for path in ("/seldon/echo/predict", "/seldon/echo/api/v1.0/predictions", "/seldon/echo/api/v0.1/predictions"):
        assert predict(client, {"jsonData": 1}, path) == {"jsonData": 1, "meta": {}}
    assert client.get("/seldon/echo/health/ping").text == "pong"
    unknown = client.post("/predict", json={"jsonData": 1})
    assert (unknown.status_code, unknown.mimetype) == (404, "application/problem+json")
    unknown = client.post("/seldon/nope/predict", json={"jsonData": 1})
    assert (unknown.status_code, unknown.json["status"]["reason"]) == (404, "MICROSERVICE_INTERNAL_ERROR")


def test_the_default_route_of_several_has_the_plain_paths(serve: Any) -> None:
    client = serve(FUNCTIONS, *NAMES, default_route="total")
    assert predict(client, {"data": {"ndarray": [[1, 2]]}})["data"]["ndarray"] == [[3]]


def test_a_route_of_the_same_name_takes_the_path(serve: Any) -> None:
    client = serve("def predict(msg): return msg.payload", "predict")
    assert client.post("/predict", json={"jsonData": 1}).json == {"jsonData": 1}
    assert predict(client, {"jsonData": 1}, "/api/v1.0/predictions") == {"jsonData": 1, "meta": {}}


def test_requests_are_counted_by_route_and_status(serve: Any) -> None:
    client = serve(FUNCTIONS, *NAMES, default_route="refuse")
    client.post("/predict", json={"jsonData": 1})
    client.post("/predict", data=b"no json")
    text = client.get("/metrics").text
    assert 'modelyard_requests_total{route="refuse",status="422"} 1' in text
    assert 'modelyard_requests_total{route="refuse",status="400"} 1' in text


def test_seldon_json_lists_the_paths(serve: Any) -> None:
    document = json.loads(serve(FUNCTIONS, *NAMES, default_route="echo").get("/seldon.json").text)
    assert {"/predict", "/api/v1.0/predictions", "/health/status"} <= set(document["paths"])


def test_metrics_that_prometheus_could_not_read_are_left_out(serve: Any) -> None:
    client = serve(CLASSES, "Odd")
    assert client.post("/Odd", json={"instances": [[1]]}).status_code == 200
    lines = client.get("/metrics").text.splitlines()
    families = [line for line in lines if line.startswith("# TYPE odd")]
    assert families == ["# TYPE odd_good gauge", "# TYPE odd_twice_total counter"]
    assert len([line for line in lines if line.startswith("odd_twice_total{")]) == 1


def test_the_metrics_of_a_class_are_prometheus_metrics(serve: Any) -> None:
    client = serve(CLASSES, "Counting")
    assert client.post("/api/v1.0/predictions", json={"data": {"ndarray": [[1]]}}).status_code == 200
    assert client.post("/Counting", json={"instances": [[1]]}).json == {"predictions": [[1]]}
    assert client.post("/api/v1.0/feedback", json={"reward": 0.5}).status_code == 200
    lines = client.get("/metrics").text.splitlines()
    found = {line.partition("{")[0]: line for line in lines if "worker_id=" in line and "_bucket" not in line}
    assert found["my_count_total"].endswith(" 6.0")  # feedback is a call, too
    assert found["my_gauge"].endswith(" 2.5")
    assert 'k="v\\""' in found["my_gauge"]
    assert found["my_timer_count"].endswith(" 3")
    assert float(found["my_timer_sum"].rpartition(" ")[2]) == pytest.approx(0.0615)
    assert found["seldon_api_model_feedback_reward_total"].endswith(" 0.5")
    assert 'route="Counting"' in found["my_count_total"]
    assert 'deployment_name="NOT_IMPLEMENTED"' in found["my_count_total"]
    assert len([line for line in lines if line.startswith("my_timer_bucket")]) == 51
    assert "# TYPE my_count_total counter" in lines
    assert not [line for line in lines if line.startswith("no metric")]
