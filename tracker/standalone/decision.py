"""From class probabilities to classes: the most probable one, or of two classes by a threshold. Everybody decides here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def decide(probabilities: np.ndarray, positive: int | None, threshold: float | None) -> np.ndarray:
    """The class of every row, int64 (rows,), from probabilities (rows, classes).

    Without a threshold it is the most probable one, the first of equals. With one, of two classes, it is `positive` from
    that probability of it on, else the other.
    """
    if threshold is None or positive is None:
        return np.asarray(probabilities.argmax(axis=1), dtype=np.int64)
    is_positive = probabilities[:, positive].astype(np.float64) >= threshold
    places: np.ndarray = np.where(is_positive, positive, 1 - positive).astype(np.int64)
    return places


def decide_as(description: Mapping[str, Any], probabilities: np.ndarray) -> np.ndarray:
    """The same as the model of a description (`model.json`) decides: places among its `labels`, int64 (rows,)."""
    threshold = description.get("threshold")
    positive = None if threshold is None else list(description["labels"]).index(description["positive"])
    return decide(probabilities, positive, threshold)
