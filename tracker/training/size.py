"""How large a network is: its parameters, and the multiplications that one row costs it. Nothing is trained or drawn for it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from tracker.hyperparameters import COUNTED
from tracker.records import TrialSpec
from tracker.standalone.tabular import PerColumn, Periodic
from tracker.training.arrays import Arrays

FORWARD_AND_BACKWARD = 6  # operations per weight and row: two to multiply and add, three times


@dataclass(frozen=True, slots=True)
class Size:
    """Numbers that training sets, and multiplications with weights when one row goes through."""

    parameters: int
    multiplications: int


def network_size(
    family: str,
    params: Mapping[str, Any],
    shape: Sequence[int],
    classes: int,
    *,
    mask: bool = False,
    widths: Sequence[int] = (),
) -> Size:
    """The size of the network of these hyperparameters on rows of that shape (`(features,)` of a table).

    `widths` says which features of a table belong together (`tracker.standalone.transform.blocks_of`). Of a recurrent network
    every step of a sequence counts, though short ones stop early. Raises KeyError for a family whose networks are not ours.
    """
    if family not in COUNTED:
        raise KeyError(f"the networks of family {family} cannot be counted")
    written = importlib.import_module(f"tracker.standalone.{family}")
    with torch.device("meta"):
        if family == "mlp":
            net = written.network(params, prod(shape), classes)
        elif family == "tabular":
            net = written.network(params, widths, classes)
        else:
            kinds = {"cnn": "ConvolutionalNetwork", "rnn": "RecurrentNetwork"}
            masked = (mask,) if family == "rnn" else ()
            net = getattr(written, kinds[family])(params, shape, classes, *masked)
    return Size(sum(one.numel() for one in net.parameters()), _multiplications(net.eval(), family, shape))


def cost_metrics(
    spec: TrialSpec, epochs: int, arrays: Arrays, parameters: int | None = None
) -> dict[str, float | None]:
    """The costs that a run asks for (`tracker.goals`), after so many epochs; they follow from its shape, no clock decides.

    Of a network of the user's own they are its `parameters` alone, counted where it was trained.
    """
    if parameters is not None:
        return {"parameters": float(parameters)}
    size = network_size(
        spec.family, spec.params, arrays.input_shape, arrays.classes, mask=arrays.mask, widths=arrays.widths
    )
    flops = FORWARD_AND_BACKWARD * size.multiplications * len(arrays.x_train) * epochs
    found = {"parameters": float(size.parameters), "training_flops": float(flops)}
    return {name: found[name] for name in spec.training["costs"]}


def _multiplications(net: nn.Module, family: str, shape: Sequence[int]) -> int:
    """Each weight of a dense layer once, of a recurrent one once a step, of a convolution once for each place on the map.

    The frequencies of a periodic embedding are weights, too.
    """
    if family != "cnn":
        steps = shape[0] if len(shape) == 2 else shape[1] if len(shape) == 3 else 1
        return sum(
            weight.numel() * (steps if isinstance(part, nn.RNNBase) else 1)
            for part in net.modules()
            for name, weight in part.named_parameters(recurse=False)
            if isinstance(part, nn.Linear | nn.RNNBase | PerColumn | Periodic) and "bias" not in name
        )
    counts: list[int] = []

    def count(part: nn.Module, _: Any, out: Tensor) -> None:
        weight = part.get_parameter("weight")
        counts.append(weight.numel() * prod(out.shape[2:]))

    hooks = [part.register_forward_hook(count) for part in net.modules()
             if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d)]  # fmt: skip
    with torch.no_grad():
        net(torch.empty((1, *shape), device="meta"))
    for hook in hooks:
        hook.remove()
    return sum(counts)
