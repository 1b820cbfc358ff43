"""Averaging: the state of a network as one vector, added up over the workers in one all-reduce.

Floating-point entries, parameters and buffers alike, become the weighted mean. Integer entries, such as the counters of
batch normalization, become the maximum: each worker has places of its own in the vector, where only it writes, so
that a sum brings everybody everything. Numbers that workers tell each other travel the same way.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from kubeml.errors import KubeError

# An integer of 64 bits in pieces that a float32 holds exactly, whatever is added to zeros.
_PIECES, _BITS = 4, 16


class Merger:
    """Merges the tensors of `state`, which it writes to, over `workers`; each tells `numbers` numbers beside."""

    def __init__(self, state: Mapping[str, object], *, rank: int, workers: int, numbers: int) -> None:
        self.rank, self.workers, self.numbers = rank, workers, numbers
        tensors, self.left_alone = _sort(state)
        self.floats = [tensor for tensor in tensors if tensor.is_floating_point()]
        self.integers = [tensor for tensor in tensors if not tensor.is_floating_point()]
        self._size = sum(tensor.numel() for tensor in self.floats)
        self._counters = sum(tensor.numel() for tensor in self.integers)
        self._own = self._counters * _PIECES + numbers
        wide = any(tensor.dtype == torch.float64 for tensor in self.floats)
        device = next((tensor.device for tensor in tensors), torch.device("cpu"))
        self.vector = torch.zeros(
            self._size + workers * self._own, dtype=torch.float64 if wide else torch.float32, device=device
        )

    @torch.no_grad()
    def merge(self, share: float, numbers: Sequence[float]) -> list[list[float]]:
        """Average with this worker's `share` (those of all add up to 1); return the numbers of each worker."""
        if self.workers == 1:
            return [list(numbers)]
        self._pack(share, numbers)
        dist.all_reduce(self.vector)
        return self._unpack()

    @torch.no_grad()
    def flatten(self) -> Tensor:
        """A copy of the floating-point entries as one vector."""
        parts = [tensor.detach().reshape(-1).to(self.vector.dtype) for tensor in self.floats]
        return torch.cat(parts) if parts else self.vector.new_zeros(0)

    @torch.no_grad()
    def write(self, values: Tensor) -> None:
        """Set the floating-point entries from such a vector."""
        start = 0
        for tensor in self.floats:
            tensor.copy_(values[start : start + tensor.numel()].view_as(tensor))
            start += tensor.numel()

    def _pack(self, share: float, numbers: Sequence[float]) -> None:
        self.vector.zero_()
        if share:  # what is no number must not become one times zero
            start = 0
            for tensor in self.floats:
                self.vector[start : start + tensor.numel()].copy_(tensor.reshape(-1)).mul_(share)
                start += tensor.numel()
        own, start = self._own_places(self.rank), 0
        for tensor in self.integers:
            own[start : start + tensor.numel() * _PIECES] = _split(tensor).to(own)
            start += tensor.numel() * _PIECES
        own[start:] = torch.tensor(list(numbers), dtype=own.dtype)

    def _unpack(self) -> list[list[float]]:
        self.write(self.vector[: self._size])
        places = torch.stack([self._own_places(rank) for rank in range(self.workers)])
        at = 0
        for tensor in self.integers:
            pieces = places[:, at : at + tensor.numel() * _PIECES]
            tensor.copy_(_join(pieces).amax(dim=0).view_as(tensor))
            at += tensor.numel() * _PIECES
        return [[float(value) for value in row] for row in places[:, at:].tolist()]

    def _own_places(self, rank: int) -> Tensor:
        start = self._size + rank * self._own
        return self.vector[start : start + self._own]


def _sort(state: Mapping[str, object]) -> tuple[list[Tensor], list[str]]:
    """The tensors to merge, shared ones once, and the names of what is no tensor."""
    tensors, others, seen = [], [], set()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            others.append(name)
            continue
        if value.is_sparse or value.is_quantized or value.is_meta:
            raise KubeError(
                f"the network's {name} is {value.dtype}, {value.layout}: it can't be averaged",
                hint="use dense tensors of plain numbers, or register_buffer(..., persistent=False)",
            )
        key = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if value.numel() and key not in seen:
            seen.add(key)
            tensors.append(torch.view_as_real(value) if value.is_complex() else value)
    return tensors, others


def _split(values: Tensor) -> Tensor:
    """Integers as pieces of 16 bits, the sign turned so that none is negative."""
    wide = values.detach().reshape(-1).to(torch.int64)
    shifts = torch.arange(_PIECES, device=wide.device) * _BITS
    return ((wide[:, None] >> shifts) & (2**_BITS - 1)).reshape(-1)


def _join(pieces: Tensor) -> Tensor:
    """The integers again, of each worker a row."""
    parts = pieces.to(torch.int64).view(len(pieces), -1, _PIECES)
    shifts = torch.arange(_PIECES, device=parts.device) * _BITS
    return (parts << shifts).sum(dim=2)
