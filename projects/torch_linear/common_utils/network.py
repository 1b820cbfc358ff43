"""The network that is trained and served."""

from torch import nn


def make_network() -> nn.Module:
    """Return y = X w with two weights to find."""
    return nn.Linear(2, 1, bias=False)
