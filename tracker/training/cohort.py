"""Turns trial specs of one shape and arrays into outcomes: the one training loop, K trials at once.

A trial is a pure function: nothing a lane computes depends on its neighbours, on how many there are, or on where training
was paused. All randomness of an epoch comes from (seed, purpose, epoch), so a checkpoint holds no generator state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from tracker.canonical import digest_arrays, digest_bytes
from tracker.models.mlp import Shape, lane_order, shape_of
from tracker.models.mlp_lanes import MlpLanes, Rows
from tracker.records import Timing, TrialOutcome, TrialSpec
from tracker.standalone.mlp import multiple_of_8
from tracker.training.arrays import Arrays, Tables, take
from tracker.training.draws import Dropout, draw_batches
from tracker.training.losses import mean_losses, validate
from tracker.training.metrics import scores
from tracker.training.optimizers import Optimizer

TRAINING_VERSION = 1  # raise it when any number changes; golden tests say when
CHUNK_FLOATS = 2_000_000  # gathered rows and dropout masks held at once


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A paused trial: tensors `values/...`, `first/...`, `second/...`, `best/...` and the progress as plain JSON."""

    tensors: Mapping[str, Tensor]
    progress: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Result:
    """What training one spec gave: an outcome with weights (safetensors bytes), or a checkpoint where it was paused."""

    spec: TrialSpec
    outcome: TrialOutcome | None
    weights: bytes | None
    timing: Timing
    checkpoint: Checkpoint | None = None


@dataclass(slots=True)
class _Progress:
    """Where one lane stands."""

    place: int
    epoch: int = 0
    steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    best_epoch: int | None = None
    best_value: float | None = None
    best_log_p: Tensor | None = None
    waiting: int = 0


def train(spec: TrialSpec, arrays: Arrays, until: int | None = None, checkpoint: Checkpoint | None = None) -> Result:
    """Trains one trial, from a checkpoint if given, and pauses after epoch `until` if given: a cohort of one."""
    return train_cohort([spec], arrays, until, None if checkpoint is None else [checkpoint])[0]


def train_cohort(
    specs: Sequence[TrialSpec],
    arrays: Arrays,
    until: int | None = None,
    checkpoints: Sequence[Checkpoint] | None = None,
    clock: Callable[[], float] = time.time,
) -> list[Result]:
    """Trains trials of one shape together and gives their results in the order of `specs`.

    Checkpoints must all be of the same epoch. Raises ValueError where the specs differ in shape.
    """
    cohort = _Cohort(specs, arrays, until, checkpoints, clock)
    while cohort.lanes is not None:
        cohort.run_epoch()
    return [cohort.results[place] for place in range(len(specs))]


