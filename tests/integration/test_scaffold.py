"""A new model directory of each framework trains, serves and passes its own test as it stands.

The wheel alone is enough for it: a person without this repository gets the same workspace.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.codegen.scaffold import init_workspace, new_model
from tests.integration.uv_environments import ROOT

pytestmark = pytest.mark.integration

Run = Callable[..., str]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of every command of this module: environments that they share, the tool on PATH."""
    home = tmp_path_factory.mktemp("home")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "MODELYARD_HOME": str(home), "PATH": path, "MODELYARD_ENGINE": "local"}


@pytest.fixture
def run(environ: dict[str, str]) -> Run:
    """Run a command and return what it printed; its whole output is the message where it fails."""

    def run_command(*command: str | Path, cwd: Path) -> str:
        done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run_command


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield port


@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "catboost", "torch", "kubeml"])
def test_a_new_model_trains_serves_and_passes_its_test(framework, run, tmp_path, free_port):
    workspace = init_workspace(tmp_path / "workspace")
    model = new_model(workspace, "tumors", f"my_{framework}", framework)
    run("make", "train", cwd=model.path)
    manifest = json.loads((model.path.parent / "models" / f"{model.model_name}.json").read_text())
    assert manifest["metrics"]["accuracy"] > 0.9
    try:
        run("make", "predict", f"PORT={free_port}", cwd=model.path)
        assert "200" in run("make", "test-endpoint", f"PORT={free_port}", cwd=model.path)
    finally:
        run("make", "stop", cwd=model.path)


def test_new_models_of_two_frameworks_are_served_by_one_daemon(run, tmp_path, free_port):
    workspace = init_workspace(tmp_path / "workspace")
    for framework in ("sklearn", "xgboost"):
        new_model(workspace, "tumors", f"my_{framework}", framework)
    project = workspace.projects_root / "tumors"
    run("make", "generate", cwd=project)
    run("make", "check-generated", cwd=project)
    run("make", "train-all", cwd=project)
    try:
        run("make", "predict-all", f"PORT={free_port}", cwd=project / "all")
        answers = run("make", "test-all", f"PORT={free_port}", cwd=project / "all")
        assert "tumors-my-sklearn" in answers and "tumors-my-xgboost" in answers
    finally:
        run("make", "stop", cwd=project / "all")


def test_the_wheel_makes_a_workspace_without_this_repository(run, tmp_path):
    run("uv", "build", "--wheel", "--out-dir", tmp_path / "dist", ROOT, cwd=tmp_path)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    run("uv", "venv", "--python", sys.executable, tmp_path / "venv", cwd=tmp_path)
    run("uv", "pip", "install", "--python", tmp_path / "venv", wheel, cwd=tmp_path)
    tool = tmp_path / "venv" / "bin" / "modelyard"
    run(tool, "init", "work", cwd=tmp_path)
    run(tool, "new", "model", "tumors", "svm", cwd=tmp_path / "work")
    expected = init_workspace(tmp_path / "expected")
    new_model(expected, "tumors", "svm", "sklearn")
    assert read_tree(tmp_path / "work") == read_tree(expected.root)


def read_tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
