"""A residual network over the columns of a table, which embeds numbers and categories, as a plain torch module.

Blocks are those of Gorishniy et al. 2021 (arXiv 2106.11959, 3.3), embeddings of numbers those of Gorishniy et al. 2022
(arXiv 2203.05556, 3.2 and 3.3); each number goes on beside its embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .layers import ACTIVATIONS, initialise, require_fitting
from .network import ModuleNetwork
from .transform import NUMBER, blocks_of

ROWS_AT_ONCE = 2048  # scored together


class PerColumn(torch.nn.Module):
    """A linear layer of its own for every column."""

    def __init__(self, columns: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(columns, inputs, outputs))
        self.bias = torch.nn.Parameter(torch.empty(columns, outputs))
        bound = 1 / math.sqrt(inputs)
        for parameter in (self.weight, self.bias):
            torch.nn.init.uniform_(parameter, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns, inputs) to (rows, columns, outputs)."""
        return torch.bmm(x.transpose(0, 1), self.weight).transpose(0, 1) + self.bias


class Piecewise(torch.nn.Module):
    """How far a number is through each of the bins between quantiles of the training rows: below 0, above 1."""

    edges: Tensor

    def __init__(self, columns: int, params: Mapping[str, Any]) -> None:
        super().__init__()
        self.outputs = params["bins"]
        self.register_buffer("edges", torch.zeros(columns, self.outputs + 1))

    def fit(self, x: np.ndarray) -> None:
        """Takes the bins from training rows (rows, columns)."""
        shares = np.linspace(0, 1, self.outputs + 1)
        self.edges.copy_(torch.from_numpy(np.quantile(x.astype(np.float64), shares, axis=0).T.astype(np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) to (rows, columns, bins); a bin without width, where a value repeats, gives 0."""
        width = self.edges.diff(dim=1)
        part = (x[..., None] - self.edges[:, :-1]) / torch.where(width > 0, width, torch.inf)
        return part.clamp(0.0, 1.0)


class Periodic(torch.nn.Module):
    """Cosines and sines of a number, of frequencies that are learned."""

    def __init__(self, columns: int, params: Mapping[str, Any]) -> None:
        super().__init__()
        count = params["frequencies"]
        self.outputs = 2 * count
        self.frequencies = torch.nn.Parameter(torch.empty(columns, count))
        torch.nn.init.normal_(self.frequencies, std=params["frequency_scale"])

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) to (rows, columns, 2 frequencies)."""
        angle = 2 * math.pi * self.frequencies * x[..., None]
        return torch.cat([torch.cos(angle), torch.sin(angle)], -1)


ENCODINGS: Mapping[str, Any] = {"piecewise": Piecewise, "periodic": Periodic}


class Numbers(torch.nn.Module):
    """Numbers, each beside its embedding: what encodes it, a linear layer of its own, a rectifier."""

    def __init__(self, columns: int, params: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoding = ENCODINGS[params["number_embedding"]](columns, params)
        width = params["embedding_width"]
        self.linear = PerColumn(columns, self.encoding.outputs, width)
        self.outputs = columns * (1 + width)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, columns) to (rows, columns times 1 + width)."""
        return torch.cat([x, torch.relu(self.linear(self.encoding(x))).flatten(1)], 1)


class RowsNorm(torch.nn.BatchNorm1d):
    """Batch norm that takes a batch of one row, which has no variance, by its running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """Rows (rows, units)."""
        if self.training and len(x) == 1:
            found: Tensor = torch.nn.functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
            return found
        return super().forward(x)


def norm(units: int, params: Mapping[str, Any]) -> torch.nn.Module:
    """What normalises a layer's units, where anything does."""
    if params["batch_norm"]:
        return RowsNorm(units)
    return torch.nn.LayerNorm(units) if params.get("layer_norm", False) else torch.nn.Identity()


class Block(torch.nn.Module):
    """What is added to its input: norm, a wider layer, activation, dropout, a layer back, dropout."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__()
        units, wide = params["units"], max(1, round(params["units"] * params["hidden_factor"]))
        self.norm = norm(units, params)
        self.wide = torch.nn.Linear(units, wide)
        self.activation = ACTIVATIONS[params["activation"]]()
        self.dropout = torch.nn.Dropout(params["dropout"])
        self.narrow = torch.nn.Linear(wide, units, bias=not params["batch_norm"])
        self.dropout_residual = torch.nn.Dropout(params["residual_dropout"])

    def forward(self, x: Tensor) -> Tensor:
        """(rows, units) to the same."""
        wide = self.dropout(self.activation(self.wide(self.norm(x))))
        found: Tensor = x + self.dropout_residual(self.narrow(wide))
        return found


class TabularNetwork(torch.nn.Module):
    """Embeddings, an entrance, residual blocks, and a head of norm, activation and output.

    `columns` says how many features each column became: NUMBER for a number, else the width of its categories. Layers whose
    sum goes through batch norm wherever it goes have no bias, which the norm would take away again.
    """

    def __init__(self, params: Mapping[str, Any], columns: Sequence[int], classes: int) -> None:
        super().__init__()
        places, at = [], 0
        for width in columns:
            places.append(list(range(at, at + max(1, width))))
            at += max(1, width)
        embedded, limit = params["category_width"], params["category_width"] or math.inf
        self.numbers = [at for [at, *_], width in zip(places, columns, strict=True) if width == NUMBER]
        self.wide = [place for place, width in zip(places, columns, strict=True) if width > limit]
        self.flags = [at for place, width in zip(places, columns, strict=True) if 0 < width <= limit for at in place]
        has_embedding = params["number_embedding"] != "none" and self.numbers
        self.embedding = Numbers(len(self.numbers), params) if has_embedding else torch.nn.Identity()
        self.categories = torch.nn.ModuleList(torch.nn.Linear(len(place), embedded, bias=False) for place in self.wide)
        inputs = self.embedding.outputs if isinstance(self.embedding, Numbers) else len(self.numbers)
        inputs += len(self.flags) + embedded * len(self.wide)
        units = params["units"]
        self.entrance = torch.nn.Linear(inputs, units, bias=not params["batch_norm"])
        self.blocks = torch.nn.Sequential()
        for index in range(params["blocks"]):
            self.blocks.add_module(f"block_{index}", Block(params))
        self.head = torch.nn.Sequential()
        self.head.add_module("norm", norm(units, params))
        self.head.add_module("activation", ACTIVATIONS[params["activation"]]())
        self.head.add_module("output", torch.nn.Linear(units, classes))

    def forward(self, x: Tensor) -> Tensor:
        """Rows (rows, features) to logits (rows, classes)."""
        parts = [self.embedding(x[:, self.numbers]), x[:, self.flags]]
        parts += [layer(x[:, place]) for layer, place in zip(self.categories, self.wide, strict=True)]
        found: Tensor = self.head(self.blocks(self.entrance(torch.cat(parts, 1))))
        return found


def network(
    params: Mapping[str, Any], columns: Sequence[int], classes: int, x_train: np.ndarray | None = None
) -> TabularNetwork:
    """The network of hyperparameters over columns; initial weights come from torch's global generator, bins from `x_train`."""
    net = TabularNetwork(params, columns, classes)
    for part in (net.entrance, net.blocks, net.head):
        initialise(part, params["weight_init"])
    if x_train is not None and isinstance(net.embedding, Numbers) and isinstance(net.embedding.encoding, Piecewise):
        net.embedding.encoding.fit(x_train[:, net.numbers])
    return net


def open_network(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ModuleNetwork:
    """The network of a description, with its weights. Raises ValueError where these are of another network."""
    params, classes = description["params"], len(description["labels"])
    with torch.device("meta"):  # no weights are drawn, and none are made before they fit
        net = TabularNetwork(params, blocks_of(description["preprocessing"]), classes)
    require_fitting(net, tensors)
    net.load_state_dict(dict(tensors), assign=True)
    return ModuleNetwork(net, classes, rows_at_once=ROWS_AT_ONCE)
