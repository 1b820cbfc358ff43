"""The embedded engine: no daemon, no root. An image is a directory, a run is a process group."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelyard.engines.local.engine import LocalEngine

__all__ = ["LocalEngine"]


def __getattr__(name: str) -> object:
    """Load the engine when it is asked for: who needs one module of this package does not wait for all of them."""
    if name not in __all__:
        raise AttributeError(name)
    from modelyard.engines.local.engine import LocalEngine

    return LocalEngine
