"""What answering for a model of two classes on rows of a table needs before and after the model itself."""

from typing import Any

import numpy as np


def instances_of(payload: Any, *, example: str) -> list[Any]:
    """Return the instances of a request; raise ValueError, which shows an `example` of one, where it has none.

    >>> instances_of({"instances": [[1, 2]]}, example="[3, 4]")
    [[1, 2]]
    """
    instances = payload.get("instances") if isinstance(payload, dict) else None
    if not isinstance(instances, list):
        raise ValueError(f'expected {{"instances": [{example}, ...]}}')
    if not instances:
        raise ValueError('"instances" is empty, expected at least one')
    return instances


def as_answer(probabilities: np.ndarray, labels: tuple[str, str]) -> dict[str, list[Any]]:
    """Return the answer for the probabilities of the second label: a label and a probability for each instance.

    >>> as_answer(np.array([0.25, 0.5]), ("no", "yes"))
    {'predictions': ['no', 'yes'], 'probabilities': [0.25, 0.5]}
    """
    rounded = [round(float(probability), 6) for probability in probabilities]
    return {"predictions": [labels[probability >= 0.5] for probability in rounded], "probabilities": rounded}
