"""How an optimizer's step carries derivatives along: from d(weights, moments)/d(hyperparameter) before it to those after it.

Forward mode (Franceschi et al., Forward and Reverse Gradient-Based Hyperparameter Optimization, ICML 2017): each formula of
`tracker.training.optimizers`, differentiated. A tangent is a row of numbers per hyperparameter, shape (names, numbers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracker.hyperparameters import DIFFERENTIABLE
from tracker.training.optimizers import ADAPTIVE, CLIP_EPS, DECOUPLED, Optimizer

Four = tuple[Tensor, Tensor, Tensor, Tensor]  # values, gradients, first moments, second moments


def differentiable(params: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """Those of the names by which the training of one run can be differentiated.

    A name without effect is none of its `params`. Momentum at 0 keeps no moments, from which its derivative would follow.
    """
    known = [name for name in names if name in DIFFERENTIABLE and name in params]
    return tuple(name for name in known if not (name == "momentum" and params[name] == 0))


class StepTangents:
    """The derivative of one run's optimizer steps by the named hyperparameters."""

    def __init__(self, params: Mapping[str, Any], names: Sequence[str]) -> None:
        one = Optimizer([params])
        self._mu, self._nu, self._second = float(one.mu), float(one.nu), float(one.second)
        self._floor, self._l2 = float(one.floor), float(one.l2)
        self._nesterov, self._clip = 0 in one.nesterov, one.clips.get(0)
        kind = params["optimizer"]
        self._adapts, self._sums = kind in ADAPTIVE, kind == "adagrad"
        self._decay = params["weight_decay"] if kind in DECOUPLED else 0.0
        self._by_rate = (
            _is("learning_rate", names) / params["learning_rate"]
        )  # times a rate: its derivative, on any schedule
        self._by_mu = _is("momentum", names)
        self._by_decay = _is("weight_decay", names) * float(kind in DECOUPLED)
        self._by_l2 = _is("weight_decay", names) - self._by_decay

    def step(self, point: Four, tangents: Four, rate: float, coefficients: tuple[float, float, float]) -> None:
        """Changes the tangents in place; `point` is what the run holds before the step, with its gradients as they come.

        `rate` is the learning rate of this step, `coefficients` are step size, scale of sqrt(v) and weight-decay factor.
        """
        values, gradients, first, second = point
        d_values, d_gradients, d_first, d_second = tangents
        step, scale, keep = coefficients
        gradients, d_gradients = self._clipped(gradients, d_gradients)
        d_gradients = d_gradients + self._l2 * d_values + self._by_l2 * values
        gradients = gradients + self._l2 * values
        d_values.mul_(keep).sub_((self._by_rate * (rate * self._decay) + self._by_decay * rate) * values)
        direction, d_direction = gradients, d_gradients
        if self._nesterov:
            ahead = self._mu * first + gradients
            direction = gradients + self._mu * ahead
            d_ahead = self._mu * d_first + d_gradients + self._by_mu * first
            d_direction = d_gradients + self._mu * d_ahead + self._by_mu * ahead
        d_first.mul_(self._mu).add_(self._nu * d_gradients).add_(self._by_mu * first)
        if not self._nesterov:
            direction, d_direction = self._mu * first + self._nu * gradients, d_first
        if self._adapts:
            share = 1.0 if self._sums else self._second
            lost = 0.0 if self._sums else self._second
            second = second * (1 - lost) + share * gradients * gradients
            d_second.mul_(1 - lost).add_(2 * share * gradients * d_gradients)
            root = torch.from_numpy(np.sqrt(second.numpy()))  # as the step itself takes it
            below = scale * root + self._floor
            d_below = torch.where(root > 0, scale * d_second / (2 * root), 0.0)
            direction, d_direction = direction / below, (d_direction - direction / below * d_below) / below
        d_values.add_(self._by_rate * step * direction).add_(step * d_direction)

    def _clipped(self, gradients: Tensor, d_gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients shortened as `Optimizer` shortens them, and their tangents."""
        norm = 0.0 if self._clip is None else math.sqrt(float((gradients.double() ** 2).sum()))
        if self._clip is None or norm + CLIP_EPS <= self._clip:
            return gradients, d_gradients
        factor = self._clip / (norm + CLIP_EPS)
        along = (d_gradients * gradients).sum(1, keepdim=True) / (norm * (norm + CLIP_EPS))
        return factor * gradients, factor * (d_gradients - along * gradients)


def _is(name: str, names: Sequence[str]) -> Tensor:
    """1 in the row of that name, shape (names, 1)."""
    return torch.tensor([[float(name == other)] for other in names])
