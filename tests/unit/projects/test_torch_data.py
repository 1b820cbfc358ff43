"""The data of the torch projects: the same every time, from where the README says, and it says from where."""

import gzip
import json
import struct

import numpy as np
import pytest

from common_utils.arrays import read_array, read_arrays
from common_utils.download import DownloadError, digest_of
from mnist import make_data as mnist
from torch_linear import make_data as linear


def test_the_line_has_the_weights_it_should_have(tmp_path, capsys):
    linear.main(tmp_path)
    X, y = read_array(tmp_path / "X.npy"), read_array(tmp_path / "y.npy")
    assert X.shape == (5000, 2) and y.shape == (5000, 1)
    assert np.allclose(np.linalg.lstsq(X, y)[0], [[2], [3]])
    digest = digest_of(tmp_path / "X.npy")
    linear.main(tmp_path)
    assert "already there and unchanged" in capsys.readouterr().out
    (tmp_path / "X.json").unlink()
    linear.main(tmp_path)
    assert digest_of(tmp_path / "X.npy") == digest


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Four files in MNIST's format, with other pictures, and their digests in place of MNIST's."""
    folder = tmp_path / "raw" / "mnist"
    folder.mkdir(parents=True)
    digests = {}
    for part, count in (("train", 60), ("t10k", 50)):
        pictures = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        content = {
            f"{part}-images-idx3-ubyte.gz": struct.pack(">4i", 2051, count, 28, 28) + pictures.tobytes(),
            f"{part}-labels-idx1-ubyte.gz": struct.pack(">2i", 2049, count) + labels.tobytes(),
        }
        for name, data in content.items():
            (folder / name).write_bytes(gzip.compress(data))
            digests[name] = digest_of(folder / name)
    monkeypatch.setattr(mnist, "SHA256", digests)
    monkeypatch.setenv("MODELYARD_DATA", str(tmp_path / "raw"))
    return folder


def labels_of(folder):
    return [len(labels) for labels in read_arrays(folder / "mnist.npz", "labels", "held_out_labels")]


def source_of(folder):
    return json.loads((folder / "mnist.json").read_text())["source"]


def test_all_four_files_are_taken_as_they_are_split(files, tmp_path):
    mnist.main(tmp_path)
    assert labels_of(tmp_path) == [60, 50] and source_of(tmp_path) == mnist.WHOLE


def test_the_test_set_alone_is_split_with_the_same_share_of_each_digit(files, tmp_path, capsys):
    for path in files.glob("train-*"):
        path.unlink()
    mnist.main(tmp_path)
    assert labels_of(tmp_path) == [40, 10] and source_of(tmp_path) == mnist.TEST_PART
    assert sorted(read_arrays(tmp_path / "mnist.npz", "held_out_labels")[0]) == list(range(10))
    pictures, held_out = read_arrays(tmp_path / "mnist.npz", "pictures", "held_out_pictures")
    assert len({picture.tobytes() for picture in (*pictures, *held_out)}) == 50, "a picture is in both parts"
    mnist.main(tmp_path)
    assert "already there and unchanged" in capsys.readouterr().out


def test_a_file_that_is_not_the_original_is_refused(files, tmp_path):
    (files / "t10k-labels-idx1-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(SystemExit, match=r"t10k-labels-idx1-ubyte\.gz: not the original"):
        mnist.main(tmp_path)


def test_a_folder_without_the_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match="no MNIST here"):
        mnist.main(tmp_path / "data")


def test_the_mirrors_are_asked_in_turn(files, tmp_path, monkeypatch, capsys):
    asked = []

    def download(url, path, *, sha256):
        asked.append(url)
        if "first" in url:
            raise DownloadError(f"{url}: gone")
        path.write_bytes((files / path.name).read_bytes())

    monkeypatch.delenv("MODELYARD_DATA")
    monkeypatch.setenv("MNIST_MIRRORS", "https://first.example/mnist/ https://second.example/mnist")
    monkeypatch.setattr(mnist, "download", download)
    mnist.main(tmp_path)
    assert asked[0] == "https://first.example/mnist/train-images-idx3-ubyte.gz"
    assert asked[1:] == [f"https://second.example/mnist/{name}" for name in mnist.SHA256]
    assert source_of(tmp_path) == mnist.WHOLE and "first.example" in capsys.readouterr().err


def test_mnist_is_not_given_up_for_small_digits(files, tmp_path, monkeypatch, capsys):
    mnist.main(tmp_path)
    sidecar = json.loads((tmp_path / "mnist.json").read_text())
    (tmp_path / "mnist.json").write_text(json.dumps({**sidecar, "recipe": "an earlier version"}))
    monkeypatch.delenv("MODELYARD_DATA")
    monkeypatch.setenv("MNIST_MIRRORS", "")
    mnist.main(tmp_path)
    assert labels_of(tmp_path) == [60, 50] and "kept MNIST" in capsys.readouterr().out
