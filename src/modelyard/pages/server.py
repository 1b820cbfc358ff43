"""A small server of pages that can only be read, for this machine alone.

It answers GET and HEAD, to requests that name this machine as their host: a page from elsewhere can't have the browser
ask it under another name. What it answers may load nothing from anywhere else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from modelyard.errors import InputError

LOOPBACK = "127.0.0.1"
_CHUNK = 1 << 16
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a path has: a content, or a file that is sent as it is read."""

    content: bytes | Path
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Callable[[str], Reply | None]
"""Asked with a path, without its query and unquoted; None where there is nothing."""


class PageServer:
    """Serves what `answer` has, on a port of this machine (0: a free one), from `start` on until it is closed."""

    def __init__(self, answer: Answer, *, port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"answer": staticmethod(answer)})
        try:
            self._server = ThreadingHTTPServer((LOOPBACK, port), handler)
        except OSError as error:
            raise InputError(
                f"port {port} of this machine can't be had ({error.strerror})", hint="another one: --port"
            ) from None
        self._server.daemon_threads = True

    @cached_property
    def address(self) -> str:
        """Where it is."""
        return f"http://{LOOPBACK}:{self._server.server_port}/"

    def serve(self) -> None:
        """Answer until the process is told to stop, or `stop` is called in another thread."""
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._server.server_close()

    def stop(self) -> None:
        """Have `serve` return."""
        self._server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "modelyard", ""
    timeout = 60
    answer: Answer

    def do_GET(self) -> None:
        """Answer with the content."""
        self._reply(with_content=True)

    def do_HEAD(self) -> None:
        """Answer without it."""
        self._reply(with_content=False)

    def _reply(self, *, with_content: bool) -> None:
        if not self._is_for_this_machine():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this is no page of that host")
            return
        reply = self.answer(unquote(urlsplit(self.path).path))
        if reply is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        try:
            self._send(reply, with_content=with_content)
        except (BrokenPipeError, ConnectionResetError):  # the browser has gone on to something else
            self.close_connection = True

    def _send(self, reply: Reply, *, with_content: bool) -> None:
        if isinstance(reply.content, bytes):
            self._send_head(reply, len(reply.content))
            if with_content:
                self.wfile.write(reply.content)
            return
        with reply.content.open("rb") as file:
            left = file.seek(0, 2)
            file.seek(0)
            self._send_head(reply, left)
            while with_content and left and (chunk := file.read(min(left, _CHUNK))):
                self.wfile.write(chunk)
                left -= len(chunk)
        if with_content and left:  # it has become shorter
            self.close_connection = True

    def _send_head(self, reply: Reply, length: int) -> None:
        self.send_response(HTTPStatus.OK)
        headers = {**_HEADERS, "Content-Type": reply.media_type, "Content-Length": str(length), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _is_for_this_machine(self) -> bool:
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return host in (LOOPBACK, "localhost")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: a page that looks every second is no news."""
