"""How a train or predict function is called: with the message, or without where it takes nothing.

It runs under the Python of the model's own environment: the standard library only, of any Python from 3.9 on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect


def take_message(function: Callable[..., Any], *, name: str) -> Callable[[Any], Any]:
    """Return what can be called with one message: `function` itself, or one that calls it without.

    Raises TypeError for a function that needs more than the message.

    >>> take_message(lambda: 1, name="train")("the message"), take_message(len, name="train")("the message")
    (1, 11)
    """
    import inspect  # not before a model is loaded: what forks workers needs it not

    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):  # C code that does not tell
        return function
    if _accepts(signature, 1) and not (_accepts(signature, 0) and _wraps_one_without(function)):
        return function
    if _accepts(signature, 0):

        @wraps(function)
        def call_without(_: Any) -> Any:
            return function()

        return call_without
    raise TypeError(f"{name}{signature} is called with one argument, the message: give the others defaults")


def _accepts(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*(None,) * count)
    except TypeError:
        return False
    return True


def _wraps_one_without(function: Callable[..., Any]) -> bool:
    """Tell whether a decorator, which passes on whatever it gets, stands around a function that takes nothing."""
    if not hasattr(function, "__wrapped__"):
        return False
    from inspect import signature as read_signature

    signature = read_signature(function)
    return _accepts(signature, 0) and not _accepts(signature, 1)
