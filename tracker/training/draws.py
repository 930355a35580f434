"""The order in which an epoch takes the training rows, from a seed and the number of the epoch."""

from __future__ import annotations

import numpy as np

from tracker.seeds import bit_generator


def draw_batches(seed: int, epoch: int, count: int, size: int, padded: int) -> np.ndarray:
    """Row numbers, int64 (steps, padded), of an epoch in the run's own order; `count` stands for no row."""
    steps = -(-count // size)
    order = np.argsort(bit_generator(seed, "shuffle", epoch).random_raw(count), kind="stable")
    flat = np.full(steps * size, count, np.int64)
    flat[:count] = order
    batches = np.full((steps, padded), count, np.int64)
    batches[:, : min(size, padded)] = flat.reshape(steps, size)[:, :padded]
    return batches
