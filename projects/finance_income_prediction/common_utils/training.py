"""What training one of the income models needs before and after the model itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common_utils.feature_encoder import FeatureEncoder
from common_utils.metrics import evaluate_binary
from common_utils.split import split_stratified
from common_utils.table import Table, read_table
from finance_income_prediction.common_utils.income import LABEL, LABELS
from utils.model_binary import save_model


@dataclass(frozen=True, kw_only=True)
class Task:
    """Features (float32) and labels (1 is >50K) to train on and to evaluate on."""

    reference: str
    encoder: FeatureEncoder
    features: np.ndarray
    labels: np.ndarray
    held_out_features: np.ndarray
    held_out_labels: np.ndarray


def read_task(payload: Mapping[str, Any], *, standardize: bool = False) -> Task:
    """Read the training file that `$ref` names, and the held-out file beside it.

    Where there is no held-out file, a fifth of the training rows is held out.
    """
    reference = payload.get("$ref")
    if not isinstance(reference, str):
        raise ValueError(f'"$ref" is {reference!r}, expected the path of the training data')
    rows, labels = _read(reference)
    held_out = Path(reference.replace("prepped", "heldout"))
    if str(held_out) != reference and held_out.is_file():
        held_rows, held_labels = _read(held_out)
    else:
        train, test = split_stratified(labels, held_out=0.2)
        held_rows, held_labels = Table(rows.names, [rows.rows[index] for index in test]), labels[test]
        rows, labels = Table(rows.names, [rows.rows[index] for index in train]), labels[train]
    encoder = FeatureEncoder.fit(rows.rows, names=rows.names, standardize=standardize)
    return Task(
        reference=reference,
        encoder=encoder,
        features=encoder.transform(rows.rows),
        labels=labels,
        held_out_features=encoder.transform(held_rows.rows),
        held_out_labels=held_labels,
    )


def save_trained(
    model: Any, task: Task, probabilities: np.ndarray, *, name: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Evaluate on the held-out rows, write the model binary, and return what the training run reports.

    `probabilities` are the model's, of >50K, for `task.held_out_features`.
    """
    metrics = evaluate_binary(task.held_out_labels, probabilities)
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


def _read(path: Path | str) -> tuple[Table, np.ndarray]:
    table, labels = read_table(path).take_column(LABEL)
    return table, np.array([LABELS.index(label) for label in labels])
