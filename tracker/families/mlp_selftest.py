"""Checks on this machine that lanes give the bits of solo training; where they do not, trials train one by one."""

from __future__ import annotations

import numpy as np

from tracker.families.family import train, train_cohort
from tracker.hyperparameters import FAMILIES, OPTIMIZERS, active
from tracker.network_knobs import ACTIVATIONS
from tracker.records import TrialSpec
from tracker.seeds import bit_generator
from tracker.training.arrays import Arrays

CASES = (
    (7, 31, 3, "none"),
    (33, 8, 2, "none"),
    (16, 16, 10, "batch"),
    (100, 32, 3, "none"),
    (21, 32, 3, "layer"),
)


def lanes_agree() -> bool:
    """Whether cohorts of odd sizes, over all activations and optimizers, equal the same trials one by one."""
    return all(_case_agrees(index, *case) for index, case in enumerate(CASES))


def _case_agrees(index: int, units: int, batch_size: int, classes: int, norm: str) -> bool:
    specs = [_spec(index * 10 + lane, lane, units, batch_size, norm) for lane in range(len(ACTIVATIONS))]
    arrays = _arrays(index, classes)
    together = train_cohort(specs, arrays)
    return all(result.outcome == train(spec, arrays).outcome for spec, result in zip(specs, together, strict=True))


def _spec(seed: int, lane: int, units: int, batch_size: int, norm: str) -> TrialSpec:
    params = active(
        "mlp",
        {
            "hidden_layers": 1 + lane % 3,
            "units": units,
            "activation": ACTIVATIONS[lane],
            "dropout": 0.25 * (lane % 2),
            "batch_norm": norm == "batch",
            "layer_norm": norm == "layer",
            "optimizer": OPTIMIZERS[seed % len(OPTIMIZERS)],
            "momentum": 0.9,
            "learning_rate": 0.01,
            "weight_decay": 1e-3,
            "batch_size": batch_size,
        },
    )
    training = {"epochs": 2, "early_stopping": {"monitor": "val_loss", "patience": 1}, "device": "cpu"}
    return TrialSpec("mlp", params, training, seed, {}, "selftest", FAMILIES["mlp"].numerics)


def _arrays(index: int, classes: int) -> Arrays:
    rows, features = 67 + index, 3 + index
    words = bit_generator(index, "selftest").random_raw(2 * rows * features + 2 * rows)
    x = (words[: 2 * rows * features] / 2.0**63 - 1.0).astype(np.float32).reshape(2, rows, features)
    y = (words[2 * rows * features :] % classes).astype(np.int64).reshape(2, rows)
    return Arrays(x[0], y[0], x[1], y[1], classes, None)
