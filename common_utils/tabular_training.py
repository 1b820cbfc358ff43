"""What training a model of two classes on rows of a table needs before and after the model itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common_utils.feature_encoder import FeatureEncoder
from common_utils.metrics import evaluate_binary
from common_utils.table import Table, read_table
from utils.model_binary import save_model


@dataclass(frozen=True)
class Examples:
    """Rows of features, and for each 0 or 1."""

    table: Table
    labels: np.ndarray

    @classmethod
    def read(cls, path: Path | str, *, column: str, labels: tuple[str, str]) -> "Examples":
        """Read a CSV file with the label in `column`; `labels` are those that mean 0 and 1.

        Raises ValueError where the file has another label.
        """
        table, values = read_table(path).take_column(column)
        if unknown := set(values) - set(labels):
            raise ValueError(f"{path}: {column} is {unknown.pop()!r}, expected {labels[0]!r} or {labels[1]!r}")
        return cls(table, np.array([labels.index(value) for value in values]))

    def pick(self, indices: np.ndarray) -> "Examples":
        """The rows of these indices."""
        return Examples(Table(self.table.names, [self.table.rows[index] for index in indices]), self.labels[indices])


@dataclass(frozen=True, kw_only=True)
class Task:
    """Features (float32) and labels (0 or 1) to train on and to evaluate on, and where they were read from."""

    reference: str
    encoder: FeatureEncoder
    features: np.ndarray
    labels: np.ndarray
    held_out_features: np.ndarray
    held_out_labels: np.ndarray


def make_task(reference: str, train: Examples, held_out: Examples, *, standardize: bool = False) -> Task:
    """Encode examples by what those to train on hold."""
    encoder = FeatureEncoder.fit(train.table.rows, names=train.table.names, standardize=standardize)
    return Task(
        reference=reference,
        encoder=encoder,
        features=encoder.transform(train.table.rows),
        labels=train.labels,
        held_out_features=encoder.transform(held_out.table.rows),
        held_out_labels=held_out.labels,
    )


def reference_of(payload: Mapping[str, Any]) -> str:
    """Return the path of the training data, `$ref`; raise ValueError where there is none."""
    reference = payload.get("$ref")
    if not isinstance(reference, str):
        raise ValueError(f'"$ref" is {reference!r}, expected the path of the training data')
    return reference


def save_trained(
    model: Any, task: Task, probabilities: np.ndarray, *, name: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Evaluate on the held-out rows, write the model binary, and return what the training run reports.

    `probabilities` are the model's, of the label 1, for `task.held_out_features`.
    """
    metrics = evaluate_binary(task.held_out_labels, probabilities)
    print(f"{name}: accuracy {metrics['accuracy']:.4f}, roc_auc {metrics['roc_auc']:.4f} on {metrics['rows']} rows")
    attributes = {"encoder": task.encoder.to_dict()}
    path = save_model(model, name, metrics=metrics, data=task.reference, params=params, attributes=attributes)
    return {"model_name": name, "model": str(path), "metrics": metrics}
