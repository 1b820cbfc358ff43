"""What an image is for, as registries spell it: `linux/amd64`, `linux/arm64`, `linux/arm/v7`."""

import platform
import re
from dataclasses import dataclass

from modelyard.errors import InputError

_OTHER_NAMES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm"}
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# https://go.dev/doc/install/source#environment: what images are named by.
_ARCHITECTURES = ("amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "loong64", "mips64le")


@dataclass(frozen=True, kw_only=True)
class TargetPlatform:
    """The operating system and processor of an image."""

    os: str = "linux"
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def machine(self) -> str:
        """The processor as `uname -m` spells it, and so wheels do: `x86_64`."""
        return _MACHINES.get(self.architecture, self.architecture)


def find_own_platform() -> TargetPlatform:
    """What this machine runs, were it Linux."""
    return parse_platform(platform.machine())


def parse_platform(text: str) -> TargetPlatform:
    """Parse what a person wrote; raise InputError for what is no platform of images here.

    >>> str(parse_platform("linux/aarch64")), str(parse_platform("amd64")), str(parse_platform("linux/arm64/v8"))
    ('linux/arm64', 'linux/amd64', 'linux/arm64')
    """
    match = re.fullmatch(r"(?:(?P<os>[a-z]+)/)?(?P<architecture>[a-z0-9_-]+)(?:/(?P<variant>v[0-9]+))?", text.lower())
    architecture = _OTHER_NAMES.get(match["architecture"], match["architecture"]) if match else ""
    if match is None or architecture not in _ARCHITECTURES or match["os"] not in (None, "linux"):
        raise InputError(f"{text!r} is no platform that images are made for", hint="write linux/amd64 or linux/arm64")
    variant = "" if (architecture, match["variant"]) == ("arm64", "v8") else match["variant"] or ""
    return TargetPlatform(architecture=architecture, variant=variant)


def parse_platforms(text: str) -> tuple[TargetPlatform, ...]:
    """Parse a list of platforms, each once; raise InputError for what is none.

    >>> [str(each) for each in parse_platforms("linux/amd64, arm64,amd64")]
    ['linux/amd64', 'linux/arm64']
    """
    return tuple(dict.fromkeys(parse_platform(part.strip()) for part in text.split(",")))
