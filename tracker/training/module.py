"""Turns the module that the user's loop trained into digestable weights and into class probabilities."""

from __future__ import annotations

import numpy as np
import torch
from safetensors.torch import save

from tracker.errors import TrainingError

ROWS_AT_ONCE = 8192


def copy_state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all tensors of a module's state. Raises TrainingError where it holds anything else."""
    state = module.state_dict()
    if odd := [name for name, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise TrainingError(f"the model's state holds {', '.join(odd)}, which is no tensor and cannot be kept")
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}


def module_weights(module: torch.nn.Module) -> bytes:
    """The module's state as safetensors."""
    content: bytes = save(copy_state(module))
    return content


def class_probabilities(module: torch.nn.Module, x: np.ndarray, classes: int) -> np.ndarray:
    """Softmax of the module's outputs in evaluation mode, float32 (rows, classes). Raises TrainingError."""
    module.eval()
    parts = [np.empty((0, classes), np.float32)]
    with torch.no_grad():
        for start in range(0, len(x), ROWS_AT_ONCE):
            rows = torch.from_numpy(x[start : start + ROWS_AT_ONCE].copy())
            logits = module(rows)
            if not isinstance(logits, torch.Tensor) or logits.shape != (len(rows), classes):
                found = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
                raise TrainingError(
                    f"the model gives {found} for {len(rows)} rows; expected logits ({len(rows)}, {classes})"
                )
            parts.append(torch.softmax(logits.to(torch.float32), dim=1).numpy())
    return np.concatenate(parts)
