"""Answering with a torch module: moved to its device once, in inference mode, in batches that fit into memory."""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from common_utils.devices import choose_device

_TOLERANCE, _TOLERANCE_OF_BF16 = 1e-3, 3e-2
# torch.compile makes a graph for one row, one for a few, and on CPUs one for 16 rows and more.
_COMPILED_FOR = (1, 2, 16)
_log = logging.getLogger(__name__)


class TorchPredictor:
    """Calls a module on arrays or tensors of rows and returns a numpy array, whatever the device.

    `batch_size` bounds the rows in one call. A batch that doesn't fit into the device's memory is split and tried
    again. `autocast` computes in bf16 where that is safe; float32 comes back either way.
    """

    def __init__(
        self, module: nn.Module, *, device: torch.device, batch_size: int = 256, autocast: bool = False
    ) -> None:
        self.device, self.batch_size, self.autocast = device, batch_size, autocast
        self.module: Callable[[Tensor], Tensor] = module.to(device).eval()

    @classmethod
    def for_serving(
        cls,
        module: nn.Module,
        example: np.ndarray,
        *,
        batch_size: int = 256,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """Make the predictor of a worker, warmed up with `example`, the array of one row as predict will get it.

        DEVICE names the device. AUTOCAST=1 computes in bf16, TORCH_COMPILE=1 compiles the module. On a CUDA device
        DEVICE_MEMORY (for example 2GiB; default: what the largest batch takes) is claimed for this worker alone.
        Raises DeviceError where other workers have claimed too much already.
        """
        device = choose_device(environ.get("DEVICE"))
        with _claimed(device, environ.get("DEVICE_MEMORY")):
            lay_out_for_convolutions(module)
            predictor = cls(module, device=device, batch_size=batch_size, autocast=is_on(environ.get("AUTOCAST")))
            if is_on(environ.get("TORCH_COMPILE")):
                predictor.compile_checked(example)
            if device.type == "cuda":
                predictor(np.repeat(example, batch_size, axis=0))
            predictor(example)
        return predictor

    def __call__(self, rows: np.ndarray | Tensor) -> np.ndarray:
        """Return the module's outputs, a row each."""
        inputs = as_tensor(rows)
        answers = []
        with torch.inference_mode():
            while len(inputs):
                answers.append(self._answer(inputs[: self.batch_size]))
                inputs = inputs[len(answers[-1]) :]
        if not answers:
            raise ValueError("no rows to predict")
        return torch.cat(answers).numpy() if len(answers) > 1 else answers[0].numpy()

    def compile_checked(self, example: np.ndarray) -> None:
        """Compile the module, and go on without where that fails or the answers differ; `example` is one row.

        Every graph that requests may need is made here, as they are served: none is made while a request waits.
        """
        plain = self.module
        batches = [np.repeat(example, rows, axis=0) for rows in _COMPILED_FOR]
        expected = [self(batch) for batch in batches]
        try:
            self.module = torch.compile(plain, dynamic=True)
            found = [self(batch) for batch in batches]
        except Exception as error:  # whatever compilers raise: missing, too old, out of space, an unknown operator
            self.module = plain
            reason = str(error).strip().partition("\n")[0]
            _log.warning("torch.compile failed, serving without it: %s: %s", type(error).__name__, reason)
            return
        tolerance = _TOLERANCE_OF_BF16 if self.autocast else _TOLERANCE
        if not all(map(partial(np.allclose, rtol=tolerance, atol=tolerance), found, expected)):
            self.module = plain
            difference = max(np.abs(one - other).max() for one, other in zip(found, expected, strict=True))
            _log.warning("torch.compile changes answers by up to %.3g, serving without it", difference)

    def _answer(self, batch: Tensor) -> Tensor:
        """Return the outputs of as many of the batch's first rows as fit into the device's memory."""
        while True:
            try:
                return self._forward(batch)
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
            # Out of the except clause: the exception's frames held on to the memory that is to be freed.
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats(self.device)  # what did not fit is not what this worker needs
            self.batch_size = max(1, len(batch) // 2)
            _log.warning("out of memory on %s with %d rows: %d from now on", self.device, len(batch), self.batch_size)
            batch = batch[: self.batch_size]

    def _forward(self, batch: Tensor) -> Tensor:
        if self.device.type == "cuda":
            batch = batch.pin_memory()
        with autocast_on(self.device, self.autocast):
            outputs = self.module(as_channels_last(batch.to(self.device, non_blocking=True)))
        return outputs.float().cpu() if outputs.is_floating_point() else outputs.cpu()


def as_tensor(values: Any) -> Tensor:
    """Return a tensor on the CPU; floating point becomes float32."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(np.ascontiguousarray(values))
    return tensor.to("cpu", torch.float32) if tensor.is_floating_point() else tensor.cpu()


def lay_out_for_convolutions(module: nn.Module) -> None:
    """Lay the weights of 2-d convolutions out as `as_channels_last` does with what they get."""
    for weights in module.parameters():
        if weights.ndim == 4:
            weights.data = weights.data.contiguous(memory_format=torch.channels_last)


def as_channels_last(batch: Tensor) -> Tensor:
    """Lay pictures out as convolutions like them best (twice as fast on CPUs); the values are the same."""
    return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch


def autocast_on(device: torch.device, enabled: bool) -> AbstractContextManager[Any]:
    """Compute in bf16 where torch deems it safe; it needs no scaling of gradients, unlike fp16."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if enabled else nullcontext()


def _claimed(device: torch.device, wish: str | None) -> AbstractContextManager[None]:
    if device.type != "cuda":
        return nullcontext()
    from common_utils.device_memory import claim_memory  # POSIX only, as CUDA servers are

    return claim_memory(device, wish)


def is_on(value: str | None) -> bool:
    """Tell whether a setting is switched on.

    >>> is_on("1"), is_on("true"), is_on("0"), is_on(None)
    (True, True, False, False)
    """
    return (value or "").strip().lower() in ("1", "true", "yes", "on")
