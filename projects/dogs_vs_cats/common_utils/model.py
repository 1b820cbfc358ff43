"""The trained model as it is loaded: network, classes, and how a picture becomes its input."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dogs_vs_cats.common_utils.transfer import TransferModel, make_head
from dogs_vs_cats.common_utils.trunks import Trunk, find_trunk
from utils.manifest import Manifest
from utils.model_binary import load_model, read_manifest


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model of the flow. Its weights are all in its binary: nothing is downloaded."""

    network: TransferModel
    trunk: Trunk
    size: int
    classes: Sequence[str]
    manifest: Manifest

    @property
    def example(self) -> np.ndarray:
        """One input, to warm up with."""
        return np.zeros((1, 3, self.size, self.size), np.float32)


def load(name: str, directory: Path | str = "models") -> Loaded:
    """Load a model; its tensors come to the CPU first, wherever it was trained."""
    about = read_manifest(name, directory).attributes
    trunk = find_trunk(about["trunk"])
    head = make_head(trunk.features, about["layer_size"], classes=len(about["classes"]))
    loaded = load_model(name, directory, into=TransferModel(trunk.network.make_trunk(), head))
    return Loaded(
        network=loaded.model,
        trunk=trunk,
        size=about["img_dimensions"],
        classes=about["classes"],
        manifest=loaded.manifest,
    )


def as_scores(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits, float64 of the same shape."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
