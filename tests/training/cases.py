"""Specs and arrays for tests of training: small, odd, and drawn from named seeds."""

from __future__ import annotations

import numpy as np

from tracker.hyperparameters import FAMILIES, OPTIMIZERS, active
from tracker.network_knobs import ACTIVATIONS
from tracker.records import TrialSpec
from tracker.training.arrays import Arrays

STOPPING = {"monitor": "val_loss", "patience": 2}


def spec(seed: int = 1, epochs: int = 3, stopping: dict | None = None, **params: object) -> TrialSpec:
    """A trial of a small network."""
    training = {"epochs": epochs, "early_stopping": stopping, "device": "cpu"}
    return TrialSpec("mlp", active("mlp", params), training, seed, {}, "test", FAMILIES["mlp"].numerics)


def arrays(rows: int = 67, features: int = 5, classes: int = 3, seed: int = 0, validation: int = 29) -> Arrays:
    """Rows of classes that can be told apart, with noise."""
    rng = np.random.default_rng(seed)
    y = np.append(np.arange(classes), rng.integers(0, classes, rows + validation - classes)).astype(np.int64)
    x = (rng.normal(size=(classes, features))[y] + rng.normal(size=(len(y), features))).astype(np.float32)
    return Arrays(x[:rows], y[:rows], x[rows:], y[rows:], classes, 1 if classes == 2 else None)


def any_spec(rng: np.random.Generator, seed: int, cap: int, batch_size: int, norm: str, features: int) -> TrialSpec:
    """A trial with random knobs whose widths pad to the width of `cap`."""
    depth = int(rng.integers(0, 4)) if features > cap else int(rng.integers(1, 4))
    units = [int(rng.integers(cap // 2 + 1, cap + 1)) for _ in range(depth)]
    return spec(
        seed,
        epochs=int(rng.integers(2, 5)),
        stopping=STOPPING,
        hidden_layers=depth,
        units=units or 8,
        activation=str(rng.choice(ACTIVATIONS)),
        dropout=float(rng.choice([0.0, 0.1, 0.5])),
        batch_norm=norm == "batch",
        layer_norm=norm == "layer",
        optimizer=str(rng.choice(OPTIMIZERS)),
        momentum=float(rng.choice([0.0, 0.9])),
        learning_rate=float(10 ** rng.uniform(-4, 1)),
        weight_decay=float(rng.choice([0.0, 1e-3])),
        batch_size=batch_size,
        weight_init=str(rng.choice(["default", "xavier_uniform", "kaiming_normal", "orthogonal"])),
        weight_averaging=float(rng.choice([0.0, 0.0, 0.9])),
        schedule=str(rng.choice(["constant", "plateau"])),
        augment_noise=float(rng.choice([0.0, 0.1])),
    )
