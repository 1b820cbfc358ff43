"""What answering for one of the tumor models needs before and after the model itself."""

from typing import Any

import numpy as np


def instances_of(payload: Any) -> list[Any]:
    """Return the instances of a request; raise ValueError where it has none."""
    instances = payload.get("instances") if isinstance(payload, dict) else None
    if not isinstance(instances, list):
        raise ValueError('expected {"instances": [[17.99, 10.38, 122.8, ...], ...]}, 30 measurements each')
    if not instances:
        raise ValueError('"instances" is empty, expected at least one')
    return instances


def as_answer(probabilities: np.ndarray) -> dict[str, list[Any]]:
    """Return the answer for the probabilities of a malignant tumor: a label and a probability for each instance."""
    rounded = [round(float(probability), 6) for probability in probabilities]
    labels = ["malignant" if probability >= 0.5 else "benign" for probability in rounded]
    return {"predictions": labels, "probabilities": rounded}
