"""Where a worker shows the metrics of Seldon style classes to the gateway, and the buckets of their timers."""

from __future__ import annotations

from pathlib import Path

TIMER_BOUNDS = tuple(0.001 * 30000 ** (step / 49) for step in range(50))


def metrics_path(socket: Path, pid: int, route: str = "*") -> Path:
    """Where the process of a worker that listens at `socket` shows the metrics of a route's class."""
    return socket.with_name(f"{socket.stem}-{pid}-{route.replace('/', '%')}.seldon")
