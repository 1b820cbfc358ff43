"""Begin a training, start its workers by torchrun's launcher, and start them again from where it stands."""

import fcntl
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kubeml.checkpoints import Checkpoints
from kubeml.errors import KubeError
from kubeml.events import describe_workers, emit, say
from kubeml.folders import MANIFEST
from kubeml.model import KubeModel
from kubeml.options import Options
from kubeml.seats import Seat, limit_of
from kubeml.shards import Shards
from kubeml.supervising import supervise
from kubeml.workers import STOP, Task, train_part

# Options that say how a training is run, not what comes of it.
_PASSING = ("fresh", "timeout", "epochs", "goal_accuracy", "validate_every", "parallelism", "static", "model_name")


def train(model: KubeModel, options: Options) -> dict[str, Any]:
    """Train in this process, or in processes of its own; return the result once the model is saved."""
    _check_call(model)
    rows = len(model._dataset)  # type: ignore[arg-type]
    folder = Path("models") / f".{options.model_name}.training"
    with _owned(folder), _stoppable(folder):
        fingerprint = fingerprint_of(options, model._dataset.folder)  # type: ignore[union-attr]
        standing = find_standing(Checkpoints(folder), fingerprint, fresh=options.fresh)
        most = Shards(rows=rows, batch=options.batch, workers=1).count
        workers = _first_workers(options, standing, most=most)
        task = Task(
            options=options,
            folder=folder,
            fingerprint=fingerprint,
            limit=min(most, limit_of(model.platform)),
            is_restart=bool(standing and standing["standing"]["round"]),
        )
        emit("start", task=asdict(options), samples=rows, resumed=bool(standing))
        say(f"training on {rows:,} samples with {describe_workers(workers)}, {options.epochs} epochs")
        try:
            result = _run(task, workers, rows=rows)
        except BaseException as error:
            emit("end", status="failed", reason=str(error) or type(error).__name__)
            raise
        if result["status"] == "finished":
            Checkpoints(folder).clear()
        emit("end", status=result["status"], reason=None)
    return result


def _run(task: Task, workers: int, *, rows: int) -> dict[str, Any]:
    if workers == 1 and task.options.static:  # alone, and never with others: no process group, no other process
        return train_part(task, Seat())
    return supervise(task, workers, rows=rows)


def _check_call(model: KubeModel) -> None:
    name = os.environ.get("TRAIN_MODULE")
    if name is None:
        raise KubeError("TRAIN_MODULE is not set", hint="train it with: modelyard train DIRECTORY")
    module = sys.modules.get(name)
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        raise KubeError(
            f"{getattr(module, '__file__', name)} calls start() while it is imported",
            hint='call main() below `if __name__ == "__main__":`, or not at all',
        )
    if model._dataset is None:
        raise KubeError(
            f"{type(model).__name__} has no data set", hint="super().__init__(network, dataset), a KubeDataset"
        )


@contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Be the only training of this model."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise KubeError(f"{folder}: can't write there ({error.strerror})", hint="models/ must be writable") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise KubeError(
                f"{folder}: another training of this model is running", hint="stop it, or train with another MODEL_NAME"
            ) from None
        (folder / STOP).unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _stoppable(folder: Path) -> Iterator[None]:
    """Take SIGTERM and Ctrl-C as the wish to finish the round and save; the second one ends the training at once."""

    def stop(number: int, _: Any) -> None:
        if (folder / STOP).exists():
            os._exit(128 + number)
        (folder / STOP).touch()
        os.write(1, b"stopping after this round; once more to end at once\n")

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not in the main thread
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fingerprint_of(options: Options, folder: Path | None) -> str:
    """What a training depends on, its data in `folder`: it goes on only where all of it is the same."""
    chosen = {key: value for key, value in asdict(options).items() if key not in _PASSING}
    data = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest() if folder else None
    parts = [chosen, data, os.environ.get("MODELYARD_IMAGE_DIGEST")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find_standing(checkpoints: Checkpoints, fingerprint: str, *, fresh: bool) -> dict[str, Any] | None:
    """What an earlier run of this training left; what is left of another one is removed."""
    number = None if fresh else checkpoints.newest()
    content = checkpoints.read("weights", number) if number is not None else None
    if content is not None and content["fingerprint"] == fingerprint:
        at = content["standing"]
        say(f"going on from epoch {at['epoch'] + 1}, averaging {at['round']}")
        return content
    if content is not None:
        say("an earlier training of this model is left behind: source, data or options are other ones now")
    for path in checkpoints.folder.iterdir():
        path.unlink(missing_ok=True)
    return None


def _first_workers(options: Options, standing: dict[str, Any] | None, *, most: int) -> int:
    """How many workers begin: as many as stopped in the middle of an epoch, else those asked for."""
    workers = options.parallelism
    if standing and (standing["standing"]["round"] or not options.static):
        workers = int(standing["parallelism"])
    if workers > most:
        say(f"{describe_workers(workers)} for {most} batches of an epoch: {most} will do")
    return min(workers, most)
