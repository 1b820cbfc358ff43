"""The Open Inference Protocol (V2) over REST: tensors in, tensors out.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, with two of
Triton's extensions: model_repository and binary_tensor_data.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from modelyard import __version__
from modelyard.runtime.gateway.kinds import Kind
from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.bodies import check_coding, make_records, take_object
from modelyard.runtime.gateway.protocols.protocol import (
    ERROR_IN_JSON,
    FLAG,
    JSON,
    LIST,
    READINESS,
    RETRY,
    TEXT,
    About,
    Endpoint,
    Models,
    Protocol,
    answer_json,
    in_json,
    refuse_in_json,
    show_readiness,
)
from modelyard.runtime.gateway.protocols.tensors import (
    BINARY_SIZE,
    DATATYPES,
    decode_tensor,
    describe_outputs,
    encode_tensor,
    parameters_of,
)
from modelyard.runtime.nearest import describe_choices
from modelyard.runtime.values import from_json_bytes, to_json_bytes

HEADER_LENGTH = "Inference-Header-Content-Length"
VERSION = "1"
"""Of every model: there is one at a time."""
_BINARY = "binary_data"
_ALL_BINARY = "binary_data_output"
_STATES = {"ready": "READY", "loading": "LOADING"}


@dataclass(frozen=True, kw_only=True)
class Inference:
    """A decoded request: `payload` goes to the model, the rest shapes the answer."""

    payload: dict[str, Any]
    id: str | None
    parameters: Mapping[str, Any]
    outputs: Mapping[str, bool]
    """The outputs that are asked for, each with whether as bytes; empty for all."""

    def is_binary(self, output: str) -> bool:
        """Tell whether an output goes outside of the JSON."""
        return self.outputs.get(output, bool(self.parameters.get(_ALL_BINARY)))


def decode_request(body: bytes, header_length: int | None = None) -> Inference:
    """Read a request; `header_length` is the length of its JSON where tensors' bytes follow. Raises Problem 400."""
    try:
        document = from_json_bytes(body[:header_length])
    except (ValueError, RecursionError) as error:
        raise Problem(400, f"the body is no JSON: {error or 'nested too deep'}") from None
    tensors = document.get("inputs") if isinstance(document, dict) else None
    if not isinstance(tensors, list) or not tensors:
        fault = "empty" if tensors == [] else "missing" if tensors is None else "no list"
        hint = 'send {"inputs": [{"name": ..., "shape": ..., "datatype": ..., ...}]}'
        raise Problem(400, f"inputs is {fault}: {hint}")
    rest = memoryview(body)[len(body) if header_length is None else header_length :]
    values = _decode_inputs(tensors, rest)
    parameters = parameters_of(document, "the request")
    return Inference(
        payload=arrange_payload(values, as_records=parameters.get("content_type") == "pd"),
        id=_read_id(document),
        parameters=parameters,
        outputs=_read_outputs(document.get("outputs") or [], bool(parameters.get(_ALL_BINARY))),
    )


def arrange_payload(values: Mapping[str, Any], *, as_records: bool = False) -> dict[str, Any]:
    """What a model gets for its inputs, by name: one is the instances, several stand under `inputs`.

    As records, each input is a column of the instances.

    >>> arrange_payload({"x": [[1.0, 2.0]]})
    {'instances': [[1.0, 2.0]]}
    >>> arrange_payload({"age": [25, 38], "sex": ["f", "m"]}, as_records=True)
    {'instances': [{'age': 25, 'sex': 'f'}, {'age': 38, 'sex': 'm'}]}
    """
    if as_records:
        columns = {name: _take_column(value) for name, value in values.items()}
        if len(set(map(len, columns.values()))) != 1:
            counts = ", ".join(f"{name} has {len(column)}" for name, column in columns.items())
            raise Problem(400, f"the inputs differ in rows: {counts}")
        return {"instances": make_records(list(columns), list(zip(*columns.values(), strict=True)))}
    if len(values) == 1:
        return {"instances": next(iter(values.values()))}
    return {"inputs": dict(values)}


def encode_answer(answer: Any, inference: Inference, model: str) -> tuple[bytes, bytes]:
    """The answer's JSON, and the bytes that follow it; each key of an object is an output. Raises Problem 400."""
    results = answer if isinstance(answer, dict) else {"predictions": answer}
    check_outputs(inference, results, model)
    outputs, parts = [], []
    for name in inference.outputs or results:
        tensor, data = encode_tensor(name, results[name], as_bytes=inference.is_binary(name))
        outputs.append(tensor)
        parts.append(data)
    document: dict[str, Any] = {"model_name": model, "model_version": VERSION, "outputs": outputs}
    if inference.id is not None:
        document["id"] = inference.id
    echoed = {key: value for key, value in inference.parameters.items() if key != _ALL_BINARY}
    if echoed:
        document["parameters"] = echoed
    return to_json_bytes(document), b"".join(parts)


