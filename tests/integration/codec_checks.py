"""What every codec must hold, run by test_codecs.py with pytest inside an environment that has the framework.

CODEC_FRAMEWORK says which framework that is.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from utils.errors import ModelBinaryError
from utils.model_binary import load_model, read_manifest, save_model

FRAMEWORK = os.environ["CODEC_FRAMEWORK"]
GENERATOR = np.random.default_rng(0)
FEATURES = GENERATOR.normal(size=(200, 5)).astype(np.float32)
LABELS = (FEATURES[:, 0] + FEATURES[:, 1] > 0).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trained model, how it is saved and loaded, and what it answers."""

    name: str
    train: Callable[[int], Any]
    answer: Callable[[Any], np.ndarray]
    suffix: str
    save: dict[str, Any]
    load: Callable[[], dict[str, Any]] = dict


def xgboost_cases() -> list[Case]:
    import xgboost

    def train_classifier(size: int) -> Any:
        return xgboost.XGBClassifier(n_estimators=size).fit(FEATURES, LABELS)

    def train_booster(size: int) -> Any:
        return xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(FEATURES, LABELS), num_boost_round=size)

    return [
        Case(
            name="classifier", train=train_classifier, answer=lambda m: m.predict_proba(FEATURES), suffix="ubj", save={}
        ),
        Case(name="booster", train=train_booster, answer=lambda m: m.inplace_predict(FEATURES), suffix="ubj", save={}),
        Case(
            name="json",
            train=train_booster,
            answer=lambda m: m.inplace_predict(FEATURES),
            suffix="json",
            save={"format": "json"},
        ),
    ]


def catboost_cases() -> list[Case]:
    import catboost

    def train(kind: type) -> Callable[[int], Any]:
        return lambda size: kind(iterations=size, verbose=False, allow_writing_files=False).fit(FEATURES, LABELS)

    return [
        Case(
            name="classifier",
            train=train(catboost.CatBoostClassifier),
            answer=lambda m: m.predict_proba(FEATURES),
            suffix="cbm",
            save={},
        ),
        Case(
            name="regressor",
            train=train(catboost.CatBoostRegressor),
            answer=lambda m: m.predict(FEATURES),
            suffix="cbm",
            save={},
        ),
    ]


def torch_cases() -> list[Case]:
    import torch

    def make(size: int) -> Any:
        torch.manual_seed(size)
        return torch.nn.Sequential(torch.nn.Linear(5, 512), torch.nn.Dropout(), torch.nn.Linear(512, 1))

    def answer(model: Any) -> np.ndarray:
        with torch.inference_mode():
            return model.eval()(torch.from_numpy(FEATURES)).numpy()

    def into() -> dict[str, Any]:
        return {"into": make(999)}

    return [
        Case(name="torch", train=make, answer=answer, suffix="pth", save={}, load=into),
        Case(
            name="safetensors",
            train=make,
            answer=answer,
            suffix="safetensors",
            save={"format": "safetensors"},
            load=into,
        ),
    ]


CASES = {"xgboost": xgboost_cases, "catboost": catboost_cases, "torch": torch_cases}[FRAMEWORK]()


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request) -> Case:
    return request.param


def save(case: Case, name: str, folder: Path, *, size: int = 20) -> Path:
    return save_model(case.train(size), name, folder, **case.save)


def test_round_trip(case, tmp_path):
    model = case.train(20)
    path = save_model(model, "m", tmp_path, **case.save)
    loaded = load_model("m", tmp_path, **case.load()).model
    assert path.suffix == f".{case.suffix}"
    assert type(loaded) is type(model)
    assert np.array_equal(case.answer(loaded), case.answer(model))
    manifest = read_manifest("m", tmp_path)
    assert manifest.framework == FRAMEWORK
    assert manifest.framework_version == __import__(FRAMEWORK).__version__


def test_tampered(case, tmp_path):
    path = save(case, "m", tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelBinaryError, match="not the file that was saved"):
        load_model("m", tmp_path, **case.load())


def test_truncated(case, tmp_path):
    path = save(case, "m", tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelBinaryError, match="bytes instead of"):
        load_model("m", tmp_path, **case.load())


def test_swapped(case, tmp_path):
    mine, other = save(case, "mine", tmp_path, size=2), save(case, "other", tmp_path, size=3)
    other.replace(mine)
    with pytest.raises(ModelBinaryError, match="not the file that was saved"):
        load_model("mine", tmp_path, **case.load())


