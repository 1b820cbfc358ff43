"""What answering for one of the income models needs before and after the model itself."""

from typing import Any

import numpy as np

from finance_income_prediction.common_utils.income import LABELS


def instances_of(payload: Any) -> list[Any]:
    """Return the instances of a request; raise ValueError where it has none."""
    instances = payload.get("instances") if isinstance(payload, dict) else None
    if not isinstance(instances, list):
        raise ValueError('expected {"instances": [[25, "workclass_Private", 226802, ...], ...]}')
    if not instances:
        raise ValueError('"instances" is empty, expected at least one')
    return instances


def as_answer(probabilities: np.ndarray) -> dict[str, list[Any]]:
    """Return the answer for the probabilities of >50K: a label and a probability for each instance."""
    rounded = [round(float(probability), 6) for probability in probabilities]
    return {"predictions": [LABELS[probability >= 0.5] for probability in rounded], "probabilities": rounded}
