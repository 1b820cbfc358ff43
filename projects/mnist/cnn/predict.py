"""Answer which digit is in a picture."""

import os

import numpy as np

from common_utils.torch_predictor import TorchPredictor
from mnist.common_utils.network import make_network
from mnist.common_utils.payload import read_pictures
from mnist.common_utils.pictures import SIZE, prepare
from utils.model_binary import load_model

MODEL_NAME = os.environ.get("MODElNAME") or os.environ.get("MODEL_NAME") or "mnist_cnn"  # noqa: SIM112

_predict = TorchPredictor.for_serving(
    load_model(MODEL_NAME, into=make_network()).model, example=np.zeros((1, 1, SIZE, SIZE), np.float32)
)


def predict_digit(msg):
    """Return the digit in each picture, and the score of each of the ten digits (they add up to 1)."""
    pictures = []
    for number, picture in enumerate(read_pictures(msg.payload)):
        try:
            pictures.append(prepare(picture))
        except ValueError as error:
            raise ValueError(f"picture {number}: {error}") from None
    logits = _predict(np.stack(pictures)).astype(np.float64)
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return {"predictions": scores.argmax(axis=1).tolist(), "scores": scores.round(6).tolist()}
