"""The embedded engine: no daemon, no root. An image is a directory, a run is a process group."""

from modelyard.engines.local.engine import LocalEngine

__all__ = ["LocalEngine"]
