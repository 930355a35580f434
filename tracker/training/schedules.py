"""The learning rate of every step: warm-up, then constant, in steps, exponential, by cosine, one cycle, or by plateaus.

With u from 0 to 1 over the steps behind the warm-up, the learning rate is multiplied by

    step           f from half of the steps on, f * f from three quarters on (f: `schedule_factor`)
    exponential    f ** u
    cosine         (1 + cos(pi * u)) / 2                       Loshchilov and Hutter 2017
    one_cycle      from 1/25 up to 1 at u = 0.3, then down to 1/250,000, both by cosine; Smith and Topin 2018,
                   as torch.optim.lr_scheduler.OneCycleLR does
    plateau        f for each time that val_loss was not lower, by a 10,000th of itself, for more than `schedule_patience`
                   epochs, as torch.optim.lr_scheduler.ReduceLROnPlateau does
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

TOP, START, END = 0.3, 25.0, 1e4  # of one cycle
PLATEAU_THRESHOLD = 1e-4  # PyTorch's


@dataclass(slots=True)
class Plateau:
    """Where a run with schedule `plateau` stands: its lowest val_loss, epochs since then, what the learning rate is times."""

    best: float = math.inf
    waiting: int = 0
    factor: float = 1.0

    def take(self, params: Mapping[str, Any], val_loss: float) -> None:
        """Notes an epoch; other schedules look at no loss."""
        if params.get("schedule") != "plateau":
            return
        if val_loss < self.best * (1 - PLATEAU_THRESHOLD):
            self.best, self.waiting = val_loss, 0
        else:
            self.waiting += 1
        if self.waiting > params.get("schedule_patience", 5):
            self.factor, self.waiting = self.factor * params.get("schedule_factor", 0.1), 0

    def written(self) -> dict[str, Tensor]:
        """A tensor `plateau`, float64 (3,), where an epoch was noted."""
        numbers = (self.best, self.waiting, self.factor)
        return {"plateau": torch.tensor(numbers, dtype=torch.float64)} if self.best < math.inf or self.waiting else {}

    @classmethod
    def read(cls, tensors: Mapping[str, Tensor]) -> Plateau:
        """What `written` gave."""
        if "plateau" not in tensors:
            return cls()
        best, waiting, factor = tensors["plateau"].tolist()
        return cls(best, int(waiting), factor)


def learning_rates(
    params: Mapping[str, Any], first_step: int, steps: int, total: int, factor: float = 1.0
) -> list[float]:
    """The learning rate of `steps` steps from `first_step` (counted from 1) of `total` in the whole run.

    `factor` is what plateaus have made of it.
    """
    kind, warmup = params.get("schedule", "constant"), params.get("warmup", 0.0)
    if kind == "plateau":
        params, kind = {**params, "learning_rate": params["learning_rate"] * factor}, "constant"
    rate = params["learning_rate"]
    if kind == "constant" and not warmup:
        return [rate] * steps
    first = round(warmup * total)
    return [_rate(params, kind, step, first, total) for step in range(first_step - 1, first_step - 1 + steps)]


def _rate(params: Mapping[str, Any], kind: str, step: int, warmup: int, total: int) -> float:
    rate: float = params["learning_rate"]
    if step < warmup:
        return rate * (step + 1) / (warmup + 1)
    done, left = step - warmup, total - warmup
    if kind == "one_cycle":
        return rate * _one_cycle(done, left)
    share = done / left
    factor = params.get("schedule_factor", 0.1)
    if kind == "step":
        return rate * float(factor ** ((share >= 0.5) + (share >= 0.75)))
    if kind == "exponential":
        return rate * float(factor**share)
    return rate * (0.5 * (1 + math.cos(math.pi * share)) if kind == "cosine" else 1.0)


def _one_cycle(step: int, steps: int) -> float:
    """Up to the step at 30 %, down to the last one."""
    top = TOP * steps - 1
    if step <= top:
        return _between(1 / START, 1.0, step / top)
    return _between(1.0, 1 / (START * END), (step - top) / (steps - 1 - top))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
