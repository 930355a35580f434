"""Compares two configurations on the same rows: the difference of their scores, its interval, and what may be said of it.

The bootstrap draws rows, or clusters of rows where those belong together, and for both configurations the same ones, because
what makes a row hard makes it hard for both (Efron and Tibshirani 1993, chapter 8). Where there are several seeds of each, it
draws these too, for each configuration on its own. A few rows on which two models differ look more certain in a bootstrap
than they are, so half a unit more is drawn on which they differ the other way round. How often "better" is said of equals:
`benchmarks/simulations.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.design_effects import OF_ALL_CLASSES, SIZES
from tracker.errors import InputError
from tracker.metrics import metric_of

DRAWS = 4000
DIGITS = 4
AT_ONCE = 10_000_000  # numbers of a block of draws
BETTER, WORSE, EQUIVALENT, UNKNOWN = "better", "worse", "equivalent", "not distinguishable"


@dataclass(frozen=True, slots=True)
class Question:
    """What is compared: a score of labels by name, of how many classes, of which one (None: the mean over classes).

    `margin` is how large a difference may be that means nothing; `seed` decides the draws.
    """

    metric: str
    classes: int
    positive: int | None
    margin: float | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The scores of both (means over seeds), the 95 % interval of ours minus theirs, how likely ours is better, the verdict."""

    ours: float
    theirs: float
    interval: tuple[float, float]
    probability: float
    verdict: str

    @property
    def difference(self) -> float:
        """Ours minus theirs."""
        return self.ours - self.theirs


def compare_pair(
    question: Question,
    truth: NDArray[np.int64],
    ours: NDArray[np.int64],
    theirs: NDArray[np.int64],
    clusters: Sequence[int] | None = None,
    draws: int = DRAWS,
) -> Answer | None:
    """Compares called classes (seeds, rows) of two configurations on rows of true classes (rows,).

    None where a score is undefined. Raises InputError for a metric that does not follow from labels.
    """
    sizes_of(question.metric)
    units, weights, differ = _units(question, truth, ours, theirs, clusters)
    both = [_scores(question, unit, np.ones((1, len(ours)))) for unit in _totals(units, weights[None, :])]
    if any(np.isnan(score).any() for score in both):
        return None
    gaps = _draw(question, units, weights, differ, (len(ours), len(theirs)), draws)
    known = gaps[~np.isnan(gaps)]
    if len(known) < draws / 2:
        return None
    low, high = np.quantile(known, [0.025, 0.975]).tolist()
    chance = float((known > 0).mean() + (known == 0).mean() / 2)
    interval = (round(low, DIGITS), round(high, DIGITS))
    one, other = float(both[0][0]), float(both[1][0])
    return Answer(one, other, interval, round(chance, DIGITS), verdict_of((low, high), question.margin))


def sizes_of(metric: str) -> tuple[float, float] | None:
    """What a score of labels divides hits by, as in `design_effects.SIZES`. Raises InputError for any other metric."""
    if metric in SIZES:
        return SIZES[metric]
    if metric.startswith("fbeta_") and metric_of(metric) is not None:
        weight = float(metric.removeprefix("fbeta_")) ** 2  # of recall
        return 1 / (1 + weight), weight / (1 + weight)
    raise InputError(f"compared are scores of labels ({', '.join(SIZES)}, fbeta_2); {metric} is none")


def verdict_of(interval: tuple[float, float], margin: float | None) -> str:
    """What an interval of a difference says: inside the margin the two are equivalent, whatever its sign."""
    low, high = interval
    if margin is not None and -margin <= low and high <= margin:
        return EQUIVALENT
    return BETTER if low > 0 else WORSE if high < 0 else UNKNOWN


Units = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def _units(
    question: Question,
    truth: NDArray[np.int64],
    ours: NDArray[np.int64],
    theirs: NDArray[np.int64],
    clusters: Sequence[int] | None,
) -> tuple[Units, NDArray[np.float64], NDArray[np.bool_]]:
    """What is drawn: for each unit its rows of each class (units, classes), and what both call; how many there are of each.

    Rows that are alike in all of it are one unit with a weight; a cluster is a unit of its own.
    """
    if clusters is None:
        columns = np.vstack([truth[None, :], ours, theirs])
        kinds, counts = np.unique(columns, axis=1, return_counts=True)
        of_unit, weights = np.arange(kinds.shape[1]), counts.astype(np.float64)
        truth, ours, theirs = kinds[0], kinds[1 : 1 + len(ours)], kinds[1 + len(ours) :]
    else:
        of_unit = np.unique(np.asarray(clusters), return_inverse=True)[1]
        weights = np.ones(int(of_unit.max()) + 1)
    number = len(weights)
    truths = _count(of_unit, truth, number, question.classes)
    called = [_called(question, of_unit, number, truth, calls) for calls in (ours, theirs)]
    differ = np.zeros(number, dtype=bool)
    differ[of_unit] |= (ours[:, None, :] != theirs[None, :, :]).any(axis=(0, 1))
    return (truths, called[0], called[1]), weights, differ


