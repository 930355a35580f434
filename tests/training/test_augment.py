"""Augmentation: neutral it changes nothing; what a row becomes follows from seed, epoch and row; held against plain code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.cases import STOPPING
from tests.training.cases import arrays as table_arrays
from tests.training.cases import spec as mlp_spec
from tracker.families.family import open_family, train, train_cohort
from tracker.hyperparameters import AUGMENTATION, FAMILIES, active
from tracker.records import TrialSpec
from tracker.training.arrays import Arrays
from tracker.training.augment import Augmentation, move, quantiles, words

IMAGE, SEQUENCE = (2, 7, 5), (9, 3)
NEUTRAL = {name: knob.neutral for name, knob in AUGMENTATION.items()}
ALL_OF: Mapping[tuple[int, ...], dict[str, Any]] = {
    IMAGE: {"augment_shift": 2, "augment_rotate": 30.0, "augment_flip": True, "augment_erase": 0.5},
    SEQUENCE: {"augment_scale": 0.3, "augment_mask": 0.5},
    (): {"augment_drop": 0.4},
}


def rows_of(shape: tuple[int, ...], rows: int = 60, mask: bool = False) -> Arrays:
    """Rows of three classes; of sequences with a mask the last channel tells lengths from 3 on."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, *(shape or (6,)))).astype(np.float32)
    if mask:
        x[..., -1] = np.arange(shape[0]) < rng.integers(3, shape[0] + 1, rows)[:, None]
        x[..., :-1] *= x[..., -1:]
    y = rng.integers(0, 3, rows).astype(np.int64)
    x = x.reshape(rows, -1)
    return Arrays(x, y, x[:20], y[:20], 3, None, ("a", "b", "c"), shape=shape, mask=mask)


def augmentation(shape: tuple[int, ...], seed: int = 5, mask: bool = False, **params: Any) -> Augmentation:
    found = Augmentation.of(TrialSpec("mlp", params, {"epochs": 1}, seed, {}, "test", 4), rows_of(shape, mask=mask))
    assert found is not None
    return found


def test_neutral_values_are_as_if_there_were_none() -> None:
    """Neither parameters nor keys nor numbers of a run change where every knob is at its neutral value."""
    plain, neutral = mlp_spec(3, 2, dropout=0.2), mlp_spec(3, 2, dropout=0.2, **NEUTRAL)
    assert (plain.params, plain.key) == (neutral.params, neutral.key)
    told = replace(plain, params={**plain.params, **NEUTRAL})
    assert plain.key == told.key
    assert train(plain, table_arrays()).outcome == train(told, table_arrays()).outcome
    assert Augmentation.of(told, table_arrays()) is None


@pytest.mark.parametrize("shape", ALL_OF, ids=str)
def test_what_a_row_becomes_depends_on_nothing_but_seed_epoch_and_row(shape: tuple[int, ...]) -> None:
    """Any order, any batch, any other rows: the same bits; another epoch or seed: others."""
    one = augmentation(shape, **ALL_OF[shape], augment_noise=0.1, augment_mixup=0.5)
    order = np.random.default_rng(0).permutation(60)
    whole = one.rows(3, np.arange(60))
    assert whole.dtype == np.float32
    assert np.array_equal(whole[order], one.rows(3, order))
    assert np.array_equal(whole[[7]], one.rows(3, np.array([7])))
    other_seed = augmentation(shape, 6, **ALL_OF[shape], augment_noise=0.1, augment_mixup=0.5)
    for other in (one.rows(4, order), other_seed.rows(3, order)):
        assert (other != whole[order]).any(axis=1).all()


def test_words_are_those_of_splitmix64() -> None:
    """The first three of a counter that starts at key 1234567, as Vigna's C code prints them."""
    assert words(1234567, np.array([0]), 3).tolist() == [
        [6457827717110365317, 3203168211198807973, 9817491932198370423]
    ]


def test_noise_has_the_distribution_that_it_says() -> None:
    """Mean 0, the given standard deviation, a normal's share within one and two of them; independent from row to row."""
    data = rows_of((), rows=4000)
    data = replace(data, x_train=np.zeros((4000, 6), np.float32))
    one = Augmentation.of(mlp_spec(1, augment_noise=0.5), data)
    assert one is not None
    noise = one.rows(1, np.arange(4000)) / 0.5
    assert abs(noise.mean()) < 0.03
    assert noise.std() == pytest.approx(1, abs=0.02)
    assert [(np.abs(noise) < limit).mean() for limit in (1, 2)] == pytest.approx([0.6827, 0.9545], abs=0.02)
    assert np.abs(np.corrcoef(noise.T) - np.eye(6)).max() < 0.06
    assert quantiles().tolist() == sorted(quantiles().tolist())


