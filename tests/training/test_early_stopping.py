"""Which epoch is kept: ties, monitors that are undefined, losses that are not finite; where a run stands, and its outcome."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.torch import load

from tests.training.cases import arrays, spec
from tracker.errors import TrainingError
from tracker.families.family import train, train_cohort
from tracker.records import TrialOutcome, TrialSpec
from tracker.training.arrays import Arrays
from tracker.training.early_stopping import Keeper
from tracker.training.engine import Epoch


def outcome_of(one: TrialSpec, data: Arrays) -> TrialOutcome:
    """The outcome of training one trial."""
    return train(one, data).outcome


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
        assert ("failed", 0, {}, None) == (
            result.outcome.state,
            result.outcome.epochs,
            result.outcome.metrics,
            result.outcome.weights,
        )
        assert "not finite in epoch 1" in str(result.outcome.reason)


def test_batch_norm_exports_the_batches_of_the_kept_epoch() -> None:
    """`num_batches_tracked` counts the steps up to the epoch whose weights are kept, not up to the last one."""
    stopping = {"monitor": "val_loss", "patience": 3}
    one = spec(1, 60, stopping, hidden_layers=2, batch_norm=True, batch_size=32, learning_rate=0.05)
    result = train(one, arrays())
    assert result.weights is not None
    assert result.outcome.best_epoch < result.outcome.epochs
    tensors, steps = load(result.weights), 3  # 67 rows in batches of 32
    for index in range(2):
        assert steps * result.outcome.best_epoch == int(tensors[f"norm_{index}.num_batches_tracked"])


STOPPING = {"monitor": "score", "patience": 2}


def keeper(*values: float | None, stopping: dict | None = STOPPING, with_model: bool = True) -> Keeper:
    """Where a run stands that gave these scores."""
    found = Keeper(spec(1, 9, stopping))
    for epoch, value in enumerate(values, start=1):
        found.take(Epoch({"val_loss": 1.0, "score": value}, with_model), float(epoch))
    return found


def test_take_says_which_epoch_to_keep() -> None:
    """The best one so far, the first of equals; without early stopping, or without models, each one."""

    def kept(**how: object) -> list[bool]:
        found = keeper(**how)
        return [found.take(Epoch({"score": value}, found.with_model), 0.0) for value in (0.1, 0.3, 0.2, 0.3, 0.4)]

    assert [True, True, False, False, True] == kept()
    assert [True] * 5 == kept(stopping=None)
    without = Keeper(spec(1, 9, STOPPING))
    assert [True] * 5 == [without.take(Epoch({"score": v}, with_model=False), 0.0) for v in (3.0, 2.0, 1.0, 1.0, 0.0)]


def test_patience_is_over_after_so_many_epochs_without_a_better_one() -> None:
    """Not before, not where epochs come without their model, and never without early stopping."""
    assert not keeper(0.5, 0.1).has_waited_enough
    assert keeper(0.5, 0.1, 0.5).has_waited_enough
    assert not keeper(0.5, 0.1, 0.6).has_waited_enough
    assert not keeper(0.5, 0.1, 0.1, with_model=False).has_waited_enough
    assert not keeper(0.5, 0.1, 0.1, stopping=None).has_waited_enough


@pytest.mark.parametrize("values", [(0.5,), (0.5, 0.1), (None, 0.2, None)])
def test_progress_is_all_of_it(values: tuple[float | None, ...]) -> None:
    """From its progress, by way of JSON, a keeper is where it was, and judges later epochs as it would have."""
    one = keeper(*values)
    two = Keeper(one.spec, **json.loads(json.dumps(one.progress)))
    assert one == two
    for value in (0.4, 0.5, 0.6):
        assert one.take(Epoch({"score": value}), 9.0) == two.take(Epoch({"score": value}), 9.0)
    assert one == two


def test_a_paused_outcome_has_the_numbers_of_the_last_epoch() -> None:
    """Whatever epoch was the best so far: a decision at a pause is about where the run stands."""
    found = keeper(0.5, 0.1).paused()
    assert ("paused", 2, None, None) == (found.state, found.epochs, found.best_epoch, found.weights)
    assert {"val_loss": 1.0, "score": 0.1} == found.metrics
    assert [1, 2] == [entry["epoch"] for entry in found.history]


def test_an_epoch_that_diverged_is_not_counted() -> None:
    """The reason names it, the history ends before it, and `epochs` is the length of the history."""
    one = keeper(0.5, 0.6)
    with pytest.raises(TrainingError, match="not finite in epoch 3") as caught:
        one.take(Epoch({"val_loss": float("nan"), "score": 0.7}), 3.0)
    found = one.failed(str(caught.value))
    assert ("failed", 2, 2, {}, None) == (
        found.state,
        found.epochs,
        len(found.history),
        found.metrics,
        found.best_epoch,
    )


def test_numbers_that_are_not_finite_are_undefined() -> None:
    """A score of 0/0 counts as none: the run goes on, and the epoch is no better than others."""
    one = keeper(0.5, float("nan"), float("inf"))
    assert [0.5, None, None] == [entry["score"] for entry in one.history]
    assert (1, 2) == (one.best_epoch, one.waiting)
