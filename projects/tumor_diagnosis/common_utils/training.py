"""What training one of the tumor models needs before and after the model itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common_utils.feature_encoder import FeatureEncoder
from common_utils.metrics import evaluate_binary
from common_utils.table import Table, read_table
from utils.model_binary import save_model

LABEL = "diagnosis"


@dataclass(frozen=True, kw_only=True)
class Task:
    """Standardised features (float32) and labels (1 is malignant) to train on and to evaluate on."""

    reference: str
    encoder: FeatureEncoder
    features: np.ndarray
    labels: np.ndarray
    held_out_features: np.ndarray
    held_out_labels: np.ndarray


def read_task(payload: Mapping[str, Any]) -> Task:
    """Read the training file that `$ref` names, and `<its name>-heldout.csv` beside it."""
    reference = payload.get("$ref")
    if not isinstance(reference, str):
        raise ValueError(f'"$ref" is {reference!r}, expected the path of the training data')
    path = Path(reference)
    table, labels = _read(path)
    held_out, held_out_labels = _read(path.with_stem(f"{path.stem}-heldout"))
    encoder = FeatureEncoder.fit(table.rows, names=table.names, standardize=True)
    return Task(
        reference=reference,
        encoder=encoder,
        features=encoder.transform(table.rows),
        labels=labels,
        held_out_features=encoder.transform(held_out.rows),
        held_out_labels=held_out_labels,
    )


def save_trained(model: Any, task: Task, *, name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluate on the held-out rows, write the model binary, and return what the training run reports."""
    metrics = evaluate_binary(task.held_out_labels, model.predict_proba(task.held_out_features)[:, 1])
    print(f"{name}: accuracy {metrics['accuracy']:.4f}, roc_auc {metrics['roc_auc']:.4f} on {metrics['rows']} rows")
    path = save_model(
        model,
        name,
        metrics=metrics,
        data=task.reference,
        params=params,
        attributes={"encoder": task.encoder.to_dict()},
    )
    return {"model_name": name, "model": str(path), "metrics": metrics}


def _read(path: Path) -> tuple[Table, np.ndarray]:
    table, labels = read_table(path).take_column(LABEL)
    return table, np.array([label == "malignant" for label in labels], dtype=np.int64)
