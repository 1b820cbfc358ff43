"""Workers that end before their time are started again, unless it is clear that they would end again."""

import json
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from kubeml.checkpoints import Checkpoints, StepNote
from kubeml.errors import KubeError
from kubeml.events import emit, say
from kubeml.seats import LOST_PEER, loopback
from kubeml.shards import Shards, order_rows
from kubeml.workers import Task, error_file, work

IDLE_RESTARTS = 3
_SHOWN_ROWS = 20


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a worker ended, and at which batch it was."""

    rank: int
    ended: str
    at: tuple[int, int] | None
    message: str | None = None
    hint: str | None = None
    trace: str | None = None


@dataclass(kw_only=True)
class Failures:
    """What has gone wrong so far: the same batch twice, or nothing done between, ends a training."""

    task: Task
    rows: int
    batches: set[tuple[int, int]] = field(default_factory=set)
    standing: int | None = None
    idle: int = 0

    def take(self, failure: Failure) -> None:
        """Note a failure; raise KubeError where starting again can't help."""
        if failure.message is not None:
            raise KubeError(failure.message, hint=failure.hint)
        said = f"\n{failure.trace}" if failure.trace else ""
        if failure.at is None and failure.trace:
            raise KubeError(f"worker {failure.rank} ended with an error{said}")
        if failure.at is not None and failure.at in self.batches:
            raise KubeError(self._describe_batch(failure, *failure.at) + said)
        if failure.at is not None:
            self.batches.add(failure.at)
        newest = Checkpoints(self.task.folder).newest()
        self.idle = self.idle + 1 if newest == self.standing else 1
        self.standing = newest
        if self.idle > IDLE_RESTARTS:
            raise KubeError(
                f"workers ended {self.idle} times in a row before an averaging, the last: worker {failure.rank}, "
                f"{failure.ended}{said}",
                hint="killed by signal 9, it is most often for want of memory: fewer workers, or a smaller batch",
            )

    def _describe_batch(self, failure: Failure, epoch: int, batch: int) -> str:
        options = self.task.options
        order = order_rows(self.rows, seed=options.seed, epoch=epoch, shuffle=options.shuffle)
        indices = order[Shards(rows=self.rows, batch=options.batch, workers=1).place(batch)].tolist()
        shown = ", ".join(map(str, indices[:_SHOWN_ROWS]))
        more = f" and {len(indices) - _SHOWN_ROWS} more" if len(indices) > _SHOWN_ROWS else ""
        return (
            f"batch {batch} of epoch {epoch + 1} has ended its worker twice ({failure.ended}); "
            f"its rows of the training data: {shown}{more}"
        )


def supervise(task: Task, workers: int, *, rows: int) -> dict[str, Any]:
    """Run the workers until the training is done; return its result."""
    _quieten_torch()
    task = replace(task, environ=dict(os.environ), finders=_portable_finders())
    failures = Failures(task=task, rows=rows)
    while True:
        result = _launch(task, workers)
        if isinstance(result, Failure):
            failures.take(result)
            emit("restart", reason=result.ended, worker=result.rank)
            say(f"worker {result.rank} {result.ended}: going on from the last averaging")
            task = replace(task, is_restart=True)
        elif "again" in result:
            workers = int(result["again"])
            task = replace(task, is_restart=False)
        else:
            return result


def _launch(task: Task, workers: int) -> dict[str, Any] | Failure:
    """Run so many workers to their end, by torchrun's launcher; in a thread, for it takes the signals otherwise."""
    outcome: list[Any] = []
    thread = threading.Thread(target=lambda: outcome.append(_try(task, workers)), daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(1.0)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    result: dict[str, Any] | Failure = outcome[0]
    return result


def _try(task: Task, workers: int) -> Any:
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for rank in range(workers):
        error_file(task.folder, rank).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="kubeml-") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=workers,
            run_id=os.urandom(6).hex(),
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            rdzv_configs={"is_host": 1, "timeout": 60},
            local_addr="127.0.0.1",
            max_restarts=0,  # who starts them again is to know which one ended, and where it was
            monitor_interval=0.1,
            start_method="forkserver",
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            return elastic_launch(config, work)(task)[0]
        except ChildFailedError as error:
            return _find_cause(task, error)
        except BaseException as error:
            return error


def _find_cause(task: Task, error: Any) -> Failure:
    """The worker that ended first: not one that only found another gone."""
    found = {rank: failure for rank, failure in error.failures.items() if failure.exitcode != LOST_PEER}
    rank, failure = min((found or error.failures).items(), key=lambda item: item[1].timestamp)
    path, said = error_file(task.folder, rank), {}
    text = path.read_text(errors="replace") if path.is_file() else ""
    try:
        said = json.loads(text) if text else {}
    except ValueError:  # a crash, which faulthandler has written down
        said = {"trace": text.strip()}
    code = failure.exitcode
    ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return Failure(rank=rank, ended=ended, at=StepNote.read(task.folder / f"step-{rank}"), **said)


def _quieten_torch() -> None:
    """Set what torchrun needs on one machine, and let it report to us alone."""
    # Without it workers that are started again may wait for one another for ever (pytorch/pytorch, seen in 7 of 17).
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback())
    import torch.distributed.elastic.agent.server.api
    import torch.distributed.launcher.api  # noqa: F401

    for name in list(logging.root.manager.loggerDict):
        if name.startswith("torch.distributed.elastic") or name == "torch.distributed.launcher.api":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    multiprocessing.set_forkserver_preload(["kubeml.preloaded"])


def _portable_finders() -> list[Any]:
    """What this process finds modules with beside Python's own ways, as far as another process can have it."""
    finders = []
    for finder in sys.meta_path:
        if not isinstance(finder, type):
            try:
                pickle.dumps(finder)
            except Exception:
                continue
            finders.append(finder)
    return finders
