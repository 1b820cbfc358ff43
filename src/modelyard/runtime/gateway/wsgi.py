"""Runs the Flask app for a request that has come as a whole, by way of gunicorn's own parser and response."""

import logging
import secrets
from collections.abc import Callable
from io import BytesIO
from typing import Any

from gunicorn.http import errors, wsgi  # type: ignore[import-untyped]
from gunicorn.http.parser import RequestParser  # type: ignore[import-untyped]

from modelyard.runtime.gateway.problems import IN_THE_LOG, IS_GONE, Problem, find_phrase, render_problem

log = logging.getLogger(__name__)

_REFUSALS = {
    errors.LimitRequestLine: (414, "the request's address is too long"),
    errors.ExpectationFailed: (417, "nothing but 100-continue can be expected"),
    errors.UnsupportedTransferCoding: (501, "a body may come in chunks, and in no other transfer coding"),
}
_NO_REQUEST = (400, "this is no HTTP/1.1 request that can be understood")


class Answer:
    """Takes what gunicorn writes, as a socket would."""

    def __init__(self) -> None:
        self.data = bytearray()

    def sendall(self, data: bytes) -> None:
        """Take a part of the answer."""
        self.data += data

    def send(self, data: bytes) -> int:
        """Take nothing: it is "100 Continue", which the loop has sent in time."""
        return len(data)


def run_app(
    worker: Any, head: bytes, body: bytes, address: Any, server: Any, *, is_last: bool, is_gone: Callable[[], bool]
) -> tuple[bytes, bool]:
    """Answer the request of that head and body; return the bytes to send, and whether the connection may go on.

    Where it is the connection's last request, the answer says so. The app may ask whether the client `is_gone`.
    """
    answer = Answer()
    try:
        request = next(RequestParser(worker.cfg, [head], address))
        request.version = min(request.version, (1, 1))  # a later minor version is answered as the latest that we know
        _check_coding(request)
        response, environ = wsgi.create(request, answer, address, server, worker.cfg)
        environ |= {IS_GONE: is_gone, "wsgi.input": BytesIO(body)}  # gunicorn's own would copy it again and again
        environ.pop("HTTP_UPGRADE", None)  # Flask looks for a websocket's route, where an upgrade may be ignored
        if worker.is_stopping or is_last:
            response.force_close()

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            code = int(status[:3])
            return response.start_response(f"{code} {find_phrase(code)}", headers, exc_info)  # Flask's are upper-case

        content = worker.wsgi(environ, start_response)
        try:
            for part in content:
                response.write(part)
            response.close()
        finally:
            if hasattr(content, "close"):
                content.close()
        return bytes(answer.data), not response.should_close()
    except errors.ParseException as error:
        status, detail = _REFUSALS.get(type(error), _NO_REQUEST)
        return _describe(status, f"{detail}: {error}"), False
    except BaseException:
        # The app answers its own failures: what comes here failed around it. Half an answer ends with the connection.
        log.exception("the gateway failed")
        return bytes(answer.data) or _describe(500, f"the gateway failed; {IN_THE_LOG}"), False


def _check_coding(request: Any) -> None:
    """Refuse bodies that are compressed for the way: gunicorn's parser lets them through as they are."""
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING" and value.lower() != "chunked":
            raise errors.UnsupportedTransferCoding(value)


def _describe(status: int, detail: str) -> bytes:
    request_id = secrets.token_hex(8)
    response = render_problem(Problem(status, detail), request_id)
    body = response.get_data()
    about = f"Content-Type: {response.mimetype}\r\nContent-Length: {len(body)}\r\nX-Request-Id: {request_id}\r\n"
    return f"HTTP/1.1 {status} {find_phrase(status)}\r\n{about}Connection: close\r\n\r\n".encode() + body
