"""SageMaker's container contract: GET /ping and POST /invocations, in JSON, JSON lines, CSV and NPY.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html, and that of multi-model endpoints:
https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from typing import Any

from flask import Response, request

from modelyard.runtime.gateway.kinds import Kind
from modelyard.runtime.gateway.problems import Problem, render_problem
from modelyard.runtime.gateway.protocols.bodies import check_coding, make_records, take_json_or_form, take_object
from modelyard.runtime.gateway.protocols.npy import NPY, decode_npy, encode_npy
from modelyard.runtime.gateway.protocols.protocol import (
    JSON,
    LIST,
    RETRY,
    TEXT,
    About,
    Endpoint,
    Models,
    Protocol,
    answer_json,
    in_json,
)
from modelyard.runtime.text_lines import split_lines

TARGET = "X-Amzn-SageMaker-Target-Model"
JSON_LINES = "application/jsonlines"
_LINES = (JSON_LINES, "application/jsonl", "application/x-jsonlines")
CSV = "text/csv"
_ARCHIVE = ".tar.gz"
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d{0,99})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,2})?", re.ASCII)


def decode_csv(text: str, *, has_header: bool = False) -> list[Any]:
    """The rows of CSV; a number stays one, an empty cell is None; with a header, an object a row. Raises Problem 400.

    >>> decode_csv("25,Private,,1.5,007")
    [[25, 'Private', None, 1.5, '007']]
    """
    try:
        rows: list[Any] = [[_decode_cell(cell) for cell in row] for row in csv.reader(StringIO(text)) if row]
    except csv.Error as error:
        raise Problem(400, f"the body is no CSV: {error}") from None
    if not has_header:
        return rows
    names, *rest = rows or [[]]
    for number, row in enumerate(rest, start=2):
        if len(row) != len(names):
            raise Problem(400, f"row {number} of the CSV has {len(row)} cells, the header {len(names)}")
    return make_records(list(map(str, names)), rest)


def encode_csv(answer: Any) -> str:
    """The predictions as CSV: a line each, an answer of several lists a column each.

    >>> encode_csv({"predictions": [[0.25, 0.75], [1.0, 0.0]]})
    '0.25,0.75\\n1.0,0.0\\n'
    """
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerows(
        [_encode_cell(cell) for cell in (row if isinstance(row, list) else [row])] for row in _to_rows(answer)
    )
    return out.getvalue()


def encode_json_lines(answer: Any) -> str:
    """The predictions as JSON lines."""
    return "".join(
        json.dumps(row[0] if isinstance(row, list) and len(row) == 1 else row) + "\n" for row in _to_rows(answer)
    )


def decode_json_lines(text: str) -> list[Any]:
    """One instance a line; raise Problem 400 naming the line that is no JSON."""
    rows = []
    for number, line in enumerate(split_lines(text), start=1):
        try:
            if line.strip():
                rows.append(json.loads(line))
        except (ValueError, RecursionError):
            raise Problem(400, f"line {number} of the body is no JSON") from None
    return rows


def invoke(models: Models) -> Response:
    """POST /invocations, to the model that the header X-Amzn-SageMaker-Target-Model names."""
    return invoke_model(models, request.headers.get(TARGET, ""))


def invoke_model(models: Models, model: str) -> Response:
    """POST /models/<model>/invoke"""
    ask = models.admit(find_target(model, models))
    accepted = request.accept_mimetypes.best_match((JSON, CSV, *_LINES, NPY), default=JSON)
    content = ask(_take_body(models)).body
    if accepted == JSON:
        return Response(content, mimetype=JSON)
    return Response(models.write(write_rows, content, media_type=accepted).body, mimetype=accepted)


def write_rows(content: bytes, *, media_type: str) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: a model's answer becomes NPY, CSV or JSON lines."""
    answer = json.loads(content)
    if media_type == NPY:
        return {}, encode_npy(_to_rows(answer))
    text = encode_csv(answer) if media_type == CSV else encode_json_lines(answer)
    return {}, text.encode(errors="replace")


