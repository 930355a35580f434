"""A confusion matrix and the scores of labels that follow from its counts, each with its 95 % interval over rows.

A score is a ratio of counts, or a mean of such ratios over classes. 0/0 is None, never 0: precision of a class that is never
predicted, recall of a class that is absent, F1 of one that is both; and a mean is None as soon as one class is. A ratio of
counts is correctly rounded; a mean is so up to 1 ulp, whatever the order of classes.

An interval is Wilson's score interval of a proportion, or of a monotone function of one (Wilson 1927). A mean over classes,
or F-beta of one, gets Wilson's interval of its effective sample size m (1 - m) / variance (Korn and Graubard 1998, Survey
Methodology 24), the variance by the delta method on the multinomial counts, smoothed by one row spread over all cells.
Simulated coverage: tests/test_intervals.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Interval = tuple[float, float]
Z = 1.959963984540054  # 97.5 % point of the normal distribution


@dataclass(frozen=True, slots=True)
class Confusion:
    """A confusion matrix and its margins, which are counted once for all formulas.

    `cells` (classes, classes), rows: truth, columns: prediction. Of each class, `truths` counts the rows that are of it,
    `calls` those that are predicted so, `hits` those that are both. `scored` holds the classes that a score of single
    classes speaks about: the positive one, or all of them.
    """

    cells: NDArray[Any]
    hits: Sequence[float]
    truths: Sequence[float]
    calls: Sequence[float]
    scored: Sequence[int]

    @classmethod
    def of(cls, cells: NDArray[np.int64], positive: int | None) -> Confusion:
        """The matrix with its margins; `positive` is the place of the class that scores speak about, None for all."""
        hits = cells.diagonal().tolist()
        scored = range(len(hits)) if positive is None else (positive,)
        return cls(cells, hits, cells.sum(axis=1).tolist(), cells.sum(axis=0).tolist(), scored)

    def thinned(self, effect: float) -> Confusion:
        """The matrix of so many times fewer rows; itself for 1."""
        if effect == 1.0:
            return self
        hits, truths, calls = ([n / effect for n in counts] for counts in (self.hits, self.truths, self.calls))
        return replace(self, cells=self.cells / effect, hits=hits, truths=truths, calls=calls)


def count_confusion(actual: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts (classes, classes), rows: truth, columns: prediction, from two arrays of class indices (rows,)."""
    import numpy as np

    cells = np.bincount(np.asarray(actual) * classes + np.asarray(predicted), minlength=classes * classes)
    return cells.astype(np.int64).reshape(classes, classes)


def wilson(part: float, whole: float) -> Interval | None:
    """Wilson's 95 % interval for the proportion part / whole; None where whole is 0."""
    if not whole:
        return None
    share, weight = part / whole, Z * Z / whole
    centre = (share + weight / 2) / (1 + weight)
    spread = math.sqrt(share * (1 - share) * weight + weight * weight / 4) / (1 + weight)
    return (0.0 if part == 0 else centre - spread, 1.0 if part == whole else centre + spread)


def accuracy(confusion: Confusion) -> float | None:
    """The share of rows that are called right."""
    return _ratio(sum(confusion.hits), sum(confusion.truths))


def accuracy_interval(confusion: Confusion) -> Interval | None:
    """That of a proportion of rows."""
    return wilson(sum(confusion.hits), sum(confusion.truths))


def balanced_accuracy(confusion: Confusion) -> float | None:
    """The mean of the recalls of all classes, also where there is a positive one (Brodersen et al. 2010, ICPR)."""
    return recall(_of_all_classes(confusion))


def balanced_accuracy_interval(confusion: Confusion) -> Interval | None:
    """That of a mean of recalls."""
    return recall_interval(_of_all_classes(confusion))


def _of_all_classes(confusion: Confusion) -> Confusion:
    return replace(confusion, scored=range(len(confusion.hits)))


def precision(confusion: Confusion) -> float | None:
    """Of the rows that are called the class, the share that is it."""
    return mean_of([_ratio(confusion.hits[c], confusion.calls[c]) for c in confusion.scored])


def precision_interval(confusion: Confusion) -> Interval | None:
    """Of one class, that of a proportion of the rows that are called it."""
    if len(confusion.scored) == 1:
        c = confusion.scored[0]
        return wilson(confusion.hits[c], confusion.calls[c])
    return _mean_interval(confusion, precision(confusion), by_call=1.0, by_truth=0.0)


def recall(confusion: Confusion) -> float | None:
    """Of the rows of the class, the share that is called it."""
    return mean_of([_ratio(confusion.hits[c], confusion.truths[c]) for c in confusion.scored])


def recall_interval(confusion: Confusion) -> Interval | None:
    """Of one class, that of a proportion of its rows."""
    if len(confusion.scored) == 1:
        c = confusion.scored[0]
        return wilson(confusion.hits[c], confusion.truths[c])
    return _mean_interval(confusion, recall(confusion), by_call=0.0, by_truth=1.0)


