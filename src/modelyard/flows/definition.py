"""The steps of a flow, as flow.yaml has them."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.errors import InputError, WorkspaceError
from modelyard.flows.documents import Document, read_document
from modelyard.flows.schema import FLOW, check_document, read_own_schema
from modelyard.runtime.nearest import ask_whether_meant, describe_choices

FLOW_FILE = "flow.yaml"
HINT = "the keys of a flow are in docs/reference/flows.md"
_UNITS = {"s": 1, "m": 60, "h": 3600}
_RESERVED = {"artifacts", "steps", "sources", "searches", "lock"}
PLACEHOLDER = re.compile(r"\{(?P<kind>inputs|outputs|params)\.(?P<name>[A-Za-z0-9_.-]+)\}")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where an input comes from: an output of a step, or a path in the project."""

    text: str
    step: str | None = None
    output: str | None = None

    @property
    def path(self) -> str:
        """The path in the project; only where no step makes it."""
        return self.text


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a step is run as trials."""

    method: str = "grid"
    over: Mapping[str, Any]
    """Parameter to its values, its range, or the parameter that has the list."""
    metric: str
    direction: str = "maximum"
    trials: int | str | None = None
    parallel: int = 1
    seed: int = 0
    sampler: str = "tpe"
    pruner: str = "none"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: a function of a model directory, or a command line."""

    name: str
    run: str | None = None
    command: str | None = None
    model: str | None = None
    params: tuple[str, ...] = ()
    inputs: Mapping[str, Source] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    publish: Mapping[str, str] = field(default_factory=dict)
    environment: tuple[str, ...] = ()
    search: Search | None = None
    retries: int = 0
    timeout: float | None = None
    cache: bool = True

    @property
    def needs(self) -> tuple[str, ...]:
        """The steps whose outputs it takes, in the order of its inputs."""
        return tuple(dict.fromkeys(source.step for source in self.inputs.values() if source.step))

    @property
    def words(self) -> list[str]:
        """The words of its command line, placeholders as they stand."""
        return shlex.split(self.command or "")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What flow.yaml says; `steps` are in an order in which each comes after those it needs."""

    project: Path
    document: Document
    steps: Mapping[str, Step]
    sums: Sequence[Mapping[str, Any]] = ()
    schedule: str | None = None

    @property
    def runs(self) -> Path:
        """Where its records are."""
        return self.project / "runs"

    def step(self, name: str, *, place: str) -> Step:
        """The step of a name that a person gave at `place`; raise InputError where there is none."""
        if name not in self.steps:
            raise InputError(
                f"{place}: there is no step {name!r}{ask_whether_meant(name, list(self.steps))} "
                f"(steps: {describe_choices(name, self.steps)})",
                hint=f"the steps are in {self.document.path}",
            )
        return self.steps[name]

    def followers(self, name: str) -> set[str]:
        """Every step that needs `name`, or one that does."""
        found: set[str] = set()
        for other in self.steps.values():
            if name in other.needs or found.intersection(other.needs):
                found.add(other.name)
        return found


def read_flow(project: Path) -> Flow:
    """Read a project's flow.yaml; raise InputError for everything that is wrong in it."""
    path = project / FLOW_FILE
    if not path.is_file():
        raise WorkspaceError(f"{path}: no such file", hint="write one: docs/reference/flows.md has an example")
    return parse_flow(read_document(path), project)


def parse_flow(document: Document, project: Path) -> Flow:
    """Make a flow of a document, its steps in order."""
    check_document(document, read_own_schema(FLOW), hint=HINT)
    steps = {name: _parse_step(name, about, document) for name, about in document.value["steps"].items()}
    for step in steps.values():
        _check_step(step, steps, document)
    return Flow(
        project=project,
        document=document,
        steps={name: steps[name] for name in _order(steps, document)},
        sums=document.value.get("sums", ()),
        schedule=document.value.get("schedule"),
    )


def _parse_step(name: str, about: Mapping[str, Any], document: Document) -> Step:
    fields = dict(about)
    where = document.where("steps", name)
    if ("run" in fields) == ("command" in fields):
        both = "has both run and command" if "run" in fields else "has neither run nor command"
        raise InputError(f"{where}: step {name} {both}", hint="a step is a function (run) or a command line (command)")
    if name in _RESERVED:
        raise InputError(f"{where}: a step can't be called {name}", hint=f"runs/ has a folder {name} of its own")
    if "search" in fields:
        over = fields["search"]["over"]
        over = over if isinstance(over, dict) else {each: each for each in over}
        fields["search"] = Search(**{**fields["search"], "over": over})
    inputs = {key: _parse_source(text, document) for key, text in fields.pop("inputs", {}).items()}
    timeout = fields.pop("timeout", None)
    return Step(
        name=name,
        inputs=inputs,
        timeout=None if timeout is None else parse_seconds(timeout),
        params=tuple(fields.pop("params", ())),
        environment=tuple(fields.pop("environment", ())),
        **fields,
    )


