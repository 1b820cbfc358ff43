"""The two spellings of a KubeModel's methods: the documented one, and that of the released package."""

import inspect
from collections.abc import Callable
from typing import Any

from kubeml.errors import KubeError


def count_arguments(method: Callable[..., Any]) -> tuple[int, int]:
    """The fewest and the most arguments that a bound method takes by position.

    >>> count_arguments(lambda x, y, batch_index=0: None), count_arguments(lambda *all: None)
    ((2, 3), (0, 99))
    """
    parameters = inspect.signature(method).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    most = 99 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else len(named)
    return sum(p.default is p.empty for p in named), most


def takes(method: Callable[..., Any], count: int) -> bool:
    """Tell whether a method can be called with so many arguments."""
    fewest, most = count_arguments(method)
    return fewest <= count <= most


def call_on_batch(method: Callable[..., Any], batch: Any, index: int) -> Any:
    """Call `train` or `validate`: with (x, y, batch_index), or with (batch, batch_index)."""
    if takes(method, 3):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise _wrong(method, "takes x, y and batch_index, but __getitem__ returns no pair")
        return method(*batch, index)
    if takes(method, 2):
        return method(batch, index)
    raise _wrong(method, "takes neither (x, y, batch_index) nor (batch, batch_index)")


def call_init(method: Callable[..., Any], network: Any) -> None:
    """Call `init`: with the network, or without."""
    method(network) if takes(method, 1) else method()


def call_infer(method: Callable[..., Any], network: Any, data: Any) -> Any:
    """Call `infer`: with (model, data), or with (data)."""
    if takes(method, 2) and not takes(method, 1):
        return method(network, data)
    return method(data)


def _wrong(method: Callable[..., Any], what: str) -> KubeError:
    return KubeError(
        f"{method.__qualname__}{inspect.signature(method)} {what}",
        hint="write def train(self, x, y, batch_index) or def train(self, batch, batch_index), and so for validate",
    )
