"""Engines: where application images are built and run. `open_engine` opens one by name, `choose_engine` finds one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from modelyard.engines.protocols import Engine
from modelyard.errors import EngineError

FIND = "auto"


@dataclass(frozen=True)
class Choice:
    """Which engine to use; `found` says how it was found where nobody named it."""

    name: str
    found: str = ""


def _open_local(name: str, environ: Mapping[str, str]) -> Engine:
    from modelyard.engines.local import LocalEngine

    return LocalEngine.from_environ(environ)


def _open_docker(name: str, environ: Mapping[str, str]) -> Engine:
    from modelyard.engines.docker import DockerEngine

    return DockerEngine.from_environ(name, environ)


def _open_oci(name: str, environ: Mapping[str, str]) -> Engine:
    from modelyard.engines.oci.engine import OciEngine

    return OciEngine.from_environ(environ)


FACTORIES: Mapping[str, Callable[[str, Mapping[str, str]], Engine]] = {
    "local": _open_local,
    "docker": _open_docker,
    "podman": _open_docker,
    "oci": _open_oci,
}
"""How each engine is opened; a package is imported by the first who opens an engine of it."""


def open_engine(name: str | None, environ: Mapping[str, str]) -> Engine:
    """Open the engine `name`, else $MODELYARD_ENGINE, else the first that is there; raise EngineError for none such."""
    chosen = choose_engine(name, environ).name
    return FACTORIES[chosen](chosen, environ)


def choose_engine(name: str | None, environ: Mapping[str, str]) -> Choice:
    """Choose the engine that is named; else (or for `auto`) DOCKER_HOST, Docker or Podman that answer, the embedded."""
    chosen = name or environ.get("MODELYARD_ENGINE") or FIND
    if chosen not in (*FACTORIES, FIND):
        raise EngineError(f"there is no engine {chosen!r}", hint=f"engines: {', '.join(FACTORIES)}, or {FIND}")
    return _find_engine(environ) if chosen == FIND else Choice(chosen)


def _find_engine(environ: Mapping[str, str]) -> Choice:
    from modelyard.engines.docker.sockets import find_answering

    found = find_answering(environ)
    if found is None:
        return Choice("local", "no Docker or Podman answers here")
    if find_spec("docker") is None:
        missing = "without the Python package 'docker': pip install 'modelyard[docker]'"
        return Choice("local", f"{found.engine} is at {found.origin}, but modelyard was installed {missing}")
    return Choice(found.engine, found.origin)
