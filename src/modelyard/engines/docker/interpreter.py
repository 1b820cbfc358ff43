"""Ask an image for its Python, once."""

from dataclasses import asdict

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.workshop import open_workshop
from modelyard.engines.protocols import discard
from modelyard.errors import EngineError
from modelyard.images.interpreter import Interpreter
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
