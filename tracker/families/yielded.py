"""Reads what a loop of the user's own yields for one epoch: a row of numbers, or what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from tracker.errors import TrainingError
from tracker.metrics import name_fault

MODEL, MATRIX = "model", "confusion_matrix"


def read_epoch(entry: object, epoch: int, classes: int) -> dict[str, Any]:
    """Every number of an epoch, and the confusion matrix where given. Raises TrainingError where the contract is broken."""
    if not isinstance(entry, Mapping):
        raise TrainingError(f"epoch {epoch} yielded {type(entry).__name__}; expected a dict of metrics")
    numbers = {_name(name, epoch): _number(entry[name], name, epoch) for name in entry if name not in {MODEL, MATRIX}}
    if not numbers:
        raise TrainingError(f"epoch {epoch} yielded no metric; expected at least one, such as val_loss")
    return numbers | ({MATRIX: _matrix(entry[MATRIX], classes, epoch)} if MATRIX in entry else {})


def read_module(found: object, where: str) -> torch.nn.Module | None:
    """A module or None as it came. Raises TrainingError for anything else."""
    if found is None or isinstance(found, torch.nn.Module):
        return found
    raise TrainingError(f"{where} {type(found).__name__}; expected a torch.nn.Module or None")


def _name(name: object, epoch: int) -> str:
    if name == "epoch":
        raise TrainingError("epochs are counted as they are yielded, from 1; take `epoch` out")
    if not isinstance(name, str):
        raise TrainingError(f"epoch {epoch} yielded {name!r}, which is no name of a metric; expected a text")
    if fault := name_fault(name):
        raise TrainingError(f"epoch {epoch} yielded {name!r}, which {fault}")
    return name


def _number(value: Any, name: str, epoch: int) -> float | None:
    if value is None:
        return None
    one = isinstance(value, torch.Tensor | np.generic | np.ndarray) and math.prod(value.shape) == 1
    plain = value.item() if one else value
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise TrainingError(f"epoch {epoch} yielded {name} as {type(value).__name__}; expected one number")
    return float(plain)


def _matrix(value: Any, classes: int, epoch: int) -> list[list[int]]:
    """Counts (classes, classes), rows: truth, columns: prediction."""
    try:
        cells = np.asarray(value)
    except ValueError:
        cells = np.empty(0)
    if cells.shape != (classes, classes) or cells.dtype.kind not in "iu" or (cells < 0).any():
        raise TrainingError(f"epoch {epoch} yielded a {MATRIX} that is not {classes} rows of {classes} counts")
    rows: list[list[int]] = cells.tolist()
    return rows
