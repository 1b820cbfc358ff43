"""All protocols in one table, and their way into the app."""

from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, Response, g

from modelyard.runtime.gateway.problems import render_problem
from modelyard.runtime.gateway.protocols.kserve_v1 import KSERVE_V1
from modelyard.runtime.gateway.protocols.open_inference import OPEN_INFERENCE
from modelyard.runtime.gateway.protocols.protocol import Endpoint, Models, Protocol, Refuse
from modelyard.runtime.gateway.protocols.sagemaker import SAGEMAKER
from modelyard.runtime.gateway.protocols.seldon import SELDON_V1

PROTOCOLS = (KSERVE_V1, OPEN_INFERENCE, SAGEMAKER, SELDON_V1)


def add_protocols(app: Flask, models: Models) -> None:
    """Add the paths of every protocol."""
    for protocol, endpoint in find_endpoints(models):
        name = f"{protocol.name} {' '.join(endpoint.methods)} {endpoint.path}"
        view = _make_view(protocol, endpoint, models)
        about: dict[str, Any] = {"provide_automatic_options": False, "strict_slashes": False}
        app.add_url_rule(endpoint.path, name, view, methods=endpoint.methods, **about)


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


def _make_view(protocol: Protocol, endpoint: Endpoint, models: Models) -> Callable[..., Response]:
    def view(**values: Any) -> Response:
        g.refuse = protocol.refuse
        return endpoint.answer(models, **values)

    return view
