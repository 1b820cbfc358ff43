"""The two real projects, without the tool: their data, training and answers, as a model author runs them.

With MODELYARD_DATA set, the income models are trained on the real data and must be as good as the README says.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from finance_income_prediction import make_data
from modelyard.workspace import ModelDirectory, Workspace
from tests.integration.uv_environments import ROOT, make_environment, run_python

pytestmark = pytest.mark.integration

PROJECTS = ROOT / "projects"
MODELS = [
    model
    for project in ("finance_income_prediction", "tumor_diagnosis")
    for model in Workspace(ROOT).model_directories(project)
]
HAS_REAL_DATA = "MODELYARD_DATA" in os.environ
FLOORS = {
    "finance_income_prediction/logisticRegression": 0.845,
    "finance_income_prediction/randomForest": 0.845,
    "finance_income_prediction/xgBoost": 0.865,
    "finance_income_prediction/catBoost": 0.865,
    "tumor_diagnosis/logisticRegression": 0.97,
    "tumor_diagnosis/supportVectorMachine": 0.95,
    "tumor_diagnosis/multiLayerPerceptron": 0.97,
}
SYNTHETIC_FLOOR = 0.8
# What a train and a predict image do with a model directory's files and functions.
CALL = """
import importlib, json, sys
from types import SimpleNamespace
module, function, payloads = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
call = getattr(importlib.import_module(module), function)
results = []
for payload in payloads:
    try:
        results.append(call(SimpleNamespace(payload=payload)))
    except ValueError as error:
        results.append({"ValueError": str(error)})
print(json.dumps(results))
"""
NO_NETWORK = {"https_proxy": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "no_proxy": "", "NO_PROXY": ""}


@pytest.fixture(scope="module")
def python_for() -> Iterator[Callable[[Path], Path]]:
    """Make one environment for each distinct requirements file."""
    made: dict[str, Path] = {}
    with TemporaryDirectory() as folder:

        def python_for(requirements: Path) -> Path:
            text = requirements.read_text()
            if text not in made:
                made[text] = make_environment(Path(folder) / str(len(made)), text.split())
            return made[text]

        yield python_for


@pytest.fixture(scope="module")
def data_of(tmp_path_factory, python_for) -> Callable[[str], Path]:
    """Make the data of a project once: real where MODELYARD_DATA says so, else made up."""
    made: dict[str, Path] = {}

    def data_of(project: str) -> Path:
        if project not in made:
            requirements = PROJECTS / project / "requirements_data.txt"
            python = python_for(requirements) if requirements.is_file() else Path(sys.executable)
            made[project] = tmp_path_factory.mktemp(project) / "data"
            done = run_make_data(python, project, made[project], **NO_NETWORK)
            assert done.returncode == 0, done.stderr
        return made[project]

    return data_of


def run_make_data(python: Path, project: str, folder: Path, **environ: str):
    return run_python(python, "-P", str(PROJECTS / project / "make_data.py"), str(folder), **environ)


def stage(model: ModelDirectory, root: Path, *, package: str) -> None:
    """Lay a model directory's files out as an image has them."""
    target = root / package.replace(".", "/")
    shutil.copytree(model.path, target, dirs_exist_ok=True)
    for source, place in (
        (ROOT / "utils", root / "utils"),
        (ROOT / "common_utils", root / "common_utils"),
        (model.path.parent / "common_utils", root / model.project / "common_utils"),
    ):
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))


def call(python: Path, root: Path, module: str, function: str, *payloads: Any, **environ: str) -> list[Any]:
    code = f"import os, sys; os.chdir({str(root)!r}); sys.path.insert(0, '')\n{CALL}"
    done = run_python(
        python, "-c", code, module, function, json.dumps(payloads), **{**environ, "PYTHONPATH": str(root)}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.full_name)
def test_a_model_trains_and_answers(model, tmp_path, python_for, data_of):
    stage(model, tmp_path, package=model.package)
    (tmp_path / "data").symlink_to(data_of(model.project))
    dataset = f"data/{model.makefile_variables['DATASET_NAME']}"

    payload = {"$ref": dataset, "model_name": model.model_name}
    [report] = call(python_for(model.requirements("train")), tmp_path, *model.train_entry, payload)
    manifest = json.loads((tmp_path / "models" / f"{model.model_name}.json").read_text())
    is_made_up = model.project == "finance_income_prediction" and not HAS_REAL_DATA
    assert report["metrics"]["accuracy"] >= (SYNTHETIC_FLOOR if is_made_up else FLOORS[model.full_name])
    assert report["metrics"] == manifest["metrics"]
    assert (tmp_path / report["model"]).stat().st_size == manifest["size"]
    assert manifest["synthetic"] is is_made_up

    request = json.loads((model.path / "test/test_instances.json").read_text())
    width = len(request["instances"][0])
    bad = {"instances": [request["instances"][0], ["x"] * width]}
    for module in {model.routes[0].module, f"{model.project}.{model.name}.predict"}:
        if not (tmp_path / (module.replace(".", "/") + ".py")).exists():  # as all/ has it: one package deeper
            shutil.copytree(model.path, tmp_path / model.project / model.name)
        answer, alone, empty, no_object, wrong = call(
            python_for(model.requirements("predict")),
            tmp_path,
            module,
            model.routes[0].function,
            request,
            {"instances": request["instances"][:1]},
            {"instances": []},
            [1, 2],
            bad,
        )
        assert len(answer["predictions"]) == len(answer["probabilities"]) == len(request["instances"])
        assert all(0 <= probability <= 1 for probability in answer["probabilities"])
        assert len(set(answer["predictions"])) == 2
        assert alone["predictions"] == answer["predictions"][:1]
        assert alone["probabilities"] == pytest.approx(answer["probabilities"][:1], abs=1e-5)
        assert "at least one" in empty["ValueError"]
        assert "instances" in no_object["ValueError"]
        assert "instance 1, column 1 " in wrong["ValueError"]


