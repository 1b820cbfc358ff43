"""What happens to every request on its way in and out: an id, a token where one is needed, counting, the access log."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Request, Response, g, request
from werkzeug.exceptions import HTTPException

from modelyard.runtime.daemon.logs import escape, fields
from modelyard.runtime.daemon.settings import Settings
from modelyard.runtime.gateway.guard import Guard
from modelyard.runtime.gateway.metrics import Metrics
from modelyard.runtime.gateway.problems import IS_GONE, cause_of
from modelyard.runtime.gateway.tracing import Tracer, check_traceparent, find_trace_id

log = logging.getLogger("modelyard.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_MAX_LOGGED = 1 << 16


class Gate:
    """Lets requests in, and follows them until they are answered."""

    def __init__(self, guard: Guard, metrics: Metrics, *, settings: Settings, tracer: Tracer | None) -> None:
        self._guard = guard
        self._metrics = metrics
        self._tracer = tracer
        self._logs_access = settings.access_log or settings.log_payload
        self._logs_payload = settings.log_payload

    def install(self, app: Flask) -> None:
        """Stand before and after every view of `app`."""
        app.before_request(self._receive)
        app.after_request(self._release)

    def admit(self, route: str) -> None:
        """Let the request at hand in to `route`; from here on it counts as that route's.

        Raises Problem, 401 or 403, where it brings no token that opens the route. A second call is nothing new.
        """
        if g.route is None:
            g.route = route
            self._metrics.begin(route)
            self._guard.check(route, request.headers.get("Authorization"))

    @property
    def has_admin(self) -> bool:
        """Tell whether somebody may ask the admin endpoints at all."""
        return self._guard.has_admin

    def admit_admin(self) -> None:
        """Let the request at hand in to an admin endpoint; raise Problem, 401 or 403, where its token opens none."""
        self._guard.check_admin(request.headers.get("Authorization"))

    def describe_request(self) -> dict[str, str]:
        """What the model's worker is told of the request at hand: its id, and the trace that it belongs to."""
        given = check_traceparent(request.headers.get("traceparent"))
        traceparent = self._tracer.propagate(g.span) if self._tracer is not None else given
        return {"id": g.request_id, **({"traceparent": traceparent} if traceparent else {})}

    def watch_client(self) -> Callable[[], bool]:
        """Make what tells whether the client of the request at hand has gone."""
        is_gone: Callable[[], bool] = request.environ.get(IS_GONE, lambda: False)
        return is_gone

    def _receive(self) -> None:
        g.started = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        g.route = None
        g.cause = None
        if self._tracer is not None:
            g.span = self._tracer.start(request)

    def _release(self, response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        status = response.status_code
        seconds = time.perf_counter() - g.started
        if status >= 400 and g.cause is None:
            g.cause = cause_of(status)
        if g.route is not None:
            self._metrics.end(g.route, status, seconds, cause=g.cause)
        if self._logs_access:
            self._log(response, seconds)
        if self._tracer is not None:
            self._tracer.end(g.span, route=g.route, status=status, cause=g.cause, request_id=g.request_id)
        return response

    def _log(self, response: Response, seconds: float) -> None:
        about: dict[str, Any] = {"request_id": g.request_id, "method": request.method, "path": request.path}
        if g.route is not None:
            about["route"] = g.route
        about |= {"status": response.status_code, "milliseconds": round(seconds * 1000, 2)}
        if g.cause is not None:
            about["cause"] = g.cause
        if (trace_id := find_trace_id(request.headers.get("traceparent"))) is not None:
            about["trace_id"] = trace_id
        about |= {"bytes_in": request.content_length or 0, "bytes_out": response.content_length or 0}
        if self._logs_payload and g.route is not None:
            about["payload"] = _show(_read_again(request))
            about["answer"] = _show(response.get_data())
        log.info("%s %s %s", request.method, escape(request.path), response.status_code, extra=fields(**about))


def _read_again(request: Request) -> bytes:
    """The body of a request that has been read; empty where it was refused unread."""
    try:
        return request.get_data()
    except HTTPException:
        return b""


def _show(body: bytes) -> str:
    text = body[:_MAX_LOGGED].decode(errors="replace")
    return text if len(body) <= _MAX_LOGGED else f"{text}… ({len(body)} bytes)"
