"""A torch model on a real engine of images: trained in a container, served from one, and shown a picture."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.projects import command_environ, copy_project
from tests.integration.tiny_workspace import free_port
from tests.integration.uploads import post_form
from tests.integration.uv_environments import find_cpu_torch

# A machine that does much else at once takes minutes for what else takes one.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

PROJECT = "projects/mnist"
# Six seconds on two cores: enough to recognise clear digits.
PAYLOAD = {"$ref": "data/mnist.npz", "model_name": "mnist_cnn", "N": 200}
Command = Callable[..., str]
ENGINE = "docker"


@pytest.fixture
def engine_name(request: pytest.FixtureRequest) -> str:
    if find_cpu_torch() is None:
        pytest.skip("NOT TESTED: no CPU wheel of torch in pip's find-links: from the index it would bring CUDA")
    request.getfixturevalue("image_engines")(ENGINE)
    return ENGINE


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The mnist project in a workspace of its own, with nothing made yet."""
    return copy_project(PROJECT, tmp_path / "workspace")


@pytest.fixture
def run(workspace: Path, engine, environ: dict[str, str]) -> Command:
    """Run a command in a folder of the workspace, and return what it printed."""
    own = {**command_environ(environ), "MODELYARD_ENGINE": "docker"}
    own |= {} if "MODELYARD_DATA" in environ else {"MNIST_MIRRORS": ""}

    def run(folder: str, *command: str) -> str:
        done = subprocess.run(command, cwd=workspace / folder, env=own, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    return run


def test_mnist_is_trained_and_served_from_images(run, workspace, engine):
    cnn = f"{PROJECT}/cnn"
    run(PROJECT, "make", "data")
    run(cnn, "make", "build-train")
    run(cnn, "modelyard", "train", ".", "--payload", json.dumps(PAYLOAD))
    manifest = json.loads((workspace / PROJECT / "models" / "mnist_cnn.json").read_text())
    assert manifest["metrics"]["accuracy"] > 0.9

    port = f"PORT={free_port()}"
    run(cnn, "make", "predict", port)
    assert {image.kind for image in engine.images()} == {"train", "predict"}
    assert " 200 " in run(cnn, "make", "test-endpoint", port)
    instances = json.loads((workspace / cnn / "test" / "test_instances.json").read_text())["instances"]
    picture = base64.b64decode(instances[0]["b64"])
    answer = post_form(f"http://127.0.0.1:{port.partition('=')[2]}/mnist", "binData", picture)
    assert answer["predictions"] == [7]
    run(cnn, "make", "stop")
    assert engine.containers() == ()
