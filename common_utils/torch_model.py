"""A torch model with what belongs to it: its optimizer, its device, its seed, and where its training stands.

    model = TorchModel(partial(nn.Linear, 2, 1), loss=nn.functional.mse_loss, optimizer=partial(Adam, lr=0.01))
    losses = model.fit(X, y, N=1000)
    model.saveModel("models")

Everything that is random in a step (the batch, dropout, augmentation) follows from the seed and the number of the step.
So training is repeatable on a CPU, and training that was saved goes on exactly where it stopped.
"""

import hashlib
import math
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common_utils.devices import choose_device, describe_device
from common_utils.model_records import add_model, expected_digest, file_name_for
from common_utils.progress import ProgressBar
from common_utils.torch_predictor import TorchPredictor, as_tensor, autocast_on
from utils.atomic import write_atomically
from utils.codecs.base import DecodeOptions
from utils.codecs.torch import TorchCodec
from utils.errors import ModelBinaryError

PARAMS = "params.pth"
SCHEMA = 1
_POINTS = 50


class TorchModel:
    """Trains a module step by step, and saves and loads it with everything that going on needs.

    `module` makes the network (a class or a function without arguments), `optimizer` takes its parameters, and `loss`
    gets (outputs, targets). `batch_size` is None for all rows in every step. `schedule` gives the factor of the
    learning rate for the number of a step. `device` is auto, cpu, cuda, cuda:N or mps; None takes the variable DEVICE.
    """

    def __init__(
        self,
        module: Callable[[], nn.Module],
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
        batch_size: int | None = None,
        schedule: Callable[[int], float] | None = None,
        device: str | None = None,
        autocast: bool = False,
        seed: int = 0,
    ) -> None:
        self.device = choose_device(device)
        self.seed, self.batch_size, self.autocast = seed, batch_size, autocast
        with self._own_randomness():
            torch.manual_seed(seed)
            self.module = module().to(self.device)
        self.optimizer = optimizer(self.module.parameters())
        self._loss, self._schedule = loss, schedule
        self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.steps = 0
        self.losses: list[float] = []
        self.id: str | None = None
        self._data_digest: str | None = None

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """What the training depends on, as the saved model's entry has it."""
        group = {**self.optimizer.param_groups[0], "lr": self._rates[0]}
        plain = {key: value for key, value in group.items() if isinstance(value, int | float | tuple)}
        return {
            "optimizer": type(self.optimizer).__name__,
            **{key: list(value) if isinstance(value, tuple) else value for key, value in plain.items()},
            "batch_size": self.batch_size,
            "autocast": self.autocast,
            "seed": self.seed,
        }

    def fit(self, X: Any, y: Any, N: int = 100) -> list[float]:
        """Take N steps and return the loss of each; X and y are arrays or tensors with as many rows.

        Raises ValueError for shapes that don't fit and for no step, ArithmeticError where the loss is no longer finite.
        """
        if N < 1:
            raise ValueError(f"N is {N}, expected a number of steps from 1 on")
        inputs, targets = as_tensor(X), as_tensor(y)
        if len(inputs) != len(targets) or not len(inputs):
            raise ValueError(f"{len(inputs)} rows of X and {len(targets)} of y: expected as many, and at least one")
        self._data_digest = _digest(inputs, targets)
        losses = torch.empty(N, device=self.device)
        self.module.train()
        with ProgressBar("training", total=N) as bar, self._own_randomness():
            for step, (batch, wanted) in enumerate(self._batches(inputs, targets, count=N)):
                losses[step] = self._step(batch, wanted)
                bar.advance(lambda done=step + 1: f"loss {self._checked(losses[:done])[-1].item():.3g}")
        self.module.eval()
        taken: list[float] = self._checked(losses).tolist()
        self.losses += taken
        return taken

    def predict(self, X: Any) -> np.ndarray:
        """Return the module's outputs for the rows of X."""
        predictor = TorchPredictor(
            self.module, device=self.device, batch_size=self.batch_size or 1024, autocast=self.autocast
        )
        return predictor(X)

    def saveParams(self, folder: Path | str) -> Path:
        """Write `params.pth`: weights, optimizer and step. What was there before stays until the new file is whole."""
        path = Path(folder) / PARAMS
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, self._encode(), part=path.with_name(f".{PARAMS}.{os.getpid()}.part"))
        return path

    def loadParams(self, folder: Path | str) -> None:
        """Take up what `saveParams` wrote into `folder`, so that `fit` goes on exactly where it stopped."""
        self._load(Path(folder) / PARAMS)

    def saveModel(self, folder: Path | str) -> dict[str, Any]:
        """Write `modelFile-<id>-<time>.pth` and its entry in `metaData-models.json`; return the entry.

        The entry's `parent` is the id of the model that this one was loaded from, or last saved as.
        """
        created = datetime.now(UTC)
        parent, self.id = self.id, uuid.uuid4().hex[:12]
        binary = self._encode()
        record = {
            "id": self.id,
            "file": file_name_for(self.id, created),
            "sha256": hashlib.sha256(binary).hexdigest(),
            "created": created.isoformat(timespec="seconds"),
            "parent": parent,
            "steps": self.steps,
            "loss": summarize_losses(self.losses),
            "data_sha256": self._data_digest,
            "hyperparameters": self.hyperparameters,
            "torch_version": torch.__version__,
            **describe_device(self.device),
        }
        try:
            add_model(folder, record, binary)
        except BaseException:
            self.id = parent
            raise
        return record

    def loadModel(self, path: Path | str) -> None:
        """Take up a file that `saveModel` wrote; its digest is checked first where the folder has its entry."""
        self._load(Path(path))

    def _step(self, batch: Tensor, targets: Tensor) -> Tensor:
        torch.manual_seed(_mix(self.seed, self.steps))
        if self._schedule is not None:
            for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
                group["lr"] = rate * self._schedule(self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast_on(self.device, self.autocast):
            outputs = self.module(batch)
            if outputs.ndim == targets.ndim and outputs.shape != targets.shape:  # else torch would broadcast them
                raise ValueError(f"outputs of shape {tuple(outputs.shape)}, targets of {tuple(targets.shape)}")
            loss = self._loss(outputs, targets)
        loss.backward()
        self.optimizer.step()
        self.steps += 1
        return loss.detach()

    def _batches(self, inputs: Tensor, targets: Tensor, *, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of the next `count` steps; a row comes once in every pass over the data."""
        if self.batch_size is None or self.batch_size >= len(inputs):
            whole = inputs.to(self.device), targets.to(self.device)
            for _ in range(count):
                yield whole
            return
        per_epoch = math.ceil(len(inputs) / self.batch_size)
        epoch, order = -1, torch.empty(0)
        for step in range(self.steps, self.steps + count):
            if step // per_epoch != epoch:
                epoch = step // per_epoch
                generator = torch.Generator().manual_seed(_mix(self.seed, epoch))
                order = torch.randperm(len(inputs), generator=generator)
            start = step % per_epoch * self.batch_size
            rows = order[start : start + self.batch_size]
            yield self._on_device(inputs[rows]), self._on_device(targets[rows])

    def _on_device(self, batch: Tensor) -> Tensor:
        """Move a batch; from pinned memory the copy goes on while the device still computes."""
        pinned = batch.pin_memory() if self.device.type == "cuda" else batch
        return pinned.to(self.device, non_blocking=True)

    def _own_randomness(self) -> AbstractContextManager[None]:
        """Leave the caller's random numbers as they were."""
        return torch.random.fork_rng(devices=[self.device.index] if self.device.type == "cuda" else [])

    def _checked(self, losses: Tensor) -> Tensor:
        """Return the losses of the last steps; raise ArithmeticError for one that is not finite."""
        wrong = losses.isfinite().logical_not().nonzero()
        if len(wrong):
            number = int(wrong[0])
            step = self.steps - len(losses) + 1 + number
            raise ArithmeticError(f"the loss is {losses[number].item()} in step {step}: use a smaller learning rate")
        return losses

    def _encode(self) -> bytes:
        content = {
            "schema": SCHEMA,
            "id": self.id,
            "steps": self.steps,
            "optimizer_class": type(self.optimizer).__name__,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        return TorchCodec().encode(content)

    def _load(self, path: Path) -> None:
        content = read_checkpoint(path)
        own = type(self.optimizer).__name__
        if content["optimizer_class"] != own:
            raise ModelBinaryError(
                f"{path}: it was trained with {content['optimizer_class']}, this model has {own}",
                hint="training goes on only with the same optimizer",
            )
        try:
            self.module.load_state_dict(content["module"])
            self.optimizer.load_state_dict(content["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ModelBinaryError(
                f"{path}: made for another network ({error})", hint="use the module that it was trained with"
            ) from None
        if self._schedule is None:
            self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.module.eval()
        self.id, self.steps, self.losses = content["id"], content["steps"], []


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a file of `saveParams` or `saveModel`; a pickle of anything but tensors and plain values is refused."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelBinaryError(f"{path}: can't read it ({error.strerror})") from None
    expected, found = expected_digest(path), hashlib.sha256(data).hexdigest()
    if expected not in (None, found):
        raise ModelBinaryError(
            f"{path}: sha256 {found}, its entry says {expected}", hint="truncated or changed: get the file again"
        )
    try:
        content = TorchCodec().decode(data, DecodeOptions())
    except ModelBinaryError as error:
        raise ModelBinaryError(f"{path}: {error.message}", hint=error.hint) from None
    except Exception as error:
        raise ModelBinaryError(f"{path}: torch can't read it ({error})", hint="truncated, or no torch file") from None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ModelBinaryError(
            f"{path}: no saved TorchModel", hint="only saveParams and saveModel write these; it may be bare weights"
        )
    return content


def summarize_losses(losses: Sequence[float]) -> dict[str, Any]:
    """Return the number of steps, the first, last and lowest loss, and at most 50 points of the way.

    >>> summarize_losses([4.0, 1.0, 2.0])
    {'steps': 3, 'first': 4.0, 'last': 2.0, 'lowest': 1.0, 'points': [4.0, 1.0, 2.0]}
    """
    if not losses:
        return {"steps": 0}
    points = list(losses[:: math.ceil(len(losses) / _POINTS)])
    return {
        "steps": len(losses),
        "first": losses[0],
        "last": losses[-1],
        "lowest": min(losses),
        "points": points,
    }


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _mix(seed: int, number: int) -> int:
    """Return one seed for every pair of a seed and a number."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)
