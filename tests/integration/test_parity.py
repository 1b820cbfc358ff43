"""`modelyard test` on the embedded engine, with models of the standard library alone."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelyard.engines import open_engine
from tests.conftest import MakeWorkspace

pytestmark = pytest.mark.integration

SAME = """
    import os, sys

    print("loading")

    def predict(msg):
        print("ANSWER 42", file=sys.stdout)
        return {"predictions": [sum(row) for row in msg.payload["instances"]], "third": 1 / 3}
"""
# Loads another binary where MODEL_NAME is not set, as it never is in the daemon of many models.
OTHER = """
    import os

    def predict(msg):
        return {"predictions": [0, int("MODEL_NAME" in os.environ)]}
"""
HABITS = """
    import atexit, os, sys, threading, time

    sys.stdout = open(os.devnull, "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    threading.Thread(target=time.sleep, args=(600,)).start()
    atexit.register(time.sleep, 600)
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)

    def predict(msg):
        print("no end of a line", end="")
        return {"predictions": [sum(row) for row in msg.payload["instances"]]}
"""
THREAD = """
    import threading, time

    threading.Thread(target=time.sleep, args=(600,)).start()
    1 / 0

    def predict(msg):
        pass
"""
FAILING = """
    def predict(msg):
        raise ValueError("expected a colour")
"""


def model_files(name: str, predict: str) -> dict[str, str]:
    """A model directory whose route has its name."""
    folder = f"projects/demo/{name}"
    return {
        f"{folder}/.s2i/environment": f"ROUTES={name}:demo.{name}.predict:predict\nTRAIN_MODULE=demo.{name}.train\n",
        f"{folder}/predict.py": predict,
        f"{folder}/train.py": "def train(msg): return {}\n",
        f"{folder}/requirements_predict.txt": "",
        f"{folder}/requirements_train.txt": "",
        f"{folder}/test/test_instances.json": json.dumps({"payload": {"instances": [[1, 2], [3, 4]]}}),
    }


class Tool:
    """The command line in one workspace."""

    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        self.root = root
        self.environ = environ

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command."""
        command = [sys.executable, "-m", "modelyard", *arguments]
        return subprocess.run(command, cwd=self.root, env=self.environ, capture_output=True, text=True, check=False)

    def test_parity(self, directory: str) -> "tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]":
        """Run `modelyard test --json`."""
        done = self.run("test", "--json", directory)
        return done, json.loads(done.stdout or "[]")


@pytest.fixture
def make_tool(make_workspace: MakeWorkspace, tmp_path: Path):
    """Make a workspace of models by name and predict.py; nothing of it runs in the end."""
    environ = {**os.environ, "MODELYARD_HOME": str(tmp_path / "home"), "MODELYARD_ENGINE": "local"}

    def make(**models: str) -> Tool:
        workspace = make_workspace({path: text for item in models.items() for path, text in model_files(*item).items()})
        return Tool(workspace.root, environ)

    yield make
    assert open_engine("local", environ).containers() == ()


def test_a_model_answers_alike_everywhere(make_tool) -> None:
    tool = make_tool(same=SAME)
    assert tool.run("generate", "--offline", "projects/demo").returncode == 0
    done, results = tool.test_parity("projects/demo/same")
    assert done.returncode == 0, done.stderr
    assert [(one["way"], one["difference"]) for one in results] == [
        ("the single-model image", None),
        ("the combined daemon", None),
    ]
    assert "to ask a daemon that runs, name its --port" in done.stderr


def test_a_model_that_no_daemon_serves_beside_others_is_compared_without(make_tool) -> None:
    done, results = make_tool(same=SAME).test_parity("projects/demo/same")
    assert done.returncode == 0, done.stderr
    assert [one["way"] for one in results] == ["the single-model image"]
    assert "no all/ serves demo/same yet" in done.stderr


def test_a_model_that_answers_otherwise_beside_others_is_found(make_tool) -> None:
    tool = make_tool(same=SAME, other=OTHER)
    assert tool.run("generate", "--offline", "projects/demo").returncode == 0
    done, results = tool.test_parity("projects/demo/all")
    assert done.returncode == 8
    assert [(one["model"], one["way"]) for one in results if one["difference"]] == [
        ("demo/other", "the combined daemon")
    ]
    assert "demo/other: /other: the combined daemon differs from the bare function at $.payload.predictions[1]" in (
        done.stderr
    )
    assert "the bare function: 1\n" in done.stderr
    assert "the combined daemon: 0\n" in done.stderr


def test_a_function_that_fails_on_its_test_instances_is_an_error(make_tool) -> None:
    done, _ = make_tool(failing=FAILING).test_parity("projects/demo/failing")
    assert done.returncode == 8
    assert "the bare function of /failing fails on the test instances: expected a colour" in done.stderr
    assert all(map(str.strip, done.stderr.splitlines())), "an empty line tells nothing"


def test_prints_that_are_redirected_and_threads_and_processes_that_stay_change_nothing(make_tool) -> None:
    done, results = make_tool(habits=HABITS).test_parity("projects/demo/habits")
    assert done.returncode == 0, done.stderr
    assert [(one["way"], one["difference"]) for one in results] == [("the single-model image", None)]


def test_a_model_that_does_not_load_and_leaves_a_thread_is_an_error(make_tool) -> None:
    done, _ = make_tool(broken=THREAD).test_parity("projects/demo/broken")
    assert done.returncode != 0
    assert "the bare function could not be called" in done.stderr
