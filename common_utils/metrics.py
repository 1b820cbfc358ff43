"""How good a classifier is. Labels are integers from 0; needs numpy only."""

import numpy as np
from numpy.typing import ArrayLike


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Return the share of predictions that are right.

    >>> accuracy([0, 1, 1, 0], [0, 1, 0, 0])
    0.75
    """
    expected, predicted = _pair(labels, predictions)
    return float(np.mean(expected == predicted))


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve of a two-class problem: how often a positive outscores a negative.

    Computed from ranks (Mann-Whitney U); ties count half. Raises ValueError where one class is missing.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    expected, values = _pair(labels, scores)
    positives = int(np.sum(expected == 1))
    negatives = len(expected) - positives
    if not positives or not negatives:
        raise ValueError("the area under the ROC curve needs both classes, 0 and 1")
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(np.sum(mean_ranks[inverse][expected == 1]))
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def log_loss(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Return the mean negative log-likelihood of the true classes.

    `probabilities` has shape (n,), of class 1, or (n, classes).

    >>> round(log_loss([0, 1], [0.1, 0.8]), 4)
    0.1643
    """
    expected = np.asarray(labels, dtype=np.intp)
    values = np.asarray(probabilities, dtype=np.float64)
    if values.ndim == 1:
        values = np.column_stack([1 - values, values])
    _pair(expected, values)
    chosen = values[np.arange(len(expected)), expected]
    return float(-np.mean(np.log(np.clip(chosen, np.finfo(np.float64).eps, 1))))


def confusion(labels: ArrayLike, predictions: ArrayLike, *, classes: int | None = None) -> list[list[int]]:
    """Return how often class i (row) was taken for class j (column).

    >>> confusion([0, 0, 1, 1], [0, 1, 1, 1])
    [[1, 1], [0, 2]]
    """
    expected, predicted = _pair(labels, predictions)
    size = classes or int(max(expected.max(initial=0), predicted.max(initial=0))) + 1
    counts = np.bincount(expected.astype(np.intp) * size + predicted.astype(np.intp), minlength=size * size)
    return [[int(count) for count in row] for row in counts.reshape(size, size)]


def evaluate_binary(labels: ArrayLike, probabilities: ArrayLike, *, threshold: float = 0.5) -> dict[str, object]:
    """Return accuracy, roc_auc, log_loss, the confusion matrix and the number of rows, for probabilities of class 1."""
    predictions = np.asarray(probabilities) >= threshold
    return {
        "accuracy": round(accuracy(labels, predictions), 4),
        "roc_auc": round(roc_auc(labels, probabilities), 4),
        "log_loss": round(log_loss(labels, probabilities), 4),
        "confusion": confusion(labels, predictions, classes=2),
        "rows": len(predictions),
    }


def _pair(labels: ArrayLike, values: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(labels), np.asarray(values)
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} labels for {len(second)} predictions: expected as many, and at least one")
    return first, second
