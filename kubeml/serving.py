"""Answering: the function file that trained a model makes it again, with the weights of its binary."""

import os
from collections.abc import Callable
from typing import Any

import torch

from kubeml import roles
from kubeml.errors import KubeError
from kubeml.model import KubeModel
from kubeml.options import Options
from kubeml.seats import Seat
from kubeml.signatures import call_infer
from utils.model_binary import load_model


class Answering:
    """The role of a daemon's worker: `start()` hands over the model, and trains nothing."""

    serves = True

    def __init__(self) -> None:
        self.model: KubeModel | None = None

    def take(self, model: KubeModel) -> None:
        """Keep it."""
        self.model = model


def serve(main: Callable[[], Any], model_name: str) -> Callable[[Any], Any]:
    """Return the predict function of the model that `main` starts: it calls `infer` with what a request holds.

    A list, or the `instances` of an object, is handed to `infer`; what that returns is answered as `predictions`.
    """
    role = Answering()
    with roles.playing(role):
        main()
    model = role.model
    if model is None:
        raise KubeError(f"{main.__module__}.{main.__name__} never called start()")
    name = os.environ.get("MODElNAME") or os.environ.get("MODEL_NAME") or model_name  # noqa: SIM112
    load_model(name, into=model._network)
    model.prepare(Options(model_name=name), task="infer", device=Seat().choose_device(model.platform))
    model._network.eval()

    def predict(msg: Any) -> Any:
        payload = msg.payload
        data = payload.get("instances", payload) if isinstance(payload, dict) else payload
        with torch.inference_mode():
            return as_answer(call_infer(model.infer, model._network, data))

    return predict


def as_answer(predictions: Any) -> Any:
    """What `infer` returned, as an answer: an object as it is, anything else as `predictions`."""
    if isinstance(predictions, dict):
        return predictions
    if isinstance(predictions, torch.Tensor):
        predictions = predictions.detach().cpu()
    if hasattr(predictions, "tolist"):
        predictions = predictions.tolist()
    if predictions is None:
        raise KubeError("infer returned None, expected predictions", hint="return a tensor, an array or a list")
    return {"predictions": predictions}
