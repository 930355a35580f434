"""Which epoch is kept: ties, monitors that are undefined, losses that are not finite, and what is exported with it."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.torch import load

from tests.training.cases import arrays, spec
from tracker.records import TrialOutcome, TrialSpec
from tracker.training.arrays import Arrays
from tracker.families.family import train, train_cohort


def outcome_of(one: TrialSpec, data: Arrays) -> TrialOutcome:
    """The outcome of training one trial."""
    found = train(one, data).outcome
    assert found is not None
    return found


def without_class(data: Arrays, label: int) -> Arrays:
    """The same rows, with none of a class left in validation."""
    keep = data.y_validation != label
    return Arrays(data.x_train, data.y_train, data.x_validation[keep], data.y_validation[keep], data.classes, None)


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_f1"])
def test_ties_keep_the_earlier_epoch(monitor: str) -> None:
    """Of epochs with one value the first is kept, and the later ones count as waiting."""
    found = outcome_of(spec(1, 40, {"monitor": monitor, "patience": 5}, learning_rate=0.01), arrays())
    values = [entry[monitor] for entry in found.history]
    assert values.count(max(values)) > 1
    assert values.index(max(values)) + 1 == found.best_epoch
    assert found.best_epoch + 5 == found.epochs
    assert found.history[found.best_epoch - 1]["val_loss"] == found.metrics["val_loss"]


def test_a_monitor_that_is_undefined_at_first_keeps_the_best_epoch_once_it_is_defined() -> None:
    """A class that validation has not, and that no row was called at first: F1 is None, then a number, which is kept."""
    data = without_class(arrays(), 2)
    found = outcome_of(spec(1, 30, {"monitor": "val_f1", "patience": 30}, learning_rate=0.01), data)
    values = [entry["val_f1"] for entry in found.history]
    defined = [value for value in values if value is not None]
    assert values[0] is None
    assert values.index(max(defined)) + 1 == found.best_epoch > 1
    assert max(defined) == found.metrics["val_f1"]


def test_a_monitor_that_is_always_undefined_keeps_the_first_epoch() -> None:
    """A class of no validation row that is never called: the trial is complete, and stops after its patience."""
    data = arrays()
    lonely = Arrays(data.x_train, data.y_train % 2, data.x_validation, data.y_validation % 2, 3, None)
    found = outcome_of(spec(1, 30, {"monitor": "val_f1", "patience": 3}), lonely)
    assert {None} == {entry["val_f1"] for entry in found.history}
    assert ("complete", 1, 4) == (found.state, found.best_epoch, found.epochs)
    assert found.metrics["val_f1"] is None
    assert found.weights is not None


@pytest.mark.parametrize("stopping", [None, {"monitor": "val_accuracy", "patience": 3}])
def test_a_validation_loss_that_alone_is_not_finite_fails_the_trial(stopping: dict | None) -> None:
    """Cells of validation rows alone are infinite: the trial failed, it is no complete one with NaN in its numbers."""
    data = arrays()
    wild = Arrays(data.x_train, data.y_train, np.full_like(data.x_validation, np.inf), data.y_validation, 3, None)
    assert outcome_of(spec(1, 5, stopping), data).state == "complete"
    for result in train_cohort([spec(1, 5, stopping), spec(2, 5, stopping)], wild):
        assert result.outcome is not None
        assert ("failed", {}, None) == (result.outcome.state, result.outcome.metrics, result.outcome.weights)
        assert "not finite in epoch 1" in str(result.outcome.reason)


def test_batch_norm_exports_the_batches_of_the_kept_epoch() -> None:
    """`num_batches_tracked` counts the steps up to the epoch whose weights are kept, not up to the last one."""
    stopping = {"monitor": "val_loss", "patience": 3}
    one = spec(1, 60, stopping, hidden_layers=2, batch_norm=True, batch_size=32, learning_rate=0.05)
    result = train(one, arrays())
    assert result.outcome is not None
    assert result.weights is not None
    assert result.outcome.best_epoch < result.outcome.epochs
    tensors, steps = load(result.weights), 3  # 67 rows in batches of 32
    for index in range(2):
        assert steps * result.outcome.best_epoch == int(tensors[f"norm_{index}.num_batches_tracked"])
