"""The training loop: lanes equal solo training, pausing changes nothing, epochs are kept as early stopping says."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from tests.training.cases import STOPPING, any_spec, arrays, spec
from tracker.canonical import digest_bytes
from tracker.families.family import start_training, train, train_cohort
from tracker.families.mlp_layout import shape_of
from tracker.families.mlp_selftest import lanes_agree
from tracker.hyperparameters import FAMILIES
from tracker.records import TrialOutcome, record_json
from tracker.training.arrays import Arrays
from tracker.training.early_stopping import paused_outcome
from tracker.training.loop import Checkpoint, Result

GOLDEN = Path(__file__).parent.parent / "golden" / "training.json"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def checkpoint_of(result: Result) -> Checkpoint:
    """The checkpoint of a run that paused."""
    assert result.checkpoint is not None
    return result.checkpoint


@pytest.mark.parametrize("seed", range(12))
def test_lanes_equal_solo_training_bit_for_bit(seed: int) -> None:
    """A lane's outcome, weights and predictions are those of the same trial alone, at odd sizes and any mix of knobs."""
    rng = np.random.default_rng(seed)
    features, classes = int(rng.integers(1, 60)), int(rng.choice([2, 3, 7, 37]))
    data = arrays(int(rng.integers(classes, 150)), features, classes, seed, int(rng.integers(1, 70)))
    cap, size = int(rng.choice([7, 16, 33, 64])), int(rng.choice([1, 3, 8, 31, 64, 200]))
    specs = [any_spec(rng, lane, cap, size, ("batch", "layer", "none")[seed % 3], 0) for lane in range(6)]
    groups: dict = {}
    for one in specs:
        groups.setdefault(shape_of(one, features, classes), []).append(one)
    for group in groups.values():
        for one, result in zip(group, train_cohort(group, data), strict=True):
            alone = train(one, data)
            assert result.outcome == alone.outcome
            assert result.weights == alone.weights


@pytest.mark.parametrize("until", [1, 2, 5, 9])
def test_pausing_and_going_on_gives_the_same_bits(until: int) -> None:
    """A trial that is paused at an epoch and resumed equals one that ran through, whoever its neighbours are."""
    data = arrays(90)
    specs = [
        spec(
            i,
            10,
            {"monitor": "val_f1", "patience": 4},
            units=[9, 12],
            dropout=0.3,
            optimizer=o,
            momentum=0.5,
            batch_norm=i > 1,
            layer_norm=i < 2,
        )
        for i, o in enumerate(["sgd", "adam", "adamw", "rmsprop"])
    ]
    for pair in (specs[:2], specs[2:]):
        whole = train_cohort(pair, data)
        paused = train_cohort(pair, data, until=until)
        for one, full, part in zip(pair, whole, paused, strict=True):
            if part.checkpoint is None:
                assert part.outcome == full.outcome
                continue
            assert part.checkpoint.epoch == until
            assert train(one, data, checkpoint=part.checkpoint).outcome == full.outcome


def test_a_checkpoint_survives_json_and_safetensors() -> None:
    """A checkpoint that went through files and text, in another order, resumes its runs to the same outcomes."""
    data = arrays()
    specs = [
        spec(seed, 6, STOPPING, units=16, optimizer=kind, dropout=0.2) for seed, kind in enumerate(("adam", "sgd"))
    ]
    found = [checkpoint_of(result) for result in train_cohort(specs, data, until=2)]
    stored = [(one.tensors, json.dumps(one.progress)) for one in found]
    restored = [Checkpoint(bytes(tensors), json.loads(progress)) for tensors, progress in stored]
    assert [2, 2] == [one.epoch for one in restored]
    again = train_cohort(specs[::-1], data, checkpoints=restored[::-1])
    assert [train(one, data).outcome for one in specs] == [result.outcome for result in again[::-1]]


def test_a_checkpoint_serves_more_than_once() -> None:
    """What is resumed from it leaves the checkpoint as it was."""
    data, one = arrays(), spec(3, 6, STOPPING, units=16)
    checkpoint = checkpoint_of(train(one, data, until=2))
    before = json.dumps(checkpoint.progress)
    first, second = (train(one, data, checkpoint=checkpoint) for _ in range(2))
    assert first.outcome == second.outcome
    assert (2, before) == (checkpoint.epoch, json.dumps(checkpoint.progress))


