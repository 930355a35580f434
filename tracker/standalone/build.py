"""Opens a network of the user's own: the recorded `build` gives its structure, and the weights are put in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from .network import ModuleNetwork
from .recorded_code import open_recorded


def open_network(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> ModuleNetwork:
    """The network of a description, with its weights. Raises ValueError where its code no longer gives such a network."""
    return open_recorded(description, tensors, _build)


def _build(build: Callable[..., Any], description: Mapping[str, Any]) -> object:
    params = {name: list(v) if isinstance(v, list) else v for name, v in description["params"].items()}
    return build(params, (len(description["preprocessing"]["features"]),), len(description["labels"]))