class _Cohort:
    def __init__(
        self,
        specs: Sequence[TrialSpec],
        arrays: Arrays,
        until: int | None,
        checkpoints: Sequence[Checkpoint] | None,
        clock: Callable[[], float],
    ) -> None:
        self.arrays, self.until, self.clock = arrays, until, clock
        self.tables = Tables.of(arrays)
        self.results: dict[int, Result] = {}
        self.started = clock()
        order = sorted(range(len(specs)), key=lambda place: (*lane_order(specs[place]), place))
        lanes = MlpLanes([specs[place] for place in order], _common_shape(specs, arrays))
        self.progress = [_Progress(place) for place in order]
        self.lanes: MlpLanes | None = lanes
        if checkpoints is None:
            lanes.initialise()
        else:
            for lane, place in enumerate(order):
                self._resume(lane, checkpoints[place])
        self.optimizer = Optimizer([spec.params for spec in lanes.specs])
        self._pause_or_stop([])

    def run_epoch(self) -> None:
        """Trains every lane for one epoch, scores it, and lets go of the lanes that are done."""
        lanes = self._lanes()
        losses = self._train_epoch(lanes)
        log_p = lanes.log_probabilities(self.tables.x_validation)
        log_p = log_p[:, : len(self.arrays.y_validation), : self.arrays.classes]
        val_losses, confusions = validate(log_p, self.tables.y_validation, self.arrays.classes)
        improved, failed = [], []
        for lane, progress in enumerate(self.progress):
            progress.epoch += 1
            progress.times.append(self.clock())
            if not (np.isfinite(losses[lane]) and np.isfinite(val_losses[lane])):
                failed.append(lane)
                continue
            self._record(progress, losses[lane], val_losses[lane], confusions[lane])
            if self._improves(lanes.specs[lane], progress):
                improved.append(lane)
                progress.best_epoch, progress.waiting = progress.epoch, 0
                progress.best_log_p = log_p[lane].clone()
            else:
                progress.waiting += 1
        if improved:
            lanes.keep_best(improved)
        self._pause_or_stop(failed)

    def _train_epoch(self, lanes: MlpLanes) -> list[float]:
        """One pass over the training rows; gives the mean training loss of each lane."""
        count, size = len(self.arrays.y_train), lanes.shape.batch_size
        padded = multiple_of_8(min(size, count))
        steps = -(-count // size)
        epoch = self.progress[0].epoch + 1
        index = np.stack([draw_batches(spec.seed, epoch, count, size, padded) for spec in lanes.specs], 1)
        full, last = Rows.of(min(size, count), padded), Rows.of(count - (steps - 1) * size, padded)
        rates = [spec.params["learning_rate"] for spec in lanes.specs]
        coefficients = self.optimizer.coefficients(self.progress[0].steps + 1, steps, rates)
        dropout = Dropout(lanes, epoch, padded)
        blocks = lanes.optimizer_blocks()
        log_p = torch.empty(steps, lanes.lanes, padded, self.tables.truth.shape[1])
        at_once = max(1, CHUNK_FLOATS // (lanes.lanes * padded * (self.tables.x.shape[1] + dropout.numbers)))
        for start in range(0, steps, at_once):
            chosen = torch.from_numpy(index[start : start + at_once])
            x, truth = take(self.tables.x, chosen), take(self.tables.truth, chosen)
            masks = dropout.masks(len(chosen))
            for offset in range(len(chosen)):
                step = start + offset
                rows = last if step == steps - 1 else full
                step_masks = None if masks is None else [mask[offset] for mask in masks]
                lanes.gradient(x[offset], truth[offset], rows, step_masks, log_p[step])
                self.optimizer.step(blocks, coefficients[step])
        for progress in self.progress:
            progress.steps += steps
        return mean_losses(log_p, index, self.tables.y, count)

    def _record(self, progress: _Progress, loss: float, val_loss: float, confusion: np.ndarray) -> None:
        entry: dict[str, Any] = {"epoch": progress.epoch, "train_loss": loss, "val_loss": val_loss}
        entry |= {f"val_{name}": value for name, value in scores(confusion, self.arrays.positive).items()}
        progress.history.append(entry | {"confusion_matrix": confusion.tolist()})

    def _improves(self, spec: TrialSpec, progress: _Progress) -> bool:
        """Whether this epoch is the one to keep so far; without early stopping that is always the last one."""
        stopping = spec.training["early_stopping"]
        if stopping is None:
            return progress.epoch == spec.training["epochs"] or progress.epoch == self.until
        value = progress.history[-1][stopping["monitor"]]
        if value is None:
            return progress.best_epoch is None
        sign = -1.0 if stopping["monitor"].endswith("loss") else 1.0
        if progress.best_value is None or sign * value > sign * progress.best_value:
            progress.best_value = value
            return True
        return False

    def _pause_or_stop(self, failed: Sequence[int]) -> None:
        lanes = self._lanes()
        going = []
        for lane, (spec, progress) in enumerate(zip(lanes.specs, self.progress, strict=True)):
            if lane in failed:
                self._give(lane, _failure(spec, progress), None)
            elif _finished(spec, progress):
                self._give_outcome(lane)
            elif self.until is not None and progress.epoch >= self.until:
                self._give(lane, None, None, self._pause(lane))
            else:
                going.append(lane)
        if not going:
            self.lanes = None
        elif len(going) < lanes.lanes:
            self.lanes = lanes.select(going)
            self.progress = [self.progress[lane] for lane in going]
            self.optimizer = Optimizer([spec.params for spec in self.lanes.specs])

    def _give_outcome(self, lane: int) -> None:
        lanes, progress = self._lanes(), self.progress[lane]
        spec = lanes.specs[lane]
        tensors = lanes.read(lane, "best")
        assert progress.best_epoch is not None
        assert progress.best_log_p is not None
        for index in range(spec.params["hidden_layers"] if spec.params["batch_norm"] else 0):
            tensors[f"norm_{index}.num_batches_tracked"] = torch.tensor(
                progress.steps // progress.epoch * progress.best_epoch
            )
        weights = save(tensors)
        entry = progress.history[progress.best_epoch - 1]
        outcome = TrialOutcome(
            key=spec.key,
            state="complete",
            epochs=progress.epoch,
            best_epoch=progress.best_epoch,
            metrics={name: value for name, value in entry.items() if name not in {"epoch", "confusion_matrix"}},
            history=tuple(progress.history),
            weights=digest_bytes(weights),
            predictions=digest_arrays({"probabilities": torch.exp(progress.best_log_p).numpy()}),
            labels=digest_arrays({"labels": progress.best_log_p.argmax(-1).numpy()}),
        )
        self._give(lane, outcome, weights)

    def _give(
        self, lane: int, outcome: TrialOutcome | None, weights: bytes | None, checkpoint: Checkpoint | None = None
    ) -> None:
        progress = self.progress[lane]
        timing = Timing(self.started, self.clock(), tuple(progress.times))
        spec = self._lanes().specs[lane]
        self.results[progress.place] = Result(spec, outcome, weights, timing, checkpoint)

    def _pause(self, lane: int) -> Checkpoint:
        lanes, progress = self._lanes(), self.progress[lane]
        tensors = {
            f"{buffer}/{name}": tensor
            for buffer in ("values", "first", "second", "best")
            for name, tensor in lanes.read(lane, buffer).items()
        }
        if progress.best_log_p is not None:
            tensors["best_log_p"] = progress.best_log_p
        names = ("epoch", "steps", "history", "times", "best_epoch", "best_value", "waiting")
        return Checkpoint(tensors, {name: getattr(progress, name) for name in names})

    def _resume(self, lane: int, checkpoint: Checkpoint) -> None:
        lanes, progress = self._lanes(), self.progress[lane]
        for buffer in ("values", "first", "second", "best"):
            prefix = f"{buffer}/"
            part = {name[len(prefix) :]: t for name, t in checkpoint.tensors.items() if name.startswith(prefix)}
            lanes.write(lane, buffer, part)
        for name, value in checkpoint.progress.items():
            setattr(progress, name, list(value) if isinstance(value, list | tuple) else value)
        progress.best_log_p = checkpoint.tensors.get("best_log_p")
        if progress.epoch != self.progress[0].epoch:
            raise ValueError("checkpoints of one cohort must be of the same epoch")

    def _lanes(self) -> MlpLanes:
        assert self.lanes is not None
        return self.lanes


def _common_shape(specs: Sequence[TrialSpec], arrays: Arrays) -> Shape:
    shapes = {shape_of(spec, arrays.x_train.shape[1], arrays.classes) for spec in specs}
    if len(shapes) != 1:
        raise ValueError(f"trials of one cohort must have one shape, found {sorted(map(str, shapes))}")
    return shapes.pop()


def _finished(spec: TrialSpec, progress: _Progress) -> bool:
    stopping = spec.training["early_stopping"]
    return progress.epoch >= spec.training["epochs"] or (
        stopping is not None and progress.epoch > 0 and progress.waiting >= stopping["patience"]
    )


def _failure(spec: TrialSpec, progress: _Progress) -> TrialOutcome:
    return TrialOutcome(
        key=spec.key,
        state="failed",
        epochs=progress.epoch,
        best_epoch=None,
        metrics={},
        history=tuple(progress.history),
        weights=None,
        predictions=None,
        reason=f"diverged: the loss was not finite in epoch {progress.epoch}",
    )
