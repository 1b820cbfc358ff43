"""What a training is asked for: keys of the payload, or variables of the same name in capitals."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from kubeml.errors import KubeError

_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Every setting of a training; a key of the payload wins over the variable of the environment."""

    model_name: str = "kubeml"
    parallelism: int = 1
    """Workers to begin with; all the time, where `static`."""
    k: int = -1
    """Steps of a worker between two averagings; -1 averages once an epoch."""
    epochs: int = 1
    batch: int = 64
    lr: float = 0.01
    validate_every: int = 1
    """Epochs between two validations; 0 validates after the last one only."""
    goal_accuracy: float = 0.0
    """Training ends when the accuracy, as `validate` returns it, has come this far; 0 is no goal."""
    static: bool = False
    seed: int = 0
    shuffle: bool = True
    average: str = "weighted"
    """weighted: by the samples of each worker; plain: the mean."""
    sync: str = "average"
    """average: weights, every K steps; ddp: gradients, every step, by torch's DistributedDataParallel."""
    reset_optimizer: bool = False
    """Forget the optimizers' state at each averaging."""
    warm_up: int = 0
    """Epochs at the start that average after every step (post-local SGD)."""
    outer_lr: float = 0.0
    """Learning rate of the outer optimizer (DiLoCo: SGD with Nesterov momentum); 0 is none."""
    outer_momentum: float = 0.9
    timeout: int = 1800
    """Seconds that a worker waits for the others."""
    fresh: bool = False
    """Begin anew where a training that was stopped or killed could go on."""

    def __post_init__(self) -> None:
        for name in ("parallelism", "epochs", "batch", "timeout"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        for name in ("validate_every", "warm_up", "seed"):
            self._check(name, getattr(self, name) >= 0, "0 or more")
        self._check("k", self.k == -1 or self.k >= 1, "1 or more, or -1 for once an epoch")
        self._check("lr", 0 < self.lr < float("inf"), "a number above 0")
        self._check("outer_lr", 0 <= self.outer_lr < float("inf"), "0 or a number above it")
        self._check("outer_momentum", 0 <= self.outer_momentum < 1, "a number from 0 to below 1")
        self._check("goal_accuracy", 0 <= self.goal_accuracy <= 100, "an accuracy as validate returns it")
        self._check("average", self.average in ("weighted", "plain"), "weighted or plain")
        self._check("sync", self.sync in ("average", "ddp"), "average or ddp")

    @classmethod
    def read(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Take each option from PAYLOAD, else from its own variable; raise KubeError for what is none."""
        payload = json.loads(environ.get("PAYLOAD") or "{}")
        values: dict[str, Any] = {}
        for field in fields(cls):
            value = payload.get(field.name)
            if value is None:
                value = environ.get(field.name.upper()) or None
            if value is not None:
                values[field.name] = _parse(field.name, value, type(field.default))
        return cls(**values)

    def k_in(self, epoch: int) -> int:
        """Steps between two averagings in an epoch, the first of which is 0."""
        return 1 if epoch < self.warm_up else self.k

    def as_dict(self) -> dict[str, Any]:
        """As the events and the manifest have them."""
        return asdict(self)

    def _check(self, name: str, is_right: bool, expected: str) -> None:
        if not is_right:
            raise KubeError(
                f"{name} is {getattr(self, name)!r}, expected {expected}",
                hint=f"modelyard train --{name.replace('_', '-')}, or make train {name.upper()}=",
            )


def _parse(name: str, value: Any, kind: type) -> Any:
    """Turn what JSON or the environment holds into an option's own type.

    >>> _parse("batch", "64", int), _parse("lr", 1, float), _parse("static", "yes", bool)
    (64, 1.0, True)
    """
    try:
        if kind is bool:
            text = str(value).strip().lower()
            if text not in _YES + _NO:
                raise ValueError
            return text in _YES
        if isinstance(value, bool) or (kind is int and isinstance(value, float) and value != int(value)):
            raise ValueError
        return kind(value)
    except (TypeError, ValueError, OverflowError):
        kinds = {int: "a whole number", float: "a number", bool: "yes or no", str: "a text"}
        raise KubeError(f"{name} is {value!r}, expected {kinds[kind]}") from None
