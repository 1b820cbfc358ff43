import errno
import hashlib
import json
import logging
import os
import pickle
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from utils import model_binary
from utils.codecs.scikit_learn import SkopsCodec
from utils.errors import ModelBinaryError
from utils.model_binary import load_model, read_manifest, save_model

ROOT = Path(__file__).parents[3]
FEATURES = np.array([[0.0], [1.0], [2.0], [3.0]])
LABELS = [0, 0, 1, 1]


class Doubler(BaseEstimator):
    """A model that skops has never heard of."""

    def __init__(self, factor=2):
        self.factor = factor


class TextCodec:
    """Models are strings here: for tests of the files, not of a framework."""

    format = "text"
    suffix = "txt"
    framework = "json"
    package = "json"

    def can_encode(self, model):
        return isinstance(model, str)

    def encode(self, model):
        return model.encode()

    def decode(self, data, options):
        return data.decode()


@pytest.fixture
def text(monkeypatch):
    codec = TextCodec()
    monkeypatch.setattr("utils.codecs.table.CODECS", (codec,))
    monkeypatch.setattr("utils.model_binary.SUFFIXES", ("txt",))
    return codec


def fitted() -> LogisticRegression:
    return LogisticRegression().fit(FEATURES, LABELS)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def edit_manifest(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_comes_back_as_it_was(tmp_path):
    model = fitted()
    path = save_model(model, "lr", tmp_path, attributes={"encoder": {"columns": []}})
    loaded = load_model("lr", tmp_path)
    assert path.parent == tmp_path
    assert np.array_equal(loaded.model.predict_proba(FEATURES), model.predict_proba(FEATURES))
    assert loaded.attributes == {"encoder": {"columns": []}}


def test_the_manifest_says_what_the_binary_is_and_where_it_came_from(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_SOURCE_DIGEST", "sha256:abc")
    data = tmp_path / "adult.csv"
    data.write_text("a,b\n")
    path = save_model(
        fitted(), "lr", tmp_path / "models", metrics={"accuracy": np.float32(0.5)}, data=data, params={"C": 1}
    )
    manifest = json.loads((tmp_path / "models/lr.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest["file"] == path.name
    assert manifest["size"] == path.stat().st_size
    assert (manifest["format"], manifest["framework"]) == ("skops", "scikit-learn")
    assert manifest["framework_version"].count(".") == 2
    assert manifest["python_version"].startswith("3.")
    assert manifest["created"].endswith("+00:00")
    assert manifest["metrics"] == {"accuracy": 0.5}
    assert manifest["params"] == {"C": 1}
    assert manifest["source_digest"] == "sha256:abc"
    assert manifest["data"]["ref"] == str(data)
    assert manifest["data"]["sha256"] == hashlib.sha256(b"a,b\n").hexdigest()
    assert manifest["synthetic"] is False


def test_synthetic_data_mark_the_manifest(text, tmp_path):
    data = tmp_path / "adult.csv"
    data.write_text("a,b\n")
    data.with_suffix(".json").write_text('{"source": "made up", "synthetic": true}')
    save_model("m", "m", tmp_path / "models", data=data)
    manifest = read_manifest("m", tmp_path / "models")
    assert manifest.synthetic
    assert manifest.data["source"] == "made up"


def test_missing_training_data_are_named(text, tmp_path):
    with pytest.raises(ModelBinaryError, match=r"nowhere\.csv: can't read the training data \(No such file"):
        save_model("m", "m", tmp_path / "models", data=tmp_path / "nowhere.csv")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("damage", [lambda data: data[:-1] + bytes([data[-1] ^ 1]), lambda data: data[:-7]])
def test_a_damaged_binary_is_refused_before_it_is_decoded(tmp_path, monkeypatch, damage):
    path = save_model(fitted(), "lr", tmp_path)
    expected = read_manifest("lr", tmp_path).sha256
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr(SkopsCodec, "decode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(ModelBinaryError) as caught:
        load_model("lr", tmp_path)
    assert str(path) in caught.value.message
    assert expected in caught.value.message
    assert hashlib.sha256(path.read_bytes()).hexdigest() in caught.value.message


def test_a_truncated_binary_says_how_much_is_missing(text, tmp_path):
    path = save_model("x" * 1000, "m", tmp_path)
    path.write_bytes(b"x" * 900)
    with pytest.raises(ModelBinaryError, match="900 bytes instead of 1,000"):
        load_model("m", tmp_path)


def test_a_binary_of_another_model_is_refused(text, tmp_path):
    mine, other = save_model("mine", "mine", tmp_path), save_model("other", "other", tmp_path)
    other.replace(mine)
    with pytest.raises(ModelBinaryError, match="not the file that was saved"):
        load_model("mine", tmp_path)


def test_a_missing_model_lists_those_there_are(text, tmp_path):
    save_model("m", "here", tmp_path)
    with pytest.raises(ModelBinaryError, match=r"there\.json: no such model \(models here: here\)"):
        load_model("there", tmp_path)


def test_a_missing_binary_names_both_files(text, tmp_path):
    path = save_model("m", "m", tmp_path)
    path.unlink()
    with pytest.raises(ModelBinaryError, match=rf"{path.name}: missing, but .*m\.json names it"):
        load_model("m", tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no JSON"),
        ('{"file": "x', "no JSON"),
        ("[]", "no manifest"),
        ('{"instances": []}', "no manifest"),
        ('{"schema": 9, "sha256": "x"}', "schema 9"),
        ('{"schema": 1, "sha256": "x"}', "no manifest of a model binary .*missing"),
    ],
)
def test_a_foreign_manifest_is_refused(tmp_path, content, message):
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(ModelBinaryError, match=rf"m\.json: .*{message}"):
        load_model("m", tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "../secret"}, "no plain file name"),
        ({"file": "/etc/passwd"}, "no plain file name"),
        ({"file": 3}, "no plain file name"),
        ({"sha256": "ABC"}, "no sha256"),
        ({"size": "many"}, "size 'many' is no int"),
        ({"attributes": None}, "attributes None is no dict"),
        ({"format": "pickle"}, "unknown format 'pickle'"),
    ],
)
def test_a_manifest_that_was_tampered_with_is_refused(text, tmp_path, changes, message):
    save_model("m", "m", tmp_path)
    edit_manifest(tmp_path / "m.json", **changes)
    with pytest.raises(ModelBinaryError, match=rf"m\.json: .*{message}"):
        load_model("m", tmp_path)


def test_types_that_nobody_trusts_are_listed(tmp_path):
    save_model(Doubler(factor=3), "doubler", tmp_path)
    with pytest.raises(ModelBinaryError) as caught:
        load_model("doubler", tmp_path)
    assert f"{__name__}.Doubler" in caught.value.message
    assert "trusted=" in caught.value.hint
    assert load_model("doubler", tmp_path, trusted=[f"{__name__}.Doubler"]).model.factor == 3


def double(rows: Any) -> Any:
    """A function that has a name."""
    return rows * 2


def make_local() -> type[LogisticRegression]:
    class Local(LogisticRegression):
        pass

    return Local


@pytest.mark.parametrize("format", ["skops", "joblib"])
def test_what_could_never_be_loaded_is_said_when_it_is_saved(tmp_path, monkeypatch, format):
    script = type("Scaled", (LogisticRegression,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "Scaled", script, raising=False)
    for model, said in (
        (
            make_pipeline(FunctionTransformer(lambda rows: rows * 2), LogisticRegression()),
            "<lambda>, which has no name",
        ),
        (make_local()(), "<locals>.Local, which has no name"),
        (make_pipeline(script()), "__main__.Scaled, which is part of the script"),
    ):
        with pytest.raises(ModelBinaryError, match="m: it could not be loaded again: it holds ") as error:
            save_model(model, "m", tmp_path, format=format)
        assert said in error.value.message
        assert "beside predict.py" in error.value.hint or "predict.py has too" in error.value.hint
    assert names_in(tmp_path) == []
    named = make_pipeline(FunctionTransformer(double), LogisticRegression())
    assert save_model(named, "m", tmp_path, format=format).is_file()


def test_joblib_is_written_only_when_asked_for_and_read_only_when_allowed(tmp_path):
    assert save_model(fitted(), "lr", tmp_path).suffix == ".skops"
    assert save_model(fitted(), "lr", tmp_path, format="joblib").suffix == ".joblib"
    with pytest.raises(ModelBinaryError, match="a pickle, which runs code") as caught:
        load_model("lr", tmp_path)
    assert "allow_pickle=True" in caught.value.hint
    assert load_model("lr", tmp_path, allow_pickle=True).model.predict([[3.0]]) == [1]


def test_a_pickle_that_poses_as_skops_runs_nothing(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = save_model(fitted(), "lr", tmp_path)
    data = pickle.dumps(Bomb())
    path.write_bytes(data)
    edit_manifest(tmp_path / "lr.json", sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    with pytest.raises(ModelBinaryError, match="scikit-learn can't read it"):
        load_model("lr", tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_a_new_model_replaces_the_former_and_leaves_others_alone(text, tmp_path):
    save_model("one", "m", tmp_path)
    other = save_model("other", "m.2", tmp_path)
    (tmp_path / "m.notes.txt").write_text("mine")
    new = save_model("two", "m", tmp_path)
    assert names_in(tmp_path) == sorted(["m.json", new.name, "m.2.json", other.name, "m.notes.txt"])
    assert load_model("m", tmp_path).model == "two"
    assert load_model("m.2", tmp_path).model == "other"


def test_saving_the_same_model_again_keeps_it(text, tmp_path):
    first = save_model("same", "m", tmp_path)
    assert save_model("same", "m", tmp_path) == first
    assert load_model("m", tmp_path).model == "same"


@pytest.mark.parametrize("fails_at", [1, 2], ids=["binary", "manifest"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
def test_a_write_that_fails_leaves_the_old_model_whole(text, tmp_path, monkeypatch, fails_at, error):
    save_model("old", "m", tmp_path)
    before = names_in(tmp_path)
    calls = []
    sync = os.fsync

    def fail(descriptor):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            calls.append(descriptor)
            if len(calls) == fails_at:
                raise error
        sync(descriptor)

    monkeypatch.setattr("utils.atomic.os.fsync", fail)
    expected = ModelBinaryError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        save_model("new", "m", tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr("utils.codecs.table.CODECS", (text,))
    if expected is ModelBinaryError:
        assert "No space left on device" in str(caught.value)
        assert "nothing was changed" in caught.value.hint
    assert names_in(tmp_path) == before
    assert load_model("m", tmp_path).model == "old"


def test_the_temporary_name_holds_the_run(text, tmp_path, monkeypatch):
    seen = set()
    sync = os.fsync

    def look(descriptor):
        seen.update(path.name for path in tmp_path.glob(".*"))
        sync(descriptor)

    monkeypatch.setattr("utils.atomic.os.fsync", look)
    monkeypatch.setenv("MODELYARD_RUN_ID", "r42")
    save_model("x", "m", tmp_path)
    monkeypatch.delenv("MODELYARD_RUN_ID")
    save_model("y", "m", tmp_path)
    assert seen == {".m.r42.part", f".m.{os.getpid()}.part"}


def test_a_reader_never_sees_half_of_a_model_that_is_being_replaced(text, tmp_path):
    save_model("0", "m", tmp_path, attributes={"n": "0"})
    stop = threading.Event()

    def write():
        count = 0
        while not stop.is_set():
            count += 1
            save_model(str(count % 7), "m", tmp_path, attributes={"n": str(count % 7)})

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        for _ in range(300):
            loaded = load_model("m", tmp_path)
            assert loaded.model == loaded.attributes["n"]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert len(names_in(tmp_path)) == 2


def test_a_model_that_is_replaced_between_manifest_and_binary_is_read_again(text, tmp_path, monkeypatch):
    save_model("old", "m", tmp_path)
    replaced = []

    def read_then_replace(name, directory):
        manifest = read_manifest(name, directory)
        if not replaced:
            replaced.append(save_model("new", name, directory))
        return manifest

    monkeypatch.setattr(model_binary, "read_manifest", read_then_replace)
    assert load_model("m", tmp_path).model == "new"


def test_another_version_of_the_framework_is_a_warning(tmp_path, caplog):
    save_model(fitted(), "lr", tmp_path)
    edit_manifest(tmp_path / "lr.json", framework_version="0.1.0")
    with caplog.at_level(logging.WARNING):
        load_model("lr", tmp_path)
    assert "model lr was saved with scikit-learn 0.1.0, here is" in caplog.text


def test_a_framework_that_is_not_installed_says_which(text, tmp_path, monkeypatch):
    save_model("m", "m", tmp_path)
    monkeypatch.setattr(text, "package", "no_such_framework", raising=False)
    with pytest.raises(ModelBinaryError, match="needs no_such_framework, which is not installed"):
        load_model("m", tmp_path)


def test_a_model_that_its_framework_cannot_write_changes_nothing(text, tmp_path, monkeypatch):
    save_model("old", "m", tmp_path)

    def fail(model):
        raise RuntimeError("not trained yet")

    monkeypatch.setattr(text, "encode", fail, raising=False)
    with pytest.raises(ModelBinaryError, match=r"m: json can't write it as text \(RuntimeError: not trained yet\)"):
        save_model("new", "m", tmp_path)
    assert load_model("m", tmp_path).model == "old"


@pytest.mark.parametrize("name", ["", "../m", "a/b", ".hidden", "-m", "m\n", "a b"])
def test_a_name_that_could_leave_the_folder_is_refused(text, tmp_path, name):
    with pytest.raises(ModelBinaryError, match="no name for a model"):
        save_model("m", name, tmp_path)
    with pytest.raises(ModelBinaryError, match="no name for a model"):
        load_model(name, tmp_path)


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_what_json_cannot_hold_is_refused_and_nothing_is_written(text, tmp_path, value):
    with pytest.raises(ModelBinaryError, match="m: metrics, params or attributes hold what JSON can't"):
        save_model("m", "m", tmp_path, metrics={"loss": value})
    assert names_in(tmp_path) == []


def test_importing_loads_no_framework():
    code = (
        "import sys, utils.model_binary; "
        "print([name for name in ('numpy', 'sklearn', 'skops', 'joblib', 'xgboost', 'catboost', 'torch', 'modelyard') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_errors_are_no_value_errors():
    # ValueError means "your request is wrong" to the daemon; a broken model binary is not the client's fault.
    assert not issubclass(model_binary.ModelBinaryError, ValueError)
