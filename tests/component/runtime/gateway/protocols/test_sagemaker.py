from typing import Any

import pytest

from modelyard.runtime.daemon.status import ModelStatus, write_status
from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.npy import NPY
from modelyard.runtime.gateway.protocols.sagemaker import (
    CSV,
    decode_csv,
    decode_json_lines,
    encode_csv,
    encode_json_lines,
)

PREDICT = """
    def echo(msg): return msg.payload
    def total(msg): return [sum(row) for row in msg.payload["instances"]]
    def both(msg): return {"predictions": ["<=50K", ">50K"], "probabilities": [0.25, 0.75]}
"""
TARGET = "X-Amzn-SageMaker-Target-Model"


def test_ping_is_200_when_the_models_have_loaded(serve: Any) -> None:
    client = serve(PREDICT, "echo")
    assert client.get("/ping").status_code == 200
    write_status(client.run_dir, [ModelStatus(name="m", state="loading")])
    waiting = client.get("/ping")
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (503, "1")


def test_the_only_route_needs_no_name(serve: Any) -> None:
    assert serve(PREDICT, "echo").post("/invocations", json={"x": 1}).json == {"x": 1}


@pytest.mark.parametrize("target", ["total", "/total", "total.tar.gz"])
def test_a_header_names_the_route(serve: Any, target: str) -> None:
    client = serve(PREDICT, "echo", "total")
    assert client.post("/invocations", json={"instances": [[1, 2]]}, headers={TARGET: target}).json == [3]


def test_without_the_header_the_default_route_answers(serve: Any) -> None:
    client = serve(PREDICT, "echo", "total", default_route="total")
    assert client.post("/invocations", json={"instances": [[1, 2]]}).json == [3]


def test_several_routes_and_no_name_is_400_with_the_names(serve: Any) -> None:
    answer = serve(PREDICT, "echo", "total").post("/invocations", json={})
    assert answer.status_code == 400
    assert "echo, total" in answer.json["detail"]
    assert serve(PREDICT, "echo").post("/invocations", json={}, headers={TARGET: "nope"}).status_code == 404


def test_csv_in_json_out(serve: Any) -> None:
    answer = serve(PREDICT, "total").post("/invocations", data="1,2\n3,4.5\n", content_type="text/csv")
    assert (answer.mimetype, answer.json) == ("application/json", [3, 7.5])


def test_csv_out_where_it_is_accepted(serve: Any) -> None:
    headers = {"Accept": "text/csv"}
    answer = serve(PREDICT, "both").post("/invocations", json={}, headers=headers)
    assert (answer.mimetype, answer.text) == ("text/csv", "<=50K,0.25\n>50K,0.75\n")


def test_a_header_row_makes_objects(serve: Any) -> None:
    answer = serve(PREDICT, "echo").post(
        "/invocations", data="age,sex\n25,f\n", content_type="text/csv; header=present"
    )
    assert answer.json == {"instances": [{"age": 25, "sex": "f"}]}


@pytest.mark.parametrize("lines", ["application/jsonlines", "application/x-jsonlines"])
def test_json_lines_in_and_out(serve: Any, lines: str) -> None:
    headers = {"Accept": lines}
    answer = serve(PREDICT, "total").post("/invocations", data="[1, 2]\n[3, 4]\n", content_type=lines, headers=headers)
    assert (answer.text, answer.mimetype) == ("3\n7\n", lines)


@pytest.mark.parametrize(("kind", "content"), [(CSV, b"?\n"), (NPY, "\ud800".encode("utf-32-le", "surrogatepass"))])
def test_text_that_is_no_unicode_is_answered(serve: Any, kind: str, content: bytes) -> None:
    body = {"instances": ["\ud800"]}
    answer = serve(PREDICT, "echo").post("/invocations", json=body, headers={"Accept": kind})
    assert answer.status_code == 200
    assert answer.data.endswith(content)


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"\xff", "text/csv", 400),
        (b"a,b\n1\n", "text/csv; header=present", 400),
        (b"1\n{\n", "application/jsonlines", 400),
        (b"{", "application/json", 400),
        (b"x", "application/x-npy", 400),
        (b"x", "application/x-recordio-protobuf", 415),
    ],
)
def test_what_it_cannot_read_is_refused(serve: Any, body: bytes, media_type: str, status: int) -> None:
    answer = serve(PREDICT, "echo").post("/invocations", data=body, content_type=media_type)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


def test_what_it_takes_is_said_where_it_cannot_read(serve: Any) -> None:
    answer = serve(PREDICT, "echo").post("/invocations", data=b"x", content_type="application/x-recordio-protobuf")
    assert (
        "Content-Type: application/json or text/csv or application/jsonlines or application/x-npy"
        in answer.json["detail"]
    )


def test_cells_are_numbers_only_where_nothing_is_lost() -> None:
    assert decode_csv('1,-2.5,1e3,.5,"a ""b""",007, 7 ,nan,1_0,') == [
        [1, -2.5, 1000.0, 0.5, 'a "b"', "007", 7, "nan", "1_0", None]
    ]


def test_long_names_for_many_rows_are_refused() -> None:
    with pytest.raises(Problem, match="the names are too long for 1000 rows"):
        decode_csv("n" * 100_000 + "\n" + "1\n" * 1000, has_header=True)


def test_a_cell_that_is_too_long_is_refused() -> None:
    with pytest.raises(Problem, match="no CSV"):
        decode_csv("x" * 200_000)


def test_answers_of_any_form_become_lines() -> None:
    assert encode_csv([0.5, True, None]) == '0.5\ntrue\n""\n'
    assert encode_csv({"a": 1, "b": "x"}) == "1,x\n"
    assert encode_csv("x,y") == '"x,y"\n'
    assert encode_json_lines([[1, 2], {"a": 1}, "x"]) == '[1, 2]\n{"a": 1}\n"x"\n'


def test_a_separator_of_lines_inside_a_string_ends_no_json_line() -> None:
    assert decode_json_lines('{"text": "a\u2028b"}\n\n"c\x85"\r\n') == [{"text": "a\u2028b"}, "c\x85"]
