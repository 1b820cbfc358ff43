"""Features: what the frozen trunk makes of every picture. They are the same in every trial, so they are made once.

The folder `features` that it makes: features.npy (float32, a row for each line of the index), index.csv, labels.json,
and trunk.pth, the trunk's weights: no later step, and no model that is served, gets them from anywhere else again.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common_utils.devices import choose_device
from common_utils.progress import ProgressBar
from common_utils.torch_predictor import TorchPredictor, lay_out_for_convolutions
from dogs_vs_cats.common_utils.prepared import ABOUT, FEATURES, INDEX, LABELS, Rows, read_pictures
from dogs_vs_cats.common_utils.settings import read_number
from dogs_vs_cats.common_utils.trunks import Trunk, find_trunk, load_trunk

TRUNK = "trunk.pth"


def features(msg: Any) -> dict[str, Any]:
    """Make the folder `features` of the folder `pictures`."""
    params, folder = msg.payload["params"], Path(msg.payload["outputs"]["features"])
    pictures = Path(msg.payload["inputs"]["pictures"])
    train, batch_size = params["train"], read_number(params["data"], "data.batch_size")
    trunk, rows = find_trunk(train["trunk"]), read_pictures(pictures)
    module = load_trunk(trunk, weights=weights_of(train), sha256=train.get("weights_sha256"))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(module.state_dict(), folder / TRUNK)
    made = make_features(rows, trunk, module, batch_size=batch_size, device=train["device"])
    np.save(folder / FEATURES, made, allow_pickle=False)
    for name in (INDEX, ABOUT, LABELS):
        shutil.copyfile(pictures / name, folder / name)
    return {"metrics": {"pictures": len(made), "features": made.shape[1]}, "trunk": trunk.name}


def weights_of(train: Mapping[str, Any]) -> str | None:
    """Return where the trunk's weights are: the variable TRUNK_WEIGHTS, else train.weights, else its own package."""
    return os.environ.get("TRUNK_WEIGHTS") or train.get("weights") or None


def make_features(rows: Rows, trunk: Trunk, module: torch.nn.Module, *, batch_size: int, device: str) -> np.ndarray:
    """Return the features of every picture, float32 (n, features)."""
    lay_out_for_convolutions(module)
    predictor = TorchPredictor(module, device=choose_device(device), batch_size=batch_size)
    made = []
    with ProgressBar("features", total=-(-len(rows.values) // batch_size)) as bar:
        for batch in rows.batches(batch_size):
            made.append(predictor(trunk.normalise(batch)))
            bar.advance()
    return np.concatenate(made)
