"""numpy files: whole or not there, and never a pickle."""

import numpy as np
import pytest

from common_utils.arrays import read_array, read_arrays, write_arrays


def test_an_array_comes_back(tmp_path):
    write_arrays(tmp_path / "new" / "X.npy", np.eye(3))
    assert np.array_equal(read_array(tmp_path / "new" / "X.npy"), np.eye(3))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["X.npy"]


def test_arrays_come_back_by_name(tmp_path):
    write_arrays(tmp_path / "a.npz", {"x": np.eye(2), "y": np.arange(3)})
    y, x = read_arrays(tmp_path / "a.npz", "y", "x")
    assert np.array_equal(x, np.eye(2)) and np.array_equal(y, np.arange(3))


def test_the_same_arrays_are_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_arrays(tmp_path / name, {"x": np.eye(2)})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    write_arrays(tmp_path / "X.npy", np.eye(3))
    with pytest.raises(ValueError):
        write_arrays(tmp_path / "X.npy", np.array([object()]))
    assert np.array_equal(read_array(tmp_path / "X.npy"), np.eye(3))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"no array", np.array([object()], dtype=object).dumps()])
def test_what_is_no_array_is_an_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "X.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"X\.npy: can't read"):
        read_array(path)
    with pytest.raises(ValueError, match=r"X\.npy: can't read"):
        read_arrays(path, "x")


def test_a_missing_array_is_an_error_that_names_it(tmp_path):
    write_arrays(tmp_path / "a.npz", {"x": np.eye(2)})
    with pytest.raises(ValueError, match=r"a\.npz: can't read the arrays x, y"):
        read_arrays(tmp_path / "a.npz", "x", "y")
    with pytest.raises(ValueError, match="several arrays"):
        read_array(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"nope\.npy"):
        read_array(tmp_path / "nope.npy")
