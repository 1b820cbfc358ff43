"""Namespaces: stores of application images in one engine, so that tests and CI jobs don't touch each other's."""

from collections.abc import Mapping
from dataclasses import dataclass

LABEL = "io.modelyard.namespace"
VARIABLE = "MODELYARD_NAMESPACE"
_PODMAN = ("docker.io/library/", "docker.io/", "localhost/")


@dataclass(frozen=True)
class Namespace:
    """A namespace; the empty one is everybody's, and its names are the engine's own."""

    name: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Namespace":
        """$MODELYARD_NAMESPACE."""
        return cls(environ.get(VARIABLE, ""))

    @property
    def labels(self) -> dict[str, str]:
        """What marks its images and containers."""
        return {LABEL: self.name}

    def holds(self, labels: Mapping[str, str] | None) -> bool:
        """Whether what has these labels belongs to it. Engines are not asked: Podman 4 gets two label filters wrong."""
        return (labels or {}).get(LABEL, "") == self.name

    def reference(self, tag: str) -> str:
        """What the engine calls the image `tag`.

        >>> Namespace("ci-7").reference("income:latest"), Namespace().reference("income:latest")
        ('ci-7/income:latest', 'income:latest')
        """
        return f"{self.name}/{tag}" if self.name else tag

    def tag(self, reference: str) -> str:
        """What an image is called here; Podman adds `localhost/` or `docker.io/library/` of its own accord.

        >>> Namespace("ci-7").tag("docker.io/ci-7/income:latest"), Namespace().tag("registry.example/income:1")
        ('income:latest', 'registry.example/income:1')
        """
        prefix = next((prefix for prefix in _PODMAN if reference.startswith(prefix)), "")
        name = reference.removeprefix(prefix)
        return name.removeprefix(f"{self.name}/") if self.name else name

    def container(self, name: str) -> str:
        """What the engine calls the container `name`."""
        return f"{self.name}-{name}" if self.name else name
