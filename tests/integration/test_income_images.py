"""The income project on a real engine of images, by the Makefile targets alone: data, training, one daemon."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.projects import command_environ, copy_project
from tests.integration.tiny_workspace import free_port

# A machine that does much else at once takes minutes for what else takes one.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

PROJECT = "projects/finance_income_prediction"
LEAST_ACCURACY = 0.84
MODELS = ("catBoost", "logisticRegression", "randomForest", "xgBoost")
Make = Callable[..., str]
ENGINE = "docker"


@pytest.fixture
def engine_name(request: pytest.FixtureRequest) -> str:
    if "MODELYARD_DATA" not in os.environ:
        pytest.skip("NOT TESTED: training and serving the income project from images needs MODELYARD_DATA")
    request.getfixturevalue("image_engines")(ENGINE)
    return ENGINE


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The income project in a workspace of its own, with nothing made yet."""
    return copy_project(PROJECT, tmp_path / "workspace")


@pytest.fixture
def make(workspace: Path, engine, environ: dict[str, str]) -> Make:
    """Run a target of the project, and return what it printed."""
    own = command_environ(environ)

    def run(target: str, *variables: str) -> str:
        command = ["make", "--no-print-directory", "-C", str(workspace / PROJECT), target, "ENGINE=docker", *variables]
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{target}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    return run


def test_it_is_trained_and_served_from_images(make, workspace, engine):
    make("data")
    make("train-all")
    manifests = [json.loads(path.read_text()) for path in (workspace / PROJECT / "models").glob("adult_income_*.json")]
    assert len(manifests) == len(MODELS)
    assert min(manifest["metrics"]["accuracy"] for manifest in manifests) > LEAST_ACCURACY
    assert [image.kind for image in engine.images()] == ["train"] * len(MODELS)

    make("generate")
    port = f"PORT={free_port()}"
    make("predict-all", port)
    answers = make("test-all", port)
    assert answers.count(" 200 ") == len(MODELS)
    with urllib.request.urlopen(f"http://127.0.0.1:{port.partition('=')[2]}/routes", timeout=10) as answer:
        assert {route["state"] for route in json.load(answer)["routes"]} == {"ready"}
    make("stop")
    assert engine.containers() == ()