def test_the_times_of_all_epochs_come_along() -> None:
    """A run that was paused and resumed from its checkpoint knows when each of its epochs ended."""
    data, one, ticks = arrays(), spec(1, 4), itertools.count()
    clock = lambda: float(next(ticks))  # noqa: E731
    [paused] = train_cohort([one], data, until=2, clock=clock)
    [ended] = train_cohort([one], data, checkpoints=[checkpoint_of(paused)], clock=clock)
    assert paused.timing.epochs == ended.timing.epochs[:2]
    assert 4 == len(ended.timing.epochs)
    assert list(ended.timing.epochs) == sorted(ended.timing.epochs)


def test_checkpoints_of_different_epochs_do_not_train_together() -> None:
    """Lanes are always at one epoch."""
    data, specs = arrays(), [spec(1, 6), spec(2, 6)]
    checkpoints = [checkpoint_of(train(one, data, until=until)) for one, until in zip(specs, (1, 2), strict=True)]
    with pytest.raises(ValueError, match="of the same epoch"):
        train_cohort(specs, data, checkpoints=checkpoints)


def test_a_pause_tells_all_that_is_known() -> None:
    """A paused outcome has the history so far and the numbers of its last epoch, and keeps no model."""
    data, one = arrays(), spec(1, 6)
    whole, paused = train(one, data).outcome, train(one, data, until=2)
    last = {name: value for name, value in whole.history[1].items() if name not in {"epoch", "confusion_matrix"}}
    assert TrialOutcome(one.key, "paused", 2, None, last, whole.history[:2], None, None) == paused.outcome
    assert None is paused.weights
    assert paused.outcome == paused_outcome(one.key, whole.history[:2])


def test_a_pause_after_the_end_is_none() -> None:
    """Runs that end before, or with, the epoch of the pause are complete."""
    data, one = arrays(), spec(1, 3)
    assert [train(one, data).outcome] * 2 == [train(one, data, until=until).outcome for until in (3, 9)]


def test_only_the_way_of_a_while_is_written_down() -> None:
    """A pause has checkpoints where the way there took as long as that was asked for, counted from the last ones."""
    now = [0.0]
    training = start_training([spec(1, 9), spec(2, 9)], arrays(), clock=lambda: now[0])

    def pause(until: int, seconds: float) -> list[bool]:
        engine, run_epoch = training.engine, training.engine.run_epoch

        def slow() -> object:
            now[0] += seconds
            return run_epoch()

        engine.run_epoch = slow
        results = training.advance(until, checkpoint_after_s=5.0)
        engine.run_epoch = run_epoch
        return [result.checkpoint is not None for result in results]

    assert [False, False] == pause(1, 4.0)
    assert [True, True] == pause(2, 4.0)
    assert [False, False] == pause(3, 4.0)
    assert [True, True] == pause(4, 2.5)


def test_some_go_on_as_if_the_others_had_never_been() -> None:
    """Of five runs that pause three go on, then one: each gives the bits of the same run alone, and no other comes back."""
    data = arrays()
    specs = [spec(seed, 9, STOPPING, units=16, dropout=0.2, hidden_layers=1 + seed % 2) for seed in range(5)]
    whole = {one.key: train(one, data).outcome for one in specs}
    training = start_training(specs, data)
    assert ["paused"] * 5 == [result.outcome.state for result in training.advance(1)]
    going = [one.key for one in specs[::2]]
    training.select(going)
    assert sorted(going) == sorted(training.keys)
    assert sorted(going) == sorted(result.spec.key for result in training.advance(2))
    training.select(going[1:2])
    [last] = training.advance()
    assert (going[1], whole[going[1]]) == (last.spec.key, last.outcome)
    assert () == training.keys


def test_a_closed_training_holds_and_gives_nothing() -> None:
    """After close() there is nothing left to train, whoever asks; as when all runs have been let go."""
    for end in (lambda training: training.close(), lambda training: training.select([])):
        training = start_training([spec(1, 5), spec(2, 5)], arrays())
        training.advance(1)
        end(training)
        assert ((), 0, None, []) == (training.keys, training.epoch, training.engine, training.advance())
        training.close()


def test_early_stopping_keeps_the_best_epoch() -> None:
    """The kept epoch is the first with the lowest monitored loss, and training ends `patience` epochs after it."""
    result = train(spec(5, 60, {"monitor": "val_loss", "patience": 3}, learning_rate=0.05), arrays()).outcome
    losses = [entry["val_loss"] for entry in result.history]
    assert result.best_epoch == losses.index(min(losses)) + 1
    assert result.epochs == result.best_epoch + 3 < 60
    assert result.metrics["val_loss"] == min(losses)


