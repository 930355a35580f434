"""Norms of stacked lanes: what is standard before their weight and bias, and the gradients back through both, written out.

Batch norm compares the rows of a batch, layer norm the units of a row, `tracker.standalone.mlp.standard_of_units`.
Shapes: lanes K, rows of a padded batch B, padded width W.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tracker.standalone.mlp import NORM_EPS

BATCH_NORM_MOMENTUM = 0.1


@dataclass(frozen=True, slots=True)
class Rows:
    """Which rows of a padded batch are real: `valid` (1, B, 1) of 0 and 1, and their number."""

    valid: Tensor
    count: int

    @property
    def share(self) -> Tensor:
        """What each row counts in the mean over the real ones, (1, B, 1)."""
        return self.valid / self.count

    @classmethod
    def of(cls, count: int, padded: int) -> Rows:
        """The first `count` of `padded` rows."""
        return cls((torch.arange(padded) < count).float()[None, :, None], count)


@dataclass(frozen=True, slots=True)
class Norm:
    """What the backward pass needs: the standard values (K, B, W), and 1 / deviation."""

    standard: Tensor
    inverse: Tensor


def standard_of_rows(z: Tensor, rows: Rows, statistics: Tensor) -> Norm:
    """Batch norm of z (K, B, W) in training; the running `statistics` (K, 2, W) go along."""
    mean = (z * rows.valid).sum(1, keepdim=True) / rows.count
    centred = (z - mean) * rows.valid
    variance = (centred * centred).sum(1, keepdim=True) / rows.count
    inverse = torch.rsqrt(variance + NORM_EPS)
    unbiased = variance * (rows.count / max(1, rows.count - 1))
    statistics.lerp_(torch.cat([mean, unbiased], 1), BATCH_NORM_MOMENTUM)
    return Norm(centred * inverse, inverse)


def own_gradients(slope: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """Gradients (K, 1, W) of a norm's weight and bias, from that of its output."""
    return (slope * norm.standard).sum(1, keepdim=True), slope.sum(1, keepdim=True)


def slope_of_rows(slope: Tensor, weight: Tensor, norm: Norm, rows: Rows, own: tuple[Tensor, Tensor]) -> Tensor:
    """Through batch norm; `own` are its own gradients."""
    centred = slope * rows.count - own[1] - norm.standard * own[0]
    return centred * (weight * norm.inverse / rows.count) * rows.valid


def slope_of_units(slope: Tensor, weight: Tensor, norm: Norm, real: Tensor, count: Tensor) -> Tensor:
    """Through layer norm over the `real` units (K, 1, W), `count` (K, 1, 1) of them."""
    g = slope * weight
    along = (g * norm.standard).sum(-1, keepdim=True) / count
    return (g - g.sum(-1, keepdim=True) / count - norm.standard * along) * norm.inverse * real
