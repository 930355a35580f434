"""How the runs of one trial become its numbers: means over runs, their spread, and the value that the trial is chosen by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

Aggregate = Literal["mean", "mean_minus_se"]


def mean_metrics(runs: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Each metric's mean over the runs, None where one run has none; of a single run its own numbers."""
    if len(runs) == 1:
        return dict(runs[0])
    names = dict.fromkeys(name for metrics in runs for name in metrics)
    return {name: _mean([metrics.get(name) for metrics in runs]) for name in names}


def spread(values: Sequence[float | None]) -> float | None:
    """The standard deviation over runs (with n - 1); None for a single run, or where one has no finite value."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < 2 or len(known) < len(values):
        return None
    mean = math.fsum(known) / len(known)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))


def aggregate(values: Sequence[float | None], how: Aggregate, direction: str) -> float | None:
    """The value of a trial from those of its runs; None where one run has none.

    `mean_minus_se` is the mean made worse by one standard error of the mean: lower where more is better, higher for a loss.
    """
    if len(values) == 1:
        return values[0]
    mean, sd = _mean(values), spread(values)
    if how == "mean" or mean is None or sd is None:
        return mean
    error = sd / math.sqrt(len(values))
    return mean - error if direction == "maximize" else mean + error


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None
