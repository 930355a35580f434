"""Whether a challenger is better than the champion on the same rows: a paired bootstrap over rows or clusters of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.config.parts import Promote
from tracker.metrics import METRICS, count_confusion, direction_of, scores, separation_scores

DRAWS = 2000
DRAWS_SORTED = 500  # of metrics that sort all rows for each draw
AT_ONCE = 20_000_000  # counts in memory


@dataclass(frozen=True, slots=True)
class Side:
    """One model on the rows: class probabilities, float64 (rows, classes), and the places of the labels it decides for."""

    probabilities: NDArray[np.float64]
    call: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Both scores on `rows` rows in `units` independent units, and how much better the challenger is (always: more is better).

    `low` and `high` hold the difference with the declared confidence, each for itself: so the challenger is better than `low`
    with that confidence, and worse than `high`. All None where a score is undefined.
    """

    metric: str
    rows: int
    units: int
    champion: float | None
    challenger: float | None
    lead: float | None
    low: float | None
    high: float | None

    def promotes(self, margin: float) -> bool:
        """Whether the challenger leads by at least the margin, and surely leads."""
        return self.lead is not None and self.low is not None and self.lead >= margin and self.low > 0

    def holds(self, margin: float) -> bool:
        """Whether the challenger is surely not worse than the champion by more than the margin."""
        return self.low is not None and self.low > -margin


def judge(
    truth: NDArray[np.int64],
    champion: Side,
    challenger: Side,
    settings: Promote,
    metric: str,
    positive: int | None,
    clusters: Sequence[int] | None,
    bits: np.random.BitGenerator,
) -> Judged:
    """Both models on rows whose labels have the places `truth` (rows,); `metric` as `val_f1` or `f1`.

    Resampled are rows, or the `clusters` (a number per row) in which they come, with replacement, for both models alike
    (Efron and Tibshirani 1993, chapter 16). The draws come from `bits`, so equal input gives equal numbers.
    """
    name = metric.removeprefix("val_")
    units = np.arange(len(truth)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    count = int(units.max()) + 1 if len(units) else 0
    if count < 2:
        return Judged(metric, len(truth), count, None, None, None, None, None)
    generator = np.random.Generator(bits)
    sign = 1.0 if direction_of(metric) == "maximize" else -1.0
    score, draws = _scorer(name, truth, champion, challenger, positive, units, count)
    whole = score(np.ones((1, count)))[0]
    part = max(1, AT_ONCE // count)
    drawn = []
    for start in range(0, draws, part):
        weights = generator.multinomial(count, np.full(count, 1 / count), size=min(part, draws - start))
        drawn.append(score(weights.astype(np.float64)))
    pairs = np.concatenate(drawn)
    if np.isnan(whole).any():
        return Judged(metric, len(truth), count, _told(whole[0]), _told(whole[1]), None, None, None)
    lead = sign * float(whole[1] - whole[0])
    differences = np.sort(sign * (pairs[:, 1] - pairs[:, 0])[~np.isnan(pairs).any(axis=1)])
    if len(differences) < draws / 2:
        return Judged(metric, len(truth), count, float(whole[0]), float(whole[1]), lead, None, None)
    low, high = np.quantile(differences, [1 - settings.confidence, settings.confidence])
    return Judged(metric, len(truth), count, float(whole[0]), float(whole[1]), lead, float(low), float(high))


def _scorer(
    name: str,
    truth: NDArray[np.int64],
    champion: Side,
    challenger: Side,
    positive: int | None,
    units: NDArray[np.int64],
    count: int,
) -> tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]:
    """A function from weights (draws, units) to both scores (draws, 2), and how many draws it is for."""
    sides = (champion, challenger)
    if name not in METRICS:
        raise ValueError(f"{name!r} is none of the metrics that a model can be scored with: {', '.join(METRICS)}")
    needs = METRICS[name].needs
    if needs == "loss":
        losses = [-np.log(np.maximum(side.probabilities[np.arange(len(truth)), truth], 1e-300)) for side in sides]
        sums = np.stack([np.bincount(units, weights=loss, minlength=count) for loss in losses], axis=1)
        sizes = np.bincount(units, minlength=count).astype(np.float64)
        return lambda weights: (weights @ sums) / (weights @ sizes)[:, None], DRAWS
    if needs == "confusion":
        classes = champion.probabilities.shape[1]
        return _of_counts(name, truth, [side.call for side in sides], classes, positive, units, count), DRAWS

    def sorted_scores(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = []
        for one in weights:
            taken = np.repeat(np.arange(len(truth)), one[units].astype(np.int64))
            rows.append(
                [separation_scores(truth[taken], side.probabilities[taken], positive, [name])[name] for side in sides]
            )
        return np.array(rows, dtype=np.float64)

    return sorted_scores, DRAWS_SORTED


def _of_counts(
    name: str,
    truth: NDArray[np.int64],
    calls: Sequence[NDArray[np.int64]],
    classes: int,
    positive: int | None,
    units: NDArray[np.int64],
    count: int,
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    cells = [truth * classes + call for call in calls]
    tables = [np.zeros((count, classes * classes)) for _ in cells]
    for table, cell in zip(tables, cells, strict=True):
        np.add.at(table, (units, cell), 1.0)

    def of_counts(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([_each(name, weights @ table, classes, positive) for table in tables], axis=1)

    return of_counts


def _each(name: str, counts: NDArray[np.float64], classes: int, positive: int | None) -> NDArray[np.float64]:
    """The score of every confusion matrix (draws, classes * classes); equal ones are scored once."""
    distinct, place = np.unique(counts.round().astype(np.int64), axis=0, return_inverse=True)
    told = [scores(one.reshape(classes, classes), positive)[name] for one in distinct]
    return np.array(told, dtype=np.float64)[place.ravel()]


def confusion_of(truth: NDArray[np.int64], side: Side) -> NDArray[np.int64]:
    """The confusion matrix of one model on the rows."""
    return count_confusion(truth, side.call, side.probabilities.shape[1])


def _told(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
