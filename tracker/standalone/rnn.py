"""A recurrent network over sequences (steps, channels), or over the rows of images, as a plain torch module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .layers import head, initialise, require_fitting
from .network import ModuleNetwork
from .transform import shape_of

ROWS_AT_ONCE = 512  # scored together
_CELLS: Mapping[str, Any] = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


class RecurrentNetwork(torch.nn.Module):
    """LSTM or GRU layers, what they say in the end, and a dense head.

    Its state dict has the names of the weights file: `recurrent.weight_ih_l0`, `head.output.weight`.
    """

    def __init__(self, params: Mapping[str, Any], shape: Sequence[int], classes: int, mask: bool = False) -> None:
        super().__init__()
        channels = shape[1] - mask if len(shape) == 2 else shape[0] * shape[2]
        self.is_masked = mask
        both, layers, units = params["bidirectional"], params["layers"], params["units"]
        between = params["dropout"] if layers > 1 else 0.0
        self.recurrent = _CELLS[params["cell"]](
            channels, units, layers, batch_first=True, bidirectional=both, dropout=between
        )
        self.is_averaged = params["readout"] == "average"
        self.directions = 2 if both else 1
        is_normed = params.get("layer_norm", False)
        self.norm = torch.nn.LayerNorm(units * self.directions) if is_normed else torch.nn.Identity()
        self.head = head(units * self.directions, params, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Rows (rows, steps, channels) or (rows, channels, height, width), whose height is the steps, to logits."""
        steps = x if x.dim() == 3 else x.transpose(1, 2).flatten(2)
        found: Tensor = self.head(self.norm(self._masked(steps) if self.is_masked else self._whole(steps)))
        return found

    def _whole(self, steps: Tensor) -> Tensor:
        outputs, state = self.recurrent(steps)
        return outputs.mean(1) if self.is_averaged else self._last(state)

    def _masked(self, steps: Tensor) -> Tensor:
        """What lies behind the end of a sequence is never read: the last channel says how many steps there are."""
        lengths = steps[..., -1].sum(1).clamp(min=1)
        packed = pack_padded_sequence(steps[..., :-1], lengths.long(), batch_first=True, enforce_sorted=False)
        outputs, state = self.recurrent(packed)
        if not self.is_averaged:
            return self._last(state)
        return pad_packed_sequence(outputs, batch_first=True)[0].sum(1) / lengths[:, None]

    def _last(self, state: Any) -> Tensor:
        last = state[0] if isinstance(state, tuple) else state  # (layers * directions, rows, units)
        return torch.cat(list(last[-self.directions :]), 1)


def network(params: Mapping[str, Any], shape: Sequence[int], classes: int, mask: bool = False) -> RecurrentNetwork:
    """The network of hyperparameters on rows of that shape; initial weights come from torch's global generator.

    With `mask` the last channel is 1 for each step that is there, else 0.
    """
    net = RecurrentNetwork(params, shape, classes, mask)
    initialise(net, params["weight_init"])
    return net


def open_network(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ModuleNetwork:
    """The network of a description, with its weights. Raises ValueError where these are of another network."""
    params, shape = description["params"], shape_of(description["preprocessing"])
    if len(shape) not in {2, 3}:
        raise ValueError(f"the model's rows have no shape that it could read ({list(shape)})")
    with torch.device("meta"):  # no weights are drawn, and none are made before they fit
        mask = bool(description["preprocessing"].get("mask"))
        net = RecurrentNetwork(params, shape, len(description["labels"]), mask)
    require_fitting(net, tensors)
    net.load_state_dict(dict(tensors), assign=True)
    return ModuleNetwork(net, len(description["labels"]), shape=shape, rows_at_once=ROWS_AT_ONCE)
