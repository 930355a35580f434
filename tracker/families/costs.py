"""What training costs, for estimates before anything runs: seconds of a step and of a row, from a network's layers.

The rates were measured on one core of 2022. A forecast that is within a factor of two or three is what they are for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tracker.standalone.tabular import PerColumn
from tracker.training.size import FORWARD_AND_BACKWARD

STEP_S = 5e-4  # of a cohort of fully connected networks, before any arithmetic
FLOPS = 1e10  # float32 operations a second at their sizes
ALONE_STEP_S = 1.5e-3  # of a module that trains alone: automatic differentiation and the optimizer
ALONE_FLOPS = 5e10
MAP_S = 1.5e-8  # per number in the maps of a convolution, with what norm, activation and pool do to it
CELL_S = {"GRU": 1.5e-4, "LSTM": 3e-5}  # per step of a sequence, layer and direction, however many rows


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a training step however many rows it has, and of each of its rows; parameters.

    The first are `shared` where the runs of a cohort pay them once, together.
    """

    step_s: float
    row_s: float
    numbers: int
    shared: bool = False


def cost_of_lanes(numbers: int) -> Cost:
    """Of fully connected networks with so many parameters, that train side by side."""
    return Cost(STEP_S, FORWARD_AND_BACKWARD * numbers / FLOPS, numbers, shared=True)


def cost_of_module(net: torch.nn.Module, shape: Sequence[int]) -> Cost:
    """Of a network on the device `meta` that reads rows of this shape: it is called once, and its layers counted."""
    count = _Count()
    handles = [layer.register_forward_hook(count.meet) for layer in net.modules()]
    for layer in net.modules():
        if isinstance(layer, torch.nn.RNNBase):  # on `meta` torch would go through every step, which takes a second
            layer.forward = partial(_shapes_of_cells, layer)
    with torch.no_grad():
        net.eval()(torch.empty(1, *shape, device="meta"))
    for handle in handles:
        handle.remove()
    numbers = sum(parameter.numel() for parameter in net.parameters())
    row_s = FORWARD_AND_BACKWARD * count.products / ALONE_FLOPS + MAP_S * count.maps
    return Cost(ALONE_STEP_S + count.cells_s, row_s, numbers)


def _shapes_of_cells(layer: torch.nn.RNNBase, x: Tensor) -> tuple[Tensor, Any]:
    """What a recurrent layer gives for rows (1, steps, channels), by its shapes alone."""
    directions = 2 if layer.bidirectional else 1
    state = x.new_empty(layer.num_layers * directions, len(x), layer.hidden_size)
    outputs = x.new_empty(*x.shape[:2], directions * layer.hidden_size)
    return outputs, (state, state) if isinstance(layer, torch.nn.LSTM) else state


class _Count:
    """Multiply-adds and numbers of maps per row, and what the steps of recurrent layers cost per batch."""

    def __init__(self) -> None:
        self.products, self.maps, self.cells_s = 0, 0, 0.0

    def meet(self, layer: torch.nn.Module, inputs: Any, output: Any) -> None:
        """A layer that was called with one row."""
        if isinstance(layer, torch.nn.Linear):
            self.products += layer.weight.numel() * (output.numel() // layer.out_features)
        elif isinstance(layer, PerColumn):
            self.products += layer.weight.numel()
        elif isinstance(layer, torch.nn.Conv1d | torch.nn.Conv2d):
            self.products += layer.weight.numel() * math.prod(output.shape[2:])
            self.maps += output.numel()
        elif isinstance(layer, torch.nn.RNNBase):
            self._meet_cells(layer, inputs[0])

    def _meet_cells(self, layer: torch.nn.RNNBase, x: Tensor) -> None:
        steps, directions = x.shape[1], 2 if layer.bidirectional else 1
        self.products += steps * sum(weight.numel() for weight in layer.parameters() if weight.dim() > 1)
        self.cells_s += steps * layer.num_layers * directions * CELL_S[layer.mode]
