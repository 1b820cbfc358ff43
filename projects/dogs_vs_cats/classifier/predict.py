"""Answer whether a picture shows a cat or a dog."""

import os

import numpy as np

from common_utils.torch_predictor import TorchPredictor
from dogs_vs_cats.common_utils.model import as_scores, load
from dogs_vs_cats.common_utils.payload import read_sent
from dogs_vs_cats.common_utils.pictures import PictureError, prepare

MODEL_NAME = os.environ.get("MODElNAME") or os.environ.get("MODEL_NAME") or "dogs_vs_cats"  # noqa: SIM112

_model = load(MODEL_NAME)
_predict = TorchPredictor.for_serving(_model.network, example=_model.example)


def predict_animal(msg):
    """Return for each path what its picture shows (`pred`), how sure that is (`score`), and the picture as it came."""
    sent = read_sent(msg.payload)
    squares = []
    for one in sent:
        try:
            squares.append(prepare(one.content, _model.size).pixels)
        except PictureError as error:
            raise ValueError(f"{one.path}: {error}") from None
    scores = as_scores(_predict(_model.trunk.normalise(np.stack(squares))))
    return {
        one.path: {"pred": _model.classes[row.argmax()], "score": round(float(row.max()), 6), "encoded": one.encoded}
        for one, row in zip(sent, scores, strict=True)
    }
