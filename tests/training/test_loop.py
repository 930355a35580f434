"""The cohort loop: lanes equal solo training, pausing changes nothing, epochs are kept as early stopping says."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from tests.training.cases import STOPPING, any_spec, arrays, spec
from tracker.canonical import digest_bytes
from tracker.families.mlp_layout import shape_of
from tracker.records import record_json
from tracker.training.arrays import Arrays
from tracker.families.family import train, train_cohort
from tracker.families.mlp_selftest import lanes_agree

GOLDEN = Path(__file__).parent.parent / "golden" / "training.json"


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("seed", range(12))
def test_lanes_equal_solo_training_bit_for_bit(seed: int) -> None:
    """A lane's outcome, weights and predictions are those of the same trial alone, at odd sizes and any mix of knobs."""
    rng = np.random.default_rng(seed)
    features, classes = int(rng.integers(1, 60)), int(rng.choice([2, 3, 7, 37]))
    data = arrays(int(rng.integers(classes, 150)), features, classes, seed, int(rng.integers(1, 70)))
    cap, size = int(rng.choice([7, 16, 33, 64])), int(rng.choice([1, 3, 8, 31, 64, 200]))
    specs = [any_spec(rng, lane, cap, size, seed % 3 == 0, 0) for lane in range(6)]
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
            assert part.checkpoint.progress["epoch"] == until
            assert train(one, data, checkpoint=part.checkpoint).outcome == full.outcome


def test_a_checkpoint_survives_json_and_safetensors() -> None:
    """A checkpoint that went through text and bytes resumes to the same outcome."""
    from safetensors.torch import save

    from tracker.training.loop import Checkpoint

    data, one = arrays(), spec(3, 6, STOPPING, units=16)
    paused = train(one, data, until=2).checkpoint
    assert paused is not None
    restored = Checkpoint(load(save(dict(paused.tensors))), json.loads(json.dumps(dict(paused.progress))))
    assert train(one, data, checkpoint=restored).outcome == train(one, data).outcome


def test_early_stopping_keeps_the_best_epoch() -> None:
    """The kept epoch is the first with the lowest monitored loss, and training ends `patience` epochs after it."""
    result = train(spec(5, 60, {"monitor": "val_loss", "patience": 3}, learning_rate=0.05), arrays()).outcome
    assert result is not None
    losses = [entry["val_loss"] for entry in result.history]
    assert result.best_epoch == losses.index(min(losses)) + 1
    assert result.epochs == result.best_epoch + 3 < 60
    assert result.metrics["val_loss"] == min(losses)


def test_without_early_stopping_the_last_epoch_is_kept() -> None:
    """All epochs run and the last one's metrics are the trial's."""
    result = train(spec(5, 7, None), arrays()).outcome
    assert result is not None
    assert (result.epochs, result.best_epoch) == (7, 7)
    assert result.metrics["val_loss"] == result.history[-1]["val_loss"]


def test_training_learns() -> None:
    """Classes that can be told apart are told apart: far above chance, and the training loss falls."""
    result = train(spec(1, 30, None, units=32, learning_rate=0.01), arrays(300, validation=100)).outcome
    assert result is not None
    assert result.metrics["val_accuracy"] > 0.6
    assert result.history[-1]["train_loss"] < 0.5 * result.history[0]["train_loss"]


def test_divergence_is_a_failed_trial_with_a_reason() -> None:
    """A loss that is not finite ends the trial as failed, with the epoch, and leaves its neighbours alone."""
    data = arrays()
    wild = spec(1, 30, None, optimizer="sgd", learning_rate=1000.0, units=16, weight_decay=900.0)
    calm = spec(2, 30, None, units=16)
    results = train_cohort([wild, calm], data)
    assert results[0].outcome is not None
    assert results[0].outcome.state == "failed"
    assert "not finite in epoch" in str(results[0].outcome.reason)
    assert results[0].outcome.metrics == {}
    assert results[1].outcome == train(calm, data).outcome


def test_a_different_seed_gives_other_weights() -> None:
    """The seed matters; the folder, the clock and the order of specs do not."""
    data = arrays()
    one, two = train_cohort([spec(1), spec(2)], data)
    assert one.outcome is not None
    assert two.outcome is not None
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
    assert result.outcome is not None
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
    assert result is not None
    assert result.state == "complete"
    assert result.metrics["val_accuracy"] > 0.5


def test_the_engine_tests_itself() -> None:
    """Here lanes agree with solo training, so cohorts are used."""
    assert lanes_agree()


def test_numbers_have_not_changed() -> None:
    """The golden curve holds to 1e-4 on any machine; a change of arithmetic raises TRAINING_VERSION and renews it.

    To renew: python -m tests.training.renew_golden
    """
    golden = json.loads(GOLDEN.read_text())
    assert golden["version"] == TRAINING_VERSION
    for case in golden["cases"]:
        outcome = train(spec(case["seed"], 5, STOPPING, **case["params"]), arrays()).outcome
        assert outcome is not None
        history = record_json(outcome)["history"]
        assert len(history) == len(case["history"])
        for entry, expected in zip(history, case["history"], strict=True):
            assert entry["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-4)
            assert entry["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-4)
