"""The engine of real images: Docker and Podman, one class on two sockets. The only package that imports `docker`."""

from modelyard.engines.docker.engine import DockerEngine

__all__ = ["DockerEngine"]
