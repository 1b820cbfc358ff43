"""Parts of an engine: a command asks for the one it needs, and an engine that lacks it says so."""

from collections.abc import Mapping

from modelyard.engines.protocols import (
    ContainerRunner,
    Engine,
    ImageBuilder,
    ImageExporter,
    ImagePublisher,
    ImageStore,
    Part,
)
from modelyard.errors import EngineError

_LACKS: Mapping[Part, str] = {
    "builder": "builds no images",
    "runner": "runs no containers",
    "store": "keeps no images",
    "publisher": "has no images that a registry takes",
    "exporter": "builds for its own machine alone, and writes no files",
}
_OCI = "or oci, which runs nothing (make: ENGINE=docker)"
_WAYS_OUT: Mapping[Part, str] = {
    "builder": f"choose one that builds: --engine local, docker or podman, {_OCI}",
    "runner": "choose one that runs them: --engine local, docker or podman (make: ENGINE=docker)",
    "store": f"choose one that keeps them: --engine local, docker or podman, {_OCI}",
    "exporter": "choose the one that does: --engine oci (make: ENGINE=oci)",
    "publisher": f"build and push with an engine of images: --engine docker, or podman, {_OCI}",
}


def require_builder(engine: Engine) -> ImageBuilder:
    """The engine as one that builds; raise EngineError for one that does not."""
    if isinstance(engine, ImageBuilder):
        return engine
    raise _lack(engine, "builder")


def require_runner(engine: Engine) -> ContainerRunner:
    """The engine as one that runs containers; raise EngineError for one that does not."""
    if isinstance(engine, ContainerRunner):
        return engine
    raise _lack(engine, "runner")


def require_store(engine: Engine) -> ImageStore:
    """The engine as one that keeps images; raise EngineError for one that does not."""
    if isinstance(engine, ImageStore):
        return engine
    raise _lack(engine, "store")


def require_publisher(engine: Engine) -> ImagePublisher:
    """The engine as one whose images registries take; raise EngineError for one that has none."""
    if isinstance(engine, ImagePublisher):
        return engine
    raise _lack(engine, "publisher")


def require_exporter(engine: Engine) -> ImageExporter:
    """The engine as one that builds for other machines and writes files; raise EngineError for one that does not."""
    if isinstance(engine, ImageExporter):
        return engine
    raise _lack(engine, "exporter")


def _lack(engine: Engine, part: Part) -> EngineError:
    return EngineError(f"the engine {engine.name} {engine.lacks.get(part, _LACKS[part])}", hint=_WAYS_OUT[part])
