"""Fully connected networks as stacked lanes: which share a shape, initial weights, where each number lies in memory.

A layer that batch norm follows has no bias: the norm takes any constant away again, so the gradient of such a bias is
rounding noise, which adaptive optimizers would blow up. In front of layer norm a bias counts, and stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracker.records import TrialSpec
from tracker.seeds import torch_generator
from tracker.standalone.layers import SPREAD
from tracker.standalone.mlp import hidden_sizes, multiple_of_8, norm_of, padded_width


@dataclass(frozen=True, slots=True)
class Shape:
    """What trials must share to train as lanes of one cohort; depth, widths within `width` and all else may differ."""

    features: int
    classes: int
    width: int
    batch_size: int
    norm: str  # see `tracker.standalone.mlp.norm_of`

    @property
    def numbers(self) -> int:
        """Parameters of a lane with two hidden layers, for deciding how many lanes fit a core's cache."""
        inputs, outputs = multiple_of_8(self.features), multiple_of_8(self.classes)
        return (inputs + self.width + outputs) * max(self.width, outputs)


def shape_of(spec: TrialSpec, features: int, classes: int) -> Shape:
    """The shape of a trial's network on data of so many features and classes; it depends on the spec alone."""
    hidden = hidden_sizes(spec.params)
    width = padded_width(max(hidden)) if hidden else 0
    return Shape(features, classes, width, spec.params["batch_size"], norm_of(spec.params) if hidden else "none")


def lane_order(spec: TrialSpec) -> tuple[int, str]:
    """Sorts lanes so that deeper ones come first and equal activations stand together."""
    return -spec.params["hidden_layers"], spec.params["activation"]


def initial_tensors(spec: TrialSpec, features: int, classes: int) -> dict[str, Tensor]:
    """The initial weights of one trial, drawn from its seed alone, under the names of the weights file."""
    generator = torch_generator(spec.seed, "init")
    sizes = [features, *hidden_sizes(spec.params), classes]
    tensors: dict[str, Tensor] = {}
    for index in range(len(sizes) - 1):
        name = "output" if index == len(sizes) - 2 else f"hidden_{index}"
        inputs, outputs = sizes[index], sizes[index + 1]
        norm = "none" if name == "output" else norm_of(spec.params)
        weight, bias = torch.empty(outputs, inputs), None if norm == "batch" else torch.zeros(outputs)
        _initialise(spec.params["weight_init"], weight, bias, generator)
        tensors |= {f"{name}.weight": weight} if bias is None else {f"{name}.weight": weight, f"{name}.bias": bias}
        if norm != "none":
            tensors |= {f"norm_{index}.weight": torch.ones(outputs), f"norm_{index}.bias": torch.zeros(outputs)}
        if norm == "batch":
            tensors |= {
                f"norm_{index}.running_mean": torch.zeros(outputs),
                f"norm_{index}.running_var": torch.ones(outputs),
            }
    return tensors