def read_request(body: bytes, *, header_length: int | None) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: a request becomes its payload; what shapes the answer is told beside it."""
    inference = decode_request(body, header_length)
    shaping = {"id": inference.id, "parameters": inference.parameters, "outputs": inference.outputs}
    return shaping, json.dumps(inference.payload, separators=(",", ":")).encode()


def write_answer(content: bytes, *, inference: Mapping[str, Any], model: str) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: a model's answer becomes the protocol's; its headers are told where bytes follow the JSON."""
    head, tail = encode_answer(json.loads(content), Inference(payload={}, **inference), model)
    return ({HEADER_LENGTH: str(len(head))} if tail else {}), head + tail


def check_outputs(inference: Inference, known: Iterable[str], model: str) -> None:
    """Raise Problem 400 where an output is asked for that is not among the `known` ones."""
    names = list(known)
    unknown = [name for name in inference.outputs if name not in names]
    if unknown:
        raise Problem(400, f"no output {unknown[0]!r}: {model} answers with {describe_choices(unknown[0], names)}")


def infer(models: Models, model: str, version: str = VERSION) -> Response:
    """POST /v2/models/<model>[/versions/1]/infer"""
    check_version(models, model, version)
    ask = models.admit(model)
    check_coding(request)
    read = models.read(read_request, request.get_data(), header_length=_read_header_length())
    inference = Inference(payload={}, **read.header)
    if inference.outputs and (known := _describe_outputs(models, model)):
        check_outputs(inference, (output["name"] for output in known), model)
    answer = models.write(write_answer, ask(read.body).body, inference=read.header, model=model)
    if not answer.header:
        return Response(answer.body, mimetype="application/json")
    return Response(answer.body, headers=answer.header, content_type="application/octet-stream")


def show_server(models: Models) -> Response:
    """GET /v2"""
    return answer_json(
        {"name": "modelyard", "version": __version__, "extensions": ["model_repository", "binary_tensor_data"]}
    )


def show_live(models: Models) -> Response:
    """GET /v2/health/live"""
    return answer_json({"live": True})


def show_ready(models: Models) -> Response:
    """GET /v2/health/ready"""
    ready = models.fleet.is_ready()
    return answer_json({"ready": ready}) if ready else answer_json({"ready": ready}, 503, RETRY)


def show_model(models: Models, model: str, version: str = VERSION) -> Response:
    """GET /v2/models/<model>[/versions/1]: described by its test instances, and by its answer to them."""
    check_version(models, model, version)
    example = models.fleet.example(models.find(model))
    instances = example.get("instances") if isinstance(example, dict) else None
    inputs = []
    if isinstance(instances, list) and instances:
        tensor, _ = encode_tensor("instances", instances, as_bytes=False)
        del tensor["data"]
        inputs = [{**tensor, "shape": [-1, *tensor["shape"][1:]]}]
    outputs = _describe_outputs(models, model)
    about = {"name": model, "versions": [VERSION], "platform": "modelyard", "inputs": inputs, "outputs": outputs}
    return answer_json(about)


def show_model_ready(models: Models, model: str, version: str = VERSION) -> Response:
    """GET /v2/models/<model>[/versions/1]/ready"""
    check_version(models, model, version)
    return show_readiness(models, model)


def check_version(models: Models, model: str, version: str) -> None:
    """Raise Problem 404 for a model or a version that is not there."""
    if models.find(model) and version != VERSION:
        raise Problem(404, f"{model} has no version {version!r}, only {VERSION!r}: what it serves now")


def list_repository(models: Models) -> Response:
    """POST /v2/repository/index"""
    only_ready = bool(take_object(request).get("ready"))
    entries = []
    for route in models.fleet.routes:
        status = models.status(route)
        if status.state == "ready" or not only_ready:
            state = _STATES.get(status.state, "UNAVAILABLE")
            entries.append({"name": route, "state": state, "reason": status.reason or ""})
    return answer_json(entries)


def load_model(models: Models, model: str) -> Response:
    """POST /v2/repository/models/<model>/load: load it, again where it is loaded.

    Where nobody may give orders, it says whether the model is loaded.
    """
    status = models.status(model)
    if models.operator.exists:
        models.order("load", model)
    elif status.state != "ready":
        raise Problem(503, f"{model} is not loaded: {status.reason or status.state}", retry_after=1)
    return answer_json({})


def unload_model(models: Models, model: str) -> Response:
    """POST /v2/repository/models/<model>/unload"""
    models.order("unload", model)
    return answer_json({})


