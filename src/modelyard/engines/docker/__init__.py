"""The engine of real images: Docker and Podman, one class on two sockets. The only package that imports `docker`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.engines.docker.engine import DockerEngine

__all__ = ["DockerEngine"]


def __getattr__(name: str) -> object:
    """Load the engine when it is asked for: who needs one module of this package does not wait for all of them."""
    if name not in __all__:
        raise AttributeError(name)
    from modelyard.engines.docker.engine import DockerEngine

    return DockerEngine
