"""Class probabilities of a fully connected network, bit for bit as in training.

Sizes are zero-padded exactly as the trainer pads them, because a matrix product of another size may round differently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

NORM_EPS = 1e-5
LEAKY_SLOPE = 0.01
NO_CLASS = -1e30  # the logit of a padded class: its probability is exactly 0
ROWS_AT_ONCE = 4096

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "leaky_relu": lambda x: torch.nn.functional.leaky_relu(x, LEAKY_SLOPE),
    "gelu": torch.nn.functional.gelu,
}
MODULES: dict[str, type[torch.nn.Module]] = {
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "leaky_relu": torch.nn.LeakyReLU,
    "gelu": torch.nn.GELU,
}
NORMS: dict[str, Callable[..., torch.nn.Module]] = {"batch": torch.nn.BatchNorm1d, "layer": torch.nn.LayerNorm}


def multiple_of_8(size: int) -> int:
    """The size of a padded dimension of rows, features or classes."""
    return -(-size // 8) * 8


def padded_width(size: int) -> int:
    """The padded width of hidden layers: 8, 16, then a multiple of 32 (measured: docs/decisions/0008)."""
    return max(8, 1 << (size - 1).bit_length()) if size <= 16 else -(-size // 32) * 32


def hidden_sizes(params: Mapping[str, Any]) -> list[int]:
    """The widths of the hidden layers that hyperparameters ask for."""
    units, layers = params["units"], params["hidden_layers"]
    return list(units) if isinstance(units, list) else [units] * layers


def norm_of(params: Mapping[str, Any]) -> str:
    """What stands between a hidden layer and its activation: `batch` norm, `layer` norm, or `none`."""
    return "batch" if params["batch_norm"] else "layer" if params.get("layer_norm", False) else "none"


def module(sizes: Sequence[int], activation: str, norm: str, dropout: float) -> torch.nn.Sequential:
    """The network as a plain torch module in evaluation mode; `sizes` are features, hidden widths, classes.

    Its state dict has the names of the weights file: `hidden_0.weight` (out, in), `norm_0.weight`, `output.weight`.
    """
    net = torch.nn.Sequential()
    for index, (inputs, outputs) in enumerate(pairwise(sizes[:-1])):
        net.add_module(f"hidden_{index}", torch.nn.Linear(inputs, outputs, bias=norm != "batch"))
        if norm != "none":
            net.add_module(f"norm_{index}", NORMS[norm](outputs, eps=NORM_EPS))
        net.add_module(f"activation_{index}", MODULES[activation]())
        net.add_module(f"dropout_{index}", torch.nn.Dropout(dropout))
    net.add_module("output", torch.nn.Linear(sizes[-2], sizes[-1]))
    return net.eval()


def network(params: Mapping[str, Any], features: int, classes: int) -> torch.nn.Sequential:
    """The network of hyperparameters as a plain torch module; its initial weights are torch's own, not those of training."""
    sizes = [features, *hidden_sizes(params), classes]
    return module(sizes, params["activation"], norm_of(params), params["dropout"])


