"""Errors as HTTP answers: application/problem+json (RFC 9457) with a status that is true."""

import json
import logging
from functools import cache
from http import HTTPStatus
from typing import Any

from flask import Response

from modelyard.runtime.daemon.logs import fields

log = logging.getLogger(__name__)

_LOGGED = (500, 502, 504)
IS_GONE = "modelyard.is_gone"
"""In a request's WSGI environment: tells whether its client has gone."""
CLIENT_GONE = 499
"""The status, in logs and metrics, of what nobody waited for any more."""

IN_THE_LOG = "the log has the cause under this request_id"

CAUSES = {
    400: "bad_json",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method",
    408: "client",
    CLIENT_GONE: "client",
    413: "too_large",
    415: "media_type",
    422: "refused",
    429: "overload",
    500: "failed",
    502: "died",
    503: "overload",
    504: "timeout",
}
"""What a status stands for in metrics and logs, where a Problem says nothing closer."""
OTHER_CAUSES = ("not_ready", "gateway")


class Problem(Exception):
    """An answer that is an error.

    `trace` and `pid` (of a worker) go to the log and never to the client, `cause` to the metrics, `members` into the
    document.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        retry_after: int | None = None,
        trace: str | None = None,
        pid: str | None = None,
        cause: str | None = None,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.trace = trace
        self.pid = pid
        self.cause = cause or cause_of(status)
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        self.members = members


def log_problem(problem: Problem, *, request_id: str, path: str) -> None:
    """Log what the answer only has the id of."""
    if problem.status in _LOGGED:
        about = fields(request_id=request_id, path=path, status=problem.status)
        about["fields"] |= {"pid": int(problem.pid)} if problem.pid else {}
        about["fields"] |= {"trace": problem.trace} if problem.trace else {}
        log.error("%s", problem.detail.removesuffix(f"; {IN_THE_LOG}"), extra=about)


def describe_with_id(problem: Problem, request_id: str) -> str:
    """The detail, for forms of error that have no member for the request's id: the log's line can be found by it."""
    return f"{problem.detail} {request_id}" if problem.detail.endswith(IN_THE_LOG) else problem.detail


def cause_of(status: int) -> str:
    """The word for an error in the metrics: a model may refuse with any 4xx."""
    return CAUSES.get(status) or ("refused" if status < 500 else "failed")


def render_problem(problem: Problem, request_id: str) -> Response:
    """Make the answer."""
    document = {
        "type": "about:blank",
        "title": find_phrase(problem.status),
        "status": problem.status,
        "detail": problem.detail,
        "request_id": request_id,
        **problem.members,
    }
    return Response(json.dumps(document), problem.status, headers=problem.headers, mimetype="application/problem+json")


@cache
def find_phrase(status: int) -> str:
    """The standard phrase of a status.

    >>> find_phrase(404), find_phrase(499)
    ('Not Found', 'Error')
    """
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
