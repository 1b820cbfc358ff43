"""A small server of a page to look at: read only, for this machine alone, of the standard library."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from modelyard.errors import ModelyardError, PortTakenError
from modelyard.runtime.values import to_json_bytes

LOOPBACK = "127.0.0.1"
_NAMES = {LOOPBACK, "localhost", "[::1]"}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_log = logging.getLogger(__name__)
Query = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a path answers."""

    content: bytes
    kind: str = "text/plain"
    status: int = 200


Route = Callable[[Query], Answer]


def answer_json(value: Any) -> Answer:
    """A value as JSON; what is no finite number becomes null."""
    return Answer(content=to_json_bytes(value), kind="application/json")


def answer_text(text: str) -> Answer:
    """A text."""
    return Answer(content=text.encode(errors="replace"))


def files_of(folder: Path) -> dict[str, Route]:
    """A route for each file of a page; index.html is `/`."""
    return {
        "/" if path.name == "index.html" else f"/{path.name}": _file_route(path)
        for path in folder.iterdir()
        if path.suffix in _TYPES
    }


def open_server(routes: Mapping[str, Route], *, port: int) -> ThreadingHTTPServer:
    """Listen on this machine's own address, at any free port for 0; raise PortTakenError where that is taken.

    Only GET and HEAD are answered, and only to who asks for this machine by name: a page of another site can't be made
    to read along by pointing its own name here.
    """
    handler = type("Handler", (_Handler,), {"routes": dict(routes)})
    try:
        server = ThreadingHTTPServer((LOOPBACK, port), handler)
    except OSError as error:
        raise PortTakenError(f"port {port} on {LOOPBACK}: {error.strerror}", hint="take another: --port") from None
    server.daemon_threads = True
    return server


def address_of(server: ThreadingHTTPServer) -> str:
    """Where a server answers."""
    return f"http://{LOOPBACK}:{server.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    routes: Mapping[str, Route]

    def do_GET(self) -> None:
        """Answer, as HTTP's own classes name it."""
        self._send(self._answer())

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Refuse what would change something."""
        self._send(Answer(content=b"read only\n", status=405))

    do_PUT = do_DELETE = do_PATCH = do_POST

    def _answer(self) -> Answer:
        host = self.headers.get("Host", "")
        if host.rpartition(":")[0] not in _NAMES:
            return Answer(content=b"not for this host\n", status=421)
        parts = urlsplit(self.path)
        route = self.routes.get(parts.path)
        if route is None:
            return Answer(content=b"there is no such page\n", status=404)
        try:
            return route({name: values[-1] for name, values in parse_qs(parts.query).items()})
        except ModelyardError as error:
            return Answer(content=f"{error.message}\n".encode(), status=404)
        except Exception:
            _log.exception("%s", self.path)
            return Answer(content=b"this failed; the terminal says why\n", status=500)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{answer.kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            try:
                self.wfile.write(answer.content)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


def _file_route(path: Path) -> Route:
    def answer(query: Query) -> Answer:
        return Answer(content=path.read_bytes(), kind=_TYPES[path.suffix])

    return answer
