"""What `KubeModel.start()` does in this process: it begins a training, is a worker of one, or is to answer."""

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from kubeml.errors import KubeError

if TYPE_CHECKING:
    from kubeml.model import KubeModel


class Role(Protocol):
    """Takes the model of which `start()` was called, and gives what that returns."""

    serves: bool

    def take(self, model: "KubeModel") -> Any:
        """Do what this process is for."""
        ...


_role: Role | None = None


def current() -> Role | None:
    """The role of this process; None where a training is yet to begin."""
    return _role


def is_serving() -> bool:
    """Tell whether this process is to answer, without data."""
    return _role is not None and _role.serves


@contextmanager
def playing(role: Role) -> Iterator[None]:
    """Give this process a role for a while."""
    global _role
    before, _role = _role, role
    try:
        yield
    finally:
        _role = before


def call_entry() -> None:
    """Call TRAIN_MODULE.TRAIN_FUNCTION, as the train image does, for its `start()`."""
    module, function = os.environ["TRAIN_MODULE"], os.environ.get("TRAIN_FUNCTION") or "train"
    imported = importlib.import_module(module)
    entry = getattr(imported, function, None)
    if not callable(entry):
        raise KubeError(f"{imported.__file__} has no function {function!r}", hint="correct TRAIN_FUNCTION")
    entry()
