"""Train a small convolutional network on MNIST."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import torch

from common_utils.arrays import read_arrays
from common_utils.metrics import accuracy, confusion
from common_utils.torch_model import TorchModel
from mnist.common_utils.network import make_network
from mnist.common_utils.pictures import prepare_all
from utils.model_binary import save_model

STEPS = 1200
WARM_UP = 100


def train(msg):
    """Train for `N` steps on the file that `$ref` names and save the model as `model_name`."""
    reference, steps = msg.payload["$ref"], int(msg.payload.get("N", STEPS))
    pictures, labels, held_out, held_out_labels = read_arrays(
        reference, "pictures", "labels", "held_out_pictures", "held_out_labels"
    )
    model = TorchModel(
        make_network,
        loss=torch.nn.functional.cross_entropy,
        optimizer=partial(torch.optim.AdamW, lr=0.003, weight_decay=0.01),
        batch_size=100,
        schedule=partial(learning_rate, steps=steps),
        device=msg.payload.get("device"),
    )
    model.fit(prepare_all(pictures), labels.astype(np.int64), N=steps)
    metrics = evaluate(model, prepare_all(held_out), held_out_labels)
    print(f"accuracy {metrics['accuracy']:.4f} on {metrics['rows']} pictures")
    record = model.saveModel(Path("models"))
    name = msg.payload.get("model_name", "mnist_cnn")
    params = {**model.hyperparameters, "N": steps}
    save_model(model.module, name, metrics=metrics, data=reference, params=params, attributes=record)
    return {"model_name": name, "model": record["file"], "metrics": metrics}


def learning_rate(step, *, steps):
    """Return the factor of the learning rate: up at first, then down along a cosine."""
    return min(1.0, (step + 1) / WARM_UP) * max(0.01, (1 + math.cos(math.pi * min(1.0, step / steps))) / 2)


def evaluate(model, pictures, labels):
    """Return how many of the held-out pictures are recognised, and what is taken for what."""
    predictions = model.predict(pictures).argmax(axis=1)
    return {
        "accuracy": round(accuracy(labels, predictions), 4),
        "confusion": confusion(labels, predictions, classes=10),
        "rows": len(labels),
    }