@pytest.mark.parametrize("variable", ["MODElNAME", "MODEL_NAME"])
def test_the_model_to_serve_can_be_named(variable, tmp_path, python_for, data_of):
    [model] = [model for model in MODELS if model.full_name == "tumor_diagnosis/logisticRegression"]
    stage(model, tmp_path, package=model.package)
    (tmp_path / "data").symlink_to(data_of(model.project))
    python = python_for(model.requirements("train"))
    call(python, tmp_path, *model.train_entry, {"$ref": "data/wisconsin.csv", "model_name": "another"})
    request = json.loads((model.path / "test/test_instances.json").read_text())
    route = model.routes[0]
    [answer] = call(python, tmp_path, route.module, route.function, request, **{variable: "another"})
    assert answer["predictions"]


def test_routes_and_model_names_are_unique():
    routes = [route.name for model in MODELS for route in model.routes]
    assert len(routes) == len(MODELS) == len(set(routes))
    assert len({model.model_name for model in MODELS}) == len(MODELS)


class TestAdultData:
    """make_data.py of finance_income_prediction."""

    RAW = "25, Private, 226802, 11th, 7, a, b, c, d, Male, 0, 0, 40, ?, <=50K"

    @pytest.fixture
    def source(self, tmp_path, monkeypatch) -> Path:
        """Two raw files of one row, with their digests in place of the real ones."""
        folder = tmp_path / "raw" / "adult"
        folder.mkdir(parents=True)
        (folder / "adult.data").write_text(f"{self.RAW}\n\n")
        (folder / "adult.test").write_text(f"|1x3 Cross validator\n{self.RAW}.\n\n")
        digests = {path.name: make_data.digest_of(path) for path in folder.iterdir()}
        monkeypatch.setattr(make_data, "SHA256", digests)
        monkeypatch.setattr(make_data, "UCI", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("MODELYARD_DATA", raising=False)
        return folder

    def sidecar(self, folder: Path) -> dict[str, Any]:
        return json.loads((folder / "adult_income-prepped.json").read_text())

    def test_local_files_come_first(self, source, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("MODELYARD_DATA", str(source.parent))
        make_data.main(tmp_path / "data")
        for name in make_data.TARGETS.values():
            header, row = (tmp_path / "data" / name).read_text().splitlines()
            assert header.split(",")[-2:] == ["native-country", "income"]
            assert row.startswith("25,workclass_Private,226802,education_11th,7,")
            assert row.endswith(",native-country_?,<=50K")
        assert self.sidecar(tmp_path / "data")["synthetic"] is False
        capsys.readouterr()
        make_data.main(tmp_path / "data")
        assert "already there and unchanged" in capsys.readouterr().out

    def test_without_local_files_they_are_downloaded(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(make_data, "UCI", source.as_uri())
        make_data.main(tmp_path / "data")
        assert self.sidecar(tmp_path / "data")["synthetic"] is False

    def test_without_a_network_they_are_made_up_loudly_and_the_same_every_time(self, source, tmp_path, capsys):
        make_data.main(tmp_path / "data")
        captured = capsys.readouterr()
        assert "SYNTHETIC DATA" in captured.err
        assert "no download: http://127.0.0.1:1/adult.data: " in captured.err
        assert self.sidecar(tmp_path / "data")["synthetic"] is True
        make_data.main(tmp_path / "again")
        assert self.sidecar(tmp_path / "again") == self.sidecar(tmp_path / "data")
        capsys.readouterr()
        make_data.main(tmp_path / "data")
        assert "the synthetic data are already there and unchanged" in capsys.readouterr().out

    def test_real_data_replace_made_up_ones_and_never_the_other_way_round(self, source, tmp_path, monkeypatch, capsys):
        make_data.main(tmp_path / "data")
        monkeypatch.setenv("MODELYARD_DATA", str(source.parent))
        make_data.main(tmp_path / "data")
        assert self.sidecar(tmp_path / "data")["synthetic"] is False
        monkeypatch.delenv("MODELYARD_DATA")
        monkeypatch.setattr(make_data, "digest_recipe", lambda *_: "newer")
        make_data.main(tmp_path / "data")
        assert "kept the Adult data" in capsys.readouterr().out
        assert self.sidecar(tmp_path / "data")["synthetic"] is False

    def test_a_local_file_that_is_missing_is_an_error_that_names_it(self, source, tmp_path, monkeypatch):
        monkeypatch.setenv("MODELYARD_DATA", str(source.parent))
        (source / "adult.test").unlink()
        with pytest.raises(SystemExit, match=r"adult\.test: no such file\n  hint: .*unset MODELYARD_DATA"):
            make_data.main(tmp_path / "data")
        assert not (tmp_path / "data").exists()

    def test_a_local_file_that_was_changed_is_an_error(self, source, tmp_path, monkeypatch):
        monkeypatch.setenv("MODELYARD_DATA", str(source.parent))
        (source / "adult.data").write_text("25, Private\n")
        with pytest.raises(SystemExit, match=r"adult\.data: sha256 \w+, expected \w+"):
            make_data.main(tmp_path / "data")

    def test_a_row_that_does_not_fit_is_named(self):
        with pytest.raises(ValueError, match=r"adult\.data:2: no row of the Adult data"):
            list(make_data.income.prepare_lines([self.RAW, "25, Private"], source="adult.data"))
