"""A run of a function in a train image: what goes in, and what comes out of it.

Training is one; a trial of a search, a step of a flow and a job are others.
"""

import json
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.commands.reporter import OnOutput
from modelyard.engines.protocols import ContainerRunner, ContainerSpec, Mount
from modelyard.errors import RunError
from modelyard.workspace import ModelDirectory

SIGKILL_EXIT = 137
SIGBUS_EXIT = 135
_TAIL = 15
_KEPT_LINES = 200
# What torch, Python and the C library say of a full /dev/shm, in whichever process of the training it was.
_SHARED_MEMORY_SIGNS = ("shared memory (shm)", "Bus error", "bus error", "'/dev/shm/")


@dataclass(frozen=True, kw_only=True)
class FunctionRun:
    """A call of a function of `subject` in `image`, its train image; the result comes by `output`."""

    subject: ModelDirectory
    image: str
    payload: Mapping[str, Any]
    output: Mount
    """The folder that it writes to; half-written files of a run that was killed are removed from it."""
    inputs: Sequence[Mount] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    entry: tuple[str, str] | None = None
    """Module and function; None for the image's own."""
    activity: str = "training"
    """What messages call it."""
    name: str | None = None
    """The container's, for who stops it; None: one that the engine makes."""
    id: str = field(default_factory=lambda: secrets.token_hex(4))

    @property
    def container(self) -> ContainerSpec:
        """The container to run."""
        module, function = self.entry or ("", "")
        entry = {"TRAIN_MODULE": module, "TRAIN_FUNCTION": function} if self.entry else {}
        return ContainerSpec(
            self.image,
            name=self.name,
            environment={
                "TRAIN": "1",
                "PAYLOAD": json.dumps(self.payload),
                "MODELYARD_RUN_ID": self.id,
                "MODELYARD_RESULT": f"{self.output.target}/{self._part}",
                **entry,
                **self.environment,
            },
            mounts=[*self.inputs, self.output],
        )

    @property
    def source(self) -> Path:
        """The file of the function, as errors name it."""
        module = self.entry[0].removeprefix(f"{self.subject.package}.") if self.entry else "train"
        return self.subject.path / f"{module.replace('.', '/')}.py"

    def read_result(self, lines: Sequence[str]) -> str:
        """What it left as its result, empty where that is nothing; an image with a `run` of its own prints it."""
        try:
            return (self.output.source / self._part).read_text(encoding="utf-8")
        except FileNotFoundError:
            return lines[-1] if lines else ""

    def sweep(self) -> None:
        """Remove the temporary files that it left behind, its result among them."""
        for path in self.output.source.glob(f".*.{self.id}.part"):
            path.unlink(missing_ok=True)

    @property
    def _part(self) -> str:
        return f".result.{self.id}.part"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: its exit code, its last lines, and what it handed over."""

    run: FunctionRun
    code: int
    lines: Sequence[str]
    text: str

    @property
    def result(self) -> Any:
        """What the function returned; raise RunError where it failed or handed over nothing.

        A process that ended without a result did not do its work, whatever its exit code says (`os._exit(0)` in user
        code).
        """
        if self.code != 0:
            raise _failed(self)
        try:
            return json.loads(self.text)
        except ValueError:
            raise RunError(
                f"{self.run.activity} {self.run.subject.full_name} exited with 0 and no result",
                hint=f"something in {self.run.source} ended the process before the train function returned",
            ) from None


def run_function(run: FunctionRun, runner: ContainerRunner, output: OnOutput) -> Outcome:
    """Run to the end, passing each line on, and leave nothing half-written behind."""
    lines: deque[str] = deque(maxlen=_KEPT_LINES)

    def keep(line: str) -> None:
        lines.append(line)
        output(line)

    try:
        code = runner.run(run.container, on_output=keep)
        return Outcome(run=run, code=code, lines=tuple(lines), text=run.read_result(lines))
    finally:
        run.sweep()


def _failed(outcome: Outcome) -> RunError:
    run, code, lines = outcome.run, outcome.code, outcome.lines
    said = "".join([":", *(f"\n  {line}" for line in lines[-_TAIL:])]) if lines else ""
    hint = f"read {run.source}; no half-written binary is left"
    if code == SIGKILL_EXIT:
        hint = "it was killed (signal 9), most often for want of memory: train on less data or a larger machine"
    if code == SIGBUS_EXIT or any(sign in line for line in lines for sign in _SHARED_MEMORY_SIGNS):
        hint = "/dev/shm was full: a container has 64 MiB of shared memory; more: --shm-size 2GiB (make: SHM_SIZE=2GiB)"
    return RunError(f"{run.activity} {run.subject.full_name} exited with {code}{said}", hint=hint)
