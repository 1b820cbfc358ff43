"""Data sets on disk: written whole or not at all."""

import hashlib
import json
import os

import numpy
import pytest

from modelyard.datasets import library
from modelyard.datasets.library import (
    Part,
    find_dataset,
    find_datasets,
    remove_dataset,
    scratch_beside,
    write_dataset,
)
from modelyard.errors import InputError


def make_part(samples, *, shape=(2, 2), dtype=">i2", labels=None):
    return Part(
        data=numpy.arange(samples * numpy.prod(shape), dtype=dtype).reshape(samples, *shape),
        labels=numpy.arange(samples if labels is None else labels),
    )


def write(folder, name="digits", **parts):
    with scratch_beside(folder, name) as scratch:
        return write_dataset(folder, name, {"train": make_part(6), "test": make_part(3), **parts}, scratch=scratch)


def test_a_data_set_is_arrays_in_this_machines_order_with_a_manifest_and_digests(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "_CHUNK", 20)  # two samples at a time
    made = write(tmp_path)
    manifest = json.loads((tmp_path / "digits/manifest.json").read_text())
    assert manifest == made.manifest
    assert manifest["train"] == {
        "data": "train-data.npy",
        "labels": "train-labels.npy",
        "samples": 6,
        "shape": [2, 2],
        "dtype": "int16",
        "label_shape": [],
        "label_dtype": "int64",
    }
    for name, digest in manifest["digests"].items():
        assert hashlib.sha256((made.path / name).read_bytes()).hexdigest() == digest
    found = numpy.load(made.path / "train-data.npy", mmap_mode="r")
    assert found.dtype.isnative
    assert (found == make_part(6).data).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits"]
    assert sorted(path.name for path in made.path.iterdir()) == ["manifest.json", *sorted(manifest["digests"])]


def test_labels_of_another_length_are_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="--testdata has 3 samples and --testlabels 4 labels"):
        write(tmp_path, test=make_part(3, labels=4))
    assert list(tmp_path.iterdir()) == []


def test_samples_of_another_shape_are_an_error(tmp_path):
    with pytest.raises(InputError, match=r"--traindata has the shape \(2, 2\), one of --testdata \(4,\)"):
        write(tmp_path, test=make_part(3, shape=(4,)))


def test_a_disk_that_fills_leaves_nothing(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_that_is_there_is_not_written_over(tmp_path):
    write(tmp_path)
    with pytest.raises(InputError, match="is there already"):
        write(tmp_path, train=make_part(9))
    assert find_dataset(tmp_path, "digits").manifest["train"]["samples"] == 6


def test_what_a_killed_process_left_goes_and_what_others_write_stays(tmp_path):
    dead = tmp_path / ".digits.999999999.part"
    live = tmp_path / f".other.{os.getpid()}.part"
    for folder in (dead, live, tmp_path / ".notes.part"):
        folder.mkdir()
    write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.part", live.name, "digits"]


def test_files_and_other_folders_are_no_data_sets(tmp_path):
    (tmp_path / "adult.csv").write_text("a,b\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/manifest.json").write_text("[]")
    write(tmp_path, "b")
    write(tmp_path, "a")
    assert [found.path.name for found in find_datasets(tmp_path)] == ["a", "b"]
    assert find_datasets(tmp_path / "missing") == ()


def test_a_name_that_none_has_is_an_error_with_those_there_are(tmp_path):
    write(tmp_path)
    with pytest.raises(InputError, match=r"digit: no such data set, did you mean 'digits'|digits"):
        find_dataset(tmp_path, "digit")
    with pytest.raises(InputError, match="no such data set"):
        remove_dataset(tmp_path, "..")
    assert remove_dataset(tmp_path, "digits") == tmp_path / "digits"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a/b", "-n", "ä b"])
def test_a_name_is_one_that_a_folder_may_have(name, tmp_path):
    with pytest.raises(InputError, match="is no name for a data set"):
        library.check_name(name)


def test_a_spoilt_manifest_is_named(tmp_path):
    made = write(tmp_path)
    (made.path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"digits/manifest.json: no JSON"):
        find_dataset(tmp_path, "digits")
