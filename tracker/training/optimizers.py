"""Optimizer steps for stacked gradients: one formula for all methods, so that no optimizer splits a cohort.

With per-lane coefficients, for parameters p, gradients g, moments m and v:

    g *= min(1, clip / |g|)  (gradient clipping, |g| over all parameters of the lane)
    g += l2 * p              (L2 penalty: all but adamw and lion)
    p *= 1 - rate * decay    (decoupled weight decay: adamw, lion)
    m  = mu * m + nu * g
    v  = v + (1 - beta2) * (g * g - v)
    p -= step * m / (scale * sqrt(v) + floor)

For sgd scale is 0 and floor 1. Adagrad adds g * g to v whole. The direction that replaces m / (...) is g + mu * m for
sgd with Nesterov's momentum, and sign(0.9 m + 0.1 g), with the m before the step, for lion. Sources: Kingma and Ba 2015
(adam, bias-corrected), Loshchilov and Hutter 2019 (adamw), Hinton 2012 (rmsprop, smoothing 0.99), Sutskever et al. 2013
(momentum, PyTorch's form), Duchi et al. 2011 (adagrad), Chen et al. 2023 (lion, betas 0.9 and 0.99). Betas and epsilons are
PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracker.training.schedules import learning_rates

BETA1, BETA2, ALPHA, EPS = 0.9, 0.999, 0.99, 1e-8
ADAGRAD_EPS, LION1, LION2 = 1e-10, 0.9, 0.99
CLIP_EPS = 1e-6  # PyTorch's, in clip_grad_norm_
ADAPTIVE, DECOUPLED = ("adam", "adamw", "rmsprop", "adagrad"), ("adamw", "lion")
CACHE_FLOATS = 65_536  # parameters worked on at once: six buffers of them stay in a core's cache


class Optimizer:
    """Steps K lanes, each with its own method and rates.

    `params` holds one mapping of hyperparameters per lane, in lane order. Blocks are tensors (lanes, numbers) whose rows
    are the first lanes, so that a block with fewer rows belongs to the first lanes only. All of them lie on one `device`.
    """

    def __init__(self, params: Sequence[Mapping[str, Any]], device: str = "cpu") -> None:
        self.params, self.device = list(params), device
        kinds = [p["optimizer"] for p in params]
        self.adaptive = any(kind in ADAPTIVE for kind in kinds)
        self.decoupled = any(p["optimizer"] in DECOUPLED and p["weight_decay"] > 0 for p in params)
        self.penalised = any(p["optimizer"] not in DECOUPLED and p["weight_decay"] > 0 for p in params)
        adam = [kind in {"adam", "adamw"} for kind in kinds]
        momenta = [p.get("momentum", 0.0) if p["optimizer"] == "sgd" else 0.0 for p in params]
        firsts = [
            BETA1 if a else LION2 if kind == "lion" else m for a, kind, m in zip(adam, kinds, momenta, strict=True)
        ]
        self.mu = self._column(firsts)
        self.nu = self._column(
            1 - BETA1 if a else 1 - LION2 if kind == "lion" else 1.0 for a, kind in zip(adam, kinds, strict=True)
        )
        second = {"adam": 1 - BETA2, "adamw": 1 - BETA2, "rmsprop": 1 - ALPHA}
        self.second = self._column(second.get(kind, 0.0) for kind in kinds)
        self.floor = self._column(
            ADAGRAD_EPS if kind == "adagrad" else EPS if kind in ADAPTIVE else 1.0 for kind in kinds
        )
        self.l2 = self._column(0.0 if p["optimizer"] in DECOUPLED else p["weight_decay"] for p in params)
        self.mixed = self.adaptive and any(kind not in ADAPTIVE for kind in kinds)
        self.adapts = self._column(float(kind in ADAPTIVE) for kind in kinds)
        self.nesterov = {lane: m for lane, m in enumerate(momenta) if m and params[lane].get("nesterov", False)}
        self.lions = [lane for lane, kind in enumerate(kinds) if kind == "lion"]
        self.adagrads = [lane for lane, kind in enumerate(kinds) if kind == "adagrad"]
        self.clips = {lane: p["gradient_clip"] for lane, p in enumerate(params) if p.get("gradient_clip", 0.0) > 0}
        self.plain_sgd = not self.adaptive and not any(momenta) and not self.lions

    def coefficients(
        self, first_step: int, steps: int, total: int, factors: Sequence[float] | None = None
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Per step (counted from 1, of `total`): step size, scale of sqrt(v), and weight-decay factor, each (lanes, 1).

        `factors` are what plateaus have made of each lane's learning rate.
        """
        table = []
        told = factors or [1.0] * len(self.params)
        rates = [learning_rates(p, first_step, steps, total, f) for p, f in zip(self.params, told, strict=True)]
        for place, t in enumerate(range(first_step, first_step + steps)):
            bias1, bias2 = 1 - BETA1**t, 1 - BETA2**t
            step, scale, keep = [], [], []
            for p, of_lane in zip(self.params, rates, strict=True):
                kind, rate = p["optimizer"], of_lane[place]
                adam = kind in {"adam", "adamw"}
                step.append(-rate / bias1 if adam else -rate)
                scale.append(1 / math.sqrt(bias2) if adam else 1.0 if kind in {"rmsprop", "adagrad"} else 0.0)
                keep.append(1 - rate * p["weight_decay"] if kind in DECOUPLED else 1.0)
            table.append((step, scale, keep))
        columns = torch.tensor(table, dtype=torch.float32).to(self.device)[..., None]
        return [(row[0], row[1], row[2]) for row in columns]

    def step(self, blocks: Sequence[Sequence[Tensor]], *coefficients: Sequence[Tensor]) -> None:
        """One step in place; each block is (values, gradients, first moments, second moments), each (lanes, numbers).

        `coefficients` are those of all blocks, or of each one.
        """
        self._clip([block[1] for block in blocks])
        told = coefficients if len(coefficients) == len(blocks) else coefficients * len(blocks)
        for block, own in zip(blocks, told, strict=True):
            lanes, numbers = block[0].shape
            at_once = max(1, CACHE_FLOATS // max(1, numbers))
            for start in range(0, lanes, at_once):
                part = slice(start, min(start + at_once, lanes))
                self._step([tensor[part] for tensor in block], [c[part] for c in own], part)

    def _clip(self, gradients: Sequence[Tensor]) -> None:
        """Shortens the gradients of lanes that want it, each lane alone; as torch.nn.utils.clip_grad_norm_ does."""
        for lane, most in self.clips.items():
            rows = [block[lane] for block in gradients if lane < len(block)]
            norm = math.sqrt(sum(float(torch.linalg.vector_norm(row)) ** 2 for row in rows))
            if norm + CLIP_EPS > most:
                for row in rows:
                    row.mul_(most / (norm + CLIP_EPS))

    def _directions(self, gradients: Tensor, first: Tensor, part: slice) -> dict[int, Tensor]:
        """What takes the place of m / (...), by row of this part; `first` are the moments before the step."""
        found = {}
        for lane in range(*part.indices(len(self.params))):
            row = lane - part.start
            if lane in self.nesterov:
                found[row] = gradients[row] + self.nesterov[lane] * (first[row] * self.nesterov[lane] + gradients[row])
            elif lane in self.lions:
                found[row] = torch.sign(first[row] * LION1 + gradients[row] * (1 - LION1))
        return found

    def _sqrt(self, of: Tensor, out: Tensor) -> None:
        if self.device == "cpu":
            np.sqrt(of.numpy(), out=out.numpy())  # correctly rounded; torch.sqrt goes through MKL, which is not
        else:
            torch.sqrt(of, out=out)

    def _column(self, values: Any) -> Tensor:
        return torch.tensor(list(values), dtype=torch.float32).to(self.device)[:, None]

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
        directions = self._directions(gradients, first, part) if self.nesterov or self.lions else {}
        first.mul_(self.mu[part]).addcmul_(gradients, self.nu[part])
        if not self.adaptive:
            values.add_(_turned(torch.mul(first, step, out=gradients), directions, step))
            return
        if self.mixed:  # an enormous gradient of an sgd lane must not become 0 * inf below
            gradients.mul_(self.adapts[part])
        second.lerp_(gradients.mul_(gradients), self.second[part])
        for row in (lane - part.start for lane in self.adagrads if part.start <= lane < part.stop):
            second[row].add_(gradients[row])
        self._sqrt(second, gradients)
        gradients.mul_(scale).add_(self.floor[part])
        values.add_(_turned(torch.div(first, gradients, out=gradients).mul_(step), directions, step))


def _turned(change: Tensor, directions: Mapping[int, Tensor], step: Tensor) -> Tensor:
    """The change of each row, with those that go another way put in their place."""
    for row, direction in directions.items():
        change[row] = direction * step[row]
    return change
