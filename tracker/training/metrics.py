"""From class indices to a confusion matrix, and from that to accuracy, precision, recall and F1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SCORES = ("accuracy", "precision", "recall", "f1")


def count_confusion(actual: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes), rows: truth, columns: prediction, from two arrays of class indices (rows,)."""
    cells = np.bincount(np.asarray(actual) * classes + np.asarray(predicted), minlength=classes * classes)
    return cells.astype(np.int64).reshape(classes, classes)


def scores(confusion: NDArray[np.int64], positive: int | None) -> dict[str, float | None]:
    """Accuracy, precision, recall and F1 of a confusion matrix (rows: truth, columns: prediction).

    Precision, recall and F1 are those of class `positive`, or the unweighted mean over all classes where it is None.
    0/0 is None, never 0: precision of a class that is never predicted, recall of a class that is absent, F1 of one
    that is both; and a mean is None as soon as one class is. F1 is 2tp / (2tp + fp + fn), so it is 0 where a class that
    is there is never found. A ratio of counts is correctly rounded; a mean is so up to 1 ulp, whatever the order.
    """
    hits: list[int] = np.diagonal(confusion).tolist()
    truths: list[int] = confusion.sum(axis=1).tolist()
    calls: list[int] = confusion.sum(axis=0).tolist()
    chosen = range(len(hits)) if positive is None else (positive,)
    return {
        "accuracy": _ratio(sum(hits), sum(truths)),
        "precision": _mean([_ratio(hits[c], calls[c]) for c in chosen]),
        "recall": _mean([_ratio(hits[c], truths[c]) for c in chosen]),
        "f1": _mean([_ratio(2 * hits[c], truths[c] + calls[c]) for c in chosen]),
    }


def validation_row(
    train_loss: float, val_loss: float, confusion: NDArray[np.int64], positive: int | None
) -> dict[str, float | None | list[list[int]]]:
    """What one epoch of one of our own families tells: both losses, the scores, the confusion matrix itself."""
    row: dict[str, float | None | list[list[int]]] = {"train_loss": train_loss, "val_loss": val_loss}
    row |= {f"val_{name}": value for name, value in scores(confusion, positive).items()}
    return row | {"confusion_matrix": confusion.tolist()}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(values) if len(defined) == len(values) else None
