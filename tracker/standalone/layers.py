"""What convolutional and recurrent networks have in common: activations, initial weights, the dense head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

SPREAD = 0.05  # of initial weights `uniform` (the bound) and `normal` (the standard deviation)
ACTIVATIONS: Mapping[str, Callable[[], torch.nn.Module]] = {
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "gelu": torch.nn.GELU,
}
INITS: Mapping[str, Callable[[Tensor], Any]] = {
    "uniform": lambda weight: torch.nn.init.uniform_(weight, -SPREAD, SPREAD),
    "normal": lambda weight: torch.nn.init.normal_(weight, std=SPREAD),
    "xavier_uniform": torch.nn.init.xavier_uniform_,
    "xavier_normal": torch.nn.init.xavier_normal_,
    "kaiming_uniform": lambda weight: torch.nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
    "kaiming_normal": lambda weight: torch.nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "orthogonal": torch.nn.init.orthogonal_,
}


def head(inputs: int, params: Mapping[str, Any], classes: int) -> torch.nn.Sequential:
    """From the features of a row to its logits: dropout, a hidden layer where `head_units` is above 0, the output."""
    net = torch.nn.Sequential()
    net.add_module("dropout", torch.nn.Dropout(params["dropout"]))
    if params["head_units"]:
        net.add_module("hidden", torch.nn.Linear(inputs, params["head_units"]))
        net.add_module("activation", ACTIVATIONS[params["activation"]]())
        net.add_module("dropout_hidden", torch.nn.Dropout(params["dropout"]))
    net.add_module("output", torch.nn.Linear(params["head_units"] or inputs, classes))
    return net


def initialise(module: torch.nn.Module, kind: str) -> None:
    """Fills all matrices and kernels from torch's global generator, and all their biases with zeros; `default` leaves torch's.

    Norms keep ones and zeros, whose tensors have one dimension, as biases have.
    """
    if kind == "default":
        return
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            INITS[kind](parameter)
        elif "bias" in name:
            torch.nn.init.zeros_(parameter)


def require_fitting(net: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Raises ValueError unless the tensors have the names and shapes of the network's."""
    wanted = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    if wanted != {name: tuple(tensor.shape) for name, tensor in tensors.items()}:
        raise ValueError("the weights are of another network than the hyperparameters describe")
