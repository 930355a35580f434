"""Opens a network that a loop of the user's own trained: the loop runs for one epoch on made-up rows, to give its structure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch

from .network import ModuleNetwork
from .recorded_code import open_recorded
from .transform import shape_of

ROWS_PER_CLASS = 4


def open_network(description: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> ModuleNetwork:
    """The network of a description, with its weights. Raises ValueError where the loop no longer gives such a network."""
    return open_recorded(description, tensors, _first_module)


def _first_module(fit: Callable[..., Any], description: Mapping[str, Any]) -> object:
    """The module of the first epoch that comes with one, else what the loop returns."""
    params = {name: list(v) if isinstance(v, list) else v for name, v in description["params"].items()}
    loop = fit({"epochs": 1, **params}, _rows(description), _rows(description), description["spec"]["seed"])
    while True:
        try:
            entry = next(loop)
        except StopIteration as end:
            return end.value
        if "model" in entry:
            loop.close()
            return entry["model"]


def _rows(description: Mapping[str, Any]) -> SimpleNamespace:
    """Rows of the right width, a few of each class."""
    labels, columns = tuple(description["labels"]), tuple(description["preprocessing"]["features"])
    count = ROWS_PER_CLASS * len(labels)
    shape = shape_of(description["preprocessing"]) or (len(columns),)
    x = torch.randn(count, *shape, generator=torch.Generator().manual_seed(0))
    y = torch.arange(count) % len(labels)
    return SimpleNamespace(x=x, y=y, labels=labels, columns=columns, positive=description["positive"])
