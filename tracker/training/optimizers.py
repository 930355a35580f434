"""Optimizer steps for stacked gradients: one formula for sgd, adam, adamw and rmsprop, so that no optimizer splits a cohort.

With per-lane coefficients, for parameters p, gradients g, moments m and v:

    g += l2 * p              (L2 penalty: sgd, adam, rmsprop)
    p *= 1 - rate * decay    (decoupled weight decay: adamw)
    m  = mu * m + nu * g
    v  = v + (1 - beta2) * (g * g - v)
    p -= step * m / (scale * sqrt(v) + floor)

For sgd scale is 0 and floor 1. Sources: Kingma and Ba 2015 (adam, bias-corrected), Loshchilov and Hutter 2019 (adamw),
Hinton 2012 (rmsprop, smoothing 0.99), Sutskever et al. 2013 (momentum, PyTorch's form). Betas and epsilons are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

BETA1, BETA2, ALPHA, EPS = 0.9, 0.999, 0.99, 1e-8
CACHE_FLOATS = 65_536  # parameters worked on at once: six buffers of them stay in a core's cache


class Optimizer:
    """Steps K lanes, each with its own method and rates.

    `params` holds one mapping of hyperparameters per lane, in lane order. Blocks are tensors (lanes, numbers) whose rows
    are the first lanes, so that a block with fewer rows belongs to the first lanes only.
    """

    def __init__(self, params: Sequence[Mapping[str, Any]]) -> None:
        self.params = list(params)
        kinds = [p["optimizer"] for p in params]
        self.adaptive = any(kind != "sgd" for kind in kinds)
        self.decoupled = any(p["optimizer"] == "adamw" and p["weight_decay"] > 0 for p in params)
        self.penalised = any(p["optimizer"] != "adamw" and p["weight_decay"] > 0 for p in params)
        adam = [kind in {"adam", "adamw"} for kind in kinds]
        momenta = [p.get("momentum", 0.0) if p["optimizer"] == "sgd" else 0.0 for p in params]
        self.mu = _column(BETA1 if a else momentum for a, momentum in zip(adam, momenta, strict=True))
        self.nu = _column(1 - BETA1 if a else 1.0 for a in adam)
        second = {"sgd": 0.0, "adam": 1 - BETA2, "adamw": 1 - BETA2, "rmsprop": 1 - ALPHA}
        self.second = _column(second[kind] for kind in kinds)
        self.floor = _column(1.0 if kind == "sgd" else EPS for kind in kinds)
        self.l2 = _column(0.0 if p["optimizer"] == "adamw" else p["weight_decay"] for p in params)
        self.mixed = self.adaptive and "sgd" in kinds
        self.adapts = _column(float(kind != "sgd") for kind in kinds)
        self.plain_sgd = not self.adaptive and not any(momenta)

    def coefficients(self, first_step: int, steps: int, rates: Sequence[float]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Per step (counted from 1): step size, scale of sqrt(v), and weight-decay factor, each (lanes, 1)."""
        table = []
        for t in range(first_step, first_step + steps):
            bias1, bias2 = 1 - BETA1**t, 1 - BETA2**t
            step, scale, keep = [], [], []
            for p, rate in zip(self.params, rates, strict=True):
                kind = p["optimizer"]
                adam = kind in {"adam", "adamw"}
                step.append(-rate / bias1 if adam else -rate)
                scale.append(1 / math.sqrt(bias2) if adam else 1.0 if kind == "rmsprop" else 0.0)
                keep.append(1 - rate * p["weight_decay"] if kind == "adamw" else 1.0)
            table.append((step, scale, keep))
        columns = torch.tensor(table, dtype=torch.float32)[..., None]
        return [(row[0], row[1], row[2]) for row in columns]

    def step(self, blocks: Sequence[Sequence[Tensor]], coefficients: tuple[Tensor, Tensor, Tensor]) -> None:
        """One step in place; each block is (values, gradients, first moments, second moments), each (lanes, numbers)."""
        for block in blocks:
            lanes, numbers = block[0].shape
            at_once = max(1, CACHE_FLOATS // max(1, numbers))
            for start in range(0, lanes, at_once):
                part = slice(start, min(start + at_once, lanes))
                self._step([tensor[part] for tensor in block], [c[part] for c in coefficients], part)

    def _step(self, tensors: Sequence[Tensor], coefficients: Sequence[Tensor], part: slice) -> None:
        values, gradients, first, second = tensors
        step, scale, keep = coefficients
        if self.penalised:
            gradients.addcmul_(values, self.l2[part])
        if self.decoupled:
            values.mul_(keep)
        if self.plain_sgd:
            values.add_(gradients.mul_(step))
            return
        first.mul_(self.mu[part]).addcmul_(gradients, self.nu[part])
        if not self.adaptive:
            values.add_(torch.mul(first, step, out=gradients))
            return
        if self.mixed:  # an enormous gradient of an sgd lane must not become 0 * inf below
            gradients.mul_(self.adapts[part])
        second.lerp_(gradients.mul_(gradients), self.second[part])
        np.sqrt(second.numpy(), out=gradients.numpy())  # correctly rounded; torch.sqrt goes through MKL, which is not
        gradients.mul_(scale).add_(self.floor[part])
        values.add_(torch.div(first, gradients, out=gradients).mul_(step))


def _column(values: Any) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32)[:, None]
