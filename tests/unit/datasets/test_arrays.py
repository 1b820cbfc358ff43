"""Every kind of file of arrays, and what is none."""

import gzip
import pickle
import struct

import numpy
import pytest

from modelyard.datasets.arrays import open_array, split_name
from modelyard.datasets.pickles import load_arrays
from modelyard.errors import InputError

ARRAY = numpy.arange(24, dtype="float32").reshape(4, 3, 2)
IDX = struct.pack(">xxBB3I", 0x0D, 3, 4, 3, 2) + ARRAY.astype(">f4").tobytes()
# What numpy 1.x wrote on Python 3, protocol 2: its modules have other names since.
OLD_PICKLE = pickle.dumps(ARRAY, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def write_npz(path, **arrays):
    with path.open("wb") as file:
        numpy.savez(file, **arrays)


WRITERS = {
    "npy": lambda path: numpy.save(path.open("wb"), ARRAY),
    "fortran.npy": lambda path: numpy.save(path.open("wb"), numpy.asfortranarray(ARRAY)),
    "npz": lambda path: write_npz(path, only=ARRAY),
    "idx": lambda path: path.write_bytes(IDX),
    "idx.gz": lambda path: path.write_bytes(gzip.compress(IDX)),
    **{f"{n}.pkl": lambda path, n=n: path.write_bytes(pickle.dumps(ARRAY, protocol=n)) for n in range(6)},
    "old.pkl": lambda path: path.write_bytes(OLD_PICKLE),
    "list.pkl": lambda path: path.write_bytes(pickle.dumps(ARRAY.tolist())),
    "pkl.gz": lambda path: path.write_bytes(gzip.compress(pickle.dumps(ARRAY))),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_every_kind_of_file_gives_the_same_array(kind, tmp_path):
    path = tmp_path / "whatever"  # the kind is told by content
    WRITERS[kind](path)
    found = open_array(path, scratch=tmp_path)
    assert found.shape == ARRAY.shape
    assert (found == ARRAY).all()
    is_packed = kind.endswith(".pkl") or kind == "pkl.gz"
    assert is_packed or isinstance(found, numpy.memmap)


def test_one_of_the_arrays_of_an_npz_is_named(tmp_path):
    path = tmp_path / "mnist.npz"
    write_npz(path, x_train=ARRAY, y_train=ARRAY[:, 0, 0])
    assert open_array(path, name="y_train", scratch=tmp_path).tolist() == [0, 6, 12, 18]
    with pytest.raises(InputError, match=r"2 arrays in it \(x_train, y_train\)"):
        open_array(path, scratch=tmp_path)
    with pytest.raises(InputError, match=r"no array 'z' in it"):
        open_array(path, name="z", scratch=tmp_path)


@pytest.mark.parametrize("text", ["s3://bucket/a.npy", "/data/a.npy", "a:b.npy"])
def test_what_names_no_array_is_a_file(text):
    assert split_name(text) == (text, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no kind that is known"),
        (b"\x00\x00", "no kind that is known"),
        (b"a,b\n1,2\n", "no kind that is known"),
        (b"\x93NUMPY\x01\x00", "can't be read as arrays"),
        (b"PK\x03\x04rest", "can't be read as arrays"),
        (b"\x1f\x8b\x08rest", "can't be read as arrays"),
        (IDX[:-1], "has 112 bytes, this file 111"),
        (IDX + b"\0", "has 112 bytes, this file 113"),
        (b"\x80\x04", "no pickle of arrays"),
        (pickle.dumps([[1, 2], [3]]), "can't be read as arrays"),
        (pickle.dumps(numpy.array(["cat", "dog"])), "an array of <U3, expected numbers"),
        (pickle.dumps(numpy.array([1, None])), "an array of object, expected numbers"),
        (pickle.dumps(5), "has no samples in it"),
        (pickle.dumps(numpy.zeros((0, 3))), "has no samples in it"),
    ],
)
def test_what_holds_no_array_of_numbers_says_so(content, message, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        open_array(path, scratch=tmp_path)
    assert str(path) in error.value.message


def test_an_npy_of_objects_is_not_unpickled(tmp_path):
    numpy.save(tmp_path / "a.npy", numpy.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="Python objects in dtype"):
        open_array(tmp_path / "a.npy", scratch=tmp_path)


class Trap:
    """What runs code where it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('the trap was sprung')",))


class TestGate:
    @pytest.mark.parametrize("protocol", range(6))
    def test_no_code_of_a_pickle_runs(self, protocol, tmp_path):
        path = tmp_path / "trap.pkl"
        path.write_bytes(pickle.dumps([ARRAY, Trap()], protocol=protocol))
        with path.open("rb") as file, pytest.raises(InputError, match=r"trap.pkl: it asks for \w+.exec"):
            load_arrays(file, path)

    @pytest.mark.parametrize(
        "content",
        [
            b"cnumpy\nload\n.",
            b"cos\nsystem\n(S'true'\ntR.",
            b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.",  # a dotted name that starts well
            b"cnumpy.core.multiarray\n_reconstruct\n(cbuiltins\nobject\n(I0\ntS'b'\ntR.",
        ],
    )
    def test_nor_what_only_looks_like_arrays(self, content, tmp_path):
        path = tmp_path / "trap.pkl"
        path.write_bytes(content)
        with path.open("rb") as file, pytest.raises(InputError, match="it asks for"):
            load_arrays(file, path)
