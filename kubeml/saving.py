"""The model of a training, as any other of the project: a binary with its manifest, and the history in it."""

import os
from pathlib import Path
from typing import Any

from kubeml.folders import MANIFEST
from kubeml.model import KubeModel
from kubeml.options import Options
from utils.model_binary import save_model


def save(
    model: KubeModel, options: Options, history: list[dict[str, Any]], *, status: str, folder: Path | None
) -> dict[str, Any]:
    """Write the binary; return what the train function returns of it."""
    last = history[-1] if history else {}
    judged = next((record for record in reversed(history) if record["accuracy"] is not None), {})
    metrics = {
        "accuracy": judged.get("accuracy"),
        "validation_loss": judged.get("validation_loss"),
        "train_loss": last.get("train_loss"),
        "epochs": len(history),
    }
    metrics = {name: value for name, value in metrics.items() if value is not None}
    attributes = {"status": status, "history": history, "job": os.environ.get("MODELYARD_RUN_ID")}
    save_model(
        model._network,
        options.model_name,
        metrics=metrics,
        data=folder / MANIFEST if folder else None,
        params=options.as_dict(),
        attributes=attributes,
    )
    return {
        "model_name": options.model_name,
        "metrics": metrics,
        "samples": sum(record["samples"] for record in history),
        "parallelism": [record["parallelism"] for record in history],
    }
