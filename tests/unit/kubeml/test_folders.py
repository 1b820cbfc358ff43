"""Data sets on disk."""

import json

import numpy as np
import pytest

from kubeml.errors import KubeError
from kubeml.folders import find_folder, open_folder, write_folder

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3), np.array([0, 1, 0, 1])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    write_folder(tmp_path / "set", train=ROWS, test=(ROWS[0][:2], ROWS[1][:2]))
    return tmp_path / "set"


def test_what_was_written_is_mapped(folder):
    parts = open_folder(folder)
    assert parts["train"][0].tolist() == ROWS[0].tolist() and parts["test"][1].tolist() == [0, 1]
    assert type(parts["train"][0]) is np.ndarray
    parts["train"][0][0] = 7
    assert open_folder(folder)["train"][0][0].tolist() == [0, 1, 2], "what a user's code changes is its own"


def test_a_set_that_is_not_there_is_an_error_that_lists_those_there_are(folder):
    for name in ("other", "../set", ""):
        with pytest.raises(KubeError, match=r"no data set named .*: set\)"):
            find_folder(name, folder.parent)
    assert find_folder("set", folder.parent) == folder


def test_labels_of_another_length_are_refused(folder, tmp_path):
    np.save(folder / "train-labels.npy", np.zeros(3))
    with pytest.raises(KubeError, match=r"train has 4 rows in train-data\.npy and 3 in train-labels\.npy"):
        open_folder(folder)
    with pytest.raises(KubeError, match="4 rows and 3 labels"):
        write_folder(tmp_path / "set", train=(ROWS[0], ROWS[1][:3]), test=ROWS)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"train": {"data": "../x.npy", "labels": "y"}, "test": {}}'])
def test_what_is_no_manifest_is_refused(folder, content):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(KubeError, match=r"manifest\.json"):
        open_folder(folder)


def test_files_that_are_no_arrays_are_refused(folder):
    for content in (b"", b"\x93NUMPY", b"no array"):
        (folder / "train-data.npy").write_bytes(content)
        with pytest.raises(KubeError, match="can't read an array"):
            open_folder(folder)
    np.save(folder / "train-data.npy", np.array([{}, {}], dtype=object))
    with pytest.raises(KubeError, match="can't read an array"):
        open_folder(folder)


def test_a_manifest_leads_to_no_file_elsewhere(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["train"]["data"] = "../secret.npy"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(KubeError, match="no file of the data set"):
        open_folder(folder)
