"""Metrics in Prometheus' text form, right over any number of processes and their restarts.

Every gateway process and every worker counts into a file of doubles of its own in the run directory; whichever gateway
is asked adds the files up. What a process has counted stays when it ends, so no counter ever goes back.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

from modelyard.runtime.application import Application
from modelyard.runtime.daemon.counters import (
    CALL_REQUESTS,
    CALL_SECONDS,
    Histogram,
    Values,
    WorkerCounts,
    counts_path,
    map_doubles,
    read_doubles,
)
from modelyard.runtime.daemon.memory import read_resident_bytes
from modelyard.runtime.daemon.status import ModelStatus, socket_path
from modelyard.runtime.gateway.exposition import describe, label
from modelyard.runtime.gateway.problems import CAUSES, OTHER_CAUSES
from modelyard.runtime.gateway.seldon_metrics import render_seldon_metrics

STATUSES = ("200", "400", "401", "403", "405", "413", "415", "422", "429", "500", "502", "503", "504", "other")
ERRORS = tuple(sorted({*CAUSES.values(), *OTHER_CAUSES}))
SECONDS = Histogram((0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0))
_ERRORS_AT = len(STATUSES)
_SECONDS_AT = _ERRORS_AT + len(ERRORS)
_IN_FLIGHT_AT = _SECONDS_AT + SECONDS.width
_WIDTH = _IN_FLIGHT_AT + 1
_STATUS_AT = {int(status): number for number, status in enumerate(STATUSES[:-1])}
_ERROR_AT = {cause: _ERRORS_AT + number for number, cause in enumerate(ERRORS)}


class Metrics:
    """What this gateway process counts, and the page with the sum of all."""

    def __init__(self, application: Application, folder: Path) -> None:
        self._application = application
        self._folder = folder
        routes = sorted(route for model in application.models for route in model.routes)
        self._starts = {route: number * _WIDTH for number, route in enumerate(routes)}
        self._lock = threading.Lock()
        # The layout follows from the routes: a file of other routes, left in a given run directory, is none of ours.
        self._prefix = f"gateway-{sha256(','.join(routes).encode()).hexdigest()[:8]}-"
        self._values = map_doubles(folder / f"{self._prefix}{os.getpid()}.counters", self._size)
        for start in self._starts.values():
            self._values[start + _IN_FLIGHT_AT] = 0.0

    def begin(self, route: str) -> None:
        """Count a request that has arrived."""
        with self._lock:
            self._values[self._starts[route] + _IN_FLIGHT_AT] += 1

    def end(self, route: str, status: int, seconds: float, *, cause: str | None = None) -> None:
        """Count its answer; `cause` says why it is an error."""
        start = self._starts[route]
        with self._lock:
            self._values[start + _STATUS_AT.get(status, len(STATUSES) - 1)] += 1
            if cause is not None:
                self._values[start + _ERROR_AT[cause]] += 1
            SECONDS.observe(self._values, start + _SECONDS_AT, seconds)
            self._values[start + _IN_FLIGHT_AT] -= 1

    def render(self, models: Sequence[ModelStatus]) -> str:
        """Write everything as Prometheus reads it."""
        processes = self._read_processes()
        totals = [sum(column) for column in zip(*processes.values(), strict=True)]
        alive = {pid: values for pid, values in processes.items() if _is_alive(pid)}
        lines = [
            *self._render_requests(totals),
            *self._render_in_flight(alive.values()),
            *self._render_workers(),
            *_render_models(models),
            *_render_memory(models, alive),
            *render_seldon_metrics(self._folder),
        ]
        return "\n".join([*lines, ""])

    @property
    def _size(self) -> int:
        return _WIDTH * len(self._starts)

    def _read_processes(self) -> dict[int, Values]:
        paths = {
            int(path.name.removeprefix(self._prefix).removesuffix(".counters")): path
            for path in self._folder.glob(f"{self._prefix}*.counters")
            if path.name.removeprefix(self._prefix).removesuffix(".counters").isdecimal()
        }
        return {pid: read_doubles(path, self._size) for pid, path in paths.items()}

    def _render_requests(self, totals: Values) -> Iterator[str]:
        name = "modelyard_requests_total"
        yield from describe(name, "counter", "Requests answered, by route and status.")
        for route, start in self._starts.items():
            for number, status in enumerate(STATUSES):
                yield from _count(name, totals[start + number], route=route, status=status)
        name = "modelyard_request_errors_total"
        yield from describe(name, "counter", "Requests answered by an error, by route and cause.")
        for route, start in self._starts.items():
            for cause, offset in _ERROR_AT.items():
                yield from _count(name, totals[start + offset], route=route, cause=cause)
        name = "modelyard_request_seconds"
        yield from describe(name, "histogram", "Seconds from a request's arrival to its answer, by route.")
        for route, start in self._starts.items():
            yield from _render_histogram(name, SECONDS, totals[start + _SECONDS_AT :], route=route)

    def _render_in_flight(self, processes: Iterable[Values]) -> Iterator[str]:
        name = "modelyard_requests_in_flight"
        yield from describe(name, "gauge", "Requests that have arrived and are not answered yet, by route.")
        values = list(processes)
        for route, start in self._starts.items():
            yield f"{name}{label(route=route)} {sum(one[start + _IN_FLIGHT_AT] for one in values):.0f}"

    def _render_workers(self) -> Iterator[str]:
        counts = {}
        waiting = {}
        for index, model in enumerate(self._application.models):
            values = self._read_worker(index, len(model.routes))
            waiting[model.name] = values[-1]
            for number, route in enumerate(model.routes):
                counts[route] = values[number * WorkerCounts.width : (number + 1) * WorkerCounts.width]
        name = "modelyard_queue_depth"
        yield from describe(name, "gauge", "Requests that wait for the model's process, by model.")
        for model_name, depth in waiting.items():
            yield f"{name}{label(model=model_name)} {depth:.0f}"
        name = "modelyard_call_seconds"
        yield from describe(name, "histogram", "Seconds that a call of the model's function takes, by route.")
        for route in self._starts:
            yield from _render_histogram(name, CALL_SECONDS, counts[route], route=route)
        name = "modelyard_batch_size"
        yield from describe(name, "histogram", "Requests that one call of the model's function answers, by route.")
        for route in self._starts:
            yield from _render_histogram(name, CALL_REQUESTS, counts[route][CALL_SECONDS.width :], route=route)

    def _read_worker(self, index: int, routes: int) -> Values:
        """The counts of the model number `index`, over all of its processes."""
        size = WorkerCounts.size(routes)
        socket = socket_path(self._folder, index)
        paths = {counts_path(socket), *self._folder.glob(f"{socket.stem}-*.counts")}
        return [sum(column) for column in zip(*(read_doubles(path, size) for path in paths), strict=True)]


def _render_models(models: Sequence[ModelStatus]) -> Iterator[str]:
    name = "modelyard_model_ready"
    yield from describe(name, "gauge", "1 when the model has loaded and answers.")
    for model in models:
        yield f"{name}{label(model=model.name)} {int(model.state == 'ready')}"
    name = "modelyard_worker_restarts_total"
    yield from describe(name, "counter", "Starts of the model's process after the first.")
    for model in models:
        yield f"{name}{label(model=model.name)} {model.restarts}"
    name = "modelyard_model_reloads_total"
    yield from describe(name, "counter", "Reloads of the model, by outcome.")
    for model in models:
        yield f"{name}{label(model=model.name, outcome='swapped')} {model.reloads}"
        yield f"{name}{label(model=model.name, outcome='rolled_back')} {model.reload_failures}"
    name = "modelyard_model_load_seconds"
    yield from describe(name, "gauge", "Seconds that the model took to load.")
    for model in models:
        if model.load_seconds is not None:
            yield f"{name}{label(model=model.name)} {model.load_seconds}"


def _render_memory(models: Sequence[ModelStatus], gateways: Iterable[int]) -> Iterator[str]:
    name = "modelyard_resident_memory_bytes"
    yield from describe(name, "gauge", "Memory that the processes of a model hold, and those of the gateway.")
    for model in models:
        sizes = [read_resident_bytes(pid) or 0 for pid in model.pids]
        if any(sizes):
            yield f"{name}{label(process='worker', model=model.name)} {sum(sizes)}"
    sizes = [read_resident_bytes(pid) or 0 for pid in gateways]
    if any(sizes):
        yield f"{name}{label(process='gateway')} {sum(sizes)}"


def _render_histogram(name: str, histogram: Histogram, values: Values, **labels: str) -> Iterator[str]:
    counts = list(accumulate(values[: histogram.width - 1]))
    for bound, count in zip([*map(str, histogram.bounds), "+Inf"], counts, strict=True):
        yield f"{name}_bucket{label(**labels, le=bound)} {count:.0f}"
    yield f"{name}_sum{label(**labels)} {values[histogram.width - 1]:.6f}"
    yield f"{name}_count{label(**labels)} {counts[-1]:.0f}"


def _count(name: str, value: float, **labels: str) -> Iterator[str]:
    if value:
        yield f"{name}{label(**labels)} {value:.0f}"


def _is_alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False