def _parse_source(text: str, document: Document) -> Source:
    """`step.output` names a step; what has no such step and no `/` may be a file with a suffix."""
    step, dot, output = text.partition(".")
    if dot and step in document.value["steps"]:
        return Source(text=text, step=step, output=output)
    return Source(text=text)


def parse_seconds(text: float | str) -> float:
    """Read a time limit.

    >>> parse_seconds("1.5m"), parse_seconds(20)
    (90.0, 20.0)
    """
    if isinstance(text, str) and text[-1] in _UNITS:
        return float(text[:-1]) * _UNITS[text[-1]]
    return float(text)


def _check_step(step: Step, steps: Mapping[str, Step], document: Document) -> None:
    for name, source in step.inputs.items():
        _check_source(name, source, step, steps, document)
    files = list(step.outputs.values())
    for name, file in step.outputs.items():
        if files.count(file) > 1:
            raise InputError(
                f"{document.where('steps', step.name, 'outputs', name)}: {step.name} has two outputs called {file!r}",
                hint="give each a name of its own",
            )
    for name, folder in step.publish.items():
        where = document.where("steps", step.name, "publish", name)
        if name not in step.outputs:
            meant = ask_whether_meant(name, list(step.outputs))
            raise InputError(f"{where}: {step.name} has no output {name!r}{meant}", hint="publish names an output")
        _check_inside(folder, where)
    _check_clash(step, steps, document)
    _check_command(step, document)


def _check_source(name: str, source: Source, step: Step, steps: Mapping[str, Step], document: Document) -> None:
    where = document.where("steps", step.name, "inputs", name)
    if source.step is None:
        _check_inside(source.path, where)
        known = [f"{other.name}.{output}" for other in steps.values() for output in other.outputs]
        if "." in source.text and "/" not in source.text and not (document.path.parent / source.path).exists():
            raise InputError(
                f"{where}: {source.text!r} is neither an output of a step nor a file of the project"
                f"{ask_whether_meant(source.text, known)}",
                hint=f"outputs: {describe_choices(source.text, known)}",
            )
        return
    outputs = steps[source.step].outputs
    if source.output not in outputs:
        raise InputError(
            f"{where}: {source.step} makes no {source.output!r}{ask_whether_meant(source.output or '', list(outputs))} "
            f"(it makes: {describe_choices(source.output or '', outputs)})",
            hint=f"add it to the outputs of {source.step}, or correct the name",
        )


def _check_inside(path: str, where: str) -> None:
    parts = Path(path).parts
    if Path(path).is_absolute() or ".." in parts or not parts or parts[0] == "runs":
        raise InputError(f"{where}: {path!r} is no path in the project", hint="name one below the project's folder")


def _check_clash(step: Step, steps: Mapping[str, Step], document: Document) -> None:
    """Two steps must not publish what lands at one place: whichever ended last would win."""
    for other in steps.values():
        for name, folder in step.publish.items():
            for other_name, other_folder in other.publish.items():
                is_same = Path(folder) == Path(other_folder) and step.outputs[name] == other.outputs.get(other_name)
                if is_same and (step.name, name) < (other.name, other_name):
                    raise InputError(
                        f"{document.where('steps', other.name, 'publish', other_name)}: {other.name}.{other_name} and "
                        f"{step.name}.{name} are both published as {folder}/{step.outputs[name]}",
                        hint="give one of them a file name, or a folder, of its own",
                    )


def _check_command(step: Step, document: Document) -> None:
    if step.command is None:
        return
    where = document.where("steps", step.name, "command")
    try:
        words = step.words
    except ValueError as error:
        raise InputError(f"{where}: {step.command!r} is no command line ({error})", hint="close the quotes") from None
    if not words:
        raise InputError(f"{where}: the command of {step.name} is empty", hint="name a program")
    if step.model is not None:
        raise InputError(f"{where}: a command runs in no model's image", hint="take `model` out, or write `run`")
    if step.search is not None:
        raise InputError(f"{where}: a command returns no metric, which a search needs", hint="write `run`")
    known = {"inputs": step.inputs, "outputs": step.outputs}
    for match in PLACEHOLDER.finditer(step.command):
        names = known.get(match["kind"])
        if names is not None and match["name"] not in names:
            meant = ask_whether_meant(match["name"], list(names))
            raise InputError(f"{where}: {match[0]}: {step.name} has no such {match['kind']}{meant}", hint=HINT)


def _order(steps: Mapping[str, Step], document: Document) -> list[str]:
    """Names with each after those it needs, else as in the file; raise InputError that shows a circle."""
    from graphlib import CycleError, TopologicalSorter

    try:
        return list(TopologicalSorter({name: step.needs for name, step in steps.items()}).static_order())
    except CycleError as error:
        circle: list[str] = list(reversed(error.args[1]))
        place = next(_inputs_from(steps[circle[0]], circle), None)
        where = document.where("steps", circle[0], *(("inputs", place) if place else ()))
        raise InputError(
            f"{where}: steps need each other in a circle: {' -> '.join(circle)}", hint="one of them must do without"
        ) from None


def _inputs_from(step: Step, others: Sequence[str]) -> Iterator[str]:
    return (name for name, source in step.inputs.items() if source.step in others)
