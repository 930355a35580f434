"""A convolutional network over images (channels, height, width) or sequences (steps, channels), as a plain torch module."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .layers import ACTIVATIONS, head, initialise, require_fitting
from .network import ModuleNetwork
from .transform import shape_of

ROWS_AT_ONCE = 512  # scored together: the maps of 8192 images would fill a machine
Size = tuple[int, ...]
_CONVOLUTIONS: Mapping[int, Any] = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d}
_NORMS: Mapping[int, Any] = {1: torch.nn.BatchNorm1d, 2: torch.nn.BatchNorm2d}
_POOLS: Mapping[tuple[str, int], Any] = {
    ("max", 1): torch.nn.MaxPool1d,
    ("max", 2): torch.nn.MaxPool2d,
    ("average", 1): torch.nn.AvgPool1d,
    ("average", 2): torch.nn.AvgPool2d,
}


def filters_of(params: Mapping[str, Any]) -> list[int]:
    """The filters of each block."""
    filters, blocks = params["filters"], params["blocks"]
    return list(filters) if isinstance(filters, list) else [filters] * blocks


def split_shape(shape: Sequence[int]) -> tuple[int, Size]:
    """Channels, and the size of a map: (height, width) of an image, (steps,) of a sequence, which has channels last."""
    return (shape[1], (shape[0],)) if len(shape) == 2 else (shape[0], tuple(shape[1:]))


def sizes_of(params: Mapping[str, Any], size: Size) -> Iterator[tuple[Size, Size]]:
    """The size of the maps that go into each block, and of those that come out of its convolution, before pooling."""
    kernel, stride = params["kernel_size"], params["stride"]
    for _ in range(params["blocks"]):
        if params["padding"] == "same":
            out = tuple(math.ceil(side / stride) for side in size)
        else:
            out = tuple((side - kernel) // stride + 1 for side in size)
        yield size, out
        size = out if params["pooling"] == "none" else tuple(side // params["pool_size"] for side in out)


def fault(params: Mapping[str, Any], shape: Sequence[int]) -> str | None:
    """What does not fit in rows of that shape, with the hyperparameters to blame; None where all does."""
    _, image = split_shape(shape)
    told, kernel, stride = _written(image), params["kernel_size"], params["stride"]
    if kernel > min(image):
        return f"kernel_size {kernel} is larger than the input ({told}); at most {min(image)}"
    if stride > min(image):
        return f"stride {stride} steps over the whole input ({told}); at most {min(image)}"
    for block, (size, out) in enumerate(sizes_of(params, image), start=1):
        if params["padding"] == "valid" and kernel > min(size):
            return (
                f"block {block} of {params['blocks']} gets maps of {_written(size)}, smaller than kernel_size {kernel}; take "
                "fewer blocks, a smaller kernel or stride, padding same, or pooling none"
            )
        if params["pooling"] != "none" and min(out) < params["pool_size"]:
            return (
                f"block {block} of {params['blocks']} has maps of {_written(out)}, of which pooling by {params['pool_size']} "
                "leaves nothing; take fewer blocks, a smaller stride or pool_size, or pooling none"
            )
    return None


def _written(size: Size) -> str:
    return f"{size[0]} steps" if len(size) == 1 else " x ".join(map(str, size))


class Block(torch.nn.Module):
    """Convolution, a norm where wanted, the block's input added where wanted, activation, pooling, dropout."""

    def __init__(self, channels: int, filters: int, size: Size, params: Mapping[str, Any]) -> None:
        super().__init__()
        kernel, stride, dims = params["kernel_size"], params["stride"], len(size)
        pads = [_pads(side, kernel, stride) if params["padding"] == "same" else (0, 0) for side in size]
        is_even = all(before == after for before, after in pads)
        # torch's order: the last side first
        self.pads = [] if is_even else [pad for pair in reversed(pads) for pad in pair]
        padding = tuple(before for before, _ in pads) if is_even else 0
        norm = params["batch_norm"]
        self.convolution = _CONVOLUTIONS[dims](channels, filters, kernel, stride, padding, bias=not norm)
        self.norm = _NORMS[dims](filters) if norm else torch.nn.Identity()
        if params.get("layer_norm", False):
            self.norm = torch.nn.GroupNorm(1, filters)  # layer norm over channels and places, a weight per channel
        is_residual, is_same = params.get("residual", False), channels == filters and stride == 1
        self.shortcut: torch.nn.Module | None = None
        if is_residual:
            self.shortcut = torch.nn.Identity() if is_same else _CONVOLUTIONS[dims](channels, filters, 1, stride)
        pool = (
            torch.nn.Identity() if params["pooling"] == "none" else _POOLS[params["pooling"], dims](params["pool_size"])
        )
        self.rest = torch.nn.Sequential(ACTIVATIONS[params["activation"]](), pool, torch.nn.Dropout(params["dropout"]))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (rows, channels, *size) to maps (rows, filters, *smaller size)."""
        z = self.norm(self.convolution(torch.nn.functional.pad(x, self.pads) if self.pads else x))
        found: Tensor = self.rest(z if self.shortcut is None else z + self.shortcut(x))
        return found


def _pads(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, so that a side comes out as its length over the stride, rounded up."""
    total = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
    return total // 2, total - total // 2


class ConvolutionalNetwork(torch.nn.Module):
    """Blocks and a dense head. Its state dict has the names of the weights file: `block_0.convolution.weight`."""

    def __init__(self, params: Mapping[str, Any], shape: Sequence[int], classes: int) -> None:
        super().__init__()
        channels, size = split_shape(shape)
        self.is_sequence = len(shape) == 2
        self.blocks = torch.nn.Sequential()
        for index, filters in enumerate(filters_of(params)):
            sizes = list(sizes_of(params, size))
            self.blocks.add_module(f"block_{index}", Block(channels, filters, sizes[index][0], params))
            channels = filters
        last = sizes[-1][1]
        if params["pooling"] != "none":
            last = tuple(side // params["pool_size"] for side in last)
        self.is_averaged = params["readout"] == "average"
        self.head = head(channels if self.is_averaged else channels * math.prod(last), params, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Rows (rows, channels, height, width) or (rows, steps, channels) to logits (rows, classes)."""
        maps = self.blocks(x.transpose(1, 2) if self.is_sequence else x)
        found: Tensor = self.head(maps.flatten(2).mean(2) if self.is_averaged else maps.flatten(1))
        return found


def network(params: Mapping[str, Any], shape: Sequence[int], classes: int, mask: bool = False) -> ConvolutionalNetwork:
    """The network of hyperparameters on rows of that shape; initial weights come from torch's global generator.

    A `mask` is a channel like the others.
    """
    del mask
    net = ConvolutionalNetwork(params, shape, classes)
    initialise(net, params["weight_init"])
    return net


def open_network(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> ModuleNetwork:
    """The network of a description, with its weights. Raises ValueError where these are of another network."""
    params, shape = description["params"], shape_of(description["preprocessing"])
    if len(shape) not in {2, 3} or (found := fault(params, shape)):
        raise ValueError(
            f"the model's rows have no shape that it could read ({list(shape)})" if len(shape) < 2 else found
        )
    with torch.device("meta"):  # no weights are drawn, and none are made before they fit
        net = ConvolutionalNetwork(params, shape, len(description["labels"]))
    require_fitting(net, tensors)
    net.load_state_dict(dict(tensors), assign=True)
    return ModuleNetwork(net, len(description["labels"]), shape=shape, rows_at_once=ROWS_AT_ONCE)
