"""VARIANT=cuda on a host without a card: the image is built and says what it is, and the host says what it lacks."""

import shutil

import pytest

from modelyard.context.staging import stage_model
from modelyard.engines.protocols import ContainerSpec
from modelyard.errors import EngineError

pytestmark = pytest.mark.integration

FILES = {
    "projects/demo/m/.s2i/environment": "TRAIN_MODULE=train\n",
    "projects/demo/m/train.py": "def train(msg): return {}\n",
    "projects/demo/m/requirements_train.txt": "six\n",
}


@pytest.fixture(params=["docker"])
def engine_name(request: pytest.FixtureRequest) -> str:
    """Docker alone: Podman goes without a card where it finds none, and the embedded engine gives every process all."""
    request.getfixturevalue("image_engines")(request.param)
    return str(request.param)


@pytest.mark.skipif(bool(shutil.which("nvidia-container-runtime")), reason="this host has the NVIDIA runtime")
def test_a_cuda_image_is_refused_by_a_host_without_the_nvidia_runtime(engine, make_workspace, tmp_path):
    workspace = make_workspace(FILES)
    model = workspace.model_directory(workspace.root / "projects/demo/m")
    image = engine.build(stage_model(workspace, model, "train", tmp_path / "context", variant="cuda"), tag="cuda")
    assert image.labels["io.modelyard.variant"] == "cuda"
    assert image.environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    with pytest.raises(EngineError) as error:
        engine.run(ContainerSpec("cuda", environment={"TRAIN": "1"}))
    assert "no NVIDIA runtime" in error.value.hint and "VARIANT=cpu" in error.value.hint
