"""One call of a step's function or command: what it gets, and what it made."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from modelyard.commands.flow_stopping import Stopped, Stopper, kill_left, stop_container, time_limit
from modelyard.commands.function_run import FunctionRun, run_function
from modelyard.engines.protocols import ContainerRunner, Mount
from modelyard.errors import InputError, RunError
from modelyard.flows.artifacts import Artifact, ArtifactStore
from modelyard.flows.definition import PLACEHOLDER, Step
from modelyard.flows.records import is_number, read_metrics
from modelyard.machine.home import read_record, remove_tree, write_record
from modelyard.machine.process import signal_group, start_group
from modelyard.runtime.cores import library_variables
from modelyard.workspace import ModelDirectory

OnPoint = Callable[[int, Mapping[str, float]], None]
"""Takes an epoch and what a curve is at it."""
_TAIL = 15
_PROCESS = "process.json"


@dataclass(frozen=True, kw_only=True)
class Work:
    """A call: of a step, or of a trial of it."""

    step: Step
    params: Mapping[str, Any]
    inputs: Mapping[str, Path]
    folder: Path
    """Where it writes while it runs; gone in the end."""
    log: Path
    name: str
    """The container's."""
    project: Path
    environ: Mapping[str, str]
    """The caller's."""
    side_by_side: int = 1
    """How many share the cores."""
    model: ModelDirectory | None = None
    image: str = ""
    entry: tuple[str, str] = ("", "")

    @property
    def outputs_folder(self) -> Path:
        """What is mounted as outputs/."""
        return self.folder / "outputs"

    @property
    def variables(self) -> dict[str, str]:
        """What it gets of the caller's environment, and how many threads it may have."""
        given = {
            name: value
            for name, value in self.environ.items()
            if any(fnmatch(name, pattern) for pattern in self.step.environment)
        }
        shared = library_variables(self.environ, workers=self.side_by_side) if self.side_by_side > 1 else {}
        return {**shared, **given}


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came of it."""

    outputs: Mapping[str, Artifact]
    result: Any
    metrics: Mapping[str, float | None]
    curves: Mapping[str, Sequence[float | None]]
    seconds: float
    attempts: int = 1

    @property
    def about(self) -> dict[str, Any]:
        """As records have it."""
        return {
            "outputs": {name: artifact.about for name, artifact in self.outputs.items()},
            "result": self.result,
            "metrics": dict(self.metrics),
            "curves": {name: list(values) for name, values in self.curves.items()},
            "seconds": self.seconds,
            "attempts": self.attempts,
            "exit_code": 0,
        }


class StepError(RunError):
    """A step has failed; `code` is its exit code, where it has one."""

    def __init__(self, message: str, *, hint: str | None = None, code: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


@dataclass
class Worker:
    """Does work, on an engine or without one."""

    runner: ContainerRunner | None
    artifacts: ArtifactStore
    stopper: Stopper = field(default_factory=Stopper)

    def do(self, work: Work, *, on_point: OnPoint, on_line: Callable[[str], None]) -> Made:
        """Do it, again where it may be tried again; raise StepError where it fails."""
        for attempt in range(1, work.step.retries + 2):
            try:
                made = self._try(work, on_point=on_point, on_line=on_line)
                return Made(**{**vars(made), "attempts": attempt})
            except (RunError, InputError) as error:
                if self.stopper.is_stopping.is_set():
                    raise Stopped from None
                if attempt > work.step.retries:
                    raise
                with work.log.open("a", encoding="utf-8") as log:
                    log.write(f"---> attempt {attempt} failed, once more: {error.message.splitlines()[0]}\n")
                on_line(f"attempt {attempt} of {work.step.retries + 1} failed, once more")
        raise AssertionError  # there is at least one attempt

    def _try(self, work: Work, *, on_point: OnPoint, on_line: Callable[[str], None]) -> Made:
        remove_tree(work.folder)
        work.outputs_folder.mkdir(parents=True)
        work.log.parent.mkdir(parents=True, exist_ok=True)
        curves = Curves(on_point)
        started = time.monotonic()
        try:
            with work.log.open("a", encoding="utf-8") as log:

                def output(line: str) -> None:
                    log.write(f"{line}\n")
                    log.flush()
                    curves.read(line)
                    on_line(line)

                result = self._call(work, output)
            seconds = round(time.monotonic() - started, 3)
            metrics, given = read_metrics(result)
            outputs = {name: self.artifacts.keep(path) for name, path in find_outputs(work).items()}
            points = given or curves.values
            return Made(outputs=outputs, result=result, metrics=metrics, curves=points, seconds=seconds)
        finally:
            remove_tree(work.folder)

    def _call(self, work: Work, output: Callable[[str], None]) -> Any:
        return self._call_function(work, output) if work.step.run else self._call_command(work, output)

    def _call_function(self, work: Work, output: Callable[[str], None]) -> Any:
        assert self.runner is not None and work.model is not None
        runner, ended = self.runner, threading.Event()
        run = FunctionRun(
            subject=work.model,
            image=work.image,
            payload={
                "params": work.params,
                "inputs": {name: f"inputs/{name}" for name in work.inputs},
                "outputs": {name: f"outputs/{file}" for name, file in work.step.outputs.items()},
            },
            output=Mount(source=work.outputs_folder, target="outputs"),
            inputs=[Mount(source=path, target=f"inputs/{name}", read_only=True) for name, path in work.inputs.items()],
            environment=work.variables,
            entry=work.entry,
            activity=f"step {work.step.name} of",
            name=work.name,
        )

        def stop() -> None:
            stop_container(runner, work.name, ended)

        with self._stoppable(work, stop, ended):
            outcome = run_function(run, runner, output)
        try:
            return outcome.result
        except RunError as error:
            raise StepError(error.message, hint=f"the whole log: {work.log}", code=outcome.code) from None

    def _call_command(self, work: Work, output: Callable[[str], None]) -> None:
        ended, last = threading.Event(), list[str]()
        environ = {**self._environ(work), **work.variables}
        words = list(fill_command(work))
        try:
            process = start_group(words, environ=environ, folder=work.project)
        except OSError as error:
            raise StepError(
                f"step {work.step.name}: {words[0]} can't be run: {error.strerror}",
                hint="is it installed, and on PATH?",
            ) from None
        _note_process(work.folder, process.pid)
        with process, self._stoppable(work, lambda: _end_command(process.pid, ended), ended):
            for line in process.stdout or ():
                output(line.rstrip("\n"))
                last = [*last[1 - _TAIL :], line.rstrip("\n")]
            code = process.wait()
        if code:
            said = "".join([":", *(f"\n  {line}" for line in last)]) if last else ""
            code = code if code > 0 else 128 - code
            raise StepError(
                f"step {work.step.name}: {words[0]} exited with {code}{said}",
                hint=f"the whole log: {work.log}",
                code=code,
            )

    def _environ(self, work: Work) -> dict[str, str]:
        return dict(work.environ)

    @contextmanager
    def _stoppable(self, work: Work, stop: Callable[[], None], ended: threading.Event) -> Iterator[None]:
        try:
            with self.stopper.watching(stop), time_limit(work.step.timeout, stop) as limit:
                yield
                ended.set()
        except BaseException:  # it is being stopped, or has been seen enough of
            stop()
            raise
        if self.stopper.is_stopping.is_set():
            raise Stopped
        if limit.is_over:
            raise StepError(
                f"step {work.step.name} took longer than {work.step.timeout:g} s (timeout) and was stopped",
                hint=f"the log so far: {work.log}",
            )


class Curves:
    """The points that a step prints while it runs."""

    def __init__(self, on_point: OnPoint) -> None:
        self.values: dict[str, list[float | None]] = {}
        self._on_point = on_point

    def read(self, line: str) -> None:
        """Take a line that is a JSON object with an epoch."""
        if not line.startswith("{") or '"epoch"' not in line:
            return
        try:
            point = json.loads(line)
        except (ValueError, RecursionError):
            return
        epoch = point.pop("epoch", None) if isinstance(point, dict) else None
        if isinstance(epoch, bool) or not isinstance(epoch, int):
            return
        numbers, _ = read_metrics({"metrics": {name: each for name, each in point.items() if is_number(each)}})
        for name, value in numbers.items():
            self.values.setdefault(name, []).append(value)
        self._on_point(epoch, {name: value for name, value in numbers.items() if value is not None})


def find_outputs(work: Work) -> dict[str, Path]:
    """The outputs that a step has made; raise StepError where one is missing."""
    found = {name: work.outputs_folder / file for name, file in work.step.outputs.items()}
    missing = [name for name, path in found.items() if not path.exists() and not path.is_symlink()]
    if missing:
        there = sorted(path.name for path in work.outputs_folder.iterdir() if not path.name.startswith("."))
        made = f"it made {', '.join(there)}" if there else "it made nothing"
        name = missing[0]
        raise StepError(
            f"step {work.step.name} did not make its output {name} ({work.step.outputs[name]}): {made}",
            hint=f'write it to msg.payload["outputs"]["{name}"]'
            if work.step.run
            else f"write it to {{outputs.{name}}}",
        )
    return found


def fill_command(work: Work) -> Iterator[str]:
    """The words of a step's command, with paths and values in their places; inputs are links that have their names."""
    folder = work.folder / "inputs"
    folder.mkdir()
    paths = {}
    for name, path in work.inputs.items():
        (folder / name).symlink_to(path)
        paths[name] = str(folder / name)
    outputs = {name: str(work.outputs_folder / file) for name, file in work.step.outputs.items()}
    values = {f"{group}.{key}": value for group, about in work.params.items() for key, value in about.items()}
    known: dict[str, Mapping[str, Any]] = {"inputs": paths, "outputs": outputs, "params": values}
    for word in work.step.words:
        yield PLACEHOLDER.sub(lambda match: _as_word(known[match["kind"]], match["name"], work.step), word)


def _as_word(known: Mapping[str, Any], name: str, step: Step) -> str:
    if name not in known:
        raise StepError(f"step {step.name}: {{params.{name}}}: it does not read {name}", hint="add it to its params")
    value = known[name]
    return value if isinstance(value, str) else json.dumps(value)


def _end_command(pid: int, ended: threading.Event) -> None:
    signal_group(pid, signal.SIGTERM)
    if not ended.wait(3.0):
        signal_group(pid, signal.SIGKILL)


def _note_process(folder: Path, pid: int) -> None:
    from modelyard.machine.processes import start_time

    write_record(folder / _PROCESS, {"pid": pid, "started": start_time(pid), "by": os.getpid()})


def end_left_commands(work: Path) -> None:
    """End the commands of a run that was killed."""
    for path in work.rglob(_PROCESS):
        if record := read_record(path):
            kill_left(record["pid"], record["started"])
