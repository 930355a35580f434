"""A recurrent network over sequences (steps, channels), or over the rows of images, as a plain torch module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .layers import head, initialise, require_fitting
from .network import ModuleNetwork
from .transform import shape_of

ROWS_AT_ONCE = 512  # scored together
_CELLS: Mapping[str, Any] = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


class RecurrentNetwork(torch.nn.Module):
    """LSTM or GRU layers, what they say in the end, and a dense head.

    Its state dict has the names of the weights file: `recurrent.weight_ih_l0`, `head.output.weight`.
    """

    def __init__(self, params: Mapping[str, Any], shape: Sequence[int], classes: int) -> None:
        super().__init__()
        channels = shape[1] if len(shape) == 2 else shape[0] * shape[2]
        both, layers, units = params["bidirectional"], params["layers"], params["units"]
        between = params["dropout"] if layers > 1 else 0.0
        self.recurrent = _CELLS[params["cell"]](
            channels, units, layers, batch_first=True, bidirectional=both, dropout=between
        )
        self.is_averaged = params["readout"] == "average"
        self.directions = 2 if both else 1
        self.head = head(units * self.directions, params, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Rows (rows, steps, channels) or (rows, channels, height, width), whose height is the steps, to logits."""
        steps = x if x.dim() == 3 else x.transpose(1, 2).flatten(2)
        outputs, state = self.recurrent(steps)
        last = state[0] if isinstance(state, tuple) else state  # (layers * directions, rows, units)
        told = outputs.mean(1) if self.is_averaged else torch.cat(list(last[-self.directions :]), 1)
        found: Tensor = self.head(told)
        return found


def network(params: Mapping[str, Any], shape: Sequence[int], classes: int) -> RecurrentNetwork:
    """The network of hyperparameters on rows of that shape; initial weights come from torch's global generator."""
    net = RecurrentNetwork(params, shape, classes)
    initialise(net, params["weight_init"])
    return net


def open_network(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ModuleNetwork:
    """The network of a description, with its weights. Raises ValueError where these are of another network."""
    params, shape = description["params"], shape_of(description["preprocessing"])
    if len(shape) not in {2, 3}:
        raise ValueError(f"the model's rows have no shape that it could read ({list(shape)})")
    with torch.device("meta"):  # no weights are drawn, and none are made before they fit
        net = RecurrentNetwork(params, shape, len(description["labels"]))
    require_fitting(net, tensors)
    net.load_state_dict(dict(tensors), assign=True)
    return ModuleNetwork(net, len(description["labels"]), shape=shape, rows_at_once=ROWS_AT_ONCE)