def test_images_move_as_torch_moves_them() -> None:
    """Mirror, turn and shift are `grid_sample` with the same matrix, interpolated between pixels, edges repeated."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(8, *IMAGE)).astype(np.float32)
    angles, down, right = rng.uniform(-3, 3, 8), rng.integers(-3, 4, 8), rng.integers(-3, 4, 8)
    flip = rng.random(8) < 0.5
    height, width = IMAGE[1:]
    grid = np.empty((8, height, width, 2), np.float32)
    for n in range(8):
        for i in range(height):
            for j in range(width):
                y, x = i - down[n] - (height - 1) / 2, j - right[n] - (width - 1) / 2
                cos, sin = math.cos(angles[n]), math.sin(angles[n])
                found_y = min(max(y * cos - x * sin + (height - 1) / 2, 0), height - 1)
                found_x = min(max(y * sin + x * cos + (width - 1) / 2, 0), width - 1)
                found_x = width - 1 - found_x if flip[n] else found_x
                grid[n, i, j] = 2 * found_x / (width - 1) - 1, 2 * found_y / (height - 1) - 1
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(images), torch.from_numpy(grid), padding_mode="border", align_corners=True
    )
    moved = torch.from_numpy(move(images, angles, down, right, flip))
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)


def test_whole_pixels_move_bit_for_bit() -> None:
    """Without a turn an image is shifted and mirrored as it is; shift 1 gives the nine moves, and no other."""
    one = augmentation(IMAGE, augment_shift=1, augment_flip=True)
    before, after = one.x.reshape(-1, *IMAGE), one.rows(2, np.arange(60)).reshape(-1, *IMAGE)
    seen = set()
    for image, found in zip(before, after, strict=True):
        moves = {
            (down, right, flip): np.roll(np.pad(mirrored, ((0, 0), (1, 1), (1, 1)), "edge"), (down, right), (1, 2))
            for flip, mirrored in ((False, image), (True, image[..., ::-1]))
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
        }
        [fits] = [key for key, moved in moves.items() if np.array_equal(moved[:, 1:-1, 1:-1], found)]
        seen.add(fits)
    assert len(seen) == 18


def test_erasing_takes_one_rectangle_of_all_channels() -> None:
    """What is 0 is a rectangle with sides of at most the share; the rest is as it was."""
    one = augmentation(IMAGE, augment_erase=0.6)
    after = one.rows(1, np.arange(60)).reshape(-1, *IMAGE)
    changed = after != one.x.reshape(-1, *IMAGE)
    assert not after[changed].any()
    sizes = set()
    for image in changed:
        assert np.array_equal(image[0], image[1])
        tall, wide = image[0].any(axis=1), image[0].any(axis=0)
        assert np.array_equal(image[0], tall[:, None] & wide[None, :])
        sizes.add((int(tall.sum()), int(wide.sum())))
    assert max(tall for tall, _ in sizes) == 4
    assert max(wide for _, wide in sizes) == 3


def test_sequences_are_scaled_by_channel_and_lose_steps_in_a_row() -> None:
    """All steps of a channel have one factor; steps that are hidden are neighbours, at most the share of them."""
    one = augmentation(SEQUENCE, augment_scale=0.2)
    factors = (one.rows(1, np.arange(60)) / one.x).reshape(-1, *SEQUENCE)
    assert np.allclose(factors, factors[:, :1], rtol=1e-5)
    assert factors[:, 0].std() == pytest.approx(0.2, rel=0.2)
    masked = augmentation(SEQUENCE, augment_mask=0.5).rows(1, np.arange(60)).reshape(-1, *SEQUENCE)
    hidden = (masked == 0).all(axis=2)
    assert np.array_equal(hidden, (masked == 0).any(axis=2))
    assert set(hidden.sum(axis=1)) == set(range(5))
    assert (np.abs(np.diff(np.pad(hidden, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1) <= 2).all()


def test_the_end_of_a_sequence_stays_its_end() -> None:
    """Padding stays 0 and the mask as it is, whatever is added or hidden; mixed sequences are as long as the longer one."""
    knobs = {"augment_scale": 0.2, "augment_mask": 0.5, "augment_noise": 0.3}
    one = augmentation(SEQUENCE, mask=True, **knobs)
    before, after = one.x.reshape(-1, *SEQUENCE), one.rows(1, np.arange(60)).reshape(-1, *SEQUENCE)
    assert np.array_equal(before[..., -1], after[..., -1])
    assert not (after[..., :-1] * (1 - after[..., -1:])).any()
    mixed = augmentation(SEQUENCE, mask=True, augment_mixup=1.0)
    partners = mixed.mix(1, np.arange(60)).partners  # type: ignore[union-attr]
    lengths = before[..., -1].sum(axis=1)
    found = mixed.rows(1, np.arange(60)).reshape(-1, *SEQUENCE)[..., -1]
    assert set(np.unique(found)) == {0.0, 1.0}
    assert np.array_equal(found.sum(axis=1), np.maximum(lengths, lengths[partners]))


def test_features_of_a_table_are_dropped_one_by_one() -> None:
    """A feature is 0 with the given probability, else as it was."""
    one = augmentation((), augment_drop=0.3)
    found = one.rows(1, np.arange(60))
    assert ((found == 0) | (found == one.x)).all()
    assert (found == 0).mean() == pytest.approx(0.3, abs=0.07)


def plain_epoch(run: TrialSpec, data: Arrays, net: torch.nn.Module, weights: torch.Tensor | None = None) -> float:
    """One epoch of one batch of all rows, by plain PyTorch with soft truths; the loss before the step."""
    one = Augmentation.of(run, data)
    assert one is not None
    x = torch.from_numpy(one.rows(1, np.arange(len(data.y_train))).reshape(-1, *(data.shape or data.x_train.shape[1:])))
    truth = torch.nn.functional.one_hot(torch.from_numpy(data.y_train), 3).float()
    counts = torch.ones(len(truth)) if weights is None else truth @ weights
    mix = one.mix(1, np.arange(len(truth)))
    if mix is not None:
        share = torch.from_numpy(mix.shares)
        truth = share[:, None] * truth + (1 - share[:, None]) * truth[torch.from_numpy(mix.partners)]
        counts = counts if weights is None else share * counts + (1 - share) * counts[torch.from_numpy(mix.partners)]
    steps = torch.optim.SGD(net.parameters(), lr=0.3)
    losses = -(torch.log_softmax(net(x), 1) * truth).sum(1)
    ((losses * counts).sum() / counts.sum()).backward()
    steps.step()
    return float(losses.detach().mean())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", ALL_OF, ids=str)
def test_mixup_trains_on_soft_truths_as_plain_pytorch_does(shape: tuple[int, ...], weighted: bool) -> None:
    """In lanes and alone: one step on varied, mixed rows, weighted by class or not, moves all weights alike."""
    data = rows_of(shape)
    weights = {"a": 0.5, "b": 4.0, "c": 1.0} if weighted else "none"
    knobs = {"optimizer": "sgd", "learning_rate": 0.3, "batch_size": 64, "augment_mixup": 0.7, "augment_noise": 0.1}
    knobs |= {**ALL_OF[shape], "class_weights": weights}
    told = torch.tensor([0.5, 4.0, 1.0]) if weighted else None
    from safetensors.torch import load

    from tracker.families.mlp_layout import initial_tensors
    from tracker.standalone.mlp import load_module

    run = mlp_spec(3, 1, hidden_layers=1, units=5, activation="tanh", **knobs)
    net = load_module(run.params, initial_tensors(run, data.x_train.shape[1], 3))
    expected = plain_epoch(run, data, torch.nn.Sequential(torch.nn.Flatten(), net), told)
    result = train(run, data)
    assert result.outcome.history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(load(result.weights)[name], tensor, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]
    if not shape:
        return
    params = active("rnn", {"units": 4, "head_units": 0, **knobs})
    alone = TrialSpec("rnn", params, run.training, 3, {}, "test", FAMILIES["rnn"].numerics)
    rnn = open_family("rnn").start([alone], data, None)._built()  # type: ignore[attr-defined]
    expected = plain_epoch(alone, data, rnn, told)
    result = train(alone, data)
    assert result.outcome.history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)
    for name, tensor in rnn.state_dict().items():
        torch.testing.assert_close(load(result.weights)[name], tensor, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch_size", [7, 200])
def test_a_lane_is_what_it_is_alone(batch_size: int) -> None:
    """Varied lanes beside plain ones, some with mixup, dropout or weights, give the bits of each alone."""
    data = replace(table_arrays(rows=61), labels=("a", "b", "c"))
    knobs: list[dict[str, Any]] = [
        {},
        {"augment_noise": 0.2},
        {"augment_drop": 0.3, "augment_mixup": 0.4, "dropout": 0.2},
        {"augment_mixup": 1.0, "class_weights": "balanced", "label_smoothing": 0.1},
        {"class_weights": "balanced"},
    ]
    specs = [
        mlp_spec(n, 3, STOPPING, batch_size=batch_size, units=9, hidden_layers=1 + n % 2, **one)
        for n, one in enumerate(knobs)
    ]
    together = train_cohort(specs, data)
    assert [train(one, data).outcome for one in specs] == [result.outcome for result in together]
    assert len({result.outcome.weights for result in together}) == len(specs)


def test_validation_is_never_varied() -> None:
    """With a learning rate next to nothing, augmented training scores the same rows as plain training."""
    knobs = {"learning_rate": 1e-30, "optimizer": "sgd"}
    plain = train(mlp_spec(3, 2, **knobs), table_arrays()).outcome
    varied = train(mlp_spec(3, 2, augment_noise=3.0, augment_mixup=1.0, **knobs), table_arrays()).outcome
    assert plain.history[0]["val_loss"] == varied.history[0]["val_loss"]
    assert plain.history[0]["train_loss"] != varied.history[0]["train_loss"]


@pytest.mark.parametrize("family", ["mlp", "build"])
def test_a_table_is_told_what_suits_it(family: str) -> None:
    """Families that read rows of any shape name what is for images, and what to do, where rows have none."""
    told = open_family(family).input_fault({"augment_rotate": 10.0}, ())
    assert told == (
        "augment_rotate: is for images, and these are rows of a table; take augment_drop, augment_noise or augment_mixup; "
        "where they have a shape, say data.shape"
    )
    assert open_family(family).input_fault({"augment_rotate": 10.0, "augment_noise": 1.0}, IMAGE) is None
    assert open_family(family).input_fault({"augment_drop": 0.5, "augment_mixup": 1.0}, ()) is None