def _count(of_unit: NDArray[Any], place: NDArray[np.int64], units: int, classes: int) -> NDArray[np.float64]:
    counts = np.bincount(of_unit * classes + place, minlength=units * classes)
    return counts.reshape(units, classes).astype(np.float64)


def _called(
    question: Question, of_unit: NDArray[Any], units: int, truth: NDArray[np.int64], calls: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Hits and calls of each class in each unit, (units, seeds * 2 * classes)."""
    columns = []
    for one in calls:
        right = one == truth
        columns += [
            _count(of_unit[right], one[right], units, question.classes),
            _count(of_unit, one, units, question.classes),
        ]
    return np.hstack(columns)


def _draw(
    question: Question,
    units: Units,
    weights: NDArray[np.float64],
    differ: NDArray[np.bool_],
    seeds: tuple[int, int],
    draws: int,
) -> NDArray[np.float64]:
    """The difference of each draw (draws,); nan where a score is undefined in it."""
    rng = np.random.default_rng(question.seed)
    total = round(float(weights.sum()))
    turned = min(0.5, 0.5 / max(float(weights[differ].sum()), 1.0)) if seeds[0] == seeds[1] else 0.0
    shares = np.concatenate([(1 - turned) * weights, turned * weights]) / total
    size, gaps = max(1, AT_ONCE // len(shares)), []
    for start in range(0, draws, size):
        count = min(size, draws - start)
        drawn = rng.multinomial(total, shares, size=count).astype(np.float64)
        straight, turn = drawn[:, : len(weights)], drawn[:, len(weights) :]
        ours, theirs = _turned(units, straight, turn)
        of_seeds = [rng.multinomial(one, np.full(one, 1 / one), size=count).astype(np.float64) for one in seeds]
        gaps.append(_scores(question, ours, of_seeds[0]) - _scores(question, theirs, of_seeds[1]))
    return np.concatenate(gaps)


Drawn = tuple[NDArray[np.float64], NDArray[np.float64]]


def _totals(units: Units, drawn: NDArray[np.float64]) -> tuple[Drawn, Drawn]:
    """Rows of each class (draws, classes), and hits and calls (draws, seeds * 2 * classes), of ours and of theirs."""
    truths, ours, theirs = units
    rows = drawn @ truths
    return (rows, drawn @ ours), (rows, drawn @ theirs)


def _turned(units: Units, straight: NDArray[np.float64], turn: NDArray[np.float64]) -> tuple[Drawn, Drawn]:
    """The totals, of units as they are and of units in which ours and theirs change places."""
    ours, theirs = _totals(units, straight)
    if not turn.any():
        return ours, theirs
    other, own = _totals(units, turn)
    return (ours[0] + own[0], ours[1] + own[1]), (theirs[0] + other[0], theirs[1] + other[1])


def _scores(question: Question, drawn: Drawn, seeds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The score of each draw (draws,), the mean over its seeds (draws, seeds); nan where it is undefined."""
    truths, called = drawn
    hits, calls = np.moveaxis(
        called.reshape(len(called), -1, 2, question.classes), 2, 0
    )  # (draws, seeds, classes) each
    sizes = sizes_of(question.metric)
    with np.errstate(invalid="ignore", divide="ignore"):
        if sizes is None:
            each = hits.sum(axis=2) / truths.sum(axis=1)[:, None]
        else:
            by_class = hits / (sizes[0] * calls + sizes[1] * truths[:, None, :])
            one = question.positive if question.metric not in OF_ALL_CLASSES else None
            each = by_class.mean(axis=2) if one is None else by_class[:, :, one]
        scores: NDArray[np.float64] = np.where(seeds > 0, each * seeds, 0.0).sum(axis=1) / seeds.sum(axis=1)
    return scores
