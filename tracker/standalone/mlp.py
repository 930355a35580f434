"""Turns stacked parameters of fully connected networks and rows into logits: the forward pass in evaluation mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

BATCH_NORM_EPS = 1e-5
LEAKY_SLOPE = 0.01

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, LEAKY_SLOPE),
    "gelu": torch.nn.functional.gelu,
}


def module(sizes: Sequence[int], activation: str, batch_norm: bool, dropout: float) -> torch.nn.Sequential:
    """The network as a plain torch module; `sizes` are features, hidden widths, classes.

    Its state dict has the names of the weights file: `hidden.0.weight` (out, in), `norm.0.weight`, `output.weight`.
    """
    kinds = {
        "sigmoid": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "leaky_relu": torch.nn.LeakyReLU,
        "gelu": torch.nn.GELU,
    }
    layers: list[tuple[str, torch.nn.Module]] = []
    for index, (inputs, outputs) in enumerate(zip(sizes[:-2], sizes[1:-1], strict=True)):
        layers.append((f"hidden_{index}", torch.nn.Linear(inputs, outputs)))
        if batch_norm:
            layers.append((f"norm_{index}", torch.nn.BatchNorm1d(outputs, eps=BATCH_NORM_EPS)))
        layers.append((f"activation_{index}", kinds[activation]()))
        layers.append((f"dropout_{index}", torch.nn.Dropout(dropout)))
    layers.append(("output", torch.nn.Linear(sizes[-2], sizes[-1])))
    net = torch.nn.Sequential()
    for name, layer in layers:
        net.add_module(name, layer)
    return net.eval()
