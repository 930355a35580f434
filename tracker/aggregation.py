"""The runs of one trial: which rows each is trained and scored on, and how their numbers become the trial's.

These are means over runs, their spread, and the value that the trial is chosen by.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Aggregate = Literal["mean", "mean_minus_se"]
RULE = 1  # how rows follow from `rows_of_runs`; another rule is another number, so that no key changes its meaning


def rows_of_runs(runs: Mapping[str, Any]) -> Iterator[Mapping[str, Any] | None]:
    """What the data of each run says under `rows`, by a study's `runs`; None: train and validation as they are.

    A run is scored on one fold of several, from 1, as they are dealt out in a repeat, from 1, by a rule; or trained on all.
    Where each trial has a split of its own, the number `reshuffle` stands for that of the trial.
    """
    if "reshuffle" in runs:
        yield {"reshuffle": 0, "rule": int(runs["rule"])}
        return
    if "all" in runs:
        yield {"all": True, "rule": int(runs["rule"])}
        return
    for repeat in range(1, int(runs.get("repeats", 1)) + 1):
        if "folds" not in runs:
            yield None
        for fold in range(1, int(runs.get("folds", 0)) + 1):
            yield {"fold": fold, "folds": int(runs["folds"]), "repeat": repeat, "rule": int(runs["rule"])}


def runs_per_trial(runs: Mapping[str, Any]) -> int:
    """How many runs each trial of a study has, by its `runs`."""
    return sum(1 for _ in rows_of_runs(runs))


def resampling_words(runs: Mapping[str, Any]) -> str:
    """On which rows the trials of a study are scored, by its `runs`."""
    if "reshuffle" in runs:
        return "a part of train and validation that is another one for each trial"
    if "folds" not in runs:
        return "validation"
    repeats = "" if runs.get("repeats", 1) == 1 else f", dealt out {runs['repeats']} times"
    return f"{runs['folds']} folds of train and validation{repeats}"


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
