"""The few questions of a build in which little has changed, put to a socket of this machine without the SDK.

The SDK comes with requests and urllib3; loading those takes longer than all of the answers. It does everything else,
and everything at engines that are not behind a Unix socket: TLS, versions and SSH are its business alone.
"""

import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from http.client import BAD_REQUEST, HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode, urlsplit


class RefusedError(Exception):
    """The engine's refusal, with the names that the SDK's APIError has."""

    def __init__(self, explanation: str, status_code: int) -> None:
        super().__init__(explanation)
        self.explanation = explanation
        self.status_code = status_code


@dataclass(frozen=True)
class _Answer:
    said: bytes
    headers: Message


@dataclass(frozen=True)
class Questions:
    """What is asked of an engine at `url` (unix://...), by the names that the SDK's low-level client has for it.

    Raises RefusedError, and OSError or HTTPException where nobody answers; see
    https://docs.docker.com/reference/api/engine/.
    """

    url: str
    timeout: float

    def ping(self) -> Message:
        """The headers of its shortest answer: Api-Version, and for Podman Libpod-Api-Version."""
        return self._send("GET", "/_ping", None).headers

    def info(self) -> Mapping[str, Any]:
        """What the engine says about its host."""
        answer: Mapping[str, Any] = self._ask("GET", "/info")
        return answer

    def images(self, *, filters: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """The images that match every filter."""
        asked = json.dumps({name: [value] for name, value in filters.items()})
        answer: list[Mapping[str, Any]] = self._ask("GET", "/images/json", filters=asked)
        return answer

    def inspect_image(self, image: str) -> Mapping[str, Any]:
        """What is known of an image."""
        answer: Mapping[str, Any] = self._ask("GET", f"/images/{quote(image, safe='/:')}/json")
        return answer

    def history(self, image: str) -> list[Mapping[str, Any]]:
        """What an image was made by, the newest first."""
        answer: list[Mapping[str, Any]] = self._ask("GET", f"/images/{quote(image, safe='/:')}/history")
        return answer

    def load_image(self, archive: Iterable[bytes], *, quiet: bool) -> Iterator[Mapping[str, Any]]:
        """Load an archive of images; pass on what the engine says of it."""
        said = self._send("POST", "/images/load", archive, quiet=str(quiet).lower()).said
        yield from map(json.loads, filter(bytes.strip, said.splitlines()))

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Let a tag name an image."""
        self._ask("POST", f"/images/{quote(image, safe='/:')}/tag", repo=repository, tag=tag)

    def _ask(self, method: str, path: str, **parameters: str) -> Any:
        said = self._send(method, path, None, **parameters).said
        return json.loads(said) if said.strip() else None

    def _send(self, method: str, path: str, body: Iterable[bytes] | None, **parameters: str) -> "_Answer":
        connection = HTTPConnection("localhost", timeout=self.timeout)
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.settimeout(self.timeout)
            connection.sock.connect(urlsplit(self.url).path)
            headers = {"Content-Type": "application/x-tar"} if body is not None else {}
            connection.request(method, f"{path}?{urlencode(parameters)}" if parameters else path, body, headers)
            response = connection.getresponse()
            said = response.read()
        if response.status >= BAD_REQUEST:
            raise RefusedError(_explanation(said), response.status)
        return _Answer(said, response.headers)


def _explanation(said: bytes) -> str:
    try:
        return str(json.loads(said)["message"])
    except (ValueError, TypeError, KeyError):
        return said.decode(errors="replace")
