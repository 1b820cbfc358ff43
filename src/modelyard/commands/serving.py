"""Serve a subject: build its daemon image, start it, wait until every model has loaded."""

import filecmp
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

from modelyard.commands.building import BuildRequest, build_image, describe_build
from modelyard.commands.endpoint import Endpoint, choose_loopback
from modelyard.commands.reporter import OnOutput, Reporter
from modelyard.commands.subject import choose_container_name, models_of
from modelyard.engines.parts import require_runner
from modelyard.engines.protocols import Container, ContainerRunner, ContainerSpec, Engine, Image, Mount, PublishedPort
from modelyard.errors import InputError, RunError
from modelyard.runtime.application import check_default_route, load_routes
from modelyard.runtime.daemon.settings import load_settings
from modelyard.runtime.routes import parse_routes
from modelyard.workspace import CombinedDirectory, ModelDirectory

_POLL = 0.05
_SAY_EVERY = 10.0
_TAIL = 15
# What torch models are trained further by: no daemon reads it, and every project has its own.
_OF_TRAINING = ("metaData-models.json", "mainModel.pth")


@dataclass(frozen=True, kw_only=True)
class ServeRequest:
    """What to serve, where, and under which name."""

    build: BuildRequest
    host: str = "127.0.0.1"
    port: int = 5111
    name: str | None = None
    model_name: str | None = None
    timeout: float = 120.0
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the caller sets in the container."""

    @property
    def container_name(self) -> str:
        """The name asked for, else CONTAINER_NAME."""
        return choose_container_name(self.build.subject, self.name)

    @property
    def endpoint(self) -> Endpoint:
        """Where it will answer."""
        return Endpoint(host=choose_loopback(self.host), port=self.port)


def serve(request: ServeRequest, engine: Engine, reporter: Reporter) -> Container:
    """Build, start in the background, and return when every model is ready, or some where READY=any.

    A running container of the same name is replaced, even by its like: only a new one surely has the model's last
    binary. What is known to be wrong without a start (PortTakenError, InputError) leaves it running. Raises RunError
    with the reason where a model cannot load and the daemon is not ready without it; then nothing is left running.
    """
    runner, name = require_runner(engine), request.container_name
    runner.check_port(request.host, request.port, leaving=name)
    image = build_image(request.build, engine, reporter)
    check_settings(request)
    spec = specify_container(request, image, name=name)
    if any(container.name == name for container in runner.containers()):
        runner.check_port(request.host, request.port, leaving=name)  # builds take minutes
        with reporter.step(f"stopping the {name} that runs"):
            runner.stop(name)
    with reporter.step(f"starting {name} on {request.endpoint}") as step:
        container = runner.start(replace(spec, published=PublishedPort(port=request.port, host=request.host)))
        try:
            _wait_until_ready(request, runner, reporter, step.output)
        except BaseException:
            runner.stop(container.name)
            raise
        step.done(f"{name} is ready on {request.endpoint}")
    return container


def describe_serve(request: ServeRequest) -> list[str]:
    """Say what serving would do, without an engine: the plan of `--dry-run`."""
    check_settings(request)
    return [
        *describe_build(request.build),
        f"start {request.container_name} on {request.endpoint}, in the place of a running one of that name",
        *(f"  {name}={value}" for name, value in sorted(_model_environment(request).items())),
        f"  models {', '.join(str(folder) for folder in _find_models_folders(request))} (read only)",
    ]


def check_settings(request: ServeRequest) -> None:
    """Raise InputError for a variable that the daemon would not start with, saying where it is set."""
    own = request.build.subject.environment
    environment = {**own, **request.environment}
    if "ROUTES" in request.environment:
        parse_routes(request.environment["ROUTES"], place="option -e")
    routes = load_routes(environment)
    for key, value in environment.items():
        try:
            load_settings({key: value})
            check_default_route(routes, {key: value})
        except InputError as error:
            place = "option -e" if key in request.environment else own.where(key)
            raise InputError(f"{place}: {error.message}", hint=error.hint) from None


def specify_container(
    request: ServeRequest, image: Image, *, name: str | None = None, environment: Mapping[str, str] = {}
) -> ContainerSpec:
    """The container of a subject's image, with its models, and `environment` added to what the request sets."""
    return ContainerSpec(
        image.id,
        name=name,
        environment={**_model_environment(request), **environment},
        mounts=[Mount(source=_models_folder(request), target="models", read_only=True)],
    )


def _model_environment(request: ServeRequest) -> Mapping[str, str]:
    """MODEL_NAME tells a single model which binary to load; a combined daemon has none."""
    if isinstance(request.build.subject, CombinedDirectory):
        return request.environment
    name = request.model_name or request.build.subject.model_name
    return {"MODEL_NAME": name, "MODElNAME": name, **request.environment}


def _models_folder(request: ServeRequest) -> Path:
    """The folder to mount as models/: the project's own, or for every project one that holds the binaries of all."""
    folders, subject = _find_models_folders(request), request.build.subject
    if subject.path.parent == request.build.workspace.projects_root:
        return gather_models(folders, subject.path / "models")
    folders[0].mkdir(exist_ok=True)
    return folders[0]


