"""The way of most requests, POST /<route> with JSON, past Flask: the same answers for a fraction of the work.

What it does not know how to answer exactly as the app would, it leaves to the app.
"""

import logging
import re
import secrets
import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response

from modelyard.runtime.daemon.settings import Settings
from modelyard.runtime.daemon.wire import Frame
from modelyard.runtime.gateway.client import ClientGoneError, NotConnectedError
from modelyard.runtime.gateway.fleet import Fleet
from modelyard.runtime.gateway.framing import Head
from modelyard.runtime.gateway.guard import Guard
from modelyard.runtime.gateway.links import Backend, Call, Link, Outcome
from modelyard.runtime.gateway.metrics import Metrics
from modelyard.runtime.gateway.problems import CLIENT_GONE, Problem, log_problem, render_problem
from modelyard.runtime.gateway.tracing import check_traceparent

log = logging.getLogger(__name__)

Respond = Callable[[int, list[tuple[str, str]], bytes], None]
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
_JSON = [("Content-Type", "application/json")]
_SPARE = 64


class HotPath:
    """Sends the requests of the routes to their models' workers, and answers when these do."""

    def __init__(self, fleet: Fleet, guard: Guard, metrics: Metrics, *, settings: Settings, is_open: bool) -> None:
        """Where `is_open` is false, every request takes the way through the app."""
        self._fleet = fleet
        self._guard = guard
        self._metrics = metrics
        self._settings = settings
        self._routes = {f"/{route}".encode(): route for route in fleet.routes if is_open}
        self._unsent: list[Link] = []
        self._backends: dict[str, Backend] = {}
        self._by_route: dict[str, Backend] = {}

    def attach(self, selector: selectors.BaseSelector) -> None:
        """Connect to the workers by way of an event loop's selector."""
        limit = self._settings.queue_size + _SPARE
        self._backends = {
            name: Backend(paths, selector, limit=limit, unsent=self._unsent, accuse=partial(self._fleet.accuse, name))
            for name, paths in self._fleet.worker_sockets().items()
        }
        self._by_route = {route: self._backends[model.name] for route, model in self._fleet.routes.items()}

    def find_route(self, head: Head) -> str | None:
        """The route that a request is for; None where it is the app's to answer."""
        route = self._routes.get(head.target)
        if route is None or head.method != b"POST" or head.is_odd or head.is_chunked:
            return None
        is_plain = is_json(head.headers.get(b"content-type", b"")) and b"content-encoding" not in head.headers
        return route if is_plain else None

    def start(self, route: str, head: Head, body: bytes, respond: Respond) -> Call | None:
        """Have the route's worker answer; `respond` is called now or later, once."""
        exchange = Exchange(self, route, head, respond)
        self._metrics.begin(route)
        try:
            self._guard.check(route, _decode(head.headers.get(b"authorization")))
            return self._send(exchange, body)
        except Problem as problem:
            exchange.refuse(problem)
            return None

    def flush(self) -> None:
        """Send what has come together for the workers."""
        for link in self._unsent:
            link.flush()
        self._unsent.clear()

    def end_overdue(self) -> None:
        """Answer 504 where the time is up, and close the app's kept connections to workers that take leave.

        What waits for a worker to be started again is sent to it when it listens.
        """
        now = time.monotonic()
        for name, backend in self._backends.items():
            backend.end_overdue(now)
            if backend.has_waiting:
                backend.send_waiting(in_vain=not self._fleet.is_coming_back(name))
        self._fleet.sweep()

    def close(self) -> None:
        """Close the connections to the workers."""
        for backend in self._backends.values():
            backend.close()

    def count(self, route: str, status: int, seconds: float, cause: str | None) -> None:
        """Count an answer."""
        self._metrics.end(route, status, seconds, cause=cause)

    def judge(self, route: str, outcome: Outcome) -> Frame:
        """The answer; raise the Problem that stands for none."""
        return self._fleet.judge(route, outcome)

    def _send(self, exchange: "Exchange", body: bytes) -> Call:
        backend = self._by_route[exchange.route]
        if backend.is_full:
            raise Problem(429, "too many requests wait for this model already", retry_after=1)
        header = {"id": exchange.request_id, "route": exchange.route, **exchange.trace}
        call = Call(header, body, exchange.finish, deadline=exchange.deadline(self._settings))
        try:
            backend.send(call)
        except NotConnectedError as error:
            self._fleet.judge(exchange.route, error)
        return call


class Exchange:
    """One request and its answer."""

    __slots__ = ("_hot", "_respond", "_started", "request_id", "route", "trace")

    def __init__(self, hot: HotPath, route: str, head: Head, respond: Respond) -> None:
        given = head.headers.get(b"x-request-id", b"")
        self.request_id = given.decode() if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.route = route
        traceparent = check_traceparent(_decode(head.headers.get(b"traceparent")))
        self.trace = {"traceparent": traceparent} if traceparent else {}
        self._hot = hot
        self._respond = respond
        self._started = time.monotonic()

    def deadline(self, settings: Settings) -> float:
        """When the answer is due."""
        return self._started + settings.request_timeout[self.route]

    def finish(self, outcome: Outcome) -> None:
        """Answer what the worker answered, or why it did not; a client that has gone is only counted."""
        if isinstance(outcome, ClientGoneError):
            self._hot.count(self.route, CLIENT_GONE, time.monotonic() - self._started, "client")
            return
        try:
            frame = self._hot.judge(self.route, outcome)
        except Problem as problem:
            self.refuse(problem)
            return
        self._hot.count(self.route, 200, time.monotonic() - self._started, None)
        self._respond(200, [*_JSON, ("X-Request-Id", self.request_id)], frame.body)

    def refuse(self, problem: Problem) -> None:
        """Answer an error."""
        log_problem(problem, request_id=self.request_id, path=f"/{self.route}")
        response: Response = render_problem(problem, self.request_id)
        self._hot.count(self.route, problem.status, time.monotonic() - self._started, problem.cause)
        headers = [(name, value) for name, value in response.headers if name != "Content-Length"]
        self._respond(problem.status, [*headers, ("X-Request-Id", self.request_id)], response.get_data())


def is_json(content_type: bytes) -> bool:
    """Tell whether a body so declared is taken as JSON; one that is not declared is.

    >>> is_json(b"application/json; charset=utf-8"), is_json(b"text/plain")
    (True, False)
    """
    if content_type in (b"application/json", b""):
        return True
    media_type = content_type.split(b";")[0].strip().lower()
    return media_type == b"application/json" or media_type.endswith(b"+json")


def _decode(value: Any) -> str | None:
    return None if value is None else value.decode("latin-1")
