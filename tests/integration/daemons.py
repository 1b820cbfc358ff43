"""Daemons for tests, started as a builder image starts them."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
RUN = REPOSITORY / "builders" / "daemon" / "s2i" / "bin" / "run"


class Daemon:
    """One daemon on a free port, in its own folder."""

    def __init__(self, folder: Path, files: Mapping[str, str], environ: Mapping[str, str]) -> None:
        self.root = folder / "app"
        self.run_dir = folder / "run"
        self._log = folder / "log"
        environments = folder / "environments"
        environments.mkdir()
        for name in ("default", "gateway"):
            (environments / name).symlink_to(Path(sys.executable).parent.parent)
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        env = {
            **os.environ,
            "APP_ROOT": str(self.root),
            "MODELYARD_ENVIRONMENTS": str(environments),
            "MODELYARD_LIB": str(REPOSITORY / "src"),
            "MODELYARD_RUN_DIR": str(self.run_dir),
            "HOST": "127.0.0.1",
            "PORT": "0",
            "WORKERS": "1",  # a model, however many cores there are
            **environ,
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", str(RUN)], env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return self._log.read_text()

    @property
    def port(self) -> int:
        """The port it took."""
        wait_until(lambda: "listening on" in self.log)
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", self.log)
        assert found
        return int(found[1])

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """One request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers={"Content-Type": "application/json", **headers})
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if "json" in response.headers["Content-Type"] else content
        finally:
            connection.close()

    def post(self, route: str, payload: Any = None) -> tuple[int, Any]:
        """Send a payload to a route."""
        return self.request("POST", f"/{route}", json.dumps(payload).encode())

    def wait_ready(self) -> "Daemon":
        """Wait until /readyz is true."""
        wait_until(lambda: self.request("GET", "/readyz")[0] == 200)
        return self

    def children(self) -> list[int]:
        """The process ids of the supervisor's descendants."""
        return list(descendants(self.process.pid))

    def stop(self) -> int:
        """Stop it as a container is stopped."""
        self.process.terminate()
        return self.process.wait(20)


def wait_until(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Poll until a condition holds; a daemon that does not answer yet is no error."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError, HTTPException):
            if condition():
                return
        assert time.monotonic() < deadline, f"waited for {seconds} s"
        time.sleep(0.02)


def descendants(pid: int) -> Iterator[int]:
    """Every process below `pid`."""
    done = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = dict(tuple(map(int, line.split())) for line in done.stdout.splitlines())
    for child, parent in parents.items():
        if parent == pid:
            yield child
            yield from descendants(child)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(done.stdout.strip()) and not done.stdout.startswith("Z")


StartDaemon = Callable[..., Daemon]


@contextmanager
def starting_daemons() -> Iterator[StartDaemon]:
    """Start daemons of files and variables; whatever happens, none of their processes stays."""
    with tempfile.TemporaryDirectory(prefix="my-") as folder:
        started: list[Daemon] = []

        def start(files: Mapping[str, str], **environ: str) -> Daemon:
            home = Path(folder, str(len(started)))
            home.mkdir()
            started.append(Daemon(home, files, environ))
            return started[-1]

        yield start
        for daemon in started:
            processes = daemon.children()
            daemon.process.kill()
            daemon.process.wait()
            for pid in processes:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
