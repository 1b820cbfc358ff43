"""The outer optimizer (DiLoCo): what K local steps came to is a gradient, of which a slower optimizer takes a step."""

import torch
from torch import Tensor


class OuterOptimizer:
    """SGD with Nesterov momentum on the averaged weights; the same on every worker, for it sees the same."""

    def __init__(self, start: Tensor, *, lr: float, momentum: float) -> None:
        self.lr, self.momentum = lr, momentum
        self.weights = start.clone()
        self.velocity = torch.zeros_like(start)

    def step(self, averaged: Tensor) -> Tensor:
        """Return the weights to go on from."""
        gradient = self.weights - averaged
        self.velocity.mul_(self.momentum).add_(gradient)
        self.weights -= self.lr * (gradient + self.momentum * self.velocity)
        return self.weights

    def state_dict(self) -> dict[str, Tensor]:
        """What going on needs."""
        return {"weights": self.weights, "velocity": self.velocity}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up what `state_dict` gave."""
        self.weights.copy_(state["weights"])
        self.velocity.copy_(state["velocity"])
