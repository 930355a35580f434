"""Scores the kept model on validation rows with noise and missing columns: the same rows and the same noise for all trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from tracker.metrics import asked_scores
from tracker.records import TrialSpec, threshold_of
from tracker.seeds import bit_generator
from tracker.standalone.decision import decide
from tracker.training.arrays import Arrays
from tracker.training.augment import quantiles, words
from tracker.training.selection import open_kept

PREFIX = "val_robust_"


def robust_metrics(
    spec: TrialSpec, tensors: Mapping[str, Tensor], metrics: Mapping[str, float | None], arrays: Arrays
) -> dict[str, float | None]:
    """The metrics that `training.robustness` asks for, on the rows that rank; nothing where it asks for none."""
    asked: Mapping[str, Any] | None = spec.training.get("robustness")
    if asked is None:
        return {}
    x, y = arrays.x_validation, arrays.y_validation
    if arrays.x_selection is not None and arrays.y_selection is not None:
        x, y = arrays.x_selection, arrays.y_selection
    probabilities = open_kept(spec, tensors, arrays).probabilities(disturbed(x, arrays, asked["noise"], asked["drop"]))
    call = decide(probabilities, arrays.positive, threshold_of(spec, metrics))
    found = asked_scores(y, call, probabilities, arrays.positive, asked["metrics"])
    return {f"{PREFIX}{name}": value for name, value in found.items()}


def disturbed(x: np.ndarray, arrays: Arrays, noise: float, drop: float) -> np.ndarray:
    """Rows (rows, features) with normal noise of that standard deviation on every number, then each column 0 that often.

    Features of one column of categories are lost together and have no noise. The steps that a mask hides, and the mask itself,
    stay as they are. What a row gets follows from its place alone.
    """
    samples = np.arange(len(x))
    blocks = arrays.widths
    column = np.repeat(np.arange(len(blocks)), [max(1, width) for width in blocks])
    is_number = np.repeat([width == 0 for width in blocks], [max(1, width) for width in blocks])
    lost = _shorts("drop", samples, len(blocks))[:, column] < round(drop * 65536)
    normals = quantiles()[_shorts("noise", samples, x.shape[1])]
    found = np.where(lost, np.float32(0), x + np.float32(noise) * normals * is_number.astype(np.float32))
    if arrays.mask:
        steps = x.reshape(len(x), *arrays.shape)
        hidden = np.repeat(steps[..., -1:] == 0, arrays.shape[-1], axis=-1)
        hidden[..., -1] = True
        found = np.where(hidden.reshape(x.shape), x, found)
    disturbed_rows: np.ndarray = found.astype(np.float32)
    return disturbed_rows


def _shorts(purpose: str, samples: np.ndarray, count: int) -> np.ndarray:
    """Uint16 (rows, count)."""
    found: np.ndarray = words(bit_generator(0, "robustness", purpose).random_raw(), samples, -(-count // 4)).view(
        np.uint16
    )
    return found[:, :count]
