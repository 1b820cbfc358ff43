"""Answer y = X w with the weights that training found."""

import os

import numpy as np

from common_utils.torch_predictor import TorchPredictor
from torch_linear.common_utils.network import make_network
from utils.model_binary import load_model

MODEL_NAME = os.environ.get("MODElNAME") or os.environ.get("MODEL_NAME") or "torch_linear"  # noqa: SIM112

_predict = TorchPredictor.for_serving(
    load_model(MODEL_NAME, into=make_network()).model, example=np.zeros((1, 2), np.float32)
)


def predict_linear(msg):
    """Return y for each of `instances`, which are pairs of numbers."""
    instances = msg.payload.get("instances") if isinstance(msg.payload, dict) else None
    try:
        rows = np.array(instances, dtype=np.float32)
    except (TypeError, ValueError):
        rows = np.empty(0)
    if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows):
        raise ValueError('expected {"instances": [[1.0, 2.0], ...]}, pairs of numbers')
    return {"predictions": _predict(rows)[:, 0].tolist()}
