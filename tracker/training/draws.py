"""Turns (seed, purpose, epoch) into all that an epoch draws: the order of its rows, and dropout factors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tracker.models.mlp_lanes import MlpLanes
from tracker.seeds import bit_generator


def draw_batches(seed: int, epoch: int, count: int, size: int, padded: int) -> np.ndarray:
    """Row numbers (steps, padded) of an epoch in the lane's own order; `count` stands for no row."""
    steps = -(-count // size)
    order = np.argsort(bit_generator(seed, "shuffle", epoch).random_raw(count), kind="stable")
    flat = np.full(steps * size, count, np.int64)
    flat[:count] = order
    batches = np.full((steps, padded), count, np.int64)
    batches[:, : min(size, padded)] = flat.reshape(steps, size)[:, :padded]
    return batches


class Dropout:
    """Dropout factors of one epoch, each lane from its own generator, drawn step by step, layer by layer."""

    def __init__(self, lanes: MlpLanes, epoch: int, rows: int) -> None:
        self.lanes, self.rows = lanes, rows
        self.rates = [spec.params["dropout"] if lanes.hidden else 0.0 for spec in lanes.specs]
        self.generators = [
            bit_generator(spec.seed, "dropout", epoch) if rate else None
            for spec, rate in zip(lanes.specs, self.rates, strict=True)
        ]
        self.numbers = len(lanes.hidden) * lanes.shape.width if any(self.rates) else 0

    def masks(self, steps: int) -> list[Tensor] | None:
        """Factors (steps, lanes, rows, width) of each hidden layer: 0, or 1 / (1 - rate); None where nobody drops."""
        if not any(self.rates):
            return None
        width = self.lanes.shape.width
        masks = [torch.ones(steps, layer.lanes, self.rows, width) for layer in self.lanes.hidden]
        for lane, (rate, generator) in enumerate(zip(self.rates, self.generators, strict=True)):
            if generator is None:
                continue
            depth = self.lanes.specs[lane].params["hidden_layers"]
            words = generator.random_raw(steps * depth * self.rows * width // 4)
            bits = torch.from_numpy(words.view(np.int16)).view(steps, depth, self.rows, width)
            kept = (bits >= round(rate * 65536) - 32768).to(torch.float32).mul_(1 / (1 - rate))
            for index in range(depth):
                masks[index][:, lane] = kept[:, index]
        return masks
