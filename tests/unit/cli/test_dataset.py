"""`modelyard dataset`, in this process."""

import json

import numpy
import pytest


@pytest.fixture
def files(tmp_path):
    """The options of four files of arrays."""
    sizes = {"traindata": 6, "trainlabels": 6, "testdata": 3, "testlabels": 3}
    for name, size in sizes.items():
        numpy.save(tmp_path / f"{name}.npy", numpy.zeros((size, 2) if name.endswith("data") else size))
    return [text for name in sizes for text in (f"--{name}", tmp_path / f"{name}.npy")]


def test_a_data_set_is_made_listed_and_deleted(modelyard, workspace, files):
    done = modelyard("dataset", "create", "-n", "zeros", *files)
    path = workspace.projects_root / "income/data/zeros"
    assert (done.code, done.out) == (0, f"{path}\n"), done.err
    assert modelyard("dataset", "create", "-n", "zeros", *files).code == 3
    (listed,) = json.loads(modelyard("dataset", "list", "--json").out)
    assert (listed["name"], listed["train"]["samples"], listed["test"]["samples"]) == ("zeros", 6, 3)
    assert "zeros  6      3     2       float64" in modelyard("dataset", "list").out
    assert modelyard("dataset", "delete", "-n", "zeros").code == 0
    assert not path.exists()


def test_labels_of_another_length_name_the_option(modelyard, workspace, files, tmp_path):
    done = modelyard("dataset", "create", "-n", "zeros", *files[:-1], tmp_path / "trainlabels.npy")
    assert done.code == 3
    assert "--testdata has 3 samples and --testlabels 6 labels" in done.err
    assert not (workspace.projects_root / "income/data/zeros").exists()


def test_a_missing_file_names_its_option(modelyard, workspace, files, tmp_path):
    done = modelyard("dataset", "create", "-n", "zeros", *files[:-1], tmp_path / "none.npy")
    assert done.code == 3
    assert f"--testlabels {tmp_path / 'none.npy'}: no such file" in done.err


def test_without_numpy_the_extra_is_named(modelyard, workspace, files, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    done = modelyard("dataset", "create", "-n", "zeros", *files)
    assert (done.code, "pip install 'modelyard[data]'" in done.err) == (1, True)


def test_a_project_is_named_where_none_is_clear(modelyard, workspace, monkeypatch):
    monkeypatch.chdir(workspace.root)
    assert modelyard("dataset", "list").code == 0  # there is only one
    assert modelyard("dataset", "list", "--project", "income").code == 0
    done = modelyard("dataset", "list", "--project", "incme")
    assert (done.code, "no such project" in done.err) == (3, True)
