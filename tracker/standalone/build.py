"""Opens a network of the user's own: the recorded `build` gives its structure, and the weights are put in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from .network import ModuleNetwork
from .recorded_code import open_recorded
from .transform import shape_of

COLUMNS = "columns"


def open_network(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> ModuleNetwork:
    """The network of a description, with its weights. Raises ValueError where its code no longer gives such a network."""
    return open_recorded(description, tensors, _build)


def _build(build: Callable[..., Any], description: Mapping[str, Any]) -> object:
    params = {name: list(v) if isinstance(v, list) else v for name, v in description["params"].items()}
    state = description["preprocessing"]
    columns = tuple(state["features"])
    return call_build(build, params, shape_of(state) or (len(columns),), len(description["labels"]), columns)


def call_build(
    build: Callable[..., Any], params: Mapping[str, Any], shape: tuple[int, ...], classes: int, columns: tuple[str, ...]
) -> object:
    """What the user's function gives; where it has an argument `columns`, that gets the names of the features."""
    names = {COLUMNS: columns} if COLUMNS in inspect.signature(build).parameters else {}
    return build(params, shape, classes, **names)
