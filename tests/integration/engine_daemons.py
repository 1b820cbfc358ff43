"""Docker and Podman for tests: found running, or started where the machine allows it, and stopped only then.

Several processes may run the tests: whoever needs an engine first starts it, and the one that began them all stops what
was started.
"""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from modelyard.engines.docker.client import Client
from modelyard.engines.docker.sockets import Socket, find_socket
from modelyard.engines.oci.bases import open_base
from modelyard.engines.oci.layout import Layout
from modelyard.errors import EngineError
from modelyard.images.platforms import find_own_platform

ROOT = Path(__file__).parents[2]
BASE = "modelyard-base:bookworm"
_SERVICES = {"docker": "dockerd", "podman": "podman"}
_PODMAN_SOCKET = Path("/run/podman/podman.sock")


@contextmanager
def running_engine(engine: str, services: Path) -> Iterator[dict[str, str]]:
    """The variables that lead to a running engine with a base image; skip, with the reason, where there can be none.

    `services` is the folder of all processes that run the tests, for what they have started.
    """
    with one_at_a_time(services / f"{engine}.lock"):
        client = Client(_find_or_start(engine, services), os.environ)
        base = os.environ.get("MODELYARD_BASE_IMAGE") or _make_base(client)
    yield {
        "MODELYARD_BASE_IMAGE": base,
        # Package indexes may be in reach of this machine alone (a proxy, a VPN): builds use its own network.
        "MODELYARD_BUILD_NETWORK": os.environ.get("MODELYARD_BUILD_NETWORK", "host"),
    }


def save_base(folder: Path, name: str) -> Path:
    """Save an image of Docker as `base` in a layout, where that was not done before."""
    layout = Layout(folder)
    if layout.find("base") is None:
        socket = find_socket("docker", os.environ)
        assert socket is not None
        archive = folder.with_suffix(".tar")
        with archive.open("wb") as file:
            file.writelines(Client(socket, os.environ).api.get_image(name))
        platform = find_own_platform()
        layout.tag(open_base(f"docker-archive:{archive}", platform, os.environ, layout).descriptor, "base")
        archive.unlink()
    return layout.root


def stop_services(services: Path) -> None:
    """Stop every engine that was started, and wait for its end."""
    for record in services.glob("*.pid"):
        pid = int(record.read_text())
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 60
            while _runs(pid) and time.monotonic() < deadline:
                time.sleep(0.1)
        record.unlink()


def _find_or_start(engine: str, services: Path) -> Socket:
    found = find_socket(engine, os.environ)
    if found is not None and _answers(found):
        return found
    command = shutil.which(_SERVICES[engine])
    if command is None:
        pytest.skip(f"ENGINE NOT TESTED: no {engine} runs here, and {_SERVICES[engine]} is not installed")
    if os.geteuid() != 0:
        pytest.skip(f"ENGINE NOT TESTED: no {engine} runs here, and only root may start one")
    log = services / f"{engine}.log"
    arguments = [] if engine == "docker" else ["system", "service", "--time=0", f"unix://{_PODMAN_SOCKET}"]
    _PODMAN_SOCKET.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [command, *arguments], stdout=output, stderr=output, env=_service_environ(services), start_new_session=True
        )
    (services / f"{engine}.pid").write_text(str(process.pid))
    deadline = time.monotonic() + 60
    while True:
        found = find_socket(engine, os.environ)
        if found is not None and _answers(found):
            _of_others.append(process)
            return found
        if process.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").splitlines()[-1:]
            pytest.skip(f"ENGINE NOT TESTED: {_SERVICES[engine]} does not start here: {last}")
        time.sleep(0.1)


_of_others: list["subprocess.Popen[bytes]"] = []
"""What outlives the process that has started it; forgotten, it would be a warning about a child that still runs."""


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _runs(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # where it is this process's own child
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def _service_environ(folder: Path) -> dict[str, str]:
    """Podman asks for more open files than some machines give: tell it the limit, and where an init is."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    init = shutil.which("catatonit") or shutil.which("tini")
    settings = folder / "containers.conf"
    settings.write_text(
        f'[containers]\ndefault_ulimits = ["nofile={limit}:{limit}", "nproc={limit}:{limit}"]\n'
        + (f'init_path = "{init}"\n' if init else "")
    )
    return {**os.environ, "CONTAINERS_CONF": str(settings)}


def _answers(socket: Socket) -> bool:
    try:
        return Client(socket, os.environ).is_podman in (True, False)
    except EngineError:
        return False


def _make_base(client: Client) -> str:
    """The image of `make base-image`, made once; skip where that is impossible and no registry is in reach."""
    if client.api.images(name=BASE):
        return BASE
    if client.api.images(name="docker.io/library/python:3.11-slim") or _pulls(client, "python", "3.11-slim"):
        return "docker.io/library/python:3.11-slim"
    engine = client.socket.engine
    if not shutil.which("mmdebstrap") or not shutil.which(engine):
        pytest.skip(
            "ENGINE NOT TESTED: no image registry is in reach, and mmdebstrap is not installed to make a base image"
        )
    command = [ROOT / "builders" / "base" / "make-base-image", BASE]
    made = subprocess.run(command, env={**os.environ, "ENGINE": engine}, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"ENGINE NOT TESTED: the base image could not be made: {made.stderr[-300:]}")
    return BASE


def _pulls(client: Client, name: str, tag: str) -> bool:
    try:
        with client.talking("pull"):
            return not any("error" in event for event in client.api.pull(name, tag, stream=True, decode=True))
    except EngineError:
        return False
