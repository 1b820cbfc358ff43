"""Parity: the test instances through the bare function, the single-model image and the combined daemon."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from socket import AF_INET, SOCK_STREAM, socket
from typing import Any

from modelyard.commands.building import BuildRequest, Limits, build_image
from modelyard.commands.endpoint import Answer, Endpoint, send_instances
from modelyard.commands.reporter import Reporter
from modelyard.commands.serving import ServeRequest, serve, specify_container
from modelyard.commands.subject import Subject, choose_container_name
from modelyard.engines.parts import require_runner
from modelyard.engines.protocols import Engine
from modelyard.errors import EndpointError, RunError
from modelyard.runtime.worker.bare import MARK
from modelyard.workspace import INSTANCES_FILE, CombinedDirectory, ModelDirectory, Workspace

BARE, SINGLE, COMBINED = "the bare function", "the single-model image", "the combined daemon"
TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place where two answers differ, as a JSON path, and what stands there in each."""

    path: str
    expected: Any
    actual: Any


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How one way of serving a route compares with the bare function."""

    model: str
    route: str
    way: str
    difference: Difference | None

    def raise_for_difference(self) -> None:
        """Raise EndpointError where the answers differ."""
        if self.difference is not None:
            found = self.difference
            raise EndpointError(
                f"{self.model}: /{self.route}: {self.way} differs from {BARE} at {found.path}:\n"
                f"  {BARE}: {_show(found.expected)}\n"
                f"  {self.way}: {_show(found.actual)}",
                hint="does the answer depend on time, chance or other requests? --tolerance allows for rounding",
            )


@dataclass(frozen=True, kw_only=True)
class ParityRequest:
    """Which models to compare, and the `all/` that serves them beside each other (None where there is none)."""

    workspace: Workspace
    models: Sequence[ModelDirectory]
    combined: CombinedDirectory | None
    variant: str = "cpu"
    tolerance: float = TOLERANCE
    timeout: float = 120.0
    limits: Limits = field(default_factory=Limits)


def check_parity(request: ParityRequest, engine: Engine, reporter: Reporter) -> Iterator[Parity]:
    """Answer each model's test instances in every way, and compare with the bare function's answer.

    Raises EndpointError where one of them answers with an error, RunError where the bare function cannot be called.
    """
    bare: dict[str, Any] = {}
    for model in request.models:
        for route, answer in call_bare(_serve_request(request, model), engine, reporter).items():
            bare[f"{model.full_name}/{route}"] = answer
        with _serving(request, model, engine, reporter) as endpoint:
            yield from _compare(send_instances(endpoint, [model]), bare, SINGLE, tolerance=request.tolerance)
    if request.combined is None:
        names = ", ".join(model.full_name for model in request.models)
        reporter.note(f"no all/ serves {names} yet: {COMBINED} is not compared (make generate writes it)")
        return
    with _serving(request, request.combined, engine, reporter) as endpoint:
        yield from _compare(send_instances(endpoint, request.models), bare, COMBINED, tolerance=request.tolerance)


def find_combined_of(workspace: Workspace, subject: Subject) -> CombinedDirectory | None:
    """The `all/` that serves a subject: itself, or that of a model's project; None where none was generated for it."""
    if isinstance(subject, CombinedDirectory):
        return subject
    combined = workspace.combined_directory(subject.path.parent)
    return combined if combined.path.is_dir() and subject in combined.models else None


def call_bare(request: ServeRequest, engine: Engine, reporter: Reporter) -> Mapping[str, Any]:
    """Call a model's functions in its own environment, with nothing around them; return the answers by route."""
    runner = require_runner(engine)
    image = build_image(request.build, engine, reporter)
    answers: list[Mapping[str, Any]] = []
    with reporter.step(f"calling the functions of {request.build.subject.container_name}") as step:

        def read(line: str) -> None:
            if line.startswith(MARK):
                answers.append(json.loads(line.removeprefix(MARK)))
            elif line:  # an empty one ends what a function left without an end, mostly nothing
                step.output(line)

        code = runner.run(specify_container(request, image, environment={"BARE": "1"}), on_output=read)
    if code != 0:
        raise RunError(
            f"{request.build.subject.container_name}: the bare function could not be called (exit code {code})",
            hint="what it printed stands above, or comes with -v; is the model trained?",
        )
    failed = next((answer for answer in answers if answer["status"] != 200), None)
    if failed is not None:
        raise EndpointError(
            f"{request.build.subject.container_name}: {BARE} of /{failed['route']} fails on the test instances: "
            f"{failed['answer'] or 'its traceback stands above, or comes with -v'}",
            hint=f"correct {request.build.subject.path / 'predict.py'}, or {INSTANCES_FILE} beside it",
        )
    return {answer["route"]: answer["answer"] for answer in answers}


def find_difference(expected: Any, actual: Any, *, tolerance: float = 0.0, path: str = "$") -> Difference | None:
    """The first place where two JSON values differ; numbers may differ by `tolerance` of the larger one.

    >>> find_difference({"a": [1, 2.0]}, {"a": [1, 2.5]})
    Difference(path='$.a[1]', expected=2.0, actual=2.5)
    """
    if _is_number(expected) and _is_number(actual):
        same = expected == actual or math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance)
        return None if same else Difference(path=path, expected=expected, actual=actual)
    if isinstance(expected, dict) and isinstance(actual, dict) and expected.keys() == actual.keys():
        pairs = [(f"{path}.{key}", value, actual[key]) for key, value in expected.items()]
    elif isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(expected, actual, strict=True))]
    elif type(expected) is type(actual) and expected == actual:
        return None
    else:
        return Difference(path=path, expected=expected, actual=actual)
    found = (find_difference(one, other, tolerance=tolerance, path=place) for place, one, other in pairs)
    return next(filter(None, found), None)


def _compare(answers: Iterator[Answer], bare: Mapping[str, Any], way: str, *, tolerance: float) -> Iterator[Parity]:
    for answer in answers:
        answer.raise_for_status()
        difference = find_difference(bare[f"{answer.model}/{answer.route}"], answer.body, tolerance=tolerance)
        yield Parity(model=answer.model, route=answer.route, way=way, difference=difference)


@contextmanager
def _serving(request: ParityRequest, subject: Subject, engine: Engine, reporter: Reporter) -> Iterator[Endpoint]:
    """Serve a subject on a free port while inside, under a name of its own."""
    serving = _serve_request(request, subject)
    container = serve(replace(serving, port=_find_free_port(serving.host)), engine, reporter)
    try:
        assert container.port is not None
        yield Endpoint(host=serving.host, port=container.port)
    finally:
        require_runner(engine).stop(container.name)


def _serve_request(request: ParityRequest, subject: Subject) -> ServeRequest:
    build = BuildRequest(
        workspace=request.workspace, subject=subject, kind="predict", variant=request.variant, limits=request.limits
    )
    return ServeRequest(build=build, name=f"{choose_container_name(subject, None)}-parity", timeout=request.timeout)


def _find_free_port(host: str) -> int:
    with socket(AF_INET, SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _show(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
