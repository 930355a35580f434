"""Keeps the history of one run of any family: which epoch is the best, when to stop, and the outcome that follows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors.torch import save

from tracker.canonical import digest_arrays, digest_bytes
from tracker.confusion import count_confusion
from tracker.errors import TrainingError
from tracker.metrics import SCORES, direction_of, scores
from tracker.records import TrialOutcome, TrialSpec, threshold_of
from tracker.standalone.decision import decide
from tracker.training.arrays import Arrays
from tracker.training.engine import Epoch, Kept
from tracker.training.losses import probability_row
from tracker.training.robustness import robust_metrics
from tracker.training.selection import selection_metrics

MATRIX = "confusion_matrix"
TOLERANCE = 1 / 200  # share of rows that a loop may have called otherwise than its model does here; one always may
PROGRESS = ("history", "times", "best_epoch", "best_value", "waiting", "with_model")
DIVERGED = "diverged"  # how the reason of a trial begins whose numbers, not whose code, went wrong


@dataclass(slots=True)
class Keeper:
    """Where one run stands, and what it came to."""

    spec: TrialSpec
    history: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    best_value: float | None = None
    waiting: int = 0
    with_model: bool = True

    @property
    def epoch(self) -> int:
        """How many epochs are behind it."""
        return len(self.history)

    @property
    def progress(self) -> dict[str, Any]:
        """All of it as plain JSON; `Keeper(spec, **progress)` is where it was."""
        return {name: getattr(self, name) for name in PROGRESS}

    @property
    def has_waited_enough(self) -> bool:
        """Whether `patience` epochs brought nothing better."""
        stopping = self.spec.training["early_stopping"]
        return stopping is not None and self.with_model and self.waiting >= stopping["patience"]

    def take(self, epoch: Epoch, now: float) -> bool:
        """Notes an epoch; whether it is the one to keep so far. Raises TrainingError where a loss is not finite."""
        self.history.append({"epoch": self.epoch + 1, **self._finite(epoch.row)})
        self.times.append(now)
        self.with_model = epoch.with_model
        if self._improves():
            self.best_epoch, self.waiting = self.epoch, 0
            return True
        self.waiting += 1
        return False

    def _finite(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Metrics that are not finite count as undefined; a loss that is not finite ends the run."""
        odd = {name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)}
        if any(name.endswith("loss") for name in odd):
            raise TrainingError(f"{DIVERGED}: the loss was not finite in epoch {self.epoch + 1}")
        return {name: None if name in odd else value for name, value in row.items()}

    def _improves(self) -> bool:
        """Without early stopping, or where epochs come without their model, the last epoch is kept."""
        stopping = self.spec.training["early_stopping"]
        if stopping is None or not self.with_model:
            return True
        value = self.history[-1].get(stopping["monitor"])
        if value is None:
            return self.best_epoch is None
        sign = -1.0 if direction_of(stopping["monitor"]) == "minimize" else 1.0
        if self.best_value is None or sign * value > sign * self.best_value:
            self.best_value = value
            return True
        return False

    def complete(self, kept: Kept, arrays: Arrays) -> tuple[TrialOutcome, bytes | None]:
        """The outcome of a run that has ended well, and its weights. Raises TrainingError."""
        assert self.best_epoch is not None
        metrics = _metrics(self.history[self.best_epoch - 1])
        weights = predictions = labels = content = None
        if kept.probabilities is not None:
            metrics = _scored(metrics, kept.probabilities, arrays, self.spec.training)
            predictions = digest_arrays({"probabilities": kept.probabilities})
            called = decide(kept.probabilities, arrays.positive, threshold_of(self.spec, metrics))
            labels = digest_arrays({"labels": called})
        if kept.tensors is not None:
            content = save(dict(kept.tensors))
            weights = digest_bytes(content)
            metrics = selection_metrics(self.spec, kept.tensors, metrics, arrays)
            metrics |= robust_metrics(self.spec, kept.tensors, metrics, arrays)
        if self.spec.training.get("costs"):
            from tracker.training.size import cost_metrics

            metrics |= cost_metrics(self.spec, self.epoch, arrays, kept.parameters)
        outcome = TrialOutcome(
            key=self.spec.key,
            state="complete",
            epochs=self.epoch,
            best_epoch=self.best_epoch,
            metrics=metrics,
            history=tuple(self.history),
            weights=weights,
            predictions=predictions,
            labels=labels,
            example=None if kept.example is None else tuple(map(tuple, kept.example.tolist())),
        )
        return outcome, content

    def paused(self) -> TrialOutcome:
        """The outcome so far."""
        return paused_outcome(self.spec.key, self.history)

    def failed(self, reason: str) -> TrialOutcome:
        """The outcome of a run that went wrong; addresses in the reason differ between equal runs, and are left out."""
        plain = re.sub(r"0x[0-9a-f]{4,}", "0x...", reason)[:1000]
        history = tuple(self.history)
        return TrialOutcome(self.spec.key, "failed", self.epoch, None, {}, history, None, None, plain)


def paused_outcome(key: str, history: list[dict[str, Any]] | tuple[Mapping[str, Any], ...]) -> TrialOutcome:
    """What is known of a run after the epochs in `history`: the numbers of the last one, and no model."""
    return TrialOutcome(key, "paused", len(history), None, _metrics(history[-1]), tuple(history), None, None)


def _metrics(row: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: value for name, value in row.items() if name not in {"epoch", MATRIX}}


def _scored(
    yielded: Mapping[str, float | None], probabilities: np.ndarray, arrays: Arrays, training: Mapping[str, Any]
) -> dict[str, float | None]:
    """The metrics of an epoch, and those of ours that it lacks, from the predictions of the kept model.

    Under a threshold scores are those of the labels that it gives, whatever a loop of the user's own says. Raises
    TrainingError where the accuracy is another model's: what is ranked must be what is kept.
    """
    y = arrays.y_validation
    found = scores(count_confusion(y, decide(probabilities, None, None), arrays.classes), arrays.positive)
    under = _metrics(probability_row(training, probabilities, arrays))
    claimed, right = yielded.get("val_accuracy"), found["accuracy"]
    rights = [value for value in (right, under.get("val_accuracy")) if value is not None]
    within = max(1 / len(y), TOLERANCE) + 1e-6
    if claimed is not None and rights and all(abs(claimed - value) > within for value in rights):
        raise TrainingError(
            f"the kept epoch yielded val_accuracy {claimed:.4g}, yet its model has {right:.4g} on the validation rows: "
            "return the model of the last epoch, or yield each epoch's as `model`"
        )
    ours = {f"val_{name}": found[name] for name in SCORES}
    told = {name: value for name, value in yielded.items() if value is not None or name not in ours}
    return ours | told | under if "val_accuracy" in under else ours | under | told
