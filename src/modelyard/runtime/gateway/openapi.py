"""The daemon's OpenAPI 3.1 document, made of its routes and of what their models showed at warm-up."""

from collections.abc import Mapping
from typing import Any

from modelyard.runtime.daemon.schemas import infer_schema, limit_schema
from modelyard.runtime.gateway.fleet import Fleet
from modelyard.runtime.gateway.guard import Guard
from modelyard.runtime.values import open_envelope

_PROBLEMS = {
    400: "The body is no JSON",
    413: "The body is larger than MAX_BODY",
    415: "The body is declared to be something else than JSON",
    422: "The model refuses the payload, and says why",
    429: "Too many requests wait for the model",
    500: "The model's code failed; the log has the cause under the answer's request_id",
    502: "The model's process ended while it computed the answer",
    503: "The model is loading or cannot be loaded, or the daemon takes no more requests",
    504: "The model did not answer in time",
}
_REFUSALS = {
    401: "The request has no token, or an unknown one",
    403: "The request's token opens something else",
}
_STATE = {
    "/livez": ("The daemon answers", "application/json"),
    "/readyz": ("The models have loaded", "application/json"),
    "/health": ("OK!", "text/plain"),
    "/routes": ("The routes, their models and how these are", "application/json"),
    "/metrics": ("Counters in Prometheus' text form", "text/plain"),
}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "/livez": {"type": "object", "properties": {"live": {"type": "boolean"}}, "required": ["live"]},
    "/readyz": {"type": "object", "properties": {"ready": {"type": "boolean"}}, "required": ["ready"]},
    "/health": {"type": "string"},
    "/routes": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "routes": {"type": "array", "items": {"type": "object"}}},
        "required": ["name", "routes"],
    },
    "/metrics": {"type": "string"},
}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Comes back with the answer, and stands in the log; made up where it is missing",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._:/+=-]{1,128}$"},
}


def describe_api(fleet: Fleet, guard: Guard, protocols: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the routes, the state of the daemon, and the paths of its `protocols`."""
    answers = {route: schema for status in fleet.statuses() for route, schema in status.answers.items()}
    paths = {
        f"/{route}": {"post": _describe_route(fleet, route, answers.get(route) or {}, is_open=guard.is_open(route))}
        for route in fleet.routes
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": fleet.application.name, "version": "1"},
        "tags": [{"name": name} for name in _find_tags(protocols)],
        "paths": {
            **paths,
            **{path: {"get": _describe_state(path, *about)} for path, about in _STATE.items()},
            **protocols,
        },
        "components": {
            "schemas": {"Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _find_tags(paths: Mapping[str, Any]) -> list[str]:
    operations = [about for methods in paths.values() for about in methods.values()]
    return list(dict.fromkeys(tag for about in operations for tag in about["tags"]))


def _describe_route(fleet: Fleet, route: str, answer: dict[str, Any], *, is_open: bool) -> dict[str, Any]:
    example = fleet.example(route)
    body: dict[str, Any] = {"schema": {}}
    if example is not None:
        payload, _ = open_envelope(example)
        body = {"schema": _or_envelope(infer_schema(payload)), "example": example}
    problems = _PROBLEMS if is_open else {**_PROBLEMS, **_REFUSALS}
    described: dict[str, Any] = {
        "operationId": f"predict_{route}",
        "summary": f"Ask {fleet.routes[route].name}",
        "description": (
            'A body with the key "payload" is answered by an object with the key "payload", any other by the bare '
            "result. The schemas are those of the model's test instances and of its answer to them: a model may take "
            "and answer more."
        ),
        "parameters": [_REQUEST_ID],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": {
                "description": "What the model returned",
                "content": {"application/json": {"schema": _or_envelope(answer)}},
            },
            **{str(status): _refer_to_problem(text) for status, text in sorted(problems.items())},
            "4XX": _refer_to_problem("Another refusal of the model's own"),
        },
    }
    if not is_open:
        described["security"] = [{"token": []}]
    return described


def _or_envelope(schema: dict[str, Any]) -> dict[str, Any]:
    schema = limit_schema(schema)
    if not schema:
        return {}
    return {"anyOf": [schema, {"type": "object", "properties": {"payload": schema}, "required": ["payload"]}]}


def _describe_state(path: str, text: str, media_type: str) -> dict[str, Any]:
    responses = {"200": {"description": text, "content": {media_type: {"schema": _SCHEMAS[path]}}}}
    if path == "/readyz":
        responses["503"] = _refer_to_problem("Not every model has loaded; the answer names those that have not")
    return {"operationId": path.strip("/"), "summary": text, "responses": responses}


def _refer_to_problem(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
