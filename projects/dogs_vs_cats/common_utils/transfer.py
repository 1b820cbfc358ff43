"""A frozen trunk and the head that is trained. Needs torch alone: `upload` copies this file into prep_model.py."""

from typing import Self

from torch import Tensor, nn


class TransferModel(nn.Module):
    """Pictures to logits. The trunk stays as it was: no gradient, and BatchNorm answers with what it has learned.

    Frozen is the trunk as a whole, by what it is and not by names of layers: a name test misses some of them.
    """

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk.requires_grad_(False), head
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Switch the head between training and answering."""
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the logits of each class."""
        return self.head(self.trunk(pictures))


def make_head(features: int, layer_size: int, classes: int = 2) -> nn.Sequential:
    """Return the head: features (n, features) to logits (n, classes)."""
    return nn.Sequential(nn.Linear(features, layer_size), nn.ReLU(), nn.Dropout(), nn.Linear(layer_size, classes))
