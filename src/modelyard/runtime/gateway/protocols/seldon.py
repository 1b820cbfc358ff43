"""Seldon's v1 wrapper: its paths, how a message is found in a request, its headers and errors.

What a message holds is decoded in the model's process (modelyard.runtime.worker.seldon).
"""

import base64
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from flask import Response, g, request
from werkzeug.exceptions import NotFound

from modelyard.runtime.daemon.logs import fields
from modelyard.runtime.gateway.kinds import Kind
from modelyard.runtime.gateway.problems import Problem, describe_with_id
from modelyard.runtime.gateway.protocols.bodies import FILE_FIELD, FORM, RAW_FIELD, open_form
from modelyard.runtime.gateway.protocols.protocol import JSON, TEXT, About, Endpoint, Models, Protocol

log = logging.getLogger(__name__)

BAD_DATA = "MICROSERVICE_BAD_DATA"
INTERNAL_ERROR = "MICROSERVICE_INTERNAL_ERROR"
FIELDS = "application/x-www-form-urlencoded"
VERBS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_VERSIONS = ("/api/v1.0", "/api/v0.1")
_CALLS = {
    "/predict": ("predict", "/predictions"),
    "/transform-input": ("transform_input", "/transform-input"),
    "/transform-output": ("transform_output", "/transform-output"),
    "/route": ("route", "/route"),
    "/aggregate": ("aggregate", "/aggregate"),
    "/send-feedback": ("send_feedback", "/feedback"),
}
_STATES = {"/health/status": "health_status", "/metadata": "init_metadata"}


def take_message(models: Models) -> tuple[bytes, str]:
    """The message in a request, and where it was found, for the worker says so in another way for each.

    It is a multipart `form`, else the `field` named `json` of a form or of the query, else a JSON `body`.
    """
    if request.mimetype == FORM:
        return models.read(read_form, request.get_data(), content_type=request.content_type).body, "form"
    if request.mimetype == FIELDS:
        message = models.read(read_field, request.get_data(), content_type=request.content_type).body
        if message:
            return message, "field"
    if text := request.args.get("json"):
        return text.encode(), "field"
    return request.get_data() if request.is_json else b"", "body"


def read_form(body: bytes, *, content_type: str) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: the message in a multipart form; raise Problem 500 with the parser's words, by which clients go."""
    form = open_form(body, content_type)
    try:
        fields = {name: text if name == RAW_FIELD else json.loads(text) for name, text in form.form.items()}
        for name, file in form.files.items():
            content = file.read()
            fields[name] = base64.b64encode(content).decode() if name == FILE_FIELD else content.decode()
    except (ValueError, RecursionError) as error:
        raise Problem(500, str(error)) from None
    return {}, json.dumps(fields).encode()


def read_field(body: bytes, *, content_type: str) -> tuple[Mapping[str, Any], bytes]:
    """A conversion: the field `json` of a form; empty where there is none."""
    return {}, open_form(body, content_type).form.get("json", "").encode()


def format_error(problem: Problem, request_id: str) -> bytes:
    """An error the way a Seldon server writes it."""
    reason = BAD_DATA if problem.status in (400, 413, 415, 422) else INTERNAL_ERROR
    document = {"status": {"code": -1, "info": describe_with_id(problem, request_id), "reason": reason, "status": 1}}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def refuse(problem: Problem, request_id: str) -> Response:
    """An error in Seldon's form, with the daemon's status."""
    content = format_error(problem, request_id)
    response = Response(content, problem.status, headers=problem.headers, mimetype="application/json")
    return _allow_origin(response)


def call(method: str) -> Callable[..., Response]:
    """Make the answer of a path that calls the model's `method`."""

    def answer(models: Models, route: str | None = None) -> Response:
        ask = models.admit(route)
        message, source = (b"", "body") if method in _STATES.values() else take_message(models)
        frame = ask(message, protocol="seldon", method=method, source=source)
        status = frame.header["status"]
        if "log" in frame.header:
            about = fields(request_id=g.request_id, path=request.path, status=status)
            about["fields"]["trace"] = frame.header["log"]
            log.error("the model failed", extra=about)
        return Response(frame.body, status, mimetype="application/json")

    return answer


def ping(models: Models, route: str | None = None) -> Response:
    """GET /health/ping"""
    models.find(route)
    return Response("pong", mimetype="text/html")


