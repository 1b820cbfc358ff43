"""A workspace whose models need no package: a mean that is trained, saved and served by the standard library alone."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.codegen.scaffold import init_workspace, new_project
from modelyard.workspace import ModelDirectory, Workspace
from tests.conftest import write_files
from tests.integration.projects import command_environ

TRAIN = '''\
import hashlib
import json
import os
import sys
import time
from pathlib import Path


def train(msg):
    """Save the mean of the numbers in `$ref`; `do` asks for a way to fail."""
    name, models = msg.payload["model_name"], Path("models")
    part = models / f".{name}.{os.environ['MODELYARD_RUN_ID']}.part"
    part.write_text("half")
    print("training", flush=True)
    do = msg.payload.get("do", "")
    if do == "sleep":
        time.sleep(600)
    if do == "leave":
        os._exit(0)
    if do == "raise":
        raise RuntimeError("no convergence")
    data = Path(msg.payload["$ref"]).read_bytes()
    numbers = [float(line) for line in data.split()]
    part.write_text(str(sum(numbers) / len(numbers)))
    binary = part.read_bytes()
    part.rename(models / f"{name}.txt")
    manifest = {
        "file": f"{name}.txt",
        "sha256": hashlib.sha256(binary).hexdigest(),
        "metrics": {"accuracy": 0.75, "rows": len(numbers)},
        "data": {"sha256": hashlib.sha256(data).hexdigest()},
        "source_digest": os.environ["MODELYARD_SOURCE_DIGEST"],
        "created": time.time(),
    }
    (models / f"{name}.json").write_text(json.dumps(manifest))
    return {"model": name, "mean": float(binary)}
'''
PREDICT = '''\
import os
from pathlib import Path

MODEL_NAME = os.environ.get("MODEL_NAME", "{model_name}")
mean = float(Path("models", MODEL_NAME + ".txt").read_text())


def predict(msg):
    """Say how far each instance is from the mean."""
    return {{"model": MODEL_NAME, "predictions": [x - mean for x in msg.payload["instances"]]}}
'''
MAKEFILE = """\
MODEL_NAME     = {model_name}
DATASET_NAME   = numbers.txt
CONTAINER_NAME = {container_name}

include ../../recipes.mk
"""
MAKE_DATA = """\
import sys
from pathlib import Path

path = Path(sys.argv[1], "numbers.txt")
if not path.exists():
    path.write_text("1\\n2\\n6\\n")
print("the numbers are there", flush=True)
"""


@dataclass(frozen=True)
class Tiny:
    """The workspace, and the process environment in which its commands run."""

    workspace: Workspace
    environ: dict[str, str]

    @property
    def home(self) -> Path:
        """Where the embedded engine keeps its things."""
        return Path(self.environ["MODELYARD_HOME"])

    def add_model(self, project: str, name: str) -> ModelDirectory:
        """Make a model directory that trains on the project's numbers.txt."""
        folder = self.workspace.projects_root / project
        if not folder.is_dir():
            new_project(self.workspace, project)
            write_files(folder, {"make_data.py": MAKE_DATA})
        names = {"model_name": f"{project}_{name}", "container_name": f"{project}-{name}"}
        files = {
            "train.py": TRAIN,
            "predict.py": PREDICT.format(**names),
            "Makefile": MAKEFILE.format(**names),
            ".s2i/environment": f"ROUTES={project}-{name}:{project}.{name}.predict:predict\n"
            f"TRAIN_MODULE={project}.{name}.train\n",
            "test/test_instances.json": '{"instances": [3, 5]}\n',
        }
        write_files(folder / name, files)
        return ModelDirectory(folder / name)

    def run(self, *command: str | Path, cwd: Path | None = None, **environ: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, in the workspace's root unless told otherwise."""
        return subprocess.run(
            command,
            cwd=cwd or self.workspace.root,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def succeed(self, *command: str | Path, cwd: Path | None = None, **environ: str) -> str:
        """Run a command that must succeed, and return its standard output."""
        done = self.run(*command, cwd=cwd, **environ)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def fail(self, *command: str | Path, code: int, cwd: Path | None = None, **environ: str) -> str:
        """Run a command that must fail with `code`, without a traceback, and return its standard error."""
        done = self.run(*command, cwd=cwd, **environ)
        assert done.returncode == code, f"{command}: {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        assert "modelyard/cli" not in done.stderr, done.stderr
        return done.stderr

    def running(self) -> list[dict[str, Any]]:
        """The containers that run, as `modelyard ps --json` has them."""
        listed: list[dict[str, Any]] = json.loads(self.succeed("modelyard", "ps", "--json"))
        return listed

    def stop_all(self) -> None:
        """Stop every container that still runs."""
        for container in self.running():
            self.run("modelyard", "stop", container["name"])


@contextmanager
def tiny_workspace(folder: Path) -> Iterator[Tiny]:
    """Make the workspace by `modelyard init` in a folder; stop in the end what still runs."""
    (folder / "tmp").mkdir()
    own = {
        "MODELYARD_HOME": str(folder / "home"),
        "MODELYARD_ENGINE": "local",
        "TMPDIR": str(folder / "tmp"),
    }
    tiny = Tiny(init_workspace(folder / "work space"), {**command_environ(os.environ), **own})
    yield tiny
    tiny.stop_all()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def runs(command: str) -> bool:
    """Whether a process with this command line runs."""
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return command in listed.splitlines()


def wait_for(condition: Callable[[], object], *, seconds: float = 30.0) -> None:
    """Poll until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def interrupt(
    tiny: Tiny, command: Sequence[str], number: signal.Signals, *, when: Callable[[], object], to_group: bool
) -> tuple[int, str]:
    """Start a command in a process group of its own, signal it when a condition holds; return exit code and output."""
    process = subprocess.Popen(
        command,
        cwd=tiny.workspace.root,
        env=tiny.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: process.poll() is not None or when())
        if to_group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, output
