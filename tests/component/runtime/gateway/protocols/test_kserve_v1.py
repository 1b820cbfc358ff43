from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime.daemon.status import ModelStatus, write_status

PREDICT = """
    def rows(msg): return [sum(row) for row in msg.payload["instances"]]
    def named(msg): return {"predictions": [1], "probabilities": [0.5]}
    def refuse(msg): raise ValueError("no such colour")
    def fail(msg): return 1 / 0
"""
ROUTES = ("rows", "named", "refuse", "fail")


@pytest.fixture
def client(serve: Any) -> Any:
    return serve(PREDICT, *ROUTES)


def test_a_bare_answer_is_put_under_predictions(client: Any) -> None:
    assert client.post("/v1/models/rows:predict", json={"instances": [[1, 2], [3, 4]]}).json == {"predictions": [3, 7]}


def test_an_answer_with_predictions_stays_as_it_is(client: Any) -> None:
    answer = client.post("/v1/models/named:predict", json={"instances": []})
    assert answer.json == {"predictions": [1], "probabilities": [0.5]}


def test_models_are_listed(client: Any) -> None:
    assert client.get("/v1/models").json == {"models": list(ROUTES)}


def test_a_model_is_ready_when_it_has_loaded(client: Any) -> None:
    assert client.get("/v1/models/rows").json == {"name": "rows", "ready": True}
    write_status(client.run_dir, [ModelStatus(name="m", state="failed", reason="no such file")])
    answer = client.get("/v1/models/rows")
    assert (answer.status_code, answer.json["ready"], answer.json["error"]) == (503, False, "no such file")


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/v1/models/nope:predict", b"{}", 404, "no model 'nope', there are rows, named, refuse, fail"),
        ("/v1/models/rows:predict", b"{", 400, "the body is no JSON"),
        ("/v1/models/refuse:predict", b"{}", 422, "no such colour"),
        ("/v1/models/rows:explain", b"{}", 404, "rows has no explainer"),
        ("/v1/models/rows", b"{}", 405, "takes GET, HEAD"),
        ("/v1/nothing", b"{}", 404, "no route /v1/nothing"),
    ],
)
def test_errors_have_the_form_of_kserve(client: Any, path: str, body: bytes, status: int, text: str) -> None:
    answer = client.post(path, data=body, content_type="application/json")
    assert answer.status_code == status
    assert list(answer.json) == ["error"]
    assert text in answer.json["error"]


def test_where_the_log_has_the_cause_the_error_says_under_which_id(client: Any) -> None:
    answer = client.post("/v1/models/fail:predict", json={}, headers={"X-Request-Id": "abc-1"})
    assert answer.status_code == 500
    assert answer.json == {"error": "the code of m failed; the log has the cause under this request_id abc-1"}


def test_requests_count_as_their_route_s(client: Any) -> None:
    client.post("/v1/models/rows:predict", json={"instances": [[1]]})
    client.post("/v1/models/refuse:predict", json={})
    text = client.get("/metrics").text
    assert 'modelyard_requests_total{route="rows",status="200"} 1' in text
    assert 'modelyard_requests_total{route="refuse",status="422"} 1' in text


def test_a_token_is_asked_for_as_on_the_route(serve: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("rows=secret-of-twenty-letters\n")
    client = serve(PREDICT, *ROUTES, tokens=tmp_path / "tokens")
    assert client.post("/v1/models/rows:predict", json={"instances": [[1]]}).status_code == 401
    headers = {"Authorization": "Bearer secret-of-twenty-letters"}
    assert client.post("/v1/models/rows:predict", json={"instances": [[1]]}, headers=headers).json == {
        "predictions": [1]
    }
