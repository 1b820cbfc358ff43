"""A registry of today before a real one of yesterday: it keeps the list of what refers to a manifest itself."""

import hashlib
import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError

INDEX = "application/vnd.oci.image.index.v1+json"


@contextmanager
def run_referring_proxy(host: str) -> Iterator[str]:
    """Yields the host of a registry that answers /referrers/, and otherwise as `host` does."""
    listed: dict[str, list[dict[str, object]]] = {}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            place, _, digest = self.path.partition("/referrers/")
            if digest:
                document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed.get(digest, [])}
                return self._answer(200, {"Content-Type": INDEX}, json.dumps(document).encode())
            headers = {key: value for key, value in self.headers.items() if key not in ("Host", "Connection")}
            request = urllib.request.Request(
                f"http://{host}{self.path}", data=body or None, headers=headers, method=self.command
            )
            try:
                with urllib.request.urlopen(request) as answer:
                    status, said, content = answer.status, dict(answer.headers), answer.read()
            except HTTPError as error:
                status, said, content = error.code, dict(error.headers), error.read()
            if self.command == "PUT" and "/manifests/" in place and b'"subject"' in body:
                manifest = json.loads(body)
                subject = manifest["subject"]["digest"]
                described = {
                    "mediaType": manifest["mediaType"],
                    "artifactType": manifest["artifactType"],
                    "digest": f"sha256:{hashlib.sha256(body).hexdigest()}",
                    "size": len(body),
                }
                listed.setdefault(subject, []).append(described)
                said["OCI-Subject"] = subject
            return self._answer(status, said, content)

        do_HEAD = do_PUT = do_POST = do_PATCH = do_GET

        def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                if key.title() not in ("Content-Length", "Connection", "Transfer-Encoding", "Date", "Server"):
                    self.send_header(key, value.replace(host, self.headers["Host"]))
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
