"""The Open Inference Protocol (V2) over REST: tensors in, tensors out.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, with two of
Triton's extensions: model_repository and binary_tensor_data.
"""

from typing import Any

from flask import Response, request

from modelyard import __version__
from modelyard.runtime.gateway.kinds import Kind
from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.bodies import check_coding, take_object
from modelyard.runtime.gateway.protocols.inference_messages import (
    HEADER_LENGTH,
    VERSION,
    Inference,
    check_outputs,
    read_request,
    write_answer,
)
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
    DATATYPES,
    describe_outputs,
    encode_tensor,
)

_STATES = {"ready": "READY", "loading": "LOADING"}


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


def _read_header_length() -> int | None:
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise Problem(400, f"{HEADER_LENGTH} is {text[:80]!r}, no length")
    return int(text)


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
