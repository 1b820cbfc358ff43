"""How a worker takes a step: on its own, or in step with all others (torch's DistributedDataParallel)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from kubeml.merging import Merger
from kubeml.model import KubeModel
from kubeml.seats import Seat
from kubeml.shards import Shards


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch of a worker; one that does not `count` is only there so that the worker takes part."""

    number: int
    share: float = 1.0
    """What its gradient counts, by rows, where gradients are added up."""
    counts: bool = True


class LocalSteps:
    """Every worker for itself, until weights are averaged."""

    def __init__(self, model: KubeModel, seat: Seat, merger: Merger) -> None:
        self.model, self.seat, self.merger = model, seat, merger

    def plan(self, shards: Shards, first: int, k: int) -> list[int]:
        """The batches of this worker from round `first` on."""
        own = shards.batches(self.seat.rank)
        return list(own if k == -1 else own[first * k :])

    def in_round(self, shards: Shards, number: int, k: int) -> Iterator[Batch]:
        """The batches of this worker in a round."""
        return (Batch(number=number) for number in shards.in_round(self.seat.rank, number, k))

    def take(self, values: Any, index: int, batch: Batch) -> Any:
        """Take one step; return the loss."""
        return self.model.step(values, index)

    def merge(self, share: float, numbers: Sequence[float]) -> list[list[float]]:
        """Average the weights."""
        return self.merger.merge(share, numbers)


class DdpSteps:
    """All workers together: gradients are added up by rows in each step, so weights are equal all the time."""

    def __init__(self, model: KubeModel, seat: Seat, merger: Merger) -> None:
        self.model, self.seat = model, seat
        self._share = 1.0
        # Weights are equal without it: only numbers and buffers (those of worker 0 count) are told.
        self._numbers = Merger({}, rank=seat.rank, workers=seat.workers, numbers=merger.numbers)
        self._numbers.vector = self._numbers.vector.to(merger.vector.device)
        if seat.workers > 1:
            wrapped = DistributedDataParallel(model._network, find_unused_parameters=True)
            wrapped.register_comm_hook(None, self._add_up)
            model._forward = wrapped

    def plan(self, shards: Shards, first: int, k: int) -> list[int]:
        """The batches of this worker from round `first` on, and one more where others have one more."""
        rounds = range(first, shards.count_rounds(k))
        return [batch.number for number in rounds for batch in self.in_round(shards, number, k)]

    def in_round(self, shards: Shards, number: int, k: int) -> Iterator[Batch]:
        """As many batches as any worker has in this round."""
        everyone = [shards.in_round(rank, number, k) for rank in range(self.seat.workers)]
        own = everyone[self.seat.rank]
        for step in range(max(map(len, everyone))):
            sizes = [shards.size(batches[step]) if step < len(batches) else 0 for batches in everyone]
            share = sizes[self.seat.rank] / sum(sizes)
            counts = step < len(own)
            spare = shards.batches(self.seat.rank).start
            yield Batch(number=own[step] if counts else spare, share=share, counts=counts)

    def take(self, values: Any, index: int, batch: Batch) -> Any:
        """Take one step; return the loss."""
        self._share = batch.share
        with self.seat.talking(beside_user_code=True):
            return self.model.step(values, index)

    def merge(self, share: float, numbers: Sequence[float]) -> list[list[float]]:
        """Tell numbers, and take worker 0's buffers."""
        if self.seat.workers > 1:
            for buffer in self.model._network.buffers():
                dist.broadcast(buffer, 0)
        return self._numbers.merge(share, numbers)

    def _add_up(self, _: Any, bucket: dist.GradBucket) -> Future[Tensor]:
        """Add up gradients, each worker's by its share of the rows."""
        gradient = bucket.buffer().mul_(self._share)
        return dist.all_reduce(gradient, async_op=True).get_future().then(lambda done: done.value()[0])
