"""Stop what runs of a flow: at Ctrl-C, at a time limit, and what a killed run has left behind."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from modelyard.engines.protocols import ContainerRunner
from modelyard.errors import EngineError

_GRACE = 3.0
_TRIES = 100


class Stopped(Exception):
    """The flow is being stopped: nothing more is started."""


class Stopper:
    """Knows how to stop each thing that runs."""

    def __init__(self) -> None:
        self.is_stopping = threading.Event()
        self._lock = threading.Lock()
        self._stops: dict[object, Callable[[], None]] = {}

    @contextmanager
    def watching(self, stop: Callable[[], None]) -> Iterator[None]:
        """Have `stop` called, while the block runs, when everything is to stop."""
        token = object()
        with self._lock:
            if self.is_stopping.is_set():
                raise Stopped
            self._stops[token] = stop
        try:
            yield
        finally:
            with self._lock:
                del self._stops[token]

    def stop_all(self) -> None:
        """Stop everything that runs, and let nothing more start."""
        with self._lock:
            self.is_stopping.set()
            stops = list(self._stops.values())
        threads = [threading.Thread(target=stop) for stop in stops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


class Limit:
    """Whether the time was over."""

    is_over = False


@contextmanager
def time_limit(seconds: float | None, stop: Callable[[], None]) -> Iterator[Limit]:
    """Call `stop` when the block takes longer."""
    limit = Limit()

    def end() -> None:
        limit.is_over = True
        stop()

    timer = threading.Timer(seconds, end) if seconds is not None else None
    if timer:
        timer.daemon = True
        timer.start()
    try:
        yield limit
    finally:
        if timer:
            timer.cancel()


def stop_container(runner: ContainerRunner, name: str, ended: threading.Event) -> None:
    """Stop a container, which may only be about to start, unless it has ended."""
    for _ in range(_TRIES):
        if ended.is_set():
            return
        try:
            runner.stop(name, grace=_GRACE)
            return
        except EngineError:
            time.sleep(0.05)


def stop_left(runner: ContainerRunner, mark: str) -> None:
    """Stop the containers of a run that was killed; their names hold its id."""
    for container in runner.containers():
        if mark in container.name:
            with suppress(EngineError):
                runner.stop(container.name, grace=0.0)


def kill_left(pid: int, started: str | None) -> None:
    """End the process group that a killed run's command leads, if it is still that one."""
    from modelyard.machine.processes import is_running

    if is_running(pid, started):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
