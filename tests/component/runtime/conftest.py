"""Real workers behind real sockets, without a supervisor."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modelyard.runtime.daemon.channels import CLOCK
from modelyard.runtime.gateway.client import WorkerClient

LIBRARY = Path(__file__).parents[3] / "src"


class RunningWorker:
    """One worker process; the test plays the supervisor."""

    def __init__(self, root: Path, run_dir: Path, routes: list[list[str]], settings: Mapping[str, Any]) -> None:
        self.root = root
        self.run_dir = run_dir
        self.socket = run_dir / "w0.sock"
        self.client = WorkerClient(self.socket)
        self.output = run_dir / "output"
        self.control, control = socket.socketpair()
        self.control.settimeout(10)
        self._news = self.control.makefile("rb")
        with control, tempfile.TemporaryFile() as clock, self.output.open("wb") as output:
            clock.truncate(CLOCK.size)
            python = settings.get("python", sys.executable)
            full = {
                "model": "m",
                "routes": routes,
                "path": None,
                "socket": str(self.socket),
                "queue": 8,
                "max_body": 1 << 20,
                "control": control.fileno(),
                "clock": clock.fileno(),
                **settings,
            }
            self.process = subprocess.Popen(
                [python, "-m", "modelyard.runtime.worker", json.dumps(full)],
                cwd=root,
                env={**os.environ, "PYTHONPATH": str(LIBRARY), "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"},
                pass_fds=(control.fileno(), clock.fileno()),
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def news(self) -> dict[str, Any]:
        """What it reported next."""
        return json.loads(self._news.readline())

    def release(self) -> None:
        """Let go of it, as the supervisor does by ending."""
        self.control.shutdown(socket.SHUT_RDWR)

    def printed(self) -> str:
        """What it has printed."""
        return self.output.read_text()

    def close(self) -> None:
        """End it whatever it does."""
        self.client.close()
        self.process.kill()
        self.process.wait()
        self._news.close()
        self.control.close()


StartWorker = Callable[..., RunningWorker]


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A short path: those of Unix sockets have a limit."""
    with tempfile.TemporaryDirectory(prefix="my-") as path:
        yield Path(path)


@pytest.fixture
def start_worker(tmp_path: Path, run_dir: Path) -> Iterator[StartWorker]:
    """Start a worker of the functions of `predict.py`, a route each; more files by name, settings by keyword."""
    started = []

    def start(predict: str, *functions: str, files: Mapping[str, str] = {}, **settings: Any) -> RunningWorker:
        for name, text in {"predict.py": predict, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        routes = [[function, "predict", function] for function in functions]
        started.append(RunningWorker(tmp_path, run_dir, routes, settings))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


@pytest.fixture
def wait_until() -> Callable[[Callable[[], Any]], None]:
    """Poll until a condition holds; fail after ten seconds."""

    def wait(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "waited for 10 s"
            time.sleep(0.01)

    return wait
