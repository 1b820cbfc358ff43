"""Find the weights of a line with torch, and go on from a model that was saved before."""

from functools import partial
from pathlib import Path

import torch

from common_utils.arrays import read_array
from common_utils.model_records import find_model, make_main
from common_utils.torch_model import TorchModel
from torch_linear.common_utils.network import make_network
from utils.model_binary import save_model

MODELS = Path("models")
STEPS = 5000


def train(msg):
    """Train for `N` steps on the X.npy that `$ref` names and the y.npy beside it, from the start."""
    if msg.payload.get("retrain"):
        return retrain(msg)
    return fit_and_save(make_model(msg.payload), msg.payload)


def retrain(msg):
    """Go on for `N` steps from the model that `retrain` names, which becomes models/mainModel.pth.

    It is `latest`, an id, or a file in models/.
    """
    model, path = make_model(msg.payload), find_model(MODELS, msg.payload["retrain"])
    model.loadModel(path)
    make_main(MODELS, path)
    print(f"going on from {model.id}, which has {model.steps} steps")
    return fit_and_save(model, msg.payload)


def make_model(payload):
    """Return the untrained model; `device` of the payload is auto, cpu, cuda, cuda:N or mps."""
    return TorchModel(
        make_network,
        loss=torch.nn.functional.mse_loss,
        optimizer=partial(torch.optim.Adam, lr=0.01),
        device=payload.get("device"),
    )


def fit_and_save(model, payload):
    """Train, save what retraining goes on from, and publish what predict serves."""
    reference = Path(payload["$ref"])
    X, y = read_array(reference), read_array(reference.with_name("y.npy"))
    losses = model.fit(X, y, N=int(payload.get("N", STEPS)))
    w = model.module.weight.flatten().tolist()
    print(f"loss {losses[-1]:.3g}, w = [{', '.join(f'{value:.3f}' for value in w)}]")
    record = model.saveModel(MODELS)
    name = payload.get("model_name", "torch_linear")
    metrics = {"loss": losses[-1], "w": w}
    save_model(model.module, name, metrics=metrics, data=reference, params=model.hyperparameters, attributes=record)
    return {"model_name": name, "model": record["file"], "parent": record["parent"], "metrics": metrics}