def _initialise(kind: str, weight: Tensor, bias: Tensor | None, generator: torch.Generator) -> None:
    init = torch.nn.init
    if kind == "default":  # what torch.nn.Linear does
        init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
        bound = 1 / math.sqrt(weight.shape[1])
        if bias is not None:
            init.uniform_(bias, -bound, bound, generator=generator)
    elif kind == "uniform":
        init.uniform_(weight, -SPREAD, SPREAD, generator=generator)
    elif kind == "normal":
        init.normal_(weight, std=SPREAD, generator=generator)
    elif kind.startswith("kaiming"):
        kaiming = init.kaiming_uniform_ if kind == "kaiming_uniform" else init.kaiming_normal_
        kaiming(weight, nonlinearity="relu", generator=generator)
    elif kind.startswith("xavier"):
        xavier = init.xavier_uniform_ if kind == "xavier_uniform" else init.xavier_normal_
        xavier(weight, generator=generator)
    else:
        init.orthogonal_(weight, generator=generator)


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer of a cohort: how many lanes have it (always the first ones), its padded sizes, its name."""

    name: str
    lanes: int
    inputs: int
    outputs: int
    norm: str

    @property
    def rows(self) -> tuple[bool, bool]:
        """Whether there is a bias, and weight and bias of a norm."""
        return self.norm != "batch", self.norm != "none"

    @property
    def numbers(self) -> int:
        """Trainable numbers of a lane in this layer, rounded up so that every layer starts on a 64-byte boundary."""
        has_bias, has_norm = self.rows
        numbers = (self.inputs + has_bias + 2 * has_norm) * self.outputs
        return -(-numbers // 16) * 16


def plan_layers(specs: Sequence[TrialSpec], shape: Shape) -> list[LayerPlan]:
    """The layers of a cohort whose specs are in lane order, hidden ones first, the output last."""
    depths = [spec.params["hidden_layers"] for spec in specs]
    inputs, outputs = multiple_of_8(shape.features), multiple_of_8(shape.classes)
    layers = []
    for index in range(depths[0]):
        lanes = sum(depth > index for depth in depths)
        size = inputs if index == 0 else shape.width
        layers.append(LayerPlan(f"hidden_{index}", lanes, size, shape.width, shape.norm))
    last = shape.width if depths[0] else inputs
    return [*layers, LayerPlan("output", len(specs), last, outputs, "none")]


class Buffer:
    """One number per parameter of every lane (values, gradients, a moment ...), as few blocks (lanes, numbers).

    Layers that the same lanes have share a block, so that an optimizer's step is a handful of operations.
    """

    def __init__(self, plan: Sequence[LayerPlan]) -> None:
        self.plan = list(plan)
        counts = sorted({layer.lanes for layer in plan}, reverse=True)
        widths = {count: sum(layer.numbers for layer in plan if layer.lanes == count) for count in counts}
        self.blocks = [torch.zeros(count, widths[count]) for count in counts]
        offsets = dict.fromkeys(counts, 0)
        self.weight: list[Tensor] = []
        self.bias: list[Tensor | None] = []  # None where batch norm follows
        self.norm: list[tuple[Tensor, Tensor] | None] = []
        for layer in plan:
            block = self.blocks[counts.index(layer.lanes)]
            offset = offsets[layer.lanes]
            area = layer.inputs * layer.outputs
            self.weight.append(block[:, offset : offset + area].view(-1, layer.inputs, layer.outputs))
            has_bias, has_norm = layer.rows
            ends = range(offset + area, offset + area + (has_bias + 2 * has_norm) * layer.outputs, layer.outputs)
            rows = [block[:, end : end + layer.outputs].view(-1, 1, layer.outputs) for end in ends]
            self.bias.append(rows[0] if has_bias else None)
            self.norm.append((rows[-2], rows[-1]) if has_norm else None)
            offsets[layer.lanes] += layer.numbers

    def keep(self, other: Buffer, lanes: Sequence[int]) -> None:
        """Takes the given lanes (ascending) of another buffer as its own lanes 0, 1, ..."""
        places = {layer.name: index for index, layer in enumerate(other.plan)}
        for index, layer in enumerate(self.plan):
            rows, place = torch.tensor(lanes[: layer.lanes]), places[layer.name]
            self.weight[index].copy_(other.weight[place][rows])
            for mine, theirs in zip(self.rows_of(index), other.rows_of(place), strict=True):
                mine.copy_(theirs[rows])

    def rows_of(self, index: int) -> tuple[Tensor, ...]:
        """The bias of a layer, the weight and bias of its norm, as far as there are any, each (lanes, 1, outputs)."""
        bias, norm = self.bias[index], self.norm[index]
        return (*(() if bias is None else (bias,)), *(norm or ()))

    def read(self, lane: int, sizes: Sequence[int]) -> dict[str, Tensor]:
        """Copies of one lane's numbers in true sizes, under the names of the weights file."""
        tensors = {}
        for name, view in self._views(lane, sizes):
            tensors[name] = (view.T if view.dim() == 2 else view).clone().contiguous()
        return tensors

    def write(self, lane: int, sizes: Sequence[int], tensors: Mapping[str, Tensor]) -> None:
        """Puts one lane's numbers, given in true sizes, in their places; padding is left as it is."""
        for name, view in self._views(lane, sizes):
            view.copy_(tensors[name].T if view.dim() == 2 else tensors[name])

    def _views(self, lane: int, sizes: Sequence[int]) -> list[tuple[str, Tensor]]:
        views: list[tuple[str, Tensor]] = []
        for index, layer in enumerate(self.plan):
            if lane >= layer.lanes:
                continue
            last = layer.name == "output"
            inputs, outputs = sizes[-2 if last else index], sizes[-1 if last else index + 1]
            views.append((f"{layer.name}.weight", self.weight[index][lane, :inputs, :outputs]))
            has_bias, has_norm = layer.rows
            names = [f"{layer.name}.bias"] * has_bias + [f"norm_{index}.weight", f"norm_{index}.bias"] * has_norm
            views += [(name, row[lane, 0, :outputs]) for name, row in zip(names, self.rows_of(index), strict=True)]
        return views


def lane_sizes(spec: TrialSpec, shape: Shape) -> list[int]:
    """Features, true hidden widths, classes of one lane."""
    sizes: list[Any] = [shape.features, *hidden_sizes(spec.params), shape.classes]
    return sizes
