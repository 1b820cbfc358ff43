"""A network with what its user says of training it: optimizer, one step, one validation, an answer."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from kubeml import roles
from kubeml.dataset import KubeDataset
from kubeml.options import Options
from kubeml.signatures import call_on_batch


class KubeModel:
    """Subclasses define configure_optimizers, train, validate and infer, and init where the weights need one.

    `train` takes (x, y, batch_index) or (batch, batch_index) and returns the loss; `validate` takes the same and
    returns (accuracy, loss); `init` may take the network; `infer` takes what a request holds, after the network or
    alone. `self(x)` calls the network. `gpu` asks for a card where there is one.
    """

    def __init__(self, network: nn.Module, dataset: KubeDataset | None = None, gpu: bool = False) -> None:
        self._network = network
        self._dataset = dataset
        self._forward: Callable[..., Any] = network
        self.platform = "gpu" if gpu else "cpu"
        self.device = torch.device("cpu")
        self.args: Options | None = None
        self.logger = logging.getLogger(f"kubeml.{type(self).__name__}")
        self.lr = 0.0
        self.batch_size = 0
        self.epoch = 0
        self.task = ""
        self.optimizer: Any = None

    def start(self) -> Any:
        """Do what this process is for: begin a training and return its result, be a worker of one, or get ready."""
        role = roles.current()
        if role is not None:
            return role.take(self)
        from kubeml.launching import train

        return train(self, Options.read())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._forward(*args, **kwargs)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The network's parameters, for `configure_optimizers`."""
        return self._network.parameters()

    def state_dict(self) -> Mapping[str, Tensor]:
        """The network's state."""
        return self._network.state_dict()

    def apply(self, function: Callable[[nn.Module], None]) -> Self:
        """Call `function` for each module of the network, as `init` does to set weights."""
        self._network.apply(function)
        return self

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer of `self.parameters()`, with `self.lr`; asked for again at the start of each epoch."""
        raise NotImplementedError(f"{type(self).__name__} has no configure_optimizers(self)")

    def init(self, *model: nn.Module) -> None:
        """Set the weights to begin with; by default they are those that the network came with."""

    def train(self, *batch: Any) -> float:
        """Take one step, and return its loss."""
        raise NotImplementedError(f"{type(self).__name__} has no train(self, x, y, batch_index)")

    def validate(self, *batch: Any) -> tuple[float, float]:
        """Return accuracy and loss of one batch."""
        raise NotImplementedError(f"{type(self).__name__} has no validate(self, x, y, batch_index)")

    def infer(self, *data: Any) -> Any:
        """Return the predictions for what a request holds."""
        raise NotImplementedError(f"{type(self).__name__} has no infer(self, data)")

    def prepare(self, options: Options, *, task: str, device: torch.device) -> None:
        """Set what the user's methods read, and move the network."""
        self.args, self.task, self.device = options, task, device
        self.lr, self.batch_size = options.lr, options.batch
        self._network.to(device)

    def renew_optimizer(self, *, keep_state: bool) -> None:
        """Ask for the optimizer; its state goes on, its settings (a learning rate that falls) are the new ones."""
        before = self.optimizer
        self.optimizer = self.configure_optimizers()
        if before is not None and keep_state and type(before) is type(self.optimizer):
            groups = self.optimizer.state_dict()["param_groups"]
            self.optimizer.load_state_dict({"state": before.state_dict()["state"], "param_groups": groups})

    def step(self, batch: Any, index: int) -> Any:
        """Call the user's `train` with a batch on the model's device."""
        return call_on_batch(self.train, move(batch, self.device), index)

    def judge(self, batch: Any, index: int) -> Any:
        """Call the user's `validate` with a batch on the model's device."""
        return call_on_batch(self.validate, move(batch, self.device), index)


def move(value: Any, device: torch.device) -> Any:
    """Move the tensors in what a loader gave."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: move(item, device) for key, item in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(move(item, device) for item in value)
    return value


def count_rows(value: Any) -> int | None:
    """The rows of a batch, by its first tensor; None where there is none."""
    if isinstance(value, Tensor):
        return len(value) if value.ndim else None
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return next((count for item in items if (count := count_rows(item)) is not None), None)