def describe(models: Models, route: str | None = None) -> Response:
    """GET /seldon.json: an OpenAPI document of these paths."""
    models.find(route)
    form = {"application/json": {"schema": {"$ref": "#/components/schemas/SeldonMessage"}}}
    operation = {"requestBody": {"required": True, "content": form}}
    answered = {"responses": {"200": {"description": "The answer", "content": form}}}
    document = {
        "openapi": "3.0.3",
        "info": {"title": "Seldon v1 wrapper", "version": "1.0"},
        "paths": {
            **{path: {"post": {**operation, **answered}} for name in _CALLS for path in _paths_of(name)},
            **{path: {"get": answered} for name in _STATES for path in _paths_of(name)},
        },
        "components": {"schemas": {"SeldonMessage": _MESSAGE}},
    }
    headers = {"Content-Disposition": "inline; filename=seldon.json"}
    return Response(json.dumps(document, indent=2), headers=headers, mimetype="application/json")


def _make_endpoints() -> tuple[Endpoint, ...]:
    answers: dict[str, tuple[Callable[..., Response], tuple[str, ...], About, Kind]] = {
        **{name: (call(method), ("GET", "POST"), _CALL, Kind.MODEL) for name, (method, _) in _CALLS.items()},
        **{name: (call(method), ("GET",), _STATE, Kind.MODEL) for name, method in _STATES.items()},
        "/health/ping": (ping, ("GET",), _PING, Kind.PROBE),
        "/seldon.json": (describe, ("GET",), _STATE, Kind.STATE),
    }
    return tuple(
        Endpoint(
            path=f"{prefix}{path}",
            answer=_with_rules(answer, verbs if path == name else verbs[-1:]),
            about=about,
            methods=VERBS,
            needs_default=not prefix,
            kind=kind,
        )
        for name, (answer, verbs, about, kind) in answers.items()
        for path in _paths_of(name)
        for prefix in ("", "/seldon/<path:route>")
    )


def _paths_of(name: str) -> tuple[str, ...]:
    if name == "/seldon.json":
        return (name,)
    suffix = _CALLS[name][1] if name in _CALLS else name
    return (name, *(f"{version}{suffix}" for version in _VERSIONS))


def _with_rules(answer: Callable[..., Response], verbs: tuple[str, ...]) -> Callable[..., Response]:
    """Add what all of a Seldon server's answers have in common: another verb is an error in its form, CORS is open.

    That server looks for a file where GET is asked of a path that has none.
    """
    allowed = {*verbs, "OPTIONS", *(["HEAD"] if "GET" in verbs else [])}

    def answer_by_rules(models: Models, route: str | None = None) -> Response:
        if request.method not in allowed and request.method in ("GET", "HEAD"):
            raise Problem(500, f"404 Not Found: {NotFound.description}")
        if request.method not in allowed:
            raise Problem(500, "405 Method Not Allowed: The method is not allowed for the requested URL.")
        if request.method == "OPTIONS":
            return _allow_origin(Response(headers={"Allow": ", ".join(sorted(allowed))}))
        return _allow_origin(answer(models, route))

    return answer_by_rules


def _allow_origin(response: Response) -> Response:
    origin = request.headers.get("Origin")
    response.headers["Access-Control-Allow-Origin"] = origin or "*"
    if origin:
        response.headers["Vary"] = "Origin"
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        response.headers["Access-Control-Allow-Methods"] = ", ".join(VERBS)
    return response


_MESSAGE = {
    "type": "object",
    "properties": {
        "data": {
            "type": "object",
            "properties": {
                "names": {"type": "array", "items": {"type": "string"}},
                "ndarray": {"type": "array"},
                "tensor": {
                    "type": "object",
                    "properties": {"shape": {"type": "array"}, "values": {"type": "array"}},
                },
            },
        },
        "jsonData": {},
        "strData": {"type": "string"},
        "binData": {"type": "string", "format": "byte"},
        "meta": {"type": "object"},
    },
}

_ERROR = {"type": "object", "properties": {"status": {"type": "object"}}, "required": ["status"]}
_CALL = About(summary="Call a method of the model", body={JSON: _MESSAGE}, answers={JSON: _MESSAGE}, methods=("POST",))
_STATE = About(summary="What is known of the model", answers={JSON: {"type": "object"}}, methods=("GET",))
_PING = About(summary="Whether the daemon answers", answers={"text/html": TEXT}, methods=("GET",))

SELDON_V1 = Protocol(name="Seldon V1", endpoints=_make_endpoints(), refuse=refuse, error=(JSON, _ERROR))
