"""Engines: where application images are built and run. `open_engine` chooses one by name, or finds one."""

import logging
from collections.abc import Mapping

from modelyard.engines.protocols import Engine
from modelyard.errors import EngineError

ENGINES = ("local", "docker", "podman")
FIND = "auto"
_LOGGER = logging.getLogger(__name__)


def open_engine(name: str | None, environ: Mapping[str, str]) -> Engine:
    """Open the engine `name`, else $MODELYARD_ENGINE, else the embedded one; raise EngineError for no such engine.

    `auto` takes the first that is there: DOCKER_HOST, Docker's socket, Podman's socket, the embedded engine.
    """
    chosen = name or environ.get("MODELYARD_ENGINE") or "local"
    if chosen not in (*ENGINES, FIND):
        raise EngineError(f"there is no engine {chosen!r}", hint=f"engines: {', '.join(ENGINES)}, or {FIND}")
    if chosen == FIND:
        chosen = find_engine(environ)
    if chosen == "local":
        from modelyard.engines.local import LocalEngine

        return LocalEngine.from_environ(environ)
    from modelyard.engines.docker import DockerEngine

    return DockerEngine.from_environ(chosen, environ)


def find_engine(environ: Mapping[str, str]) -> str:
    """The name of the first engine that is there; says which, and where it was found."""
    from modelyard.engines.docker.sockets import find_socket

    found = find_socket(None, environ)
    if found is None:
        _LOGGER.info("engine: local (no Docker or Podman socket here)")
        return "local"
    _LOGGER.info("engine: %s (%s)", found.engine, found.origin)
    return found.engine
