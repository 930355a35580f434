"""Scores the kept model on validation rows that only rank: neither its epoch nor its threshold was chosen on them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import Tensor

from tracker.confusion import count_confusion
from tracker.records import THRESHOLD, TrialSpec
from tracker.standalone.network import Network
from tracker.standalone.transform import NUMBER
from tracker.training.arrays import Arrays
from tracker.training.losses import probability_row, validation_row

SMALLEST = 1e-300


def selection_metrics(
    spec: TrialSpec, tensors: Mapping[str, Tensor], metrics: Mapping[str, float | None], arrays: Arrays
) -> dict[str, float | None]:
    """The metrics of the kept epoch, with those of validation from the rows that only rank; as they are where there are none.

    The model is opened from its tensors as whoever it is handed to opens it, with the same bits.
    """
    if arrays.x_selection is None or arrays.y_selection is None:
        return dict(metrics)
    probabilities = open_kept(spec, tensors, arrays).probabilities(arrays.x_selection)
    rows = replace(arrays, x_validation=arrays.x_selection, y_validation=arrays.y_selection)
    confusion = count_confusion(rows.y_validation, probabilities.argmax(axis=1), arrays.classes)
    row = validation_row(
        float(metrics["train_loss"] or 0.0), _loss(probabilities, rows.y_validation), confusion, arrays.positive
    )
    training = {**spec.training, **({"threshold": metrics[THRESHOLD]} if THRESHOLD in metrics else {})}
    found = {**row, **probability_row(training, probabilities, rows)}
    return {name: found.get(name, value) for name, value in metrics.items()}


def open_kept(spec: TrialSpec, tensors: Mapping[str, Tensor], arrays: Arrays) -> Network:
    """The network of the kept epoch, opened from its tensors; of families of ours."""
    family = importlib.import_module(f"tracker.standalone.{spec.family}")
    columns = [
        {"kind": "numeric"} if width == NUMBER else {"kind": "categorical", "categories": range(width)}
        for width in arrays.widths
    ]
    state = {"shape": list(arrays.shape), "mask": arrays.mask, "columns": columns}
    network: Network = family.open_network(
        {"params": spec.params, "labels": arrays.labels, "preprocessing": state}, tensors
    )
    return network


def _loss(probabilities: np.ndarray, y: np.ndarray) -> float:
    """Mean cross-entropy, summed in double precision."""
    right = probabilities[np.arange(len(y)), y].astype(np.float64)
    return -float(np.log(np.maximum(right, SMALLEST)).mean())
