"""What an opened network gives: class probabilities of preprocessed rows, and itself as a torch module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch

ROWS_AT_ONCE = 8192


class Network(Protocol):
    """A trained network without its preprocessing."""

    @property
    def module(self) -> Any:
        """It as a torch module in evaluation mode; rows (rows, features), or (rows, *shape), to logits (rows, classes).

        Of a family of estimators it is the fitted estimator.
        """

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """Class probabilities, float32 (rows, classes), of float32 rows (rows, features)."""


class ModuleNetwork:
    """A network that is a torch module; `inside` is what must be entered while its code runs.

    It reads rows (rows, *shape); an empty `shape` means flat ones. `rows_at_once` go through it together.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        classes: int,
        inside: Callable[[], AbstractContextManager[None]] = nullcontext,
        shape: Sequence[int] = (),
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self.module = module.eval()
        self._classes, self._inside = classes, inside
        self._shape, self._rows_at_once = tuple(shape), rows_at_once

    def probabilities(self, x: np.ndarray) -> np.ndarray:
        """See `Network`. Raises ValueError where the module gives something else than logits."""
        with self._inside():
            return class_probabilities(self.module, shaped(x, self._shape), self._classes, self._rows_at_once)


def shaped(x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Flat rows (rows, features) as rows (rows, *shape); an empty shape leaves them."""
    return x.reshape(len(x), *shape) if shape else x


def class_probabilities(
    module: torch.nn.Module, x: np.ndarray, classes: int, rows_at_once: int = ROWS_AT_ONCE
) -> np.ndarray:
    """Softmax of a module's outputs in evaluation mode, float32 (rows, classes).

    Raises ValueError where it gives something else than logits (rows, classes).
    """
    found: np.ndarray = torch.softmax(class_logits(module, x, classes, rows_at_once), dim=1).numpy()
    return found


def class_logits(
    module: torch.nn.Module, x: np.ndarray, classes: int, rows_at_once: int = ROWS_AT_ONCE
) -> torch.Tensor:
    """A module's outputs in evaluation mode, float32 (rows, classes), on the CPU; it may lie on another device.

    Raises ValueError where they are something else.
    """
    module.eval()
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    parts = [torch.empty(0, classes)]
    with torch.no_grad():
        for start in range(0, len(x), rows_at_once):
            rows = torch.from_numpy(x[start : start + rows_at_once].copy())
            logits = module(rows.to(device))
            if not isinstance(logits, torch.Tensor) or logits.shape != (len(rows), classes):
                found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
                raise ValueError(
                    f"the model gives {found} for {len(rows)} rows; expected logits ({len(rows)}, {classes})"
                )
            parts.append(logits.to("cpu", torch.float32))
    return torch.cat(parts)
