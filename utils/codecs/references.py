"""What a saved model refers to by name: whoever loads it must find a class or a function of that name."""

import pickle
from types import FunctionType
from typing import Any

from utils.errors import ModelBinaryError


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        return memoryview(data).nbytes


class _Reader(pickle.Pickler):
    """Meets everything that a model is made of, as a pickle would."""

    def reducer_override(self, value: Any) -> Any:
        """Refuse what has no name that another process could find it by."""
        found = value if isinstance(value, (type, FunctionType)) else type(value)
        name = f"{found.__module__}.{found.__qualname__}"
        if "<lambda>" in name or "<locals>" in name:
            raise ModelBinaryError(
                f"it holds {name}, which has no name to be found by when the model is loaded",
                hint="write it as a function or class of its own, at the top of a module that predict.py has too",
            )
        if found.__module__ == "__main__":
            raise ModelBinaryError(
                f"it holds {name}, which is part of the script that runs now and is not there when the model is loaded",
                hint="move it into a module of its own beside predict.py, and import it from there",
            )
        return NotImplemented


def check_references(model: Any) -> None:
    """Raise ModelBinaryError where a model holds a lambda, or a class or function that no other process can import."""
    try:
        _Reader(_Nowhere(), protocol=pickle.HIGHEST_PROTOCOL).dump(model)
    except ModelBinaryError:
        raise
    except Exception:  # no pickle can hold it: its own format may
        return