def _find_models_folders(request: ServeRequest) -> list[Path]:
    """The models/ of each project that a subject serves models of."""
    subject = request.build.subject
    if isinstance(subject, ModelDirectory) or subject.path.parent != request.build.workspace.projects_root:
        return [subject.path.parent / "models"]
    return [project / "models" for project in sorted({model.path.parent for model in subject.models})]


def gather_models(folders: Iterable[Path], target: Path) -> Path:
    """Make `target` hold the files of all `folders` and nothing else, as hard links where the file system allows.

    Raises InputError where two folders hold different files of one name.
    """
    scratch = target.with_name(f".{target.name}.part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        _fill(scratch, folders)
        shutil.rmtree(target, ignore_errors=True)
        return scratch.rename(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _fill(target: Path, folders: Iterable[Path]) -> None:
    origin: dict[str, Path] = {}
    for folder in filter(Path.is_dir, folders):
        for path in sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")):
            if path.name in _OF_TRAINING:
                continue
            first = origin.setdefault(path.name, path)
            if first is path:
                _link(path, target / path.name)
            elif not filecmp.cmp(first, path, shallow=False):
                raise InputError(
                    f"{first} and {path} differ, but one daemon would serve both under one name",
                    hint="give one of the two models another MODEL_NAME, in its Makefile and in its predict.py, "
                    f"train it again and remove {path.name} from its models/",
                )


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _how_to_mend(request: ServeRequest, failed: Sequence[Mapping[str, Any]], *, others: bool) -> str | None:
    reasons = [route["reason"] or "" for route in failed]
    hints = []
    if not all("hint: " in reason for reason in reasons):  # a reason that brings its own knows better
        is_binary = any("models/" in reason for reason in reasons)
        trained = "is the model trained? make train writes the binary that predict.py loads"
        hints += [trained if is_binary else f"the whole traceback: modelyard logs {request.container_name}"]
    hints += ["READY=any serves the others without it"] if others else []
    return "; ".join(hints) or None


def _wait_until_ready(request: ServeRequest, runner: ContainerRunner, reporter: Reporter, output: OnOutput) -> None:
    deadline = time.monotonic() + request.timeout
    said: object = None
    say_again = 0.0
    while time.monotonic() < deadline:
        container = runner.container(request.container_name)
        if container.status == "exited":
            raise _start_failed(request, runner, f"exited with {container.exit_code}")
        routes = _read_routes(request.endpoint)
        failed = [route for route in routes if route["state"] == "failed"]
        waiting = [route["route"] for route in routes if route["state"] not in ("ready", "failed")]
        if routes and not waiting:
            if failed:
                reasons = "\n".join(f"  /{route['route']}: {route['reason']}" for route in failed)
                what = f"{len(failed)} of {len(routes)} routes cannot be served:\n{reasons}"
                if not _is_ready(request.endpoint):
                    raise RunError(
                        f"{request.container_name}: {what}",
                        hint=_how_to_mend(request, failed, others=len(failed) < len(routes)),
                    )
                reporter.note(what)
            return
        now = time.monotonic()
        order = [(route["route"], route["state"], route.get("turn")) for route in routes]
        if order != said:  # what waits for its turn has not begun its time
            deadline = now + request.timeout
        if waiting and (order != said or now >= say_again):
            say_again = now + _SAY_EVERY
            output(f"waiting for {describe_loading(routes)}")
        said = order
        time.sleep(_POLL)
    raise _start_failed(request, runner, f"was not ready after {request.timeout:.0f} s")


def describe_loading(routes: Iterable[Mapping[str, Any]]) -> str:
    """The routes whose models have not loaded, in the order in which they do, those that load with the time left.

    >>> routes = [{"route": "b", "state": "loading", "turn": 1}, {"route": "c", "state": "ready"}]
    >>> describe_loading([*routes, {"route": "a", "state": "loading", "turn": None, "load_seconds_left": 588.2}])
    'a (588 s left), then b'
    """
    missing = [route for route in routes if route["state"] not in ("ready", "failed")]
    now = [_describe_route(route) for route in missing if route.get("turn") is None]
    then = [route["route"] for route in sorted(missing, key=lambda one: one.get("turn") or 0) if route.get("turn")]
    return ", then ".join(part for part in (", ".join(now), ", ".join(then)) if part)


def _describe_route(route: Mapping[str, Any]) -> str:
    left = route.get("load_seconds_left")
    return route["route"] if left is None else f"{route['route']} ({left:.0f} s left)"


def _read_routes(endpoint: Endpoint) -> list[dict[str, Any]]:
    try:
        status, answer = endpoint.request("GET", "/routes", timeout=2.0)
    except (OSError, HTTPException):
        return []
    return answer["routes"] if status == 200 else []


def _is_ready(endpoint: Endpoint) -> bool:
    """Tell whether the daemon calls itself ready: by its setting READY, a model that failed is not always missed."""
    return endpoint.request("GET", "/readyz", timeout=2.0)[0] == 200


def _start_failed(request: ServeRequest, runner: ContainerRunner, what: str) -> RunError:
    tail = [f"  {line}" for line in runner.logs(request.container_name)][-_TAIL:]
    return RunError("\n".join([f"{request.container_name} {what}:", *tail]), hint=f"models: {_names(request)}")


def _names(request: ServeRequest) -> str:
    return ", ".join(model.full_name for model in models_of(request.build.subject))
