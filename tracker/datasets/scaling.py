"""Fits the fills, centers and scales of numeric columns, many at once; the bits are those of scikit-learn.

Each statistic is computed in the order of additions that scikit-learn's imputers and scalers take for one column, so that
no feature of a recorded trial changes; tests compare them bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tracker.config import Numeric

if TYPE_CHECKING:
    import pandas as pd

Block = np.ndarray[Any, np.dtype[np.float64]]
_CELLS = 2**20  # of one block: 8 MiB, so that a wide table is not held twice


def fit_numbers(columns: Sequence[pd.Series[Any] | Block], settings: Numeric) -> Iterator[dict[str, float | None]]:
    """For each column `fill` (None without an imputer), `center` and `scale`; every column has a value.

    Columns have one length and no gaps where `impute` is none.
    """
    size = max(1, _CELLS // max(1, len(columns[0]))) if columns else 1
    for begin in range(0, len(columns), size):
        part = columns[begin : begin + size]
        block = np.stack([_floats(cells) for cells in part])
        yield from _fit_block(block, settings)


def _floats(cells: pd.Series[Any] | Block) -> Block:
    return cells if isinstance(cells, np.ndarray) else cells.to_numpy(dtype=np.float64, na_value=np.nan)


def _fit_block(block: Block, settings: Numeric) -> Iterator[dict[str, float | None]]:
    """The same for a block of shape (columns, rows), contiguous in rows: sums are then pairwise within a column."""
    fills: list[float] | list[None] = [None] * len(block)
    if settings.impute != "none":
        gaps = np.isnan(block)
        found = _FILLS[settings.impute](block, gaps)
        block, fills = np.where(gaps, found[:, None], block), found.tolist()
    centers, scales = _SCALES[settings.scale](block)
    for fill, center, scale in zip(fills, centers.tolist(), scales.tolist(), strict=True):
        yield {"fill": fill, "center": center, "scale": scale}


def _median(block: Block, gaps: np.ndarray[Any, np.dtype[np.bool_]]) -> Block:
    middle: Any = np.ma.median(np.ma.masked_array(block, mask=gaps), axis=1)  # type: ignore[no-untyped-call]
    return np.ma.getdata(middle)


def _mean(block: Block, gaps: np.ndarray[Any, np.dtype[np.bool_]]) -> Block:
    means: Block = np.where(gaps, 0.0, block).sum(axis=1) * 1.0 / (~gaps).sum(axis=1)
    return means


def _most_frequent(block: Block, gaps: np.ndarray[Any, np.dtype[np.bool_]]) -> Block:
    """The smallest of the most frequent values."""
    found = np.empty(len(block))
    for place, (cells, gap) in enumerate(zip(block, gaps, strict=True)):
        values, counts = np.unique(cells[~gap], return_counts=True)
        found[place] = values[np.argmax(counts)]
    return found


def _standard(block: Block) -> tuple[Block, Block]:
    """Mean and standard deviation by the corrected two-pass algorithm (Chan, Golub and LeVeque 1983, equation 1.7)."""
    rows = np.float64(block.shape[1])
    total = block.sum(axis=1)
    mean = (0.0 + total) / rows
    away = block - (total / rows)[:, None]
    correction = away.sum(axis=1)
    variance = ((away**2).sum(axis=1) - correction**2 / rows) / rows
    # below the error that the variance itself may have, a column is constant
    epsilon = np.finfo(np.float64).eps
    constant = variance <= rows * epsilon * variance + (rows * mean * epsilon) ** 2
    return mean, np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))


def _minmax(block: Block) -> tuple[Block, Block]:
    low = np.fmin.reduce(block, axis=1)
    extent = np.fmax.reduce(block, axis=1) - low
    return low, np.where(extent == 0.0, 1.0, extent)


def _robust(block: Block) -> tuple[Block, Block]:
    low, high = np.percentile(block, (25.0, 75.0), axis=1)
    extent = high - low
    return np.nanmedian(block, axis=1), np.where(extent < 10 * np.finfo(np.float64).eps, 1.0, extent)


def _none(block: Block) -> tuple[Block, Block]:
    return np.zeros(len(block)), np.ones(len(block))


_FILLS = {"median": _median, "mean": _mean, "most_frequent": _most_frequent}
_SCALES = {"standard": _standard, "minmax": _minmax, "robust": _robust, "none": _none}
