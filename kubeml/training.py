"""One worker's part of a training: its batches, an averaging after every K of them, a validation, the model at last."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from kubeml.adapting import Pace, next_parallelism
from kubeml.checkpoints import SCHEMA, Checkpoints, StepNote
from kubeml.errors import KubeError
from kubeml.events import Progress, describe_epoch, emit, say
from kubeml.merging import Merger
from kubeml.model import KubeModel, count_rows
from kubeml.options import Options
from kubeml.outer import OuterOptimizer
from kubeml.saving import save
from kubeml.seats import Seat
from kubeml.shards import Shards, order_rows, seed_everything, seed_of, take
from kubeml.signatures import call_init
from kubeml.stepping import DdpSteps, LocalSteps


@dataclass(kw_only=True)
class Standing:
    """How far a training is; `round` is the next one, `number` that of the last averaging."""

    epoch: int = 0
    round: int = 0
    number: int = 0
    rows: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    restarts: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def begin_epoch(self, epoch: int) -> None:
        """Be at the start of an epoch."""
        self.epoch, self.round, self.rows, self.loss, self.seconds, self.restarts = epoch, 0, 0, 0.0, 0.0, 0


class Training:
    """`run` trains to the end, or until it is asked to stop or the number of workers is to change."""

    def __init__(
        self,
        model: KubeModel,
        options: Options,
        seat: Seat,
        *,
        folder: Path,
        fingerprint: str,
        limit: int,
        is_restart: bool = False,
        is_stopped: Callable[[], bool],
    ) -> None:
        self.model, self.options, self.seat = model, options, seat
        self.checkpoints, self.fingerprint, self.limit = Checkpoints(folder), fingerprint, limit
        self.is_restart, self._is_stopped = is_restart, is_stopped
        self.dataset: Any = model._dataset
        self.standing = Standing()
        self.note = StepNote(folder / f"step-{seat.rank}")

    def run(self) -> dict[str, Any]:
        """Train; return the result, or {"again": N} where N workers are to go on."""
        device = self.seat.choose_device(self.model.platform)
        self.seat.limit_threads()
        self.model.prepare(self.options, task="train", device=device)
        with self.seat.joined(device, timeout=self.options.timeout):
            self._begin()
            return self._train()

    def _begin(self) -> None:
        network = self.model._network
        call_init(self.model.init, network)
        state = _ordered(network)
        self.merger = Merger(state, rank=self.seat.rank, workers=self.seat.workers, numbers=3)
        if self.merger.left_alone and self.seat.rank == 0:
            say(f"not averaged, for they are no tensors: {', '.join(self.merger.left_alone)}")
        number = self._agree(self.checkpoints.newest() if self.seat.rank == 0 else None)
        if number is not None and self.seat.rank == 0:
            self._load_weights(number)
        self.standing = self._agree(self.standing)
        self.standing.restarts += self.is_restart
        with self.seat.talking():
            if self.seat.workers > 1:
                for tensor in state.values():
                    if isinstance(tensor, torch.Tensor):
                        dist.broadcast(tensor, 0)
        self.outer = self._make_outer(number)
        self.model.epoch = self.standing.epoch + 1
        self.model.renew_optimizer(keep_state=False)
        if number is not None:
            self._load_optimizer(number)
        steps = DdpSteps if self.options.sync == "ddp" else LocalSteps
        self.steps = steps(self.model, self.seat, self.merger)

    def _train(self) -> dict[str, Any]:
        options, standing = self.options, self.standing
        while standing.epoch < options.epochs:
            self._train_epoch()
            if standing.round < self._shards().count_rounds(options.k_in(standing.epoch)):
                return self._finish("stopped")
            record = self._record()
            standing.history.append(record)
            standing.begin_epoch(standing.epoch + 1)
            self._write(sync=True)
            if self.seat.rank == 0:
                emit("epoch", **record)
                say(describe_epoch(record, epochs=options.epochs))
            if 0 < options.goal_accuracy <= (record["accuracy"] or 0):
                break
            if standing.epoch < options.epochs:
                if self._agree(self._is_stopped()):
                    return self._finish("stopped")
                wanted = self._agree(self._wanted())
                if wanted != self.seat.workers:
                    return {"again": wanted}
        return self._finish("finished")

    def _train_epoch(self) -> None:
        """Do the rounds of the epoch that are left, or those until a stop."""
        standing, options = self.standing, self.options
        self.dataset.show(training=True)
        self.model._network.train()
        self.model.epoch = standing.epoch + 1
        if standing.round == 0 and standing.epoch > 0:
            self.model.renew_optimizer(keep_state=True)
        shards, k = self._shards(), options.k_in(standing.epoch)
        order = order_rows(shards.rows, seed=options.seed, epoch=standing.epoch, shuffle=options.shuffle)
        plan = self.steps.plan(shards, standing.round, k)
        loader = iter(DataLoader(self.dataset, batch_sampler=list(take(order, shards, plan))))
        progress = Progress(
            epoch=standing.epoch + 1,
            epochs=options.epochs,
            workers=self.seat.workers,
            rows=shards.rows,
            before=standing.rows,
        )
        for number in range(standing.round, shards.count_rounds(k)):
            started = time.monotonic()
            rows, loss = self._do_round(shards, number, k, loader, progress)
            wishes = self._merge(shards, number, k, rows, loss)
            standing.round, standing.number = number + 1, standing.number + 1
            standing.seconds += time.monotonic() - started
            self._write()
            if wishes:
                return

    def _do_round(self, shards: Shards, number: int, k: int, loader: Any, progress: Progress) -> tuple[int, float]:
        """Train the batches of a round; return how many rows that were, and the sum of their losses."""
        seed_everything(seed_of(self.options.seed, self.standing.epoch, number, self.seat.rank))
        first = shards.batches(self.seat.rank).start
        rows, total = 0, 0.0
        for batch in self.steps.in_round(shards, number, k):
            self.note.enter(self.standing.epoch, batch.number)
            values = next(loader)
            loss = self._check(self.steps.take(values, batch.number - first, batch), batch.number)
            if batch.counts:
                seen = count_rows(values)
                done = shards.size(batch.number) if seen is None else seen
                rows, total = rows + done, total + loss * done
                if self.seat.rank == 0:
                    progress.advance((rows * self.seat.workers) + self.standing.rows, loss)
        self.note.leave()
        return rows, total

    def _merge(self, shards: Shards, number: int, k: int, rows: int, loss: float) -> bool:
        """Average, and count what everybody did; tell whether anybody wishes to stop."""
        planned = [shards.rows_in_round(rank, number, k) for rank in range(self.seat.workers)]
        with self.seat.talking():
            told = self.steps.merge(self._share(planned), (rows, loss, float(self._is_stopped())))
        for rank, (done, wanted) in enumerate(zip((row[0] for row in told), planned, strict=True)):
            if int(done) != wanted:
                raise KubeError(
                    f"worker {rank} trained {int(done)} rows in round {number + 1}, and {wanted} were planned",
                    hint="__getitem__ has to return one row for each index, in tensors or arrays",
                )
        if self.outer is not None:
            averaged = self.merger.flatten()
            averaged[: len(self.outer.weights)] = self.outer.step(averaged[: len(self.outer.weights)])
            self.merger.write(averaged)
        if self.options.reset_optimizer:
            self.model.renew_optimizer(keep_state=False)
        self.standing.rows += sum(planned)
        self.standing.loss += sum(row[1] for row in told)
        return any(row[2] for row in told)

    def _share(self, planned: list[int]) -> float:
        if self.options.average == "plain":
            return 1 / sum(map(bool, planned)) if planned[self.seat.rank] else 0.0
        return planned[self.seat.rank] / sum(planned)

    def _check(self, loss: Any, batch: int) -> float:
        """The loss as a number; raise KubeError for what is none."""
        where = f"in epoch {self.standing.epoch + 1}, batch {batch}"
        try:
            value = float(loss)
        except (TypeError, ValueError, RuntimeError):
            raise KubeError(
                f"{type(self.model).__name__}.train returned {type(loss).__name__} {where}, expected the loss",
                hint="return loss.item()",
            ) from None
        if not math.isfinite(value):
            raise KubeError(f"the loss is {value} {where}", hint="use a smaller learning rate: --lr (make: LR=)")
        return value

    def _record(self) -> dict[str, Any]:
        """What the history says of the epoch that is done."""
        standing, shards = self.standing, self._shards()
        if standing.rows != shards.rows:
            raise KubeError(f"epoch {standing.epoch + 1}: {standing.rows} rows were trained, there are {shards.rows}")
        accuracy, validation_loss = self._validate() if self._is_validated() else (None, None)
        return {
            "epoch": standing.epoch + 1,
            "train_loss": standing.loss / standing.rows,
            "validation_loss": validation_loss,
            "accuracy": accuracy,
            "parallelism": self.seat.workers,
            "seconds": round(standing.seconds, 3),
            "samples": standing.rows,
            "samples_per_second": round(standing.rows / max(standing.seconds, 1e-9), 1),
            "lr": self.model.optimizer.param_groups[0]["lr"],
            "merges": shards.count_rounds(self.options.k_in(standing.epoch)),
            "restarts": standing.restarts,
        }

    def _is_validated(self) -> bool:
        every, done = self.options.validate_every, self.standing.epoch + 1
        return done == self.options.epochs or (every > 0 and done % every == 0)

    @torch.no_grad()
    def _validate(self) -> tuple[float, float]:
        """Return accuracy and loss on the test part, of which each worker sees a share."""
        self.dataset.show(training=False)
        self.model._network.eval()
        self.model.task = "val"
        shards = Shards(rows=len(self.dataset), batch=self.options.batch, workers=self.seat.workers)
        mine = shards.batches(self.seat.rank)
        sums = torch.zeros(3, dtype=torch.float64)
        rows = [list(range(*shards.place(number).indices(shards.rows))) for number in mine]
        for index, batch in enumerate(DataLoader(self.dataset, batch_sampler=rows)):
            accuracy, loss = _pair(self.model.judge(batch, index), type(self.model).__name__)
            size = len(rows[index])
            sums += torch.tensor([accuracy * size, loss * size, size], dtype=torch.float64)
        if self.seat.workers > 1:
            with self.seat.talking():
                moved = sums.to(self.model.device)
                dist.all_reduce(moved)
                sums = moved.cpu()
        self.model.task = "train"
        return (sums[0] / sums[2]).item(), (sums[1] / sums[2]).item()

    def _wanted(self) -> int:
        """How many workers the next epoch is to have."""
        if self.options.static:
            return self.seat.workers
        paces = [
            Pace(
                parallelism=record["parallelism"],
                seconds=record["seconds"],
                samples=record["samples"],
                undisturbed=not record["restarts"],
            )
            for record in self.standing.history
        ]
        return next_parallelism(paces, limit=max(self.limit, self.options.parallelism))

    def _finish(self, status: str) -> dict[str, Any]:
        result: dict[str, Any] = {"status": status}
        if self.seat.rank == 0:
            result |= save(self.model, self.options, self.standing.history, status=status, folder=self.dataset.folder)
        if self.seat.workers > 1:
            with self.seat.talking():
                dist.barrier()
        return result

    def _shards(self) -> Shards:
        return Shards(rows=len(self.dataset), batch=self.options.batch, workers=self.seat.workers)

    def _agree(self, value: Any) -> Any:
        """What worker 0 says, for everybody."""
        if self.seat.workers == 1:
            return value
        said = [value]
        with self.seat.talking():
            dist.broadcast_object_list(said, 0, device=self.model.device)
        return said[0]

    def _make_outer(self, number: int | None) -> OuterOptimizer | None:
        """The outer optimizer of the parameters, which come first in the vector."""
        if not self.options.outer_lr:
            return None
        trained = {tensor.data_ptr() for tensor in self.model.parameters()}
        count = sum(tensor.numel() for tensor in self.merger.floats if tensor.data_ptr() in trained)
        outer = OuterOptimizer(
            self.merger.flatten()[:count], lr=self.options.outer_lr, momentum=self.options.outer_momentum
        )
        is_there = number is not None and self.seat.rank == 0
        state = self._agree(self.checkpoints.read("weights", number or 0)["outer"] if is_there else None)
        if state:
            outer.load_state_dict(state)
        return outer

    def _write(self, *, sync: bool = False) -> None:
        """Write where the training stands, so that it goes on from here whatever comes."""
        writers = 1 if self.options.sync == "ddp" else self.seat.workers
        number = self.standing.number = self.standing.number + 1 if sync else self.standing.number
        if self.seat.rank < writers:
            content = {"schema": SCHEMA, "optimizer": self.model.optimizer.state_dict()}
            self.checkpoints.write(f"worker-{self.seat.rank}", number, content, sync=sync)
        if self.seat.rank == 0:
            content = {
                "schema": SCHEMA,
                "fingerprint": self.fingerprint,
                "writers": writers,
                "parallelism": self.seat.workers,
                "standing": vars(self.standing),
                "outer": self.outer.state_dict() if self.outer else None,
                "state": dict(self.model._network.state_dict()),
            }
            self.checkpoints.write("weights", number, content, sync=sync)

    def _load_weights(self, number: int) -> None:
        content = self.checkpoints.read("weights", number)
        try:
            self.model._network.load_state_dict(content["state"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise self.checkpoints.refuse_network(number, error) from None
        self.standing = Standing(**content["standing"])

    def _load_optimizer(self, number: int) -> None:
        """Take up this worker's optimizer; one that was not there then, that of another."""
        writers = self._agree(self.checkpoints.read("weights", number)["writers"] if self.seat.rank == 0 else None)
        name = f"worker-{self.seat.rank % writers}"
        if not self.checkpoints.has(name, number):
            say(f"worker {self.seat.rank} begins with a new optimizer: its machine has no {name}-{number}.pt")
            return
        content = self.checkpoints.read(name, number)
        try:
            self.model.optimizer.load_state_dict(content["optimizer"])
        except (ValueError, KeyError) as error:
            raise self.checkpoints.refuse_network(number, error) from None


def _ordered(network: torch.nn.Module) -> Mapping[str, Any]:
    """The state of a network, its parameters first."""
    state, parameters = network.state_dict(), {name for name, _ in network.named_parameters(remove_duplicate=False)}
    return {name: state[name] for name in sorted(state, key=lambda name: name not in parameters)}


def _pair(judged: Any, name: str) -> tuple[float, float]:
    try:
        accuracy, loss = judged
        return float(accuracy), float(loss)
    except (TypeError, ValueError):
        raise KubeError(
            f"{name}.validate returned {judged!r}, expected (accuracy, loss)", hint="return accuracy, loss.item()"
        ) from None
