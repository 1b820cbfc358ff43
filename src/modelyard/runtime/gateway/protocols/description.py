"""The paths of the protocols, as the daemon's OpenAPI document has them."""

import re
from collections.abc import Mapping
from typing import Any

from modelyard.runtime.gateway.protocols.protocol import About, Endpoint, Models, Protocol
from modelyard.runtime.gateway.protocols.table import find_endpoints

_TOKEN: list[dict[str, list[str]]] = [{"token": []}]
_NAME = re.compile(r"<(?:path:)?(\w+)>")
_REFUSALS = {
    400: "The request is none of this protocol",
    401: "The request has no token, or an unknown one",
    403: "The request's token opens something else",
    404: "There is no such model",
}
_FAILURES = {
    **_REFUSALS,
    409: "The model is loaded already, or was rolled back: the answer has the reason",
    413: "The body is larger than MAX_BODY",
    415: "The body is declared to be something else than this protocol takes",
    422: "The model refuses the payload, and says why",
    429: "Too many requests wait for the model",
    500: "The model's code failed; the log has the cause",
    502: "The model's process ended while it computed the answer",
    504: "The model did not answer in time",
}


def describe_protocols(models: Models) -> dict[str, Any]:
    """Describe every path of every protocol that the daemon answers."""
    paths: dict[str, Any] = {}
    for protocol, endpoint in find_endpoints(models):
        if endpoint.about is None:
            continue
        path = _NAME.sub(r"{\1}", endpoint.path)
        for method, about in _describe_methods(protocol, endpoint, endpoint.about, list(models.fleet.routes)).items():
            slug = re.sub(r"\W+", "_", f"{protocol.name}{endpoint.path}").strip("_").lower()
            paths.setdefault(path, {})[method] = {"operationId": f"{slug}_{method}", **about}
    return paths


def _describe_methods(protocol: Protocol, endpoint: Endpoint, about: About, routes: list[str]) -> Mapping[str, Any]:
    names = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": routes}}
        for name in _NAME.findall(endpoint.path)
    ]
    asks_a_model = about.body is not None or about.is_operators
    kind, error = protocol.error
    failed: dict[str, Any] = {kind: {"schema": error}}
    unready = failed if asks_a_model else {one: {"schema": {}} for one in (kind, *about.answers)}
    failures = _FAILURES if asks_a_model else {**_REFUSALS, 500: _FAILURES[500]}
    operation: dict[str, Any] = {
        "tags": [protocol.name],
        "summary": about.summary,
        "parameters": [*names, *about.parameters],
        "responses": {
            "200": {"description": "The answer", "content": {kind: {"schema": s} for kind, s in about.answers.items()}},
            **{str(status): {"description": text, "content": failed} for status, text in failures.items()},
            "503": {
                "description": "The model or the daemon is not ready, or takes no more requests",
                "content": unready,
            },
            **(
                {"4XX": {"description": "Another refusal of the model's own", "content": failed}}
                if asks_a_model
                else {}
            ),
        },
    }
    if about.is_operators:
        operation["security"] = _TOKEN
    if about.body is not None:
        body = {"required": True, "content": {kind: {"schema": schema} for kind, schema in about.body.items()}}
        return {method.lower(): {**operation, "requestBody": body} for method in about.methods or endpoint.methods}
    return {method.lower(): operation for method in about.methods or endpoint.methods}
