"""The Python of an image: what wheels have to fit, and what its environments are made of."""

from dataclasses import dataclass

from modelyard.context.lock import Target

# The glibc 2.x that uv has a platform for: https://docs.astral.sh/uv/reference/cli/#uv-pip-install--python-platform
_GLIBC = (17, 28, *range(31, 41))


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """What an image says of its `python3`."""

    version: str
    """All of it: `3.11.2`."""
    machine: str
    libc: str
    """`glibc 2.36`, `musl`, or `unknown`."""
    path: str
    """The executable, links followed: what environments link to."""

    @property
    def minor(self) -> str:
        """What wheels and compiled modules are for: `3.11`."""
        return ".".join(self.version.split(".")[:2])

    @property
    def platform(self) -> str | None:
        """What uv calls the platform; None where it knows none that wheels are made for.

        >>> Interpreter(version="3.11.2", machine="x86_64", libc="glibc 2.36", path="/usr/bin/python3.11").platform
        'x86_64-manylinux_2_36'
        """
        name, _, version = self.libc.partition(" ")
        if self.machine not in ("x86_64", "aarch64") or name not in ("glibc", "musl"):
            return None
        if name == "musl":
            return f"{self.machine}-unknown-linux-musl"
        known = [number for number in _GLIBC if number <= int(version.split(".")[1])]
        return f"{self.machine}-manylinux_2_{known[-1]}" if known else None

    @property
    def target(self) -> Target:
        """What locks are worked out for."""
        libc = "musl" if self.libc == "musl" else "gnu"
        return Target(python=self.minor, platform=f"{self.machine}-unknown-linux-{libc}")
