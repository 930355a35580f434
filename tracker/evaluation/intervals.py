"""From a confusion matrix to 95 % intervals for accuracy, precision, recall and F1 over the choice of rows.

Each score of one class is a proportion, or a monotone function of one, so each gets Wilson's score interval (Wilson
1927): accuracy = right / rows, precision = tp / (tp + fp), recall = tp / (tp + fn), and F1 = 2J / (1 + J) with the
Jaccard index J = tp / (tp + fp + fn): given how many rows are not true negatives, tp is binomial with probability J.
A mean over classes gets Wilson's interval of its effective sample size m (1 - m) / variance (Korn and Graubard 1998,
Survey Methodology 24), the variance by the delta method on the multinomial counts, smoothed by one row spread over all
cells. Simulated coverage: tests/evaluation/test_intervals.py. An interval speaks of other rows of the same kind, not of
other trainings, and it knows nothing of choosing among trials.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]
Z = 1.959963984540054  # 97.5 % point of the normal distribution


def wilson(part: float, whole: float) -> Interval | None:
    """Wilson's 95 % interval for the proportion part / whole; None where whole is 0."""
    if not whole:
        return None
    share, weight = part / whole, Z * Z / whole
    centre = (share + weight / 2) / (1 + weight)
    spread = math.sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    return (0.0 if part == 0 else centre - spread, 1.0 if part == whole else centre + spread)


def score_intervals(confusion: NDArray[np.int64], positive: int | None) -> dict[str, Interval | None]:
    """95 % intervals of what `training.metrics.scores` gives for the same arguments; None where the score is."""
    classes = range(len(confusion)) if positive is None else (positive,)
    whole = wilson(int(np.trace(confusion)), int(confusion.sum()))
    parts = {name: [_of_class(confusion, c)[name] for c in classes] for name in ("precision", "recall", "f1")}
    return {"accuracy": whole, **{name: _of_mean(confusion, name, each) for name, each in parts.items()}}


def _of_class(confusion: NDArray[np.int64], c: int) -> Mapping[str, tuple[float, Interval] | None]:
    """Score and interval of one class by name; None where undefined."""
    hits = int(confusion[c, c])
    calls, truths = int(confusion[:, c].sum()), int(confusion[c].sum())
    union = calls + truths - hits
    return {
        "precision": _with_score(hits, calls),
        "recall": _with_score(hits, truths),
        "f1": None if not union else (_f1(hits / union), _f1_ends(hits, union)),
    }


def _with_score(part: int, whole: int) -> tuple[float, Interval] | None:
    ends = wilson(part, whole)
    return None if ends is None else (part / whole, ends)


def _f1(jaccard: float) -> float:
    return 2 * jaccard / (1 + jaccard)


def _f1_ends(hits: int, union: int) -> Interval:
    ends = wilson(hits, union)
    assert ends is not None
    return (_f1(ends[0]), _f1(ends[1]))


def _of_mean(confusion: NDArray[np.int64], name: str, classes: list[tuple[float, Interval] | None]) -> Interval | None:
    known = [pair for pair in classes if pair is not None]
    if len(known) < len(classes):
        return None
    if len(known) == 1:
        return known[0][1]
    rows = _effective_rows(confusion, name)
    return wilson(math.fsum(value for value, _ in known) / len(known) * rows, rows)


def _effective_rows(confusion: NDArray[np.int64], name: str) -> float:
    """How many independent rows would give a proportion of this size the variance of the mean over classes.

    A class scores hits / size, where size = by_call * calls + by_truth * truths; sums are exact, so that every machine
    gives the same bits.
    """
    classes = len(confusion)
    by_call, by_truth = {"precision": (1.0, 0.0), "recall": (0.0, 1.0), "f1": (0.5, 0.5)}[name]
    hits = np.diagonal(confusion) + classes**-2
    size = by_call * confusion.sum(axis=0) + by_truth * confusion.sum(axis=1) + 1 / classes
    slopes = np.diag(1 / size) - by_call * (hits / size**2)[None, :] - by_truth * (hits / size**2)[:, None]
    rows = int(confusion.sum()) + 1
    shares = (confusion + classes**-2) / rows
    mean = math.fsum((slopes * shares).ravel()) / classes
    variance = math.fsum((slopes * slopes * shares).ravel()) / classes**2 - mean**2
    score = math.fsum(hits / size) / classes
    return score * (1 - score) / (variance * rows)
