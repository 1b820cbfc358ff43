"""KServe's V1 protocol, TensorFlow Serving's REST form: {"instances": [...]} in, {"predictions": [...]} out.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

import json
from collections.abc import Mapping
from typing import Any

from flask import Response, request

from modelyard.runtime.gateway.kinds import Kind
from modelyard.runtime.gateway.problems import Problem
from modelyard.runtime.gateway.protocols.bodies import take_json
from modelyard.runtime.gateway.protocols.protocol import (
    ERROR_IN_JSON,
    JSON,
    LIST,
    READINESS,
    About,
    Endpoint,
    Models,
    Protocol,
    answer_json,
    in_json,
    refuse_in_json,
    show_readiness,
)


def encode_answer(content: bytes) -> bytes:
    """Put an answer under `predictions`, where it has no such key already.

    >>> encode_answer(b"[1,2]")
    b'{"predictions":[1,2]}'
    >>> encode_answer(b'{"labels":[1],"predictions":[2]}')
    b'{"labels":[1],"predictions":[2]}'
    """
    if content.startswith(b'{"predictions":') or (content.startswith(b"{") and "predictions" in json.loads(content)):
        return content
    return b'{"predictions":%b}' % content


def convert_answer(content: bytes) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: an answer becomes one with predictions."""
    return {}, encode_answer(content)


def predict(models: Models, model: str) -> Response:
    """POST /v1/models/<model>:predict. The body goes to the model as it is."""
    ask = models.admit(model)
    answer = models.write(convert_answer, ask(take_json(request, keep=True)).body)
    return Response(answer.body, mimetype="application/json")


def list_models(models: Models) -> Response:
    """GET /v1/models"""
    return answer_json({"models": list(models.fleet.routes)})


def explain(models: Models, model: str) -> Response:
    """POST /v1/models/<model>:explain"""
    raise Problem(404, f"{models.find(model)} has no explainer: ask /v1/models/{model}:predict")


_ALL = About(summary="The models", answers=in_json(models=LIST))
_PREDICT = About(
    summary="Ask a model",
    body={JSON: {"type": "object", "properties": {"instances": LIST}, "required": ["instances"]}},
    answers=in_json(predictions={}),
)

KSERVE_V1 = Protocol(
    name="KServe V1",
    endpoints=(
        Endpoint(path="/v1/models", answer=list_models, about=_ALL, methods=("GET",)),
        Endpoint(
            path="/v1/models/<path:model>", answer=show_readiness, about=READINESS, methods=("GET",), kind=Kind.PROBE
        ),
        Endpoint(path="/v1/models/<path:model>:predict", answer=predict, about=_PREDICT),
        Endpoint(path="/v1/models/<path:model>:explain", answer=explain, about=None),
    ),
    refuse=refuse_in_json,
    error=ERROR_IN_JSON,
    prefix="/v1/",
)
