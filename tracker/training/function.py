"""Turns a trial spec and the user's own training loop into an outcome: advances it, keeps an epoch, digests its model.

The contract of the loop is in docs/howto/own-loop.md. What could differ between two runs of one loop is fixed here: the
seed, the global generators, the rows (copies for each trial).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from tracker.canonical import digest_arrays, digest_bytes
from tracker.errors import TrainingError
from tracker.models.own_code import describe
from tracker.records import Timing, TrialOutcome, TrialSpec
from tracker.seeds import AmbientRandomness
from tracker.training.arrays import Arrays
from tracker.training.cohort import Result
from tracker.training.memory import refuse_without_memory
from tracker.training.metrics import SCORES, count_confusion, scores
from tracker.training.module import class_probabilities, copy_state, module_weights
from tracker.training.yielded import MATRIX, MODEL, read_epoch, read_module

ARGUMENTS = ("hyperparameters", "train", "validation", "seed")
MOST_EPOCHS = 1_000_000
HAND_OUT_S = 0.2  # how long one hand-out of trials runs: long beside its overhead, short beside what a kill may cost
TOLERANCE = 1 / 200  # share of rows that the loop may have called otherwise than its model does here; one always may
Loop = Generator[Mapping[str, Any], None, Any]
Fit = Callable[..., Loop]


def train_functions(
    specs: Sequence[TrialSpec], arrays: Arrays, fit: Fit, clock: Callable[[], float] = time.time
) -> list[Result]:
    """Trains trials one after the other until a moment has passed: the results of the first ones, at least of one."""
    begun, results = clock(), []
    for spec in specs:
        results.append(LoopRun(spec, arrays, fit, clock).advance())
        if clock() - begun > HAND_OUT_S:
            break
    return results


class Rows:
    """Preprocessed rows of one split as a loop sees them: copies, so that nothing it does to them outlives the trial."""

    def __init__(self, x: np.ndarray, y: np.ndarray, arrays: Arrays) -> None:
        self._x, self._y = x, y
        self.labels = arrays.labels
        self.positive = None if arrays.positive is None else arrays.labels[arrays.positive]

    @cached_property
    def x(self) -> torch.Tensor:
        """Features, float32 (rows, features)."""
        return torch.from_numpy(self._x.copy())

    @cached_property
    def y(self) -> torch.Tensor:
        """Places in `labels`, int64 (rows,)."""
        return torch.from_numpy(self._y.copy())


class LoopRun:
    """One trial of a loop, which can pause: while it is not advanced its generator waits and the global state is ours."""

    def __init__(self, spec: TrialSpec, arrays: Arrays, fit: Fit, clock: Callable[[], float] = time.time) -> None:
        self.spec, self.arrays, self.fit, self.clock = spec, arrays, fit, clock
        self.module: torch.nn.Module | None = None
        self._ambient = AmbientRandomness(spec.seed)
        self._loop: Loop | None = None
        self._history: list[dict[str, Any]] = []
        self._times: list[float] = []
        self._started: float | None = None
        self._kept = _Kept(spec.training["early_stopping"])

    def advance(self, until: int | None = None) -> Result:
        """Runs to the end, or pauses after epoch `until`: such a result has no outcome."""
        self._started = self._started or self.clock()
        weights = None
        with self._ambient.active():
            try:
                if outcome := self._run(until):
                    outcome, weights = self._with_model(outcome)
            except TrainingError as error:
                outcome = self._failure(str(error))
            except (Exception, SystemExit) as error:
                refuse_without_memory(error, self.spec)
                outcome = self._failure(describe(error))
        return Result(self.spec, outcome, weights, Timing(self._started, self.clock(), tuple(self._times)))

    def close(self) -> None:
        """Gives the trial up: the loop ends where it waits."""
        if self._loop is not None:
            with self._ambient.active():
                self._loop.close()

    def _run(self, until: int | None) -> TrialOutcome | None:
        """Advances the loop; the outcome without weights when it has ended."""
        self._loop = loop = self._loop or self._begin()
        while until is None or len(self._history) < until:
            try:
                entry = next(loop)
            except StopIteration as end:
                return self._complete(end.value)
            self._take(entry)
            if self._kept.has_waited_enough:
                loop.close()
                return self._complete(None)
        return None

    def _begin(self) -> Loop:
        arrays, spec = self.arrays, self.spec
        copies = {name: list(value) if isinstance(value, list) else value for name, value in spec.params.items()}
        loop = self.fit(
            {"epochs": spec.training["epochs"], **copies},
            Rows(arrays.x_train, arrays.y_train, arrays),
            Rows(arrays.x_validation, arrays.y_validation, arrays),
            spec.seed,
        )
        if not isinstance(loop, Generator):
            raise TrainingError(f"the loop must be a generator that yields metrics; it gave {type(loop).__name__}")
        return loop

    def _take(self, entry: Mapping[str, Any]) -> None:
        epoch = len(self._history) + 1
        if epoch > MOST_EPOCHS:
            raise TrainingError(f"the loop went on after {MOST_EPOCHS} epochs")
        self._history.append(read_epoch(entry, epoch, self.arrays.classes))
        self._times.append(self.clock())
        self._kept.consider(entry, self._history[-1])

    def _complete(self, returned: object) -> TrialOutcome:
        epoch = self._kept.epoch
        if epoch is None:
            raise TrainingError("the loop ended before it had yielded any metrics")
        self.module = self._kept.restore() if self._kept.with_model else read_module(returned, "the loop returned")
        return TrialOutcome(
            key=self.spec.key,
            state="complete",
            epochs=len(self._history),
            best_epoch=epoch,
            metrics={n: value for n, value in self._history[epoch - 1].items() if n not in {"epoch", MATRIX}},
            history=tuple(self._history),
            weights=None,
            predictions=None,
        )

    def _with_model(self, outcome: TrialOutcome) -> tuple[TrialOutcome, bytes | None]:
        if self.module is None:
            return outcome, None
        weights = module_weights(self.module)
        probabilities = class_probabilities(self.module, self.arrays.x_validation, self.arrays.classes)
        scored = replace(
            outcome,
            metrics=self._scored(outcome.metrics, probabilities),
            weights=digest_bytes(weights),
            predictions=digest_arrays({"probabilities": probabilities}),
            labels=digest_arrays({"labels": probabilities.argmax(axis=1).astype(np.int64)}),
        )
        return scored, weights

    def _scored(self, yielded: Mapping[str, float | None], probabilities: np.ndarray) -> dict[str, float | None]:
        """The yielded metrics, and before them those of ours that were not, from the predictions of the kept model.

        Raises TrainingError where the yielded accuracy is another model's: what is ranked must be what is kept.
        """
        y, arrays = self.arrays.y_validation, self.arrays
        found = scores(count_confusion(y, probabilities.argmax(axis=1), arrays.classes), arrays.positive)
        claimed, right = yielded.get("val_accuracy"), found["accuracy"]
        if claimed is not None and right is not None and abs(claimed - right) > max(1 / len(y), TOLERANCE) + 1e-6:
            raise TrainingError(
                f"the kept epoch yielded val_accuracy {claimed:.4g}, yet its model has {right:.4g} on the validation rows: "
                "return the model of the last epoch, or yield each epoch's as `model`"
            )
        ours = {f"val_{name}": found[name] for name in SCORES}
        return ours | {name: value for name, value in yielded.items() if value is not None or name not in ours}

    def _failure(self, reason: str) -> TrialOutcome:
        plain = re.sub(r"0x[0-9a-f]{4,}", "0x...", reason)[:1000]  # addresses differ between equal runs
        history = tuple(self._history)
        return TrialOutcome(self.spec.key, "failed", len(history), None, {}, history, None, None, plain)


class _Kept:
    """The epoch to keep: the best by early stopping where epochs come with their model, else the last."""

    def __init__(self, stopping: Mapping[str, Any] | None) -> None:
        self.stopping = stopping
        self.with_model: bool | None = None
        self.epoch: int | None = None
        self._value: float | None = None
        self._module: torch.nn.Module | None = None
        self._state: dict[str, torch.Tensor] | None = None
        self._waiting = 0

    @property
    def has_waited_enough(self) -> bool:
        """Whether `patience` epochs brought nothing better."""
        return bool(self.with_model and self.stopping and self._waiting >= self.stopping["patience"])

    def consider(self, entry: Mapping[str, Any], row: Mapping[str, Any]) -> None:
        """Keeps this epoch if it is the one so far. Raises TrainingError."""
        epoch = row["epoch"]
        if self.with_model not in {None, MODEL in entry}:
            raise TrainingError(f"epoch {epoch}: either every epoch yields `{MODEL}`, or none does")
        self.with_model = MODEL in entry
        module = read_module(entry.get(MODEL), f"epoch {epoch} yielded as `{MODEL}`")
        if not self._improves(row):
            self._waiting += 1
            return
        self.epoch, self._waiting, self._module = epoch, 0, module
        self._state = None if module is None else copy_state(module)

    def restore(self) -> torch.nn.Module | None:
        """The kept epoch's module with the weights it had then."""
        if self._module is not None and self._state is not None:
            self._module.load_state_dict(self._state)
        return self._module

    def _improves(self, row: Mapping[str, Any]) -> bool:
        if not (self.with_model and self.stopping):
            return True
        value, loss = row.get(self.stopping["monitor"]), self.stopping["monitor"].endswith("loss")
        if value is None:
            return self.epoch is None
        if self._value is None or (value < self._value if loss else value > self._value):
            self._value = value
            return True
        return False
