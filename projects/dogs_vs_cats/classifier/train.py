"""Train: the head, on the features that the frozen trunk has made, and the whole network written as one model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common_utils.devices import choose_device, describe_device
from dogs_vs_cats.common_utils.prepared import INDEX, Rows, read_features
from dogs_vs_cats.common_utils.settings import read_number
from dogs_vs_cats.common_utils.transfer import TransferModel, make_head
from dogs_vs_cats.common_utils.trunks import Trunk, fill_trunk, find_trunk
from utils.model_binary import save_model

NAME = "dogs_vs_cats"
# What `make train` takes, which has no config.yaml: the defaults of config-default.yaml, and one trial.
DEFAULTS: dict[str, dict[str, Any]] = {
    "csv": {"s3_images_csv": "s3_images.csv"},
    "data": {
        "download_data": True, "remote_download_path": "bucket", "parallel": 8, "missing_pct": 0.0, "batch_size": 32,
        "img_dimensions": 224, "train_pct": 0.6, "val_pct": 0.2, "test_pct": 0.2, "split_seed": 463062,
        "bad_pictures": "leave_out", "odd_pictures": "convert",
    },
    "train": {
        "trunk": "efficientnet_lite0", "epochs": 5, "lr": 0.001, "layer_size": 512, "device": "cpu", "seed": 0,
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Message:
    payload: dict[str, Any]


def train(msg: Any) -> dict[str, Any]:
    """Train without a flow, as `make train` does: on the table that `$ref` names, with a bucket beside it.

    It takes the steps before as they are, with the defaults of config-default.yaml, and no search.
    """
    from . import download, features, prep  # beside this file, wherever it is

    table, name = Path(msg.payload["$ref"]), msg.payload.get("model_name", NAME)
    params = {group: {**values, **msg.payload.get(group, {})} for group, values in DEFAULTS.items()}
    params["csv"]["s3_images_csv"] = table.name
    with TemporaryDirectory() as scratch:
        places = {name: str(Path(scratch, name)) for name in ("images", "pictures", "features")}
        inputs = {"data": str(table.parent), **places}
        for step in (download.download, prep.prep, features.features):
            step(_Message(payload={"params": params, "inputs": inputs, "outputs": places}))
        return train_head(params, inputs, "models", name=name)


def train_step(msg: Any) -> dict[str, Any]:
    """Train the head once, and write the model `dogs_vs_cats` into the folder `model`.

    In a search it is called once for each trial, with one learning rate and one layer size. What it returns is measured
    on the part val: nothing is selected on what was trained on, and the part test is not looked at.
    """
    return train_head(msg.payload["params"], msg.payload["inputs"], msg.payload["outputs"]["model"])


def train_head(
    params: Mapping[str, Any], inputs: Mapping[str, str], target: str, *, name: str = NAME
) -> dict[str, Any]:
    """Train the head on the features, and save the whole network in the folder `target`."""
    wanted, batch_size = params["train"], read_number(params["data"], "data.batch_size")
    device, folder = choose_device(wanted["device"]), Path(inputs["features"])
    rows, trunk = read_features(folder), find_trunk(wanted["trunk"])
    settings = {
        "epochs": read_number(wanted, "train.epochs"),
        "lr": read_number(wanted, "train.lr", float, least=1e-12),
        "layer_size": read_number(wanted, "train.layer_size"),
        "seed": read_number(wanted, "train.seed", least=0),
        "batch_size": batch_size,
    }
    head, curves = fit(rows.part("train"), rows.part("val"), device=device, **settings)
    metrics = {name: values[-1] for name, values in curves.items()}
    network = TransferModel(load_saved_trunk(trunk, folder / "trunk.pth"), head.cpu())
    save_model(
        network,
        name,
        target,
        metrics=metrics,
        data=folder / INDEX,
        params={**settings, "trunk": trunk.name},
        attributes=describe(rows, trunk, settings, params["data"], device),
    )
    return {"metrics": metrics, "curves": curves}


def fit(
    train: Rows, val: Rows, *, device: torch.device, epochs: int, lr: float, layer_size: int, seed: int, batch_size: int
) -> tuple[nn.Sequential, dict[str, list[float]]]:
    """Train a head, and return it with its curves, a value each epoch. The same seed gives the same head."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # batches as small as these take longer on several cores, and trials run side by side
    head = make_head(train.values.shape[1], layer_size, classes=len(train.names)).to(device)
    inputs, targets = as_tensors(train, device)
    optimizer = torch.optim.Adam(head.parameters(), lr=lr)
    curves: dict[str, list[float]] = {"training_loss": [], "validation_loss": [], "validation_accuracy": []}
    for epoch in range(1, epochs + 1):
        head.train()
        total = 0.0
        for rows in torch.randperm(len(inputs)).split(batch_size):
            optimizer.zero_grad()
            loss = F.cross_entropy(head(inputs[rows]), targets[rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        reached = {"training_loss": total / len(inputs), **measure(head, val, device)}
        for name, value in reached.items():
            curves[name].append(value)
        print(json.dumps({"epoch": epoch, **{name: round(value, 5) for name, value in reached.items()}}), flush=True)
    return head.eval(), curves


def measure(head: nn.Module, rows: Rows, device: torch.device) -> dict[str, float]:
    """Return loss and accuracy on the part that is neither trained on nor tested on."""
    head.eval()
    inputs, targets = as_tensors(rows, device)
    with torch.inference_mode():
        logits = head(inputs)
        loss = F.cross_entropy(logits, targets).item()
        accuracy = (logits.argmax(1) == targets).float().mean().item()
    return {"validation_loss": loss, "validation_accuracy": accuracy}


def as_tensors(rows: Rows, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return features and labels on the device."""
    features = torch.from_numpy(np.ascontiguousarray(rows.values)).to(device)
    return features, torch.from_numpy(rows.labels).to(device)


def load_saved_trunk(trunk: Trunk, path: Path) -> nn.Module:
    """Return the trunk with the weights that the features were made with."""
    return fill_trunk(trunk, torch.load(path, map_location="cpu", weights_only=True), source=str(path))


def describe(
    rows: Rows, trunk: Trunk, settings: Mapping[str, Any], data: Mapping[str, Any], device: torch.device
) -> dict[str, Any]:
    """Return what whoever loads the model must know."""
    return {
        "trunk": trunk.name,
        "layer_size": settings["layer_size"],
        "img_dimensions": read_number(data, "data.img_dimensions"),
        "classes": list(rows.names),
        "labels": {"framework": "pytorch", "category": "cv", "action": "dogs_vs_cats"},
        **describe_device(device),
    }