def f1(confusion: Confusion) -> float | None:
    """2tp / (2tp + fp + fn), so 0 where a class that is there is never found."""
    hits, truths, calls = confusion.hits, confusion.truths, confusion.calls
    return mean_of([_ratio(2 * hits[c], truths[c] + calls[c]) for c in confusion.scored])


def f1_interval(confusion: Confusion) -> Interval | None:
    """F1 is 2J / (1 + J), J = tp / (tp + fp + fn): given how many rows are not true negatives, tp is binomial."""
    if len(confusion.scored) > 1:
        return _mean_interval(confusion, f1(confusion), by_call=0.5, by_truth=0.5)
    c = confusion.scored[0]
    ends = wilson(confusion.hits[c], confusion.truths[c] + confusion.calls[c] - confusion.hits[c])
    return ends and (2 * ends[0] / (1 + ends[0]), 2 * ends[1] / (1 + ends[1]))


def fbeta(confusion: Confusion, beta: float) -> float | None:
    """(1 + beta^2) tp / ((1 + beta^2) tp + beta^2 fn + fp): recall counts beta times as much as precision."""
    hits, truths, calls, square = confusion.hits, confusion.truths, confusion.calls, beta * beta
    return mean_of([_ratio((1 + square) * hits[c], square * truths[c] + calls[c]) for c in confusion.scored])


def fbeta_interval(confusion: Confusion, beta: float) -> Interval | None:
    """By the effective sample size, of one class too."""
    score, weight = fbeta(confusion, beta), beta * beta / (1 + beta * beta)
    if score is None or len(confusion.scored) > 1:
        return _mean_interval(confusion, score, by_call=1 - weight, by_truth=weight)
    hits, truths, calls = (
        counts[confusion.scored[0]] for counts in (confusion.hits, confusion.truths, confusion.calls)
    )
    rows = _effective_rows_of_class(hits, truths - hits, calls - hits, weight)
    return wilson(score * rows, rows)


def matthews_corrcoef(confusion: Confusion) -> float | None:
    """The correlation of truth and call, of all classes (Matthews 1975; Gorodkin 2004); None where either is constant."""
    rows = sum(confusion.truths)
    together = math.fsum(t * c for t, c in zip(confusion.truths, confusion.calls, strict=True))
    spread = [rows * rows - math.fsum(n * n for n in counts) for counts in (confusion.calls, confusion.truths)]
    return _ratio(sum(confusion.hits) * rows - together, math.sqrt(spread[0] * spread[1]))


def cohen_kappa(confusion: Confusion) -> float | None:
    """How far accuracy is above what chance gives with these shares of truths and calls (Cohen 1960)."""
    rows = sum(confusion.truths)
    chance = math.fsum(t * c for t, c in zip(confusion.truths, confusion.calls, strict=True))
    return _ratio(rows * sum(confusion.hits) - chance, rows * rows - chance)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean; None where one of the values is."""
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(values) if len(defined) == len(values) else None


def _mean_interval(confusion: Confusion, score: float | None, by_call: float, by_truth: float) -> Interval | None:
    """The interval of a mean over all classes, each of which scores hits / (by_call * calls + by_truth * truths)."""
    if score is None:
        return None
    rows = _effective_rows(confusion.cells, by_call, by_truth)
    return wilson(score * rows, rows)


def _effective_rows(cells: NDArray[Any], by_call: float, by_truth: float) -> float:
    """How many independent rows would give a proportion of this size the variance of the mean over classes.

    Sums are exact, so that every machine gives the same bits.
    """
    import numpy as np

    classes = len(cells)
    hits = np.diagonal(cells) + classes**-2
    size = by_call * cells.sum(axis=0) + by_truth * cells.sum(axis=1) + 1 / classes
    slopes = np.diag(1 / size) - by_call * (hits / size**2)[None, :] - by_truth * (hits / size**2)[:, None]
    rows: float = cells.sum().item() + 1
    shares = (cells + classes**-2) / rows
    mean = math.fsum((slopes * shares).ravel()) / classes
    variance = math.fsum((slopes * slopes * shares).ravel()) / classes**2 - mean**2
    score = math.fsum(hits / size) / classes
    return score * (1 - score) / (variance * rows)


def _effective_rows_of_class(hits: float, missed: float, false: float, weight: float) -> float:
    """The same of hits / (hits + weight * missed + (1 - weight) * false), half a mistake of each kind added."""
    counts, weights = (hits, missed + 0.5, false + 0.5), (1.0, weight, 1 - weight)
    size = math.fsum(w * n for w, n in zip(weights, counts, strict=True))
    score = hits / size
    slopes = (1 - score, -score * weight, -score * (1 - weight))
    mean = math.fsum(n * slope for n, slope in zip(counts, slopes, strict=True))
    variance = math.fsum(n * slope * slope for n, slope in zip(counts, slopes, strict=True)) - mean**2 / math.fsum(
        counts
    )
    return score * (1 - score) * size * size / variance if hits else size
