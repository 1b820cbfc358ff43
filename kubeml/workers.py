"""A worker's process: it calls the user's function once more, whose `start()` trains this worker's part."""

import faulthandler
import json
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass, field
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from kubeml import roles
from kubeml.errors import KubeError
from kubeml.options import Options
from kubeml.seats import Seat
from kubeml.shards import seed_everything

STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the launcher tells each worker."""

    options: Options
    folder: Path
    fingerprint: str
    limit: int
    is_restart: bool = False
    environ: dict[str, str] = field(default_factory=dict)
    """The launcher's environment: the process that workers are forked from may have been started in another."""
    finders: list[Any] = field(default_factory=list)
    """What the launcher's process finds modules with, beside Python's own ways."""


class Worker:
    """The role of a worker: `start()` trains its part."""

    serves = False

    def __init__(self, task: Task, seat: Seat) -> None:
        self.task, self.seat = task, seat
        self.is_stopping = False
        self.result: dict[str, Any] | None = None

    def take(self, model: Any) -> dict[str, Any]:
        """Train."""
        from kubeml.training import Training

        if self.result is not None:
            raise KubeError("start() was called twice", hint="a function file trains one model")
        task = self.task
        training = Training(
            model,
            task.options,
            self.seat,
            folder=task.folder,
            fingerprint=task.fingerprint,
            limit=task.limit,
            is_restart=task.is_restart,
            is_stopped=self.is_stopped,
        )
        self.result = training.run()
        return self.result

    def is_stopped(self) -> bool:
        """Tell whether the training is to end after this round."""
        return self.is_stopping or (self.task.folder / STOP).exists()


def train_part(task: Task, seat: Seat, worker: Worker | None = None) -> dict[str, Any]:
    """Call the user's function as a worker, and return what its training came to."""
    worker = worker or Worker(task, seat)
    with roles.playing(worker):
        seed_everything(task.options.seed)
        roles.call_entry()
    if worker.result is None:
        raise KubeError(
            f"{os.environ['TRAIN_MODULE']}.{os.environ.get('TRAIN_FUNCTION') or 'train'} never called start()",
            hint="let it return KubeModel(...).start()",
        )
    return worker.result


def work(task: Task) -> dict[str, Any]:
    """Be a worker of a launcher, in a process of its own; what goes wrong is written for the launcher."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_launcher, daemon=True).start()
    os.environ.update(task.environ)
    sys.meta_path[:0] = task.finders
    seat = Seat.read()
    path = error_file(task.folder, seat.rank)
    with path.open("w") as file:
        faulthandler.enable(file)
        try:
            return train_part(task, seat)
        except Exception as error:
            file.write(json.dumps(describe_error(error)))
            file.flush()
            sys.stdout.flush()
            os._exit(1)


def describe_error(error: Exception) -> dict[str, Any]:
    """An exception for the launcher: words where it has them, else a traceback of the user's own code."""
    if isinstance(error, KubeError):
        return {"message": error.message, "hint": error.hint}
    frames = traceback.TracebackException.from_exception(error)
    own = str(Path(__file__).parent)
    users = [frame for frame in frames.stack if not frame.filename.startswith(own)]
    frames.stack = traceback.StackSummary.from_list(users)
    return {"trace": "".join(frames.format()).rstrip()}


def error_file(folder: Path, rank: int) -> Path:
    """Where a worker says what went wrong."""
    return folder / f"error-{rank}.txt"


def _die_with_launcher() -> None:
    """End at once where the launcher does: nobody would end this process later."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)
