"""Transfer learning: a network begins with the weights of a parent; its first layers can stay as they are.

The layers of a network, in order, are the convolutional blocks, the recurrent layers, the hidden layers, or, of a module of
the user's own, its children with parameters; the output layer, the *head*, is the last of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from tracker.canonical import digest_bytes
from tracker.errors import TrackerError, TrainingError

RECURRENT = re.compile(r"recurrent\.\w+_l(\d+)(_reverse)?")
NORM = re.compile(r"norm_(?=\d+$)")  # of a fully connected network, whose norms belong to their layers
SHORT = 12  # digits of a digest that are told


class Misfit(TrainingError):
    """A network that cannot begin with its parent: what was `found`, at which layer, and a `remedy`.

    Its text is the reason that a failed trial records, so it stays as it is; None: both of these.
    """

    def __init__(self, found: str, remedy: str, text: str | None = None) -> None:
        self.found, self.remedy = found, remedy
        super().__init__(text or f"{found}; {remedy}")


def read_parent(parent: Mapping[str, str], folder: Path | Mapping[str, bytes] | None) -> dict[str, Tensor]:
    """The tensors of the weights that a spec's `parent` names. Raises TrackerError where they are not at hand."""
    digest = parent["weights"]
    path = (folder if isinstance(folder, Path) else Path()) / f"{digest}.safetensors"
    try:
        content = folder[path.name] if isinstance(folder, Mapping) else path.read_bytes()
    except (OSError, KeyError):
        raise TrackerError(
            f"{path}: the weights that this trial began with are not there; tune again, or put the file of SHA-256 "
            f"{digest[:SHORT]}... there"
        ) from None
    if digest_bytes(content) != digest:
        raise TrackerError(f"{path}: content differs from its name; delete it and tune again")
    tensors: dict[str, Tensor] = load(content)
    return tensors


def layer_of(name: str) -> str:
    """The layer to which a tensor of a state dict belongs."""
    if found := RECURRENT.match(name):
        return f"recurrent.l{found[1]}"
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in {"blocks", "head"} and len(parts) > 2 else NORM.sub("hidden_", parts[0])


def layers_of(names: Sequence[str]) -> list[str]:
    """The layers of a network, in order, the head last; `names` are those of its parameters."""
    return list(dict.fromkeys(map(layer_of, names)))


def adopt(own: Mapping[str, Tensor], theirs: Mapping[str, Tensor], head: str, is_kept: bool) -> dict[str, Tensor]:
    """A network's own tensors with the parent's in their place, but for a `head` that is not kept.

    Raises Misfit, which names the layer, where they do not fit.
    """
    wanted = [name for name in own if is_kept or layer_of(name) != head]
    for name in wanted:
        if name not in theirs:
            found = f"{layer_of(name)}: the parent has no {name}; its layers are {_listed(theirs)}"
            raise Misfit(found, "take the parent's family and layers", found)
        if own[name].shape != theirs[name].shape:
            found = f"{layer_of(name)}: {name} is {tuple(own[name].shape)}, the parent's {tuple(theirs[name].shape)}"
            alike = "take the hyperparameters, the shape of rows and the classes that the parent has"
            other_head = f"{alike}, or a head of its own: model.transfer.head: new"
            raise Misfit(found, other_head if layer_of(name) == head else alike, f"{found}; {other_head}")
    deeper = [layer for layer in layers_of(sorted(theirs)) if layer not in map(layer_of, own)]
    if deeper:
        raise Misfit(f"{deeper[0]}: the parent has this layer, the network has none", "take the parent's depth")
    return {name: theirs[name].to(tensor.dtype) if name in wanted else tensor for name, tensor in own.items()}


def _listed(tensors: Mapping[str, Tensor]) -> str:
    """Sorted: a file's tensors are read in another order each time."""
    return ", ".join(layers_of(sorted(tensors))[:20]) or "none"


def frozen_layers(names: Sequence[str], freeze: int) -> set[str]:
    """The first layers of a network with parameters of these names. Raises Misfit where the head is among them."""
    layers = layers_of(names)
    if freeze >= len(layers) and freeze:
        found = f"freeze: {freeze} leaves nothing to train of {len(layers)} layers ({', '.join(layers)})"
        raise Misfit(found, f"at most {len(layers) - 1}")
    return set(layers[:freeze])


def keep_still(module: torch.nn.Module, frozen: set[str]) -> None:
    """Parts that lie whole in a frozen layer run as in evaluation: no dropout, and norms keep their statistics."""
    for name, part in module.named_modules():
        inside = [f"{name}.{tensor}" for tensor in part.state_dict()]
        if name and inside and all(layer_of(tensor) in frozen for tensor in inside):
            part.eval()
