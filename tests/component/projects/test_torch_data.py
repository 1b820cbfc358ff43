"""Where there is no MNIST, the digits of scikit-learn are taken; tests/unit has what needs no framework."""

import json

import numpy as np

from common_utils.arrays import read_arrays
from common_utils.download import DownloadError
from mnist import make_data as mnist


def test_without_a_network_small_digits_are_scaled_up_and_it_says_so(monkeypatch, tmp_path, capsys):
    def refuse(url, path, *, sha256):
        raise DownloadError(f"{url}: no network")

    monkeypatch.delenv("MODELYARD_DATA", raising=False)
    monkeypatch.setattr(mnist, "download", refuse)
    mnist.main(tmp_path)
    pictures, labels, held_out = read_arrays(tmp_path / "mnist.npz", "pictures", "labels", "held_out_labels")
    assert len(labels) + len(held_out) == 1797
    assert json.loads((tmp_path / "mnist.json").read_text())["source"] == mnist.SMALL_DIGITS
    said = capsys.readouterr()
    assert "no MNIST" in said.err and "not MNIST" in said.out
    assert pictures.shape[1:] == (28, 28) and pictures.dtype == np.uint8 and pictures.max() == 255
