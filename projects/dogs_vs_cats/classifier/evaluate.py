"""Evaluate: the whole network, as it will be served, on the part that nothing was trained or selected on.

It makes confusion.json, and two folders of pictures with their predictions: `worst`, the ten that it is most wrong or
least sure about, and `samples`, some of each class.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common_utils.devices import choose_device
from common_utils.metrics import accuracy, confusion, log_loss
from common_utils.torch_predictor import TorchPredictor, lay_out_for_convolutions
from dogs_vs_cats.common_utils.model import Loaded, as_scores, load
from dogs_vs_cats.common_utils.prepared import Rows, read_pictures
from dogs_vs_cats.common_utils.settings import read_number

NAME = "dogs_vs_cats"
WORST, SAMPLES = 10, 12


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Pictures, and the scores of each class."""

    rows: Rows
    scores: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """The class of each picture."""
        return self.scores.argmax(1)

    @property
    def sureness(self) -> np.ndarray:
        """The score of the true class, for each picture."""
        return self.scores[np.arange(len(self.scores)), self.rows.labels]


def evaluate(msg: Any) -> dict[str, Any]:
    """Measure the model on the part test."""
    params, inputs, outputs = (msg.payload[key] for key in ("params", "inputs", "outputs"))
    batch_size = read_number(params["data"], "data.batch_size")
    rows = read_pictures(Path(inputs["pictures"])).part("test")
    judged = judge(load(NAME, inputs["model"]), rows, batch_size=batch_size, device=params["train"]["device"])
    labels, classes = rows.labels, list(rows.names)
    metrics = {
        "test_loss": log_loss(labels, judged.scores),
        "test_accuracy": accuracy(labels, judged.predictions),
        "test_pictures": len(labels),
    }
    counts = confusion(labels, judged.predictions, classes=len(classes))
    write_json(Path(outputs["confusion"]), {"labels": classes, "counts": counts})
    worst = np.argsort(judged.sureness, kind="stable")[:WORST]
    write_pictures(Path(outputs["worst"]), judged, worst)
    write_pictures(Path(outputs["samples"]), judged, choose_samples(labels, SAMPLES))
    write_json(Path(outputs["metrics"]), metrics)
    print(f"accuracy {metrics['test_accuracy']:.4f} on {len(labels)} pictures")
    return {"metrics": metrics, "confusion": counts, "worst": [rows.index[number].path for number in worst]}


def judge(model: Loaded, rows: Rows, *, batch_size: int, device: str) -> Judged:
    """Have the network answer for every picture."""
    lay_out_for_convolutions(model.network)
    predict = TorchPredictor(model.network, device=choose_device(device), batch_size=batch_size)
    logits = [predict(model.trunk.normalise(batch)) for batch in rows.batches(batch_size)]
    return Judged(rows=rows, scores=as_scores(np.concatenate(logits)))


def choose_samples(labels: np.ndarray, count: int) -> np.ndarray:
    """Return the first of each class, as many of each."""
    classes = np.unique(labels)
    return np.concatenate([np.flatnonzero(labels == label)[: count // len(classes)] for label in classes])


def write_pictures(folder: Path, judged: Judged, numbers: Sequence[int] | np.ndarray) -> None:
    """Write some pictures, and samples.json, which says what they are and what they were taken for."""
    folder.mkdir(parents=True, exist_ok=True)
    about = []
    for place, number in enumerate(numbers):
        row, prediction = judged.rows.index[number], int(judged.predictions[number])
        file = f"{place:02d}.jpg"
        Image.fromarray(judged.rows.values[number]).save(folder / file, quality=85)
        about.append(
            {
                "file": file,
                "path": row.path,
                "label": judged.rows.names[row.label],
                "predicted": judged.rows.names[prediction],
                "score": round(float(judged.scores[number, prediction]), 4),
            }
        )
    write_json(folder / "samples.json", about)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON."""
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
