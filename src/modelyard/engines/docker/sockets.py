"""Where engines listen: DOCKER_HOST, Docker's own socket, Podman's, found without the SDK."""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from modelyard.engines.docker.questions import Questions, RefusedError
from modelyard.errors import EngineError

ENGINES = ("docker", "podman")
_PATIENCE = 2.0
_START = {
    "docker": "sudo systemctl start docker",
    "podman": "systemctl --user start podman.socket, or: podman system service --time=0 &",
}


@dataclass(frozen=True)
class Socket:
    """An engine's address; `origin` says how it was found."""

    engine: str
    url: str
    origin: str

    @property
    def exists(self) -> bool:
        """Whether something listens there, as far as one can tell without asking."""
        parts = urlsplit(self.url)
        return parts.scheme not in ("unix", "http+unix") or _is_socket(Path(parts.path))

    @property
    def start(self) -> str:
        """The command that starts such an engine."""
        return _START[self.engine]


def find_socket(engine: str, environ: Mapping[str, str]) -> Socket | None:
    """The socket of an engine: what its variable names, else the first of the usual places; None if nowhere."""
    named = {"docker": "DOCKER_HOST", "podman": "CONTAINER_HOST"}[engine]
    if environ.get(named):
        return Socket(engine, environ[named], named)
    return next((place for place in _usual_sockets(environ) if place.engine == engine and place.exists), None)


def find_answering(environ: Mapping[str, str]) -> Socket | None:
    """The engine to use where none is named: at DOCKER_HOST, else the first of the usual places where one answers."""
    if environ.get("DOCKER_HOST"):
        return find_socket("docker", environ)
    return next((place for place in _usual_sockets(environ) if place.exists and _answers(place)), None)


def require_socket(engine: str, environ: Mapping[str, str]) -> Socket:
    """The socket of an engine; raise EngineError that says where it was looked for."""
    found = find_socket(engine, environ)
    if found is None:
        places = ", ".join(str(path) for name, path in _usual_places(environ) if name == engine)
        raise EngineError(
            f"no {engine} engine: nothing at {places}",
            hint=f"start it ({_START[engine]}), name it with DOCKER_HOST, or use the embedded engine: --engine local",
        )
    return found


def _usual_sockets(environ: Mapping[str, str]) -> Iterator[Socket]:
    yield from (Socket(name, f"unix://{path}", str(path)) for name, path in _usual_places(environ))


def _usual_places(environ: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    home = Path(environ.get("HOME") or "/")
    yield "docker", Path("/var/run/docker.sock")
    yield "docker", runtime / "docker.sock"
    yield "docker", home / ".docker" / "run" / "docker.sock"
    yield "podman", runtime / "podman" / "podman.sock"
    yield "podman", Path("/run/podman/podman.sock")


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _answers(place: Socket) -> bool:
    """Whether an engine answers a ping: a socket outlives an engine that was killed, and may be another user's."""
    try:
        Questions(place.url, _PATIENCE).ping()
    except (OSError, HTTPException, RefusedError):
        return False
    return True
