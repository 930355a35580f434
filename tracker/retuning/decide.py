"""Whether a challenger is better than the champion on the same rows: paired, over rows or over what stays together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.config.parts import Promote
from tracker.metrics import METRICS, direction_of, metric_of, scores, separation_scores

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
    """Both scores on `rows` rows in `units` independent units, and by how much the challenger leads (always: more is better).

    `low` and `high` hold the lead with the declared confidence, each for itself (paired bootstrap). `p` is how often a lead
    of this size comes about where the two models are alike (paired permutation test). All None where a score is undefined.
    """

    metric: str
    rows: int
    units: int
    champion: float | None
    challenger: float | None
    lead: float | None
    low: float | None
    high: float | None
    p: float | None

    def promotes(self, settings: Promote) -> bool:
        """Whether the challenger leads by at least the margin, and surely leads."""
        return self.lead is not None and self.p is not None and self.lead >= settings.margin and self.sure(settings)

    def sure(self, settings: Promote) -> bool:
        """Whether chance alone rarely gives such a lead."""
        return self.p is not None and self.p <= 1 - settings.confidence

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

    The unit is a row, or one of the `clusters` (a number per row) in which rows come. Units are drawn with replacement for
    the interval (Efron and Tibshirani 1993, chapter 16). For the test both models' answers are exchanged in half of the units
    (Good 2005, chapter 3): where the models are alike it errs no more often than it says, however few the units are. The
    draws come from `bits`, so equal input gives equal numbers.
    """
    units = np.arange(len(truth)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    count = int(units.max()) + 1 if len(units) else 0
    nothing = Judged(metric, len(truth), count, None, None, None, None, None, None)
    if count < 2:
        return nothing
    generator = np.random.Generator(bits)
    sign = 1.0 if direction_of(metric) == "maximize" else -1.0
    score = _scorer(metric.removeprefix("val_"), truth, (champion, challenger), positive, units, count)
    one = np.ones((1, count))
    [whole] = score(one, 0 * one)
    if np.isnan(whole).any():
        return replace(nothing, champion=_told(whole[0]), challenger=_told(whole[1]))
    lead = sign * float(whole[1] - whole[0])
    drawn, exchanged = _draws(score, generator, count, metric)
    told = Judged(metric, len(truth), count, float(whole[0]), float(whole[1]), lead, None, None, None)
    leads, by_chance = (sign * (pairs[:, 1] - pairs[:, 0]) for pairs in (drawn, exchanged))
    known = leads[~np.isnan(leads)]
    if len(known) < len(leads) / 2:
        return told
    low, high = np.quantile(known, [1 - settings.confidence, settings.confidence])
    as_large = int((~(by_chance < lead - 1e-12)).sum())  # an undefined one counts against the challenger
    return replace(told, low=float(low), high=float(high), p=(1 + as_large) / (1 + len(by_chance)))


Score = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]


def _draws(
    score: Score, generator: np.random.Generator, count: int, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of both sides (draws, 2): of units drawn with replacement, and with the answers exchanged in half of them."""
    row = metric_of(metric.removeprefix("val_"))
    sorts = row is not None and row.needs == "probabilities"
    draws, part = DRAWS_SORTED if sorts else DRAWS, max(1, AT_ONCE // count)
    drawn, exchanged = [], []
    for start in range(0, draws, part):
        size = min(part, draws - start)
        weights = generator.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)
        drawn.append(score(weights, np.zeros((size, count))))
        exchanged.append(score(np.ones((size, count)), generator.integers(0, 2, (size, count)).astype(np.float64)))
    return np.concatenate(drawn), np.concatenate(exchanged)


def _scorer(
    name: str,
    truth: NDArray[np.int64],
    sides: tuple[Side, Side],
    positive: int | None,
    units: NDArray[np.int64],
    count: int,
) -> Score:
    """A function from weights and exchanges (draws, units), 1 where the answers are exchanged, to both scores (draws, 2)."""
    if (row := metric_of(name)) is None:
        raise ValueError(f"{name!r} is none of the metrics that a model can be scored with: {', '.join(METRICS)}")
    needs, classes = row.needs, sides[0].probabilities.shape[1]
    if needs == "probabilities":
        return _of_order(name, truth, sides, positive, units)
    if needs == "loss":
        losses = [-np.log(np.maximum(side.probabilities[np.arange(len(truth)), truth], 1e-300)) for side in sides]
        sums = [np.bincount(units, weights=loss, minlength=count).astype(np.float64)[:, None] for loss in losses]
        sizes = np.bincount(units, minlength=count).astype(np.float64)
        return lambda weights, exchanged: (
            np.concatenate(_summed(sums, weights, exchanged), 1) / (weights @ sizes)[:, None]
        )
    tables = [np.zeros((count, classes * classes)) for _ in sides]
    for table, side in zip(tables, sides, strict=True):
        np.add.at(table, (units, truth * classes + side.call), 1.0)
    return lambda weights, exchanged: np.stack(
        [_each(name, counts, classes, positive) for counts in _summed(tables, weights, exchanged)], axis=1
    )


def _summed(
    tables: Sequence[NDArray[np.float64]], weights: NDArray[np.float64], exchanged: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """The weighted sums over units of both sides' numbers (units, n), those of exchanged units counted for the other side."""
    one, other = tables
    moved = (weights * exchanged) @ (other - one)
    return [weights @ one + moved, weights @ other - moved]


def _of_order(
    name: str, truth: NDArray[np.int64], sides: tuple[Side, Side], positive: int | None, units: NDArray[np.int64]
) -> Score:
    one, other = (side.probabilities for side in sides)

    def score(weights: NDArray[np.float64], exchanged: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = []
        for weight, exchange in zip(weights, exchanged, strict=True):
            taken = np.repeat(np.arange(len(truth)), weight[units].astype(np.int64))
            swaps = (exchange[units[taken]] > 0)[:, None]
            pair = np.where(swaps, other[taken], one[taken]), np.where(swaps, one[taken], other[taken])
            rows.append([separation_scores(truth[taken], side, positive, [name])[name] for side in pair])
        return np.array(rows, dtype=np.float64)

    return score


def _each(name: str, counts: NDArray[np.float64], classes: int, positive: int | None) -> NDArray[np.float64]:
    """The score of every confusion matrix (draws, classes * classes); equal ones are scored once."""
    distinct, place = np.unique(counts.round().astype(np.int64), axis=0, return_inverse=True)
    told = [scores(one.reshape(classes, classes), positive, [name])[name] for one in distinct]
    return np.array(told, dtype=np.float64)[place.ravel()]


def _told(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
