"""The Flask app: a POST route for each of ROUTES, and what people and platforms ask a daemon."""

import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flask import Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from modelyard.runtime.application import Application, load_application
from modelyard.runtime.daemon.logs import fields
from modelyard.runtime.daemon.settings import Settings, load_settings
from modelyard.runtime.gateway.admin import Operator, serve_admin
from modelyard.runtime.gateway.conversion import Conversion
from modelyard.runtime.gateway.fleet import Fleet
from modelyard.runtime.gateway.gate import Gate
from modelyard.runtime.gateway.guard import Guard
from modelyard.runtime.gateway.hot import HotPath
from modelyard.runtime.gateway.kinds import Kind, Kinds
from modelyard.runtime.gateway.metrics import Metrics
from modelyard.runtime.gateway.people import serve_people
from modelyard.runtime.gateway.problems import IN_THE_LOG, Problem, log_problem
from modelyard.runtime.gateway.protocols.bodies import take_json_or_form
from modelyard.runtime.gateway.protocols.description import describe_protocols
from modelyard.runtime.gateway.protocols.protocol import Models, Refuse
from modelyard.runtime.gateway.protocols.table import add_protocols, find_kinds, find_refusal
from modelyard.runtime.gateway.tracing import Tracer, make_tracer

log = logging.getLogger(__name__)

_PATIENCE = 10.0  # a load that takes too long is ended first, so that its reason comes


def load_app() -> Flask:
    """The app of the application that the environment names: what gunicorn calls."""
    root = Path(os.environ["APP_ROOT"])
    application = load_application(root, os.environ)
    return create_app(
        application,
        root=root,
        run_dir=Path(os.environ["MODELYARD_RUN_DIR"]),
        settings=load_settings(os.environ),
        tracer=make_tracer(os.environ, service=application.name),
    )


def create_app(
    application: Application,
    *,
    root: Path,
    run_dir: Path,
    settings: Settings = Settings(),  # noqa: B008
    tracer: Tracer | None = None,
) -> Flask:
    """Make the app that serves `application`, staged at `root`, whose workers listen in `run_dir`."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body
    fleet = Fleet(application, root=root, run_dir=run_dir, settings=settings)
    metrics = Metrics(application, run_dir)
    guard = Guard(settings.tokens, fleet.routes, run_dir)
    gate = Gate(guard, metrics, settings=settings, tracer=tracer)
    follows_all = settings.access_log or settings.log_payload or tracer is not None
    hot = HotPath(fleet, guard, metrics, settings=settings, is_open=not follows_all)
    conversion = Conversion(max_body=settings.max_body)
    app.extensions |= {"fleet": fleet, "gate": gate, "hot": hot, "conversion": conversion}
    gate.install(app)
    _answer_errors(app, fleet, settings)
    _serve_models(app, fleet, gate, conversion, settings)
    operator = Operator(gate, run_dir, patience=settings.load_timeout + _PATIENCE)
    models = Models(fleet, gate, operator, conversion, default=settings.default_route)
    add_protocols(app, models)
    _serve_state(app, fleet, metrics, guard, settings)
    serve_people(app, fleet, guard, describe_protocols(models))
    serve_admin(app, fleet, operator)
    app.extensions["kinds"] = Kinds(app.url_map, {**find_kinds(models), **_KINDS})
    return app


def _answer_errors(app: Flask, fleet: Fleet, settings: Settings) -> None:
    def refuse(problem: Problem) -> Response:
        render: Refuse = g.get("refuse") or find_refusal(request.path)
        return render(problem, g.request_id)

    @app.errorhandler(Problem)
    def answer_problem(problem: Problem) -> Response:
        g.cause = problem.cause
        log_problem(problem, request_id=g.request_id, path=request.path)
        return refuse(problem)

    @app.errorhandler(HTTPException)
    def answer_http_exception(error: HTTPException) -> Response:
        return answer_problem(_as_problem(error, fleet, settings))

    @app.errorhandler(Exception)
    def answer_exception(error: Exception) -> Response:
        g.cause = "gateway"
        log.exception("the gateway failed", extra=fields(request_id=g.request_id, path=request.path))
        return refuse(Problem(500, f"the gateway failed; {IN_THE_LOG}"))


def _serve_models(app: Flask, fleet: Fleet, gate: Gate, conversion: Conversion, settings: Settings) -> None:
    def make_view(route: str) -> Callable[[], Response]:
        def predict() -> Response:
            gate.admit(route)
            is_gone = gate.watch_client()
            body = take_json_or_form(request, partial(conversion.read, is_gone=is_gone), keep=settings.log_payload)
            frame = fleet.ask(route, body, gate.describe_request(), is_gone=is_gone)
            return Response(frame.body, mimetype="application/json")

        return predict

    for number, route in enumerate(fleet.routes):
        app.add_url_rule(f"/{route}", f"route {number}", make_view(route), methods=["POST"])


def _serve_state(app: Flask, fleet: Fleet, metrics: Metrics, guard: Guard, settings: Settings) -> None:
    @app.get("/livez")
    def livez() -> Response:
        return jsonify(live=True)

    @app.get("/health")
    def health() -> Response:
        return Response("OK!", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        if fleet.is_ready():
            return jsonify(ready=True)
        missing = [status for status in fleet.statuses() if status.state not in ("ready", "unloaded")]
        waiting = {status.name: status.reason or status.state for status in missing}
        raise Problem(503, "not every model has loaded", retry_after=1, ready=False, models=waiting)

    @app.get("/routes")
    def routes() -> Response:
        described = [{**route, "protected": not guard.is_open(route["route"])} for route in fleet.describe_routes()]
        return jsonify(name=fleet.application.name, routes=described)

    @app.get("/metrics")
    def show_metrics() -> Response:
        return Response(metrics.render(fleet.statuses()), content_type=_PROMETHEUS)

    if settings.metrics_path != "/metrics":
        app.add_url_rule(settings.metrics_path, "show_metrics", show_metrics)


_KINDS = {
    **dict.fromkeys(("livez", "health", "readyz"), Kind.PROBE),
    **dict.fromkeys(("page", "docs", "openapi"), Kind.PAGE),
    "show_metrics": Kind.METRICS,
}
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def _as_problem(error: HTTPException, fleet: Fleet, settings: Settings) -> Problem:
    detail = error.description or error.name
    if isinstance(error, NotFound):
        return Problem(404, f"no route {request.path}", routes=[f"/{route}" for route in fleet.routes])
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return Problem(405, f"{request.path} takes {allowed}, not {request.method}", headers={"Allow": allowed})
    if isinstance(error, RequestEntityTooLarge):
        close = {"Connection": "close"}
        return Problem(413, f"the body is larger than {settings.max_body} bytes (MAX_BODY)", headers=close)
    headers = dict(error.get_headers())
    headers.pop("Content-Type", None)
    return Problem(error.code or 500, detail, headers=headers)
