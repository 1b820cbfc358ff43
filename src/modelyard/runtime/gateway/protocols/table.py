"""All protocols in one table, and their way into the app."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flask import Flask, Response, g, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import Rule

from modelyard.runtime.gateway.kinds import Kind
from modelyard.runtime.gateway.problems import render_problem
from modelyard.runtime.gateway.protocols.kserve_v1 import KSERVE_V1
from modelyard.runtime.gateway.protocols.open_inference import OPEN_INFERENCE
from modelyard.runtime.gateway.protocols.protocol import Endpoint, Models, Protocol, Refuse
from modelyard.runtime.gateway.protocols.sagemaker import SAGEMAKER
from modelyard.runtime.gateway.protocols.seldon import SELDON_V1

PROTOCOLS = (KSERVE_V1, OPEN_INFERENCE, SAGEMAKER, SELDON_V1)


def add_protocols(app: Flask, models: Models) -> None:
    """Add the paths of every protocol.

    Each takes every method, and refuses the wrong ones itself: a path that begins as it does may take them.
    """
    paths: dict[tuple[str, Refuse], dict[str, Endpoint]] = {}
    for protocol, endpoint in find_endpoints(models):
        methods = (*endpoint.methods, "HEAD") if "GET" in endpoint.methods else endpoint.methods
        paths.setdefault((endpoint.path, protocol.refuse), {}).update(dict.fromkeys(methods, endpoint))
    for (path, refuse), endpoints in paths.items():
        app.url_map.add(Rule(path, endpoint=path, strict_slashes=False))
        app.view_functions[path] = _make_view(refuse, endpoints, models)


def find_kinds(models: Models) -> dict[str, Kind]:
    """What GET is about, by path."""
    return {one.path: one.kind for _, one in find_endpoints(models) if "GET" in one.methods}


def find_refusal(path: str) -> Refuse:
    """The form of an error for a path that nothing answers."""
    of_prefix = (one.refuse for one in PROTOCOLS if one.prefix is not None and f"{path}/".startswith(one.prefix))
    return next(of_prefix, render_problem)


def find_endpoints(models: Models) -> Iterator[tuple[Protocol, Endpoint]]:
    """The endpoints of every protocol, but for those whose path a route of the user's own has taken.

    A path that names no model is left out where there are several and none is the default: it stays unknown.
    """
    taken = {f"/{route}" for route in models.fleet.routes}
    for protocol in PROTOCOLS:
        for endpoint in protocol.endpoints:
            if endpoint.path not in taken and (models.default or not endpoint.needs_default):
                yield protocol, endpoint


def _make_view(refuse: Refuse, endpoints: Mapping[str, Endpoint], models: Models) -> Callable[..., Response]:
    def view(**values: Any) -> Response:
        g.refuse = refuse
        if request.method not in endpoints:
            raise MethodNotAllowed(list(endpoints))
        return endpoints[request.method].answer(models, **values)

    return view
