"""The author's loop: a saved file is built and served within the second, beside what serves."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from modelyard.commands.building import build_image
from modelyard.commands.reporter import Reporter
from modelyard.commands.serving import ServeRequest, serve
from modelyard.commands.subject import models_of
from modelyard.engines.protocols import Engine, Refresher
from modelyard.errors import ModelyardError
from modelyard.runtime.beside import SHARED

_POLL = 0.1
_RELOAD_TIME = 60.0
_IGNORED = {"__pycache__", "data", "models", "upload", ".git"}
Stamps = Mapping[Path, tuple[int, int]]


def watch(request: ServeRequest, engine: Engine, reporter: Reporter, *, pause: Callable[[float], None]) -> None:
    """Build and load again after each change of the sources, until `pause` raises; say what fails, and wait on."""
    seen = take_stamps(request)
    while True:
        pause(_POLL)
        now = take_stamps(request)
        if now == seen:
            continue
        seen = now
        try:
            update(request, engine, reporter)
        except ModelyardError as error:
            reporter.note(f"{error}; what served before serves on")


def update(request: ServeRequest, engine: Engine, reporter: Reporter) -> None:
    """Build, and have the running daemon load the new source; start it anew where that is not enough."""
    started = time.monotonic()
    image = build_image(request.build, engine, reporter)
    before = _read_reloads(request)
    if not isinstance(engine, Refresher) or not engine.refresh(request.container_name, image.id):
        serve(request, engine, reporter)
        return
    deadline = time.monotonic() + _RELOAD_TIME
    while time.monotonic() < deadline:
        now = _read_reloads(request)
        for model, (_, failures, reason) in now.items():
            if failures > before[model][1]:
                raise ModelyardError(f"the new source of {model} does not load: {reason}")
        if all(now[model][0] > before[model][0] for model in now):
            reporter.note(f"loaded again in {time.monotonic() - started:.2f} s")
            return
        time.sleep(0.02)
    raise ModelyardError(f"the new source did not load within {_RELOAD_TIME:g} s")


def take_stamps(request: ServeRequest) -> Stamps:
    """The time and size of every file that is staged."""
    return {path: (about.st_mtime_ns, about.st_size) for path in _list_files(request) if (about := path.stat())}


def _list_files(request: ServeRequest) -> Iterator[Path]:
    root = request.build.workspace.root
    folders = {request.build.subject.path, *(root / name for name in SHARED)}
    for model in models_of(request.build.subject):
        folders |= {model.path, model.path.parent / "common_utils"}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not _IGNORED.intersection(path.relative_to(folder).parts):
                yield path


def _read_reloads(request: ServeRequest) -> dict[str, tuple[int, int, str | None]]:
    """By model, how often it was loaded again, how often it was not, and why."""
    _, answer = request.endpoint.request("GET", "/routes")
    return {
        route["model"]: (route["reloads"], route["reload_failures"], route["reload_error"])
        for route in answer["routes"]
    }
