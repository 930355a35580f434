"""Modules of the user's own: their state as tensors that can be kept, and their class probabilities."""

from __future__ import annotations

import numpy as np
import torch

from tracker.errors import TrainingError
from tracker.standalone import network

EXAMPLES = (
    2  # training rows whose probabilities are recorded, so that whoever opens the model can tell that it is the same
)


def copy_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all tensors of a module's state. Raises TrainingError where it holds anything else."""
    state = module.state_dict()
    if odd := [name for name, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise TrainingError(f"the model's state holds {', '.join(odd)}, which is no tensor and cannot be kept")
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}


def class_probabilities(
    module: torch.nn.Module, x: np.ndarray, classes: int, rows_at_once: int = network.ROWS_AT_ONCE
) -> np.ndarray:
    """Softmax of the module's outputs in evaluation mode, float32 (rows, classes). Raises TrainingError."""
    try:
        return network.class_probabilities(module, x, classes, rows_at_once)
    except ValueError as error:
        raise TrainingError(str(error)) from None


def class_logits(
    module: torch.nn.Module, x: np.ndarray, classes: int, rows_at_once: int = network.ROWS_AT_ONCE
) -> torch.Tensor:
    """A module's outputs in evaluation mode, float32 (rows, classes). Raises TrainingError."""
    try:
        return network.class_logits(module, x, classes, rows_at_once)
    except ValueError as error:
        raise TrainingError(str(error)) from None