def read_rows(body: bytes, *, media_type: str, has_header: bool = False) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: NPY, CSV or JSON lines become instances. Raises Problem 400."""
    rows = decode_npy(body) if media_type == NPY else _decode_text(body, media_type, has_header=has_header)
    instances = {"instances": rows if isinstance(rows, list) else [rows]}
    return {}, json.dumps(instances, separators=(",", ":")).encode()


def find_target(target: str, models: Models) -> str:
    """The route that a TargetModel names, by its name or as an archive: `income`, `/income.tar.gz`."""
    name = target.strip().lstrip("/")
    return name.removesuffix(_ARCHIVE) if name not in models.fleet.routes else name


def list_models(models: Models) -> Response:
    """GET /models: those that are loaded, all on one page."""
    loaded = [route for route in models.fleet.routes if _is_loaded(models, route)]
    return answer_json({"models": [_describe(models, route) for route in loaded]})


def show_model(models: Models, model: str) -> Response:
    """GET /models/<model>"""
    return answer_json(_describe(models, _find_loaded(models, model)))


def load_model(models: Models) -> Response:
    """POST /models: load a model of the image that was unloaded; the binary is the one in models/, whatever `url`."""
    models.operator.admit()
    name = take_object(request).get("model_name")
    if not isinstance(name, str):
        raise Problem(400, 'model_name is missing: send {"model_name": "...", "url": "..."}')
    route = models.find(find_target(name, models))
    if _is_loaded(models, route):
        raise Problem(409, f"{route} is loaded already")
    models.order("load", route)
    return answer_json(_describe(models, route))


def unload_model(models: Models, model: str) -> Response:
    """DELETE /models/<model>"""
    models.operator.admit()
    models.order("unload", _find_loaded(models, model))
    return answer_json({})


def ping(models: Models) -> Response:
    """GET /ping: 200 when the models have loaded."""
    is_ready = models.fleet.is_ready()
    return Response(status=200 if is_ready else 503, headers={} if is_ready else RETRY, mimetype="text/plain")


def _describe(models: Models, route: str) -> dict[str, str]:
    return {"modelName": route, "modelUrl": models.fleet.routes[route].path}


def _is_loaded(models: Models, route: str) -> bool:
    return models.status(route).state != "unloaded"


def _find_loaded(models: Models, name: str) -> str:
    route = models.find(find_target(name, models))
    if not _is_loaded(models, route):
        raise Problem(404, f"{route} is not loaded")
    return route


def _take_body(models: Models) -> bytes:
    if request.mimetype not in (CSV, *_LINES, NPY):
        return take_json_or_form(request, models.read, keep=True, others=(CSV, JSON_LINES, NPY))
    check_coding(request)
    has_header = request.mimetype_params.get("header") == "present"
    return models.read(read_rows, request.get_data(), media_type=request.mimetype, has_header=has_header).body


def _decode_text(body: bytes, media_type: str, *, has_header: bool) -> list[Any]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problem(400, "the body is no UTF-8 text") from None
    return decode_csv(text, has_header=has_header) if media_type == CSV else decode_json_lines(text)


def _to_rows(answer: Any) -> list[Any]:
    if isinstance(answer, dict):
        columns = list(answer.values())
        if len({len(column) if isinstance(column, list) else -1 for column in columns}) == 1 and columns:
            if not isinstance(columns[0], list):
                return [columns]
            return list(columns[0]) if len(columns) == 1 else [list(row) for row in zip(*columns, strict=True)]
        return [answer]
    return answer if isinstance(answer, list) else [answer]


def _decode_cell(cell: str) -> int | float | str | None:
    text = cell.strip()
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        return cell
    return float(text) if set(text) & set(".eE") else int(text)


def _encode_cell(cell: Any) -> Any:
    return json.dumps(cell) if isinstance(cell, (dict, list, bool)) else cell


_ONE = in_json(modelName=TEXT, modelUrl=TEXT)
_PING = About(summary="Whether the daemon is ready", answers={"text/plain": TEXT})
_INVOKE = About(
    summary="Ask a model",
    body={JSON: {}, CSV: TEXT, JSON_LINES: TEXT, NPY: TEXT},
    answers={JSON: {}, CSV: TEXT, JSON_LINES: TEXT, NPY: TEXT},
)
_INVOKE_TARGET = replace(
    _INVOKE,
    parameters=[
        {"name": TARGET, "in": "header", "required": False, "schema": TEXT, "description": "The model, of several"}
    ],
)
_LIST = About(summary="The models that are loaded", answers=in_json(models=LIST))
_SHOW = About(summary="A model that is loaded", answers=_ONE)
_LOAD = About(summary="Load a model of the image", body=in_json(model_name=TEXT), answers=_ONE, is_operators=True)
_UNLOAD = About(summary="Unload a model", answers={JSON: {"type": "object"}}, is_operators=True)

SAGEMAKER = Protocol(
    name="SageMaker",
    endpoints=(
        Endpoint(path="/ping", answer=ping, about=_PING, methods=("GET",), kind=Kind.PROBE),
        Endpoint(path="/invocations", answer=invoke, about=_INVOKE_TARGET),
        Endpoint(path="/models", answer=list_models, about=_LIST, methods=("GET",)),
        Endpoint(path="/models", answer=load_model, about=_LOAD),
        Endpoint(path="/models/<path:model>", answer=show_model, about=_SHOW, methods=("GET",)),
        Endpoint(path="/models/<path:model>", answer=unload_model, about=_UNLOAD, methods=("DELETE",)),
        Endpoint(path="/models/<path:model>/invoke", answer=invoke_model, about=_INVOKE),
    ),
    refuse=render_problem,
    error=("application/problem+json", {"$ref": "#/components/schemas/Problem"}),
)
