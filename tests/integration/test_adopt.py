"""`modelyard adopt` on a repository of each layout in use: what comes of it trains, serves and passes its own test."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.codegen.scaffold import init_workspace
from tests.conftest import write_files

pytestmark = pytest.mark.integration

Run = Callable[..., str]

# A model of the standard library: the mean of what it is trained on.
TRAIN = """\
import json
import os


def {function}({parameters}):
    os.makedirs("models", exist_ok=True)
    with open("models/mean.json", "w") as file:
        json.dump(2.0, file)
    return {{"mean": 2.0}}
"""
PREDICT = """\
import json

{imports}

with open("models/mean.json") as file:
    MEAN = json.load(file)


def {function}(msg):
    return {{"predictions": [distance(row, MEAN) for row in msg.payload["instances"]]}}
"""
DISTANCE = "def distance(row, mean):\n    return row[0] - mean\n"
INSTANCES = '{"instances": [[1.0], [2.5], [4.0]]}'
# As they are written in the field: names, and long recipes of tools of their own.
OLD_MAKEFILE = """\
PROJECT := income
export MODEL_NAME = $(PROJECT)_mean
DATASET_NAME ?= data/adult.csv   # below data/
CONTAINER_NAME = registry.example.com/team/$(MODEL_NAME):latest

build-train:
\ts2i build . s2i-train-builder $(CONTAINER_NAME)-train
train: build-train
\tdocker run --rm -e TRAIN=1 -v $(shell pwd)/../models:/model/models \\
\t  $(CONTAINER_NAME)-train
"""


def make_model(module: str, imports: str, makefile: str = OLD_MAKEFILE) -> dict[str, str]:
    """The files of a model directory of the field whose modules are staged below `module`."""
    return {
        ".s2i/environment": f"TRAIN_MODULE={module}train\nROUTES=mean:{module}predict:predict_mean",
        "train.py": TRAIN.format(function="train", parameters="msg"),
        "predict.py": PREDICT.format(function="predict_mean", imports=imports),
        "distance.py": DISTANCE,
        "test/test_instances.json": INSTANCES,
        "Makefile": makefile,
        "data/adult.csv": "1.0\n",
    }


SCRIPTS = {
    "train.py": TRAIN.format(function="train", parameters=""),
    "serve.py": PREDICT.format(function="predict", imports="from distance import distance"),
    "distance.py": DISTANCE,
    "README.md": f"    curl -H 'Content-Type: application/json' -d '{INSTANCES}' localhost:5000\n",
}
SELDON = {
    "MeanModel.py": """\
        import json


        class MeanModel:
            def __init__(self):
                with open("weights.json") as file:
                    self.mean = json.load(file)["mean"]

            def predict(self, X, names=None, meta=None):
                return X - self.mean
        """,
    "weights.json": '{"mean": 2.0}',
    ".s2i/environment": "MODEL_NAME=MeanModel\nAPI_TYPE=REST\nSERVICE_TYPE=MODEL\nPERSISTENCE=0",
    "requirements.txt": "numpy>=2,<3\nseldon-core==1.17.1\n",
    "contract.json": json.dumps({"features": [{"name": "x", "ftype": "continuous", "range": [0, 2], "repeat": 2}]}),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded engine's home: environments that the tests share."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def run(home: Path) -> Run:
    """Run a command and return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "MODELYARD_HOME": str(home), "PATH": path, "MODELYARD_ENGINE": "local"}

    def run_command(*command: str | Path, cwd: Path) -> str:
        done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run_command


def check_served(run: Run, root: Path, name: str, *, trains: bool = True) -> None:
    """Train a model, serve it, and send it its test instances."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    if trains:
        assert "trained" in run("modelyard", "train", name, cwd=root)
    run("modelyard", "serve", name, "--port", port, "--name", "adopted", cwd=root)
    try:
        answers = json.loads(run("modelyard", "test", name, "--port", port, "--json", cwd=root))
    finally:
        run("modelyard", "stop", "adopted", cwd=root)
    assert [answer["status"] for answer in answers] == [200]
    assert answers[0]["body"]["predictions"][0] in (-1.0, [-1.0, -1.0])


@pytest.mark.parametrize(
    ("files", "name", "trains"),
    [
        pytest.param(SCRIPTS, "my_scripts/my_scripts", True, id="scripts"),
        pytest.param(SELDON, "my_scripts/my_scripts", False, id="seldon"),
        pytest.param(make_model("", "from distance import distance"), "my_scripts/my_scripts", True, id="root"),
        pytest.param(make_model("income.", "from .distance import distance"), "income/my_scripts", True, id="project"),
        pytest.param(make_model("income.rf.", "from .distance import distance"), "income/rf", True, id="project.model"),
    ],
)
def test_the_folder_of_one_model_is_brought_trained_and_served(files, name, trains, run, tmp_path):
    root = init_workspace(tmp_path / "workspace").root
    write_files(tmp_path / "my-scripts", files)
    before = {path: path.read_bytes() for path in (tmp_path / "my-scripts").rglob("*") if path.is_file()}
    said = run("modelyard", "adopt", "../my-scripts", cwd=root)
    assert f"projects/{name}: " in said and "to do:" not in said
    check_served(run, root, name, trains=trains)
    after = {path: path.read_bytes() for path in (tmp_path / "my-scripts").rglob("*") if path.is_file()}
    assert after == before


def test_a_project_of_old_makefiles_is_completed_in_place(run, tmp_path):
    root = init_workspace(tmp_path / "workspace").root
    write_files(root / "projects/income/rf", make_model("income.rf.", "from .distance import distance"))
    write_files(root / "projects/income/lr", SCRIPTS)
    write_files(root / "projects/income/data", {"adult.csv": "1\n"})
    kept = run("modelyard", "adopt", "projects/income", cwd=root)
    makefile = root / "projects/income/rf/Makefile"
    assert "--force replaces it" in kept and makefile.read_text() == OLD_MAKEFILE
    check_served(run, root, "lr")
    run("modelyard", "adopt", "projects/income", "--force", cwd=root)
    assert makefile.with_name("Makefile.old").read_text() == OLD_MAKEFILE
    names = "MODEL_NAME     = income_mean\nDATASET_NAME   = adult.csv\nCONTAINER_NAME = income-mean\n"
    assert makefile.read_text() == f"{names}\ninclude ../../recipes.mk\n"
    assert "trained" in run("make", "train", cwd=makefile.parent)
    check_served(run, root, "rf")


def test_a_repository_of_projects_is_brought(run, tmp_path):
    root = init_workspace(tmp_path / "workspace").root
    write_files(tmp_path / "field/projects/income/rf", make_model("income.rf.", "from .distance import distance"))
    write_files(tmp_path / "field/projects/income/all", {"Makefile": "MODEL_DIRS = rf\n"})
    write_files(tmp_path / "field/projects/income/data", {"adult.csv": "1\n"})
    write_files(tmp_path / "field/builders/train", {"Dockerfile": "FROM x\n"})
    said = run("modelyard", "adopt", tmp_path / "field", cwd=root)
    assert "wrote projects/income" in said and "modelyard generate income" in said
    assert not (root / "projects/income/all").exists()
    check_served(run, root, "rf")