def load_module(params: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> torch.nn.Sequential:
    """The trained network as a plain torch module, from hyperparameters and the tensors of its weights file."""
    output = tensors["output.weight"]
    features = tensors["hidden_0.weight"].shape[1] if hidden_sizes(params) else output.shape[1]
    net = network(params, features, output.shape[0])
    net.load_state_dict(dict(tensors))
    return net


def units_of(widths: Tensor, padded: int) -> tuple[Tensor, Tensor]:
    """Which of the padded units are real, 1 or 0 (lanes, 1, padded), and how many (lanes, 1, 1), of widths (lanes, 1)."""
    return (torch.arange(padded) < widths).float()[:, None], widths.float()[:, None]


def standard_of_units(z: Tensor, real: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Layer norm before its weight and bias: units (lanes, rows, padded) of mean 0 and variance 1, and 1 / deviation.

    Units that are none are 0 before and after.
    """
    centred = (z - z.sum(-1, keepdim=True) / count) * real
    inverse = torch.rsqrt((centred * centred).sum(-1, keepdim=True) / count + NORM_EPS)
    return centred * inverse, inverse


class MlpNetwork:
    """A fully connected network from its hyperparameters and the tensors of its weights file; see `network.Network`."""

    def __init__(self, params: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        self._params, self._tensors = params, tensors

    @property
    def module(self) -> torch.nn.Sequential:
        """As a plain torch module in evaluation mode."""
        return load_module(self._params, self._tensors)

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Computed as the trainer computes them."""
        return probabilities(self._params, self._tensors, x)


def open_network(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> MlpNetwork:
    """The network of a description, with its weights. Raises ValueError where these are of another network."""
    params = description["params"]
    _require_fitting(params, tensors, len(description["labels"]))
    return MlpNetwork(description["params"], tensors)


def _require_fitting(params: Mapping[str, Any], tensors: Mapping[str, Tensor], classes: int) -> None:
    """Compares widths with the tensors before anything is made of their size."""
    units, layers = params["units"], params["hidden_layers"]
    there = sum(name.startswith("hidden_") and name.endswith(".weight") for name in tensors)
    wanted = len(units) if isinstance(units, list) else layers
    if wanted != there or params["activation"] not in ACTIVATIONS or tensors["output.weight"].shape[0] != classes:
        raise ValueError("the weights are of another network than the hyperparameters describe")
    for index, width in enumerate(hidden_sizes(params)):
        if tensors[f"hidden_{index}.weight"].shape[0] != width:
            raise ValueError(f"hidden_{index}.weight is not {width} wide, as the hyperparameters say")


def probabilities(params: Mapping[str, Any], tensors: Mapping[str, Tensor], x: np.ndarray) -> np.ndarray:
    """Class probabilities, float32 (rows, classes), of float32 rows (rows, features)."""
    classes = tensors["output.weight"].shape[0]
    chunks = [x[start : start + ROWS_AT_ONCE] for start in range(0, len(x), ROWS_AT_ONCE)]
    parts = [_forward(params, tensors, chunk)[:, :classes] for chunk in chunks]
    return np.concatenate(parts) if parts else np.zeros((0, classes), np.float32)


def _forward(params: Mapping[str, Any], tensors: Mapping[str, Tensor], x: np.ndarray) -> np.ndarray:
    hidden = hidden_sizes(params)
    width, norm = padded_width(max(hidden)) if hidden else 0, norm_of(params)
    rows = torch.zeros(1, multiple_of_8(len(x)), multiple_of_8(x.shape[1]))
    rows[0, : len(x), : x.shape[1]] = torch.from_numpy(np.ascontiguousarray(x))
    for index in range(len(hidden)):
        z = _affine(tensors, f"hidden_{index}", rows, width, 0.0)
        if norm != "none":
            z = _normalise(tensors, f"norm_{index}", z, norm)
        rows = ACTIVATIONS[params["activation"]](z)
        if params["activation"] == "sigmoid":
            rows[..., hidden[index] :] = 0.0
    logits = _affine(tensors, "output", rows, multiple_of_8(tensors["output.weight"].shape[0]), NO_CLASS)
    result: np.ndarray = torch.exp(torch.log_softmax(logits, -1))[0, : len(x)].numpy()
    return result


def _affine(tensors: Mapping[str, Tensor], name: str, rows: Tensor, width: int, gap: float) -> Tensor:
    true = tensors[f"{name}.weight"]
    weight = torch.zeros(1, rows.shape[2], width)
    weight[0, : true.shape[1], : true.shape[0]] = true.T
    if f"{name}.bias" not in tensors:  # a norm follows
        return torch.bmm(rows, weight)
    bias = torch.full((1, 1, width), gap)
    bias[0, 0, : true.shape[0]] = tensors[f"{name}.bias"]
    return torch.baddbmm(bias, rows, weight)


def _normalise(tensors: Mapping[str, Tensor], name: str, z: Tensor, norm: str) -> Tensor:
    def wide(entry: str, gap: float) -> Tensor:
        row = torch.full((1, 1, z.shape[2]), gap)
        true = tensors[f"{name}.{entry}"]
        row[0, 0, : true.shape[0]] = true
        return row

    if norm == "layer":
        real = torch.tensor([[tensors[f"{name}.weight"].shape[0]]])
        return standard_of_units(z, *units_of(real, z.shape[2]))[0] * wide("weight", 0.0) + wide("bias", 0.0)
    scale = torch.rsqrt(wide("running_var", 1.0) + NORM_EPS)
    return (z - wide("running_mean", 0.0)) * scale * wide("weight", 0.0) + wide("bias", 0.0)
