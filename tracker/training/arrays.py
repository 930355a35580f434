"""The rows of a data set as padded tensors that all lanes share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tracker.standalone.mlp import multiple_of_8
from tracker.standalone.transform import NUMBER

OwnMetric = Callable[[np.ndarray, np.ndarray], float | None]  # of true places and class probabilities


@dataclass(frozen=True, slots=True)
class Arrays:
    """Training and validation rows, float32 (rows, features), and class indices, int64 (rows,), places in `labels`.

    `columns` names the features. `blocks` says which are numbers and which belong to one column of categories, see
    `tracker.standalone.transform.blocks_of`; empty: all are numbers. `shape` is what the features of a row are, such as
    (1, 8, 8), channels, height and width of an image, or (8, 3), steps and channels of a sequence; empty: a row of a table.
    With `mask` the last channel of a sequence is 1 for each step that is there, else 0. `parents` is the folder of the
    weights that runs may begin with, or its files by name. Where rows of validation only rank (`x_selection`), all that
    happens in training sees the others alone. `metrics` are those of the user's own that runs ask for, by name.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray
    classes: int
    positive: int | None
    labels: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    mask: bool = False
    parents: Path | Mapping[str, bytes] | None = None
    blocks: tuple[int, ...] = ()
    x_selection: np.ndarray | None = None
    y_selection: np.ndarray | None = None
    metrics: Mapping[str, OwnMetric] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """What a network reads of a row."""
        return self.shape or (self.x_train.shape[1],)

    @property
    def widths(self) -> tuple[int, ...]:
        """`blocks`, where nothing was said of them, too."""
        return self.blocks or (NUMBER,) * self.x_train.shape[1]


@dataclass(frozen=True, slots=True)
class Tables:
    """The arrays as padded tensors; the last training row is all zero and stands for no row."""

    x: Tensor
    truth: Tensor
    y: np.ndarray
    x_validation: Tensor
    y_validation: Tensor

    @classmethod
    def of(cls, arrays: Arrays) -> Tables:
        """Pads them."""
        x, x_validation = _padded(arrays.x_train, 1), _padded(arrays.x_validation, 0)
        truth = torch.zeros(x.shape[0], multiple_of_8(arrays.classes))
        truth[torch.arange(len(arrays.y_train)), torch.from_numpy(arrays.y_train)] = 1.0
        y = np.append(arrays.y_train, 0)
        return cls(x, truth, y, x_validation, torch.from_numpy(arrays.y_validation))


def take(table: Tensor, chosen: Tensor) -> Tensor:
    """Rows of a table, (steps, lanes, rows) numbers to (steps, lanes, rows, columns)."""
    return table.index_select(0, chosen.reshape(-1)).view(*chosen.shape, table.shape[1])


def _padded(x: np.ndarray, spare: int) -> Tensor:
    rows = len(x) + 1 if spare else multiple_of_8(len(x))
    table = torch.zeros(rows, multiple_of_8(x.shape[1]))
    table[: len(x), : x.shape[1]] = torch.from_numpy(np.ascontiguousarray(x))
    return table
