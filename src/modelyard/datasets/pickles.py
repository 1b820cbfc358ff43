"""A gate for pickles: it makes arrays, and lists of numbers, of them and nothing else. No code of a file runs."""

import pickle
from pathlib import Path
from typing import Any, BinaryIO

from modelyard.errors import InputError

# What numpy 1 and 2 (`_core`) write an array with, in every protocol; `encode` carries bytes in the first three.
_ARRAYS = {
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _Gate(pickle.Unpickler):
    """An unpickler that finds the parts of numpy's arrays and no other class or function."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a part of an array; raise InputError for everything else."""
        if (module, name) not in _ARRAYS:
            raise InputError(
                f"it asks for {module}.{name}, and a pickle that asks for more than arrays can run any code",
                hint="write the arrays with numpy.save(..., allow_pickle=False) where you trust the file",
            )
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load_arrays(file: BinaryIO, path: Path) -> Any:
    """Unpickle what holds arrays, lists and numbers; raise InputError that names `path` for everything else."""
    try:
        return _Gate(file).load()
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from None
    except Exception as error:  # a pickle that is cut off or made up raises whatever it likes
        raise InputError(f"{path}: no pickle of arrays ({type(error).__name__}: {error})") from None
