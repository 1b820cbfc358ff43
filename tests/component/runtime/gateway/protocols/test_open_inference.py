import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.runtime.daemon.schemas import infer_schema
from modelyard.runtime.daemon.status import ModelStatus, write_status
from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.inference_messages import decode_request, encode_answer
from modelyard.runtime.gateway.protocols.tensors import decode_bytes, encode_bytes, encode_tensor

PREDICT = """
    def echo(msg): return msg.payload
    def total(msg): return [sum(row) for row in msg.payload["instances"]]
    def both(msg): return {"label": ["a", "b"], "scores": [[0.25, 0.75], [1.0, None]]}
    def refuse(msg): raise ValueError("no such colour")
"""
ROUTES = ("echo", "total", "both", "refuse")
X = {"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1, 2, 3, 4]}
INSTANCES = '{"instances": [[1.5, 2], [3, 4]]}'


@pytest.fixture
def client(serve: Any) -> Any:
    return serve(PREDICT, *ROUTES, files={"instances.json": INSTANCES})


def decode(*inputs: Any, **request: Any) -> Any:
    return decode_request(json.dumps({"inputs": inputs, **request}).encode()).payload


# Inputs


def test_one_input_is_the_instances_whether_flat_or_nested() -> None:
    rows = {"instances": [[1, 2], [3, 4]]}
    assert decode(X) == rows
    assert decode({**X, "data": [[1, 2], [3, 4]]}) == rows
    assert decode({**X, "shape": [1, 2, 2, 1]}) == {"instances": [[[[1], [2]], [[3], [4]]]]}
    assert decode({**X, "shape": [0, 2], "data": []}) == {"instances": []}
    assert decode({**X, "shape": [], "data": [7]}) == {"instances": 7}


def test_several_inputs_stand_by_name() -> None:
    flags = {"name": "flag", "shape": [2], "datatype": "BOOL", "data": [True, False]}
    assert decode(X, flags) == {"inputs": {"x": [[1, 2], [3, 4]], "flag": [True, False]}}


def test_columns_become_records_where_the_content_type_says_so() -> None:
    age = {"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [25, 38]}
    sex = {"name": "sex", "shape": [2], "datatype": "BYTES", "data": ["f", "m"]}
    records = [{"age": 25, "sex": "f"}, {"age": 38, "sex": "m"}]
    assert decode(age, sex, parameters={"content_type": "pd"}) == {"instances": records}
    with pytest.raises(Problem, match="the names are too long for 1000 rows"):
        decode({**age, "name": "n" * 100_000, "shape": [1000], "data": [1] * 1000}, parameters={"content_type": "pd"})
    with pytest.raises(Problem, match="differ in rows: age has 2, sex has 1"):
        decode(age, {**sex, "shape": [1], "data": ["f"]}, parameters={"content_type": "pd"})


def test_json_texts_carry_what_no_tensor_can() -> None:
    rows = [[25, "Private"], {"age": 38}]
    tensor = {"name": "x", "shape": [2], "datatype": "BYTES", "data": [json.dumps(row) for row in rows]}
    assert decode({**tensor, "parameters": {"content_type": "application/json"}}) == {"instances": rows}
    assert decode(tensor) == {"instances": tensor["data"]}
    with pytest.raises(Problem, match=r"inputs\[0\]: content_type is application/json, but an element is no JSON"):
        decode({**tensor, "data": ["1", "{"], "parameters": {"content_type": "application/json"}})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("{", "the body is no JSON"),
        ("[]", "inputs is missing"),
        (json.dumps({"inputs": [X], "parameters": {"a": float("nan")}}), "NaN is no JSON"),
        ('{"inputs": []}', 'inputs is empty: send {"inputs": [{"name": ...'),
        ('{"inputs": {}}', "inputs is no list"),
        ('{"inputs": [{}]}', "inputs[0].name is missing"),
        ('{"inputs": [{"name": "x"}]}', "inputs[0].shape is missing"),
        ('{"inputs": [{"name": "x", "shape": 3, "datatype": "FP32"}]}', "inputs[0].shape is 3, no list"),
        ('{"inputs": [{"name": "x", "shape": [-1], "datatype": "FP32"}]}', "whole numbers from 0 on"),
        ('{"inputs": [{"name": "x", "shape": [true], "datatype": "FP32"}]}', "whole numbers from 0 on"),
        (json.dumps({"inputs": [{**X, "shape": [10**4000] * 2}]}), "whole numbers from 0 on"),
        ('{"inputs": [{"name": "x", "shape": [1], "datatype": "FP33"}]}', "datatype is 'FP33': there are BOOL"),
        ('{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32"}]}', "inputs[0].data is missing"),
        (
            '{"inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": [1]}]}',
            "3 values, the data has 1",
        ),
        ('{"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [1.5]}]}', "holds 1.5, which is no INT8"),
        ('{"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": [1]}]}', "holds 1, which is no BYTES"),
        ('{"inputs": [{"name": "x", "shape": [1], "datatype": "BOOL", "data": [[[1]]]}]}', "which is no BOOL"),
        ('{"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [128]}]}', "holds 128, which is no INT8"),
        (
            '{"inputs": [{"name": "x", "shape": [2], "datatype": "UINT64", "data": [0, -1]}]}',
            "holds -1, which is no UINT64",
        ),
        (json.dumps({"inputs": [{**X, "data": [[1, 2, 3], [4]]}]}), "holds [1, 2, 3], which is no FP32"),
        (json.dumps({"inputs": [{**X, "data": [10**400] * 4}]}), "too large for FP32"),
        (json.dumps({"inputs": [X], "id": 7}), "id is 7, no string"),
        (json.dumps({"inputs": [X, X]}), "inputs[1].name is 'x', as another input's is"),
        (json.dumps({"inputs": [X], "outputs": [1]}), "outputs is no list"),
        (json.dumps({"inputs": [X], "parameters": 1}), "parameters is no object"),
        (json.dumps({"inputs": [{**X, "parameters": {"binary_data_size": 9}}]}), "binary_data_size is 9, but 0 bytes"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(body: str, says: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_request(body.encode())
    assert caught.value.status == 400
    assert says in caught.value.detail


# Outputs


def encode(answer: Any, **request: Any) -> Any:
    inference = decode_request(json.dumps({"inputs": [X], **request}).encode())
    return json.loads(encode_answer(answer, inference, "m")[0])


@pytest.mark.parametrize(
    ("value", "datatype", "shape", "data"),
    [
        ([1, 2], "INT64", [2], [1, 2]),
        ([1 << 63], "UINT64", [1], [1 << 63]),
        ([-1, 1 << 63], "FP64", [2], [-1, 1 << 63]),
        ([[0.5], [None]], "FP64", [2, 1], [0.5, None]),
        ([True], "BOOL", [1], [True]),
        (["a", "b"], "BYTES", [2], ["a", "b"]),
        (7, "INT64", [1], [7]),
        ([], "FP64", [0], []),
    ],
)
def test_an_answer_finds_its_datatype(value: Any, datatype: str, shape: list[int], data: list[Any]) -> None:
    output = encode(value)["outputs"][0]
    assert output == {"name": "predictions", "datatype": datatype, "shape": shape, "data": data}


@pytest.mark.parametrize("value", [[1, "a"], [[1], [2, 3]], [{"a": 1}], [None], [[1, [2]]]])
def test_what_no_tensor_can_hold_goes_out_as_json_texts(value: list[Any]) -> None:
    output = encode(value)["outputs"][0]
    assert (output["datatype"], output["shape"]) == ("BYTES", [len(value)])
    assert output["parameters"] == {"content_type": "application/json"}
    assert [json.loads(text) for text in output["data"]] == value


def test_each_key_of_an_object_is_an_output_and_some_may_be_asked_for() -> None:
    answer = {"label": ["a"], "score": [0.5]}
    assert [output["name"] for output in encode(answer)["outputs"]] == ["label", "score"]
    assert [output["name"] for output in encode(answer, outputs=[{"name": "score"}])["outputs"]] == ["score"]
    with pytest.raises(Problem, match="no output 'nope': m answers with label, score"):
        encode(answer, outputs=[{"name": "nope"}])


def test_id_and_parameters_come_back() -> None:
    document = encode([1], id="42", parameters={"a": 1, "binary_data_output": False})
    assert (document["model_name"], document["id"], document["parameters"]) == ("m", "42", {"a": 1})
    infinite = b'{"inputs": [%b], "parameters": {"a": 1e400}}' % json.dumps(X).encode()
    assert b'"parameters":{"a":null}' in encode_answer([1], decode_request(infinite), "m")[0]
    assert set(encode([1])) == {"model_name", "model_version", "outputs"}


# Bytes


def test_bytes_behind_the_json_are_cut_by_their_sizes() -> None:
    first = struct.pack("<4f", 1.0, 2.0, float("nan"), 4.0)
    second = encode_bytes(["é", ""])
    head = json.dumps(
        {
            "inputs": [
                {**X, "data": None, "parameters": {"binary_data_size": len(first)}},
                {"name": "y", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(second)}},
            ]
        }
    ).encode()
    payload = decode_request(head + first + second, len(head)).payload
    assert payload == {"inputs": {"x": [[1.0, 2.0], [None, 4.0]], "y": ["é", ""]}}


def test_bytes_that_are_no_input_s_are_refused() -> None:
    head = json.dumps({"inputs": [{**X, "parameters": {"binary_data_size": 16}}]}).encode()
    with pytest.raises(Problem, match="3 bytes follow those of the inputs"):
        decode_request(head + bytes(19), len(head))


def test_a_shape_that_makes_much_of_little_is_refused() -> None:
    shape, data = [500_000] + 15 * [1], bytes(500_000)
    parameters = {"binary_data_size": len(data)}
    tensor = {"name": "x", "shape": shape, "datatype": "INT8", "parameters": parameters}
    head = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(Problem, match="takes 7500000 lists: send fewer rows"):
        decode_request(head + data, len(head))


def test_elements_that_are_no_text_become_base64() -> None:
    assert decode_bytes(memoryview(struct.pack("<I2s", 2, b"\xff\x00")), "x") == [{"b64": "/wA="}]


@pytest.mark.parametrize("data", [b"\x01", b"\x05\x00\x00\x00ab"])
def test_cut_elements_are_refused(data: bytes) -> None:
    with pytest.raises(Problem, match="the bytes end within"):
        decode_bytes(memoryview(data), "x")


def test_outputs_go_out_as_bytes_where_they_are_asked_for() -> None:
    tensor, data = encode_tensor("p", [[1.5], [None]], as_bytes=True)
    assert tensor == {"name": "p", "datatype": "FP64", "shape": [2, 1], "parameters": {"binary_data_size": 16}}
    assert struct.unpack("<2d", data)[0] == 1.5
    assert encode_tensor("p", ["a"], as_bytes=True)[1] == b"\x01\x00\x00\x00a"
    assert encode_tensor("p", ["\ud800"], as_bytes=True)[1] == b"\x03\x00\x00\x00\xed\xa0\x80"


def test_a_number_that_no_datatype_holds_goes_out_as_text() -> None:
    tensor, data = encode_tensor("p", [10**400], as_bytes=True)
    assert (tensor["datatype"], tensor["parameters"]["content_type"]) == ("BYTES", "application/json")
    assert decode_bytes(memoryview(data), "p") == [str(10**400)]


@given(st.lists(st.text()))
def test_bytes_tensors_read_back(values: list[str]) -> None:
    assert decode_bytes(memoryview(encode_bytes(values)), "x") == values


@given(st.binary(max_size=60))
def test_hostile_bytes_are_refused_or_read(data: bytes) -> None:
    try:
        decode_bytes(memoryview(data), "x")
        decode_request(data)
    except Problem as problem:
        assert problem.status == 400


# The paths


def test_infer_asks_the_model_with_floats_where_floats_are_declared(client: Any) -> None:
    answer = client.post("/v2/models/total/infer", json={"id": "1", "inputs": [X]})
    output = {"name": "predictions", "datatype": "FP64", "shape": [2], "data": [3.0, 7.0]}
    assert answer.json == {"model_name": "total", "model_version": "1", "id": "1", "outputs": [output]}


@pytest.mark.parametrize(
    ("shown", "status", "error"),
    [
        ([1.5], 400, "no output 'nope': refuse answers with predictions"),
        ({"label": 1, "score": 2}, 400, "no output 'nope': refuse answers with label, score"),
        ({str(key): 1 for key in range(200)}, 422, "no such colour"),
    ],
)
def test_an_unknown_output_is_refused_before_the_call_where_the_outputs_are_known(
    client: Any, shown: Any, status: int, error: str
) -> None:
    answers = {"refuse": infer_schema(shown)}
    write_status(client.run_dir, [ModelStatus(name="m", state="ready", answers=answers)])
    response = client.post("/v2/models/refuse/infer", json={"inputs": [X], "outputs": [{"name": "nope"}]})
    assert (response.status_code, response.json["error"]) == (status, error)


def test_a_client_may_name_the_one_version(client: Any) -> None:
    for path in ("", "/ready"):
        assert client.get(f"/v2/models/echo/versions/1{path}").json == client.get(f"/v2/models/echo{path}").json
        answer = client.get(f"/v2/models/echo/versions/2{path}")
        assert (answer.status_code, list(answer.json)) == (404, ["error"])
    body = {"inputs": [X]}
    named = client.post("/v2/models/total/versions/1/infer", json=body)
    assert named.json == client.post("/v2/models/total/infer", json=body).json
    assert named.json["outputs"][0]["data"] == [3.0, 7.0]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v2/models/total/infer", "POST"),
        ("POST", "/v2/models/total/versions/1/ready", "GET, HEAD"),
        ("GET", "/v1/models/total:predict", "POST"),
        ("PROPFIND", "/v1/models/total", "GET, HEAD"),
        ("PUT", "/models/total/invoke", "POST"),
        ("PUT", "/models", "GET, HEAD, POST"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_405(client: Any, method: str, path: str, allowed: str) -> None:
    answer = client.open(path, method=method, json={})
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert f"{path} takes {allowed}, not {method}" in answer.text


def test_the_server_and_its_health(client: Any) -> None:
    assert client.get("/v2").json["extensions"] == ["model_repository", "binary_tensor_data"]
    assert client.get("/v2/").json == client.get("/v2").json
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/v2/health/ready").json == {"ready": True}
    assert client.get("/v2/models/echo/ready").json == {"name": "echo", "ready": True}
    write_status(client.run_dir, [ModelStatus(name="m", state="failed", reason="no file")])
    for path in ("/v2/health/ready", "/v2/models/echo/ready", "/v1/models/echo"):
        waiting = client.get(path)
        assert (waiting.status_code, waiting.headers["Retry-After"]) == (503, "1")
    assert client.get("/v2/models/echo/ready").json == {"name": "echo", "ready": False, "error": "no file"}


def test_a_model_is_described_by_its_test_instances_and_its_answer_to_them(client: Any) -> None:
    answer = infer_schema({"labels": ["a", "b"], "scores": [[0.5, None], [1, 2]], "count": 2, "ok": [True], "how": {}})
    write_status(client.run_dir, [ModelStatus(name="m", state="ready", answers={"echo": answer})])
    assert client.get("/v2/models/echo").json == {
        "name": "echo",
        "versions": ["1"],
        "platform": "modelyard",
        "inputs": [{"name": "instances", "datatype": "FP64", "shape": [-1, 2]}],
        "outputs": [
            {"name": "labels", "datatype": "BYTES", "shape": [-1]},
            {"name": "scores", "datatype": "FP64", "shape": [-1, -1]},
            {"name": "count", "datatype": "INT64", "shape": [1]},
            {"name": "ok", "datatype": "BOOL", "shape": [-1]},
            {"name": "how", "datatype": "BYTES", "shape": [1]},
        ],
    }
    assert client.get("/v2/models/total").json["outputs"] == []


def test_the_repository_lists_every_route(client: Any) -> None:
    assert client.post("/v2/repository/index").json[0] == {"name": "echo", "state": "READY", "reason": ""}
    write_status(client.run_dir, [ModelStatus(name="m", state="failed", reason="no file")])
    assert client.post("/v2/repository/index").json[0] == {
        "name": "echo",
        "state": "UNAVAILABLE",
        "reason": "no file",
    }
    assert client.post("/v2/repository/index", data=b'{"ready": true}').json == []
    assert len(client.post("/v2/repository/index", json="what").json) == len(ROUTES)
    assert len(client.post("/v2/repository/index", data=b"[" * 100_000).json) == len(ROUTES)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/v2/models/nope/infer", 404, "no model 'nope'"),
        ("/v2/models/refuse/infer", 422, "no such colour"),
        ("/v2/models/echo/versions/2/infer", 404, "echo has no version '2', only '1'"),
        ("/v2/models/echo/explain", 405, "takes GET, HEAD"),
        ("/v2/nothing", 404, "no route /v2/nothing"),
        ("/v2/repository/models/nope/load", 404, "no model 'nope'"),
    ],
)
def test_errors_have_the_protocol_s_form(client: Any, path: str, status: int, says: str) -> None:
    answer = client.post(path, json={"inputs": [X]})
    assert (answer.status_code, list(answer.json)) == (status, ["error"])
    assert says in answer.json["error"]


@pytest.mark.parametrize("length", ["-1", "9" * 5000])
def test_a_header_length_that_is_none_is_400(client: Any, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    assert client.post("/v2/models/echo/infer", data=b"{}", headers=headers).status_code == 400
