"""A token service for a real registry: it knows one user, and signs what he may do.

https://distribution.github.io/distribution/spec/auth/jwt/
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

USER = "Basic " + base64.b64encode(b"me:secret").decode()
LEEWAY = 60
"""For how many seconds the registry still takes a token that has expired."""


class TokenService:
    """Answers where `realm` says; `lifetime` is how long the registry takes each token, in seconds."""

    def __init__(self, folder: Path) -> None:
        self.lifetime = 300.0
        self.issued: list[str] = []
        """The scopes of each token."""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tokens")])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.bundle = folder / "tokens.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        self.realm = ""

    @property
    def settings(self) -> str:
        """What the registry has to know."""
        return f'{{realm: "{self.realm}", service: test, issuer: tests, rootcertbundle: "{self.bundle}"}}'

    def sign(self, scopes: list[str]) -> str:
        """A token for those scopes."""
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        now = time.time()
        end = now + self.lifetime - LEEWAY
        claims = {
            "iss": "tests",
            "sub": "me",
            "aud": "test",
            "exp": int(end),
            "nbf": int(now) - 600,
            "iat": int(now),
            "jti": str(len(self.issued)),
            "access": access,
        }
        text = ".".join(_encode(json.dumps(each).encode()) for each in (header, claims))
        return f"{text}.{_encode(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextmanager
def running_token_service(folder: Path) -> Iterator[TokenService]:
    """Run a token service on a port of its own."""
    service = TokenService(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != USER:
                self._answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]})
                return
            scopes = parse_qs(urlsplit(self.path).query).get("scope", [])
            service.issued.append(" ".join(scopes))
            self._answer(200, {"token": service.sign(scopes), "expires_in": 300})

        def _answer(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.realm = f"http://127.0.0.1:{server.server_port}/token"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