def test_a_foreign_file_with_the_right_digest_is_an_error_that_names_it(case, tmp_path):
    import hashlib
    import json

    path = save(case, "m", tmp_path)
    path.write_bytes(b"not a model")
    manifest = json.loads((tmp_path / "m.json").read_text())
    manifest["sha256"] = hashlib.sha256(b"not a model").hexdigest()
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelBinaryError, match=path.name):
        load_model("m", tmp_path, **case.load())


@contextmanager
def full_disk(folder: Path):
    """Make `folder` a file system of 16 KB; skip where that needs rights that the user lacks."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"can't mount a small file system: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_the_old_model(case, tmp_path):
    folder = tmp_path / "models"
    with full_disk(folder):
        old = case.train(1) if FRAMEWORK != "torch" else {"weight": __import__("torch").zeros(3)}
        save_model(old, "m", folder, **case.save)
        before = sorted(path.name for path in folder.iterdir())
        with pytest.raises(ModelBinaryError, match="No space left on device"):
            save(case, "m", folder, size=300)
        assert sorted(path.name for path in folder.iterdir()) == before
        load_model("m", folder)


@pytest.mark.skipif(FRAMEWORK == "torch", reason="torch needs no temporary file")
@pytest.mark.parametrize("limit", [1, 4096, 20_000])
def test_a_full_temporary_folder_writes_no_model(case, tmp_path, limit):
    model = case.train(300)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(ModelBinaryError, match=f"m: {FRAMEWORK} can't write it"):
            save_model(model, "m", tmp_path, **case.save)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


if FRAMEWORK == "torch":
    import torch

    def test_a_state_with_an_optimizer_comes_back(tmp_path):
        module = torch.nn.Linear(2, 1)
        optimizer = torch.optim.Adam(module.parameters())
        module(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        save_model({"model": module.state_dict(), "optimizer": optimizer.state_dict(), "step": 1}, "m", tmp_path)
        state = load_model("m", tmp_path).model
        again = torch.optim.Adam(torch.nn.Linear(2, 1).parameters())
        again.load_state_dict(state["optimizer"])
        assert torch.equal(state["model"]["weight"], module.weight)
        assert state["optimizer"]["state"][0]["step"] == 1

    def test_a_loaded_module_is_in_evaluation_mode(tmp_path):
        save_model(torch.nn.Dropout(), "m", tmp_path)
        assert not load_model("m", tmp_path, into=torch.nn.Dropout()).model.training

    def test_a_whole_pickle_is_refused_with_a_hint(tmp_path, monkeypatch):
        monkeypatch.setattr("utils.codecs.torch._state_of", lambda module: module)
        monkeypatch.setattr("utils.codecs.torch._on_cpu", lambda state: state)
        save_model(torch.nn.Linear(2, 1), "m", tmp_path)
        with pytest.raises(ModelBinaryError, match=r"m\..*\.pth: the file holds more than tensors") as caught:
            load_model("m", tmp_path)
        assert "save the state_dict" in caught.value.hint

    def test_a_module_that_does_not_fit_names_the_file(tmp_path):
        save_model(torch.nn.Linear(2, 1), "m", tmp_path)
        with pytest.raises(ModelBinaryError, match=r"(?s)\.pth: its state does not fit into Linear .*size mismatch"):
            load_model("m", tmp_path, into=torch.nn.Linear(3, 1))


if FRAMEWORK == "xgboost":

    def test_a_model_that_is_not_trained_is_refused(tmp_path):
        import xgboost

        with pytest.raises(ModelBinaryError, match="m: xgboost can't write it as ubj"):
            save_model(xgboost.XGBClassifier(), "m", tmp_path)

    def test_a_manifest_cannot_name_any_class(tmp_path):
        import xgboost

        booster = xgboost.train({}, xgboost.DMatrix(FEATURES, LABELS), num_boost_round=1)
        save_model(booster, "m", tmp_path)
        path = tmp_path / "m.json"
        path.write_text(path.read_text().replace('"Booster"', '"set_config"'))
        with pytest.raises(ModelBinaryError, match="class 'set_config' is none that xgboost models"):
            load_model("m", tmp_path)


def test_only_the_framework_that_is_needed_is_imported():
    code = (
        "import sys; from utils.codecs.table import codec_for_format; codec_for_format('skops'); "
        "sys.exit(bool({'xgboost', 'catboost', 'torch', 'sklearn', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
