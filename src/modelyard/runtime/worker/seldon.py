"""Seldon's v1 wrapper in the model's process: a message in, a message out, by a Seldon style class or a function."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from modelyard.runtime.failures import describe_error, format_trace, say
from modelyard.runtime.primitives import dump_json, load_json
from modelyard.runtime.worker.seldon_component import Component, describe_model, request_path
from modelyard.runtime.worker.seldon_messages import (
    BAD_DATA,
    INTERNAL_ERROR,
    MessageError,
    format_error,
    format_message,
    meta_of,
    parse_message,
    put_meta,
    put_plain,
    take_payload,
    take_upload,
)

Native = Callable[[Any, bytes], "tuple[dict[str, Any], bytes]"]


def answer_in_seldon(
    function: Any, header: Mapping[str, Any], body: bytes, native: Native
) -> tuple[dict[str, Any], bytes]:
    """Answer a request in Seldon's form; `header["method"]` is the class's method that it is for.

    `native` is how the worker answers a request in the native form: what a function needs.
    """
    method = header["method"]
    try:
        source = header.get("source", "body")
        message = parse_message(body, source) if body or method not in ("health_status", "init_metadata") else {}
        if isinstance(function, Component):
            reply = function.answer(method, take_upload(message) if source == "form" else message)
        else:
            reply = _answer_by_function(function, header, message, native)
        content = format_message(reply)
        return {"status": _status_of(reply) if method == "predict" else 200}, content
    except BaseException as error:
        # As in the native form: one request must not end the others' process.
        return _refuse(error)


def _answer_by_function(function: Any, request: Mapping[str, Any], message: Any, native: Native) -> Any:
    """Answer by a modelyard function: translate the message there, and the answer back."""
    method = request["method"]
    if method == "init_metadata":
        return describe_model({}, os.environ)
    if method == "health_status":
        return {"strData": "healthy", "meta": {}}
    if method != "predict":
        raise MessageError(f"{method.replace('_', ' ').capitalize()} not defined")
    header, content = native(function, dump_json(take_payload(message)).encode())
    if header["status"] != 200:
        raise _NativeError(header, request.get("id"))
    return {
        **put_plain(load_json(content), message),
        "meta": put_meta(meta_of(message), meta_of(message), tags={}, metrics=[], path=request_path(os.environ)),
    }


class _NativeError(Exception):
    """The worker's native refusal; its header says all."""

    def __init__(self, header: Mapping[str, Any], request_id: str | None) -> None:
        in_the_log = f"the code of the model failed; the log has the cause under this request_id {request_id}"
        super().__init__(header.get("detail") or in_the_log)
        self.header = header


def _refuse(error: BaseException) -> tuple[dict[str, Any], bytes]:
    if isinstance(error, _NativeError):
        reason = BAD_DATA if error.header["status"] < 500 else INTERNAL_ERROR
        return dict(error.header), format_error(str(error), reason)
    status = getattr(error, "status_code", None)
    if isinstance(status, int) and 400 <= status < 600:
        info = str(getattr(error, "message", None) or say(error))
        return {"status": status}, format_error(info, getattr(error, "reason", INTERNAL_ERROR))
    header = {"status": 500, "log": describe_error(error).get("log") or format_trace(error)}
    return header, format_error(say(error), INTERNAL_ERROR)


def _status_of(reply: Any) -> int:
    """The HTTP status that `predict_raw` has put into its message, else 200."""
    if not isinstance(reply, dict) or "status" not in reply or "code" not in reply["status"]:
        return 200
    code = reply["status"]["code"]
    if not isinstance(code, (str, bytes, int)):
        raise TypeError("Invalid status argument")
    code = int(code) if isinstance(code, str) and code.isdecimal() else code
    return code if isinstance(code, int) and 200 <= code < 600 else 200
