"""Where an image is in a registry: `host[:port]/name[:tag][@digest]`, by Docker's rules for what is left out.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests
"""

import re
from dataclasses import dataclass, replace

from modelyard.errors import InputError

DIGEST = r"sha256:[0-9a-f]{64}"
_PART = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_ADDRESS = (
    r"(?:(?P<host>(?=[^/]*[.:]|localhost/)(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9]+(?:[.-]+[A-Za-z0-9]+)*)(?::[0-9]{1,5})?)/)?"
    rf"(?P<name>{_PART}(?:/{_PART})*)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(?:@(?P<digest>{DIGEST}))?"
)
DOCKER_HUB = "docker.io"
_LOOPBACK = r"localhost|127(\.[0-9]{1,3}){3}|\[::1\]"


@dataclass(frozen=True, kw_only=True)
class Address:
    """An image in a registry; one with a digest means that content, whatever its tag is."""

    host: str
    """With its port, where it has one."""
    name: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.host}/{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def reference(self) -> str:
        """What the registry is asked for: the digest where there is one."""
        return self.digest or self.tag or "latest"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where nobody listens between."""
        return re.fullmatch(rf"({_LOOPBACK})(:[0-9]+)?", self.host) is not None

    @property
    def server(self) -> str:
        """Whom to ask: what is called docker.io answers by another name."""
        return "registry-1.docker.io" if self.host == DOCKER_HUB else self.host

    def at(self, digest: str) -> "Address":
        """The same place, and exactly that content."""
        return replace(self, tag=None, digest=digest)


def parse_address(text: str) -> Address:
    """Parse what a person wrote; raise InputError for what is no place in a registry.

    >>> str(parse_address("localhost:5000/Income/rf:v1".lower()))
    'localhost:5000/income/rf:v1'
    >>> str(parse_address("python"))
    'docker.io/library/python:latest'
    """
    match = re.fullmatch(_ADDRESS, text)
    if match is None:
        raise InputError(
            f"{text!r} is no image in a registry",
            hint="write host/name:tag or host/name@sha256:<64 digits>, the name in small letters, digits and . _ - /",
        )
    host, name = match["host"] or DOCKER_HUB, match["name"]
    if not match["host"] and re.fullmatch(r"(localhost|[^/]*\.[^/]*):[0-9]{1,5}", text):
        raise InputError(f"{text!r} is a registry, and no image in it", hint=f"write {text}/name:tag")
    if host == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    tag = match["tag"] or (None if match["digest"] else "latest")
    return Address(host=host, name=name, tag=tag, digest=match["digest"])
