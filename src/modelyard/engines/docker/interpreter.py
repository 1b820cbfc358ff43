"""The Python of an image: what wheels have to fit, and what its environments are made of."""

from dataclasses import asdict, dataclass

from modelyard.context.lock import Target
from modelyard.engines.docker.client import Client
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import discard
from modelyard.errors import EngineError
from modelyard.machine.home import Home, read_record, write_record

_ASK = """\
import os, platform, sys, sysconfig
usual = sys.implementation.name == "cpython" and not sys.abiflags
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (OSError, ValueError):
    libc = "musl" if "musl" in (sysconfig.get_config_var("SOABI") or "") else "unknown"
python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
print("%d.%d.%d" % sys.version_info[:3], platform.machine(), libc if usual else "unknown", python, sep="\\n")
"""
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


def find_interpreter(client: Client, image: str) -> Interpreter:
    """The interpreter of an image, by its id. It is asked once: an image does not change."""
    record = Home.from_environ(client.environ).root / "interpreters" / f"{image.removeprefix('sha256:')}.json"
    known = read_record(record)
    if known is not None:
        return Interpreter(**known)
    asked = _ask_interpreter(client, image)
    record.parent.mkdir(parents=True, exist_ok=True)
    write_record(record, asdict(asked))
    return asked


def _ask_interpreter(client: Client, image: str) -> Interpreter:
    with open_workshop(client, image) as workshop:
        code, lines = workshop.execute(["python3", "-c", _ASK], user="0", environment={}, on_output=discard)
    if code or len(lines) != 4:
        said = "\n".join(f"  {line}" for line in lines)
        raise EngineError(
            f"the base image does not tell its Python (exit code {code}):\n{said}",
            hint="a base image needs Python 3.11 as python3; MODELYARD_BASE_IMAGE names another",
        )
    version, machine, libc, path = lines
    return Interpreter(version=version, machine=machine, libc=libc, path=path)
