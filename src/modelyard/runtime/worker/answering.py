"""One request, answered by a model's function: a header and a body come, and go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.runtime.failures import describe_error
from modelyard.runtime.message import Message
from modelyard.runtime.values import from_json_bytes, open_envelope, to_json_bytes
from modelyard.runtime.worker.inbox import Job
from modelyard.runtime.worker.loading import Function


def answer_job(function: Function, job: Job) -> tuple[dict[str, Any], bytes]:
    """Answer a request in the form of its protocol; most are the native one by now."""
    if "protocol" in job.header:
        from modelyard.runtime.worker.seldon import answer_in_seldon

        return answer_in_seldon(function, job.header, job.body, answer)
    return answer(function, job.body, job.header)


def answer(function: Function, body: bytes, header: Mapping[str, Any] = {}) -> tuple[dict[str, Any], bytes]:
    """Call `function` with the payload that `body` holds; return the answer's header and body.

    A body with the key `payload` is an envelope and is answered by one. `header` is the request's.
    """
    try:
        payload, enveloped = open_envelope(parse_body(body))
    except (ValueError, RecursionError) as error:
        return {"status": 400, "detail": f"the body is no JSON: {error or 'nested too deep'}"}, b""
    try:
        message = Message(payload, request_id=header.get("id"), traceparent=header.get("traceparent"))
        content = to_json_bytes(function(message))
    except BaseException as error:
        # Everything, sys.exit() and Ctrl-C of a library included: one request must not end the others' process.
        return describe_error(error), b""
    return {"status": 200}, b'{"payload":%b}' % content if enveloped else content


def parse_body(body: bytes) -> Any:
    """Decode a request's body as JSON in the strict sense; raise ValueError saying what it is instead."""
    if not body.strip():
        raise ValueError("it is empty")
    return from_json_bytes(body)
