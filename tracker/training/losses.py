"""From log-probabilities to losses and scores of an epoch, lane by lane, so that no lane depends on its neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracker.confusion import count_confusion
from tracker.metrics import asked_scores, scores
from tracker.records import THRESHOLD
from tracker.separation import Cuts, best_threshold
from tracker.standalone.decision import decide
from tracker.training.arrays import Arrays
from tracker.training.augment import Mix


def class_weights(params: Mapping[str, Any], arrays: Arrays) -> np.ndarray | None:
    """What a row of each class counts in the gradients, float64 (classes,); None where all count alike.

    `balanced` is rows / (classes * rows of the class), of the training rows alone, as in scikit-learn.
    """
    given = params.get("class_weights", "none")
    if given == "none":
        return None
    if isinstance(given, Mapping):
        return np.array([float(given.get(label, 1.0)) for label in arrays.labels])
    counts = np.bincount(arrays.y_train, minlength=arrays.classes)
    return len(arrays.y_train) / (np.count_nonzero(counts) * np.maximum(counts, 1))


def mean_losses(
    log_p: Tensor, index: np.ndarray, y: np.ndarray, count: int, mixes: Mapping[int, Mix] | None = None
) -> list[float]:
    """Mean cross-entropy of each lane over the rows of an epoch, summed in float64 lane by lane.

    Of a lane with mixup (`mixes`, by lane, its rows in the order of `index`) both truths count, each by its share.
    """
    truth = torch.from_numpy(y[index])[..., None]
    losses = -log_p.gather(-1, truth)[..., 0].numpy()
    for lane, mix in (mixes or {}).items():
        partners = torch.from_numpy(y[mix.partners].reshape(index[:, lane].shape))[..., None]
        theirs = -log_p[:, lane].gather(-1, partners)[..., 0].numpy()
        losses[:, lane] = mix.of(losses[:, lane].reshape(-1), theirs.reshape(-1)).reshape(theirs.shape)
    real = index < count
    return [float(np.add.reduce(losses[:, k][real[:, k]], dtype=np.float64)) / count for k in range(index.shape[1])]


def validate(log_p: Tensor, y: Tensor, classes: int) -> tuple[list[float], np.ndarray]:
    """Mean cross-entropy and confusion matrix (truth, prediction) of each lane."""
    lanes, rows, _ = log_p.shape
    losses = -log_p.gather(-1, y.expand(lanes, -1)[..., None])[..., 0].numpy()
    cells = (torch.arange(lanes)[:, None] * classes + y) * classes + log_p.argmax(-1)
    counts = torch.bincount(cells.reshape(-1), minlength=lanes * classes * classes)
    means = [float(np.add.reduce(np.ascontiguousarray(row), dtype=np.float64)) / rows for row in losses]
    return means, counts.view(lanes, classes, classes).numpy()


def probability_row(training: Mapping[str, Any], probabilities: np.ndarray, arrays: Arrays) -> dict[str, Any]:
    """What of an epoch needs the class probabilities on validation (rows, classes), where the spec's `training` asks for it.

    The metrics that are asked for; and with a threshold all scores of labels under it, with the threshold where it was
    chosen on these rows. Empty where nothing is asked for: see `needs_probabilities`. Raises TrainingError where a metric of
    the user's own does.
    """
    y, positive = arrays.y_validation, arrays.positive
    row: dict[str, Any] = {}
    rule, threshold = training.get("threshold", "argmax"), None
    if rule != "argmax" and positive is not None:
        chosen = isinstance(rule, str)
        cuts = Cuts.of(y == positive, probabilities[:, positive]) if chosen else None
        threshold = best_threshold(cuts, rule.removeprefix("max_")) if cuts else rule
        confusion = count_confusion(y, decide(probabilities, positive, threshold), arrays.classes)
        row |= {f"val_{name}": value for name, value in scores(confusion, positive).items()}
        row |= {"confusion_matrix": confusion.tolist()} | ({THRESHOLD: threshold} if chosen else {})
    if names := training.get("metrics", ()):
        call = decide(probabilities, positive, threshold)
        asked = asked_scores(y, call, probabilities, positive, names)
        row |= {f"val_{name}": value for name, value in asked.items()}
    own = training.get("own_metrics", {})
    return row | {f"val_{name}": arrays.metrics[name](y, probabilities) for name in own}


def needs_probabilities(training: Mapping[str, Any]) -> bool:
    """Whether `probability_row` has anything to tell."""
    return (
        bool(training.get("metrics") or training.get("own_metrics")) or training.get("threshold", "argmax") != "argmax"
    )


def validation_row(
    train_loss: float, val_loss: float, confusion: np.ndarray, positive: int | None
) -> dict[str, float | list[list[int]] | None]:
    """What one epoch of one of our own families tells: both losses, the scores, the confusion matrix itself."""
    row: dict[str, float | list[list[int]] | None] = {"train_loss": train_loss, "val_loss": val_loss}
    row |= {f"val_{name}": value for name, value in scores(confusion, positive).items()}
    return row | {"confusion_matrix": confusion.tolist()}