def _describe_outputs(models: Models, model: str) -> list[dict[str, Any]]:
    """The outputs of the model's answer to its test instances; empty where nobody knows them."""
    return describe_outputs(models.status(model).answers.get(model) or {})


def _decode_inputs(tensors: list[Any], rest: memoryview) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for number, tensor in enumerate(tensors):
        place = f"inputs[{number}]"
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str):
            raise Problem(400, f"{place}.name is missing")
        if name in values:
            raise Problem(400, f"{place}.name is {name!r}, as another input's is")
        size = parameters_of(tensor, place).get(BINARY_SIZE)
        if size is not None and (type(size) is not int or not 0 <= size <= len(rest)):
            raise Problem(400, f"{place}: {BINARY_SIZE} is {size!r}, but {len(rest)} bytes are left ({HEADER_LENGTH})")
        values[name] = decode_tensor(tensor, place, None if size is None else rest[:size])
        rest = rest[size or 0 :]
    if len(rest):
        raise Problem(400, f"{len(rest)} bytes follow those of the inputs: name them by {BINARY_SIZE}")
    return values


def _read_id(document: dict[str, Any]) -> str | None:
    given = document.get("id")
    if given is not None and not isinstance(given, str):
        raise Problem(400, f"id is {json.dumps(given)[:80]}, no string")
    return given


def _read_outputs(items: Any, all_binary: bool) -> dict[str, bool]:
    if not isinstance(items, list) or not all(isinstance(item, dict) and "name" in item for item in items):
        raise Problem(400, 'outputs is no list of {"name": ...}')
    return {str(item["name"]): bool(parameters_of(item, "outputs").get(_BINARY, all_binary)) for item in items}


def _read_header_length() -> int | None:
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Problem(400, f"{HEADER_LENGTH} is {text[:80]!r}, no length")
    return int(text)


def _take_column(value: Any) -> list[Any]:
    """A column's values; its shape may be [rows], [rows, 1], or none at all."""
    if not isinstance(value, list):
        return [value]
    return [item[0] if isinstance(item, list) and len(item) == 1 else item for item in value]


_TENSORS = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "name": TEXT,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 16},
            "datatype": {"type": "string", "enum": list(DATATYPES)},
            "parameters": {"type": "object"},
            "data": LIST,
        },
        "required": ["name", "shape", "datatype", "data"],
    },
}
_SERVER = About(summary="The server", answers=in_json(name=TEXT, version=TEXT, extensions=LIST))
_LIVE = About(summary="Whether the daemon answers", answers=in_json(live=FLAG))
_READY = About(summary="Whether the daemon is ready", answers=in_json(ready=FLAG))
_MODEL = About(summary="What a model takes and answers", answers=in_json(name=TEXT, inputs=LIST, outputs=LIST))
_INFER = About(
    summary="Ask a model",
    body=in_json(inputs=_TENSORS),
    answers={**in_json(model_name=TEXT, outputs=LIST), "application/octet-stream": {"type": "string"}},
)
_INDEX = About(summary="Every model and how it is", answers={JSON: LIST})
_LOAD = About(summary="Load a model, again where it is loaded", answers={JSON: {"type": "object"}}, is_operators=True)
_UNLOAD = About(summary="Unload a model", answers={JSON: {"type": "object"}}, is_operators=True)

OPEN_INFERENCE = Protocol(
    name="Open Inference",
    endpoints=(
        Endpoint(path="/v2", answer=show_server, about=_SERVER, methods=("GET",)),
        Endpoint(path="/v2/health/live", answer=show_live, about=_LIVE, methods=("GET",), kind=Kind.PROBE),
        Endpoint(path="/v2/health/ready", answer=show_ready, about=_READY, methods=("GET",), kind=Kind.PROBE),
        *(
            endpoint
            for path in ("/v2/models/<path:model>", "/v2/models/<path:model>/versions/<version>")
            for endpoint in (
                Endpoint(path=path, answer=show_model, about=_MODEL, methods=("GET",)),
                Endpoint(
                    path=f"{path}/ready", answer=show_model_ready, about=READINESS, methods=("GET",), kind=Kind.PROBE
                ),
                Endpoint(path=f"{path}/infer", answer=infer, about=_INFER),
            )
        ),
        Endpoint(path="/v2/repository/index", answer=list_repository, about=_INDEX),
        Endpoint(path="/v2/repository/models/<path:model>/load", answer=load_model, about=_LOAD),
        Endpoint(path="/v2/repository/models/<path:model>/unload", answer=unload_model, about=_UNLOAD),
    ),
    refuse=refuse_in_json,
    error=ERROR_IN_JSON,
    prefix="/v2/",
)