def test_without_early_stopping_the_last_epoch_is_kept() -> None:
    """All epochs run and the last one's metrics are the trial's."""
    result = train(spec(5, 7, None), arrays()).outcome
    assert (result.epochs, result.best_epoch) == (7, 7)
    assert result.metrics["val_loss"] == result.history[-1]["val_loss"]


def test_training_learns() -> None:
    """Classes that can be told apart are told apart: far above chance, and the training loss falls."""
    result = train(spec(1, 30, None, units=32, learning_rate=0.01), arrays(300, validation=100)).outcome
    assert result.metrics["val_accuracy"] > 0.6
    assert result.history[-1]["train_loss"] < 0.5 * result.history[0]["train_loss"]


def test_divergence_is_a_failed_trial_with_a_reason() -> None:
    """A loss that is not finite ends the trial as failed, with the epoch, and leaves its neighbours alone."""
    data = arrays()
    wild = spec(1, 30, None, optimizer="sgd", learning_rate=1000.0, units=16, weight_decay=900.0)
    calm = spec(2, 30, None, units=16)
    results = train_cohort([wild, calm], data)
    assert results[0].outcome.state == "failed"
    assert "not finite in epoch" in str(results[0].outcome.reason)
    assert results[0].outcome.metrics == {}
    assert results[0].outcome.epochs == len(results[0].outcome.history)
    assert results[1].outcome == train(calm, data).outcome


def test_a_different_seed_gives_other_weights() -> None:
    """The seed matters; the folder, the clock and the order of specs do not."""
    data = arrays()
    one, two = train_cohort([spec(1), spec(2)], data)
    assert one.outcome.weights != two.outcome.weights
    assert [r.outcome for r in train_cohort([spec(2), spec(1)], data)] == [two.outcome, one.outcome]


def test_changed_validation_rows_change_no_weights() -> None:
    """Validation data is looked at, never learnt from: with fixed epochs the weights stay the same."""
    data = arrays()
    other = Arrays(data.x_train, data.y_train, data.x_validation * 3 + 1, data.y_validation[::-1].copy(), 3, None)
    before, after = train(spec(1), data), train(spec(1), other)
    assert before.weights == after.weights
    assert before.outcome != after.outcome


def test_weights_are_content_addressed_safetensors() -> None:
    """The weights' digest is the SHA-256 of the bytes, which hold tensors in true sizes."""
    result = train(spec(1, units=[9, 12], hidden_layers=2), arrays())
    assert result.weights is not None
    assert result.outcome.weights == digest_bytes(result.weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in load(result.weights).items()}
    assert shapes == {
        "hidden_0.weight": (9, 5),
        "hidden_0.bias": (9,),
        "hidden_1.weight": (12, 9),
        "hidden_1.bias": (12,),
        "output.weight": (3, 12),
        "output.bias": (3,),
    }


def test_one_shape_per_cohort() -> None:
    """Trials of different shapes are refused, not mixed."""
    with pytest.raises(ValueError, match="one shape"):
        train_cohort([spec(1, units=16), spec(2, units=200)], arrays())


def test_logistic_regression_is_a_network_without_hidden_layers() -> None:
    """hidden_layers 0 trains."""
    result = train(spec(1, 20, None, hidden_layers=0, learning_rate=0.05), arrays()).outcome
    assert result.state == "complete"
    assert result.metrics["val_accuracy"] > 0.5


def test_the_engine_tests_itself() -> None:
    """Here lanes agree with solo training, so cohorts are used."""
    assert lanes_agree()


def test_numbers_have_not_changed() -> None:
    """The golden curve holds to 1e-5 on any CPU level; a change of arithmetic raises mlp's numerics and renews it.

    Levels round differently, and nothing in training blows that up: no bias stands before a batch norm.
    To renew: python -m tests.training.renew_golden
    """
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == FAMILIES["mlp"].numerics
    for case in golden["cases"]:
        history = record_json(train(spec(case["seed"], 5, STOPPING, **case["params"]), arrays()).outcome)["history"]
        assert len(history) == len(case["history"])
        for entry, expected in zip(history, case["history"], strict=True):
            assert entry["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-5)
            assert entry["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-5)
