"""What a protocol is made of: the paths it adds to the daemon, and the form of its errors."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Response

from modelyard.runtime.daemon.orders import Deed
from modelyard.runtime.daemon.status import ModelStatus
from modelyard.runtime.daemon.wire import Frame
from modelyard.runtime.gateway.admin import Operator
from modelyard.runtime.gateway.conversion import Conversion, Convert
from modelyard.runtime.gateway.fleet import Fleet
from modelyard.runtime.gateway.gate import Gate
from modelyard.runtime.gateway.kinds import Kind
from modelyard.runtime.gateway.problems import Problem, describe_with_id
from modelyard.runtime.nearest import describe_choices

Refuse = Callable[[Problem, str], Response]
"""Writes an error, given the request's id."""
Ask = Callable[..., Frame]
"""Has a route's worker answer: body in, frame out; keywords go into the request's header."""


class Models:
    """The application's models as protocols know them: by the names of their routes."""

    def __init__(
        self, fleet: Fleet, gate: Gate, operator: Operator, conversion: Conversion, *, default: str = ""
    ) -> None:
        """`gate` lets the request at hand in to a route, or raises Problem; `operator` loads and unloads.

        `default` is the route that a path without a name stands for; where it is empty, the only one there is.
        """
        self.fleet = fleet
        self.operator = operator
        self._gate = gate
        self._conversion = conversion
        self.default = default or (next(iter(fleet.routes)) if len(fleet.routes) == 1 else None)

    def find(self, name: str | None) -> str:
        """The route of that name, or the default one; raise Problem where there is none."""
        route = name or self.default
        if route is None:
            known = describe_choices("", self.fleet.routes)
            raise Problem(
                400, f"name one of the models: {known} (or have DEFAULT_ROUTE set)", routes=list(self.fleet.routes)
            )
        if route not in self.fleet.routes:
            known = describe_choices(route, self.fleet.routes)
            raise Problem(404, f"no model {route!r}, there are {known}", routes=list(self.fleet.routes))
        return route

    def admit(self, name: str | None) -> Ask:
        """Let the request at hand in to the route of that name; return what asks its worker."""
        route = self.find(name)
        self._gate.admit(route)
        return partial(self.fleet.ask, route, about=self._gate.describe_request(), is_gone=self._gate.watch_client())

    def read(self, convert: Convert, body: bytes, **arguments: Any) -> Frame:
        """What the body of the request at hand becomes by a conversion; raise Problem where it can't."""
        return self._conversion.read(convert, body, is_gone=self._gate.watch_client(), **arguments)

    def write(self, convert: Convert, content: bytes, **arguments: Any) -> Frame:
        """What a model's answer to the request at hand becomes by a conversion; raise Problem where it can't."""
        return self._conversion.write(convert, content, is_gone=self._gate.watch_client(), **arguments)

    def order(self, do: Deed, name: str) -> None:
        """Have the model behind a route loaded or unloaded, where the request at hand may ask for that."""
        self.operator.order(do, self.fleet.routes[self.find(name)].name)

    def status(self, name: str) -> ModelStatus:
        """How the model behind a route is."""
        model = self.fleet.routes[self.find(name)].name
        return next(status for status in self.fleet.statuses() if status.name == model)


@dataclass(frozen=True, kw_only=True)
class About:
    """What the OpenAPI document says of an endpoint: JSON Schemas by media type of its body, if any, and its answers.

    `methods` are those worth telling of, where that is not all.
    """

    summary: str
    answers: Mapping[str, Mapping[str, Any]]
    body: Mapping[str, Mapping[str, Any]] | None = None
    parameters: Sequence[Mapping[str, Any]] = ()
    methods: Sequence[str] = ()
    is_operators: bool = False


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A path, in Flask's grammar; `answer` is given the models, and by keyword what the path's converters took.

    One that `needs_default` is there for the default route only; one without `about` is not described.
    """

    path: str
    answer: Callable[..., Response]
    about: About | None
    methods: tuple[str, ...] = ("POST",)
    needs_default: bool = False
    kind: Kind = Kind.STATE
    """What GET is about here; every other method may ask a model."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A protocol: its paths, and how it writes an error; `error` is the media type and schema of one.

    All that is asked below its `prefix` is meant for it, paths that do not exist included.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    refuse: Refuse
    error: tuple[str, Mapping[str, Any]]
    prefix: str | None = None


JSON = "application/json"
RETRY = {"Retry-After": "1"}
"""What goes with the 503 of a probe."""


def in_json(**properties: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The schema of a JSON object that has these properties, by media type."""
    return {JSON: {"type": "object", "properties": properties, "required": list(properties)}}


TEXT: Mapping[str, Any] = {"type": "string"}
FLAG: Mapping[str, Any] = {"type": "boolean"}
LIST: Mapping[str, Any] = {"type": "array"}
ERROR_IN_JSON = (JSON, in_json(error=TEXT)[JSON])


def answer_json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of compact JSON."""
    content = json.dumps(document, separators=(",", ":"))
    return Response(content, status, headers=dict(headers or {}), mimetype="application/json")


def refuse_in_json(problem: Problem, request_id: str) -> Response:
    """An error as {"error": "..."}: the form of both of KServe's protocols."""
    return answer_json({"error": describe_with_id(problem, request_id)}, problem.status, problem.headers)


def show_readiness(models: Models, model: str) -> Response:
    """Tell whether a model is ready, in the form of both of KServe's protocols; clients wait while it is 503."""
    status = models.status(model)
    if status.state == "ready":
        return answer_json({"name": model, "ready": True})
    return answer_json({"name": model, "ready": False, "error": status.reason or status.state}, 503, RETRY)


READINESS = About(summary="Whether a model is ready", answers=in_json(name=TEXT, ready=FLAG))
