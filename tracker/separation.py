"""How well class probabilities tell a class from the rest: average precision, the area under the ROC curve, a threshold.

All of it follows from the rows in the order of falling probability, cut wherever the probability falls: rows of equal
probability stay together. Counts are integers and sums are exact, so that every machine gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cuts:
    """Places where the rows can be cut: `lowest` (cuts,) is the lowest probability above each, falling.

    `hits` counts the rows of the class above each cut, `calls` all rows above it. Of each row (rows,) `place` is the first
    cut below it, `is_class` whether it is of the class; `positives` counts those that are.
    """

    lowest: NDArray[np.float64]
    hits: NDArray[np.int64]
    calls: NDArray[np.int64]
    place: NDArray[np.int64]
    is_class: NDArray[np.bool_]
    positives: int

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.is_class)

    @classmethod
    def of(cls, is_class: NDArray[np.bool_], probabilities: NDArray[np.floating]) -> Cuts:
        """From whether each row (rows,) is of the class, and its probability of it (rows,)."""
        import numpy as np

        order = np.argsort(-probabilities)
        falling, hits = probabilities[order].astype(np.float64), np.cumsum(is_class[order], dtype=np.int64)
        ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], len(falling) > 0))
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
        return cls(falling[ends], hits[ends], ends + 1, place, is_class, int(is_class.sum()))

    @property
    def gained(self) -> NDArray[np.int64]:
        """Rows of the class between a cut and the one above it."""
        import numpy as np

        return np.diff(self.hits, prepend=0)

    @property
    def lost(self) -> NDArray[np.int64]:
        """Rows of other classes between a cut and the one above it."""
        import numpy as np

        return np.diff(self.calls - self.hits, prepend=0)


def average_precision(cuts: Cuts) -> float | None:
    """Precision at each cut, weighted by the recall it gains (no interpolation); None where no row is of the class."""
    if not cuts.positives:
        return None
    telling = cuts.gained > 0
    terms = cuts.gained[telling] * (cuts.hits[telling] / cuts.calls[telling])
    return math.fsum(terms.tolist()) / cuts.positives


def average_precision_rows(cuts: Cuts, clusters: Sequence[int] | None = None) -> float | None:
    """How many independent rows would give a proportion of this size the variance of the average precision.

    The variance is the infinitesimal jackknife's: the squares of what one row more or less of a kind would change, of all
    rows of a cluster together where rows come in `clusters` (a number per row). At most as many as there are rows (clusters)
    of the class, as in the binomial interval of Boyd, Eng and Page (2013, ECML); None where that is a single cluster.
    """
    import numpy as np

    score = average_precision(cuts) or 0.0
    precision, gained = cuts.hits / cuts.calls, cuts.gained
    helped = np.cumsum((gained * (1 - precision) / cuts.calls)[::-1])[::-1]  # by a row of the class, cuts from here on
    harmed = np.cumsum((gained * precision / cuts.calls)[::-1])[::-1]  # by any other row
    influence = np.where(cuts.is_class, (precision - score + helped)[cuts.place], -harmed[cuts.place]) / cuts.positives
    return _rows(score, influence, clusters, _count(clusters, cuts.is_class))


def roc_auc(cuts: Cuts) -> float | None:
    """The share of pairs in which the row of the class has the higher probability, ties as half; None without pairs."""
    others = cuts.rows - cuts.positives
    if not cuts.positives or not others:
        return None
    halves = int((cuts.lost * (2 * cuts.hits - cuts.gained)).sum())
    return halves / (2 * cuts.positives * others)


def roc_auc_rows(cuts: Cuts, clusters: Sequence[int] | None = None) -> float | None:
    """As `average_precision_rows`, with the variance of DeLong, DeLong and Clarke-Pearson (1988, Biometrics 44).

    At most twice the rows (clusters) of the smaller class.
    """
    import numpy as np

    positives, others, score = cuts.positives, cuts.rows - cuts.positives, roc_auc(cuts) or 0.0
    below = (others - (cuts.calls - cuts.hits) + cuts.lost / 2) / others - score
    above = (cuts.hits - cuts.gained / 2) / positives - score
    of_class, of_others = (1 / math.sqrt(count * max(count - 1, 1)) for count in (positives, others))
    influence = np.where(cuts.is_class, below[cuts.place] * of_class, above[cuts.place] * of_others)
    smaller = min(_count(clusters, cuts.is_class), _count(clusters, ~cuts.is_class))
    return _rows(score, influence, clusters, smaller, 2 * smaller)


def best_threshold(cuts: Cuts, metric: str) -> float:
    """The probability from which on rows are called the class so that `f1`, `accuracy` or `balanced_accuracy` is highest.

    It lies halfway between two probabilities that occur, or is 0, so that all rows are called the class; never above all.
    Of equal scores the threshold nearest to 0.5 is taken, then the higher one.
    """
    import numpy as np

    below = np.append(cuts.lowest[1:], -cuts.lowest[-1:])  # the last cut is at 0
    thresholds = (cuts.lowest + below) / 2
    others = cuts.rows - cuts.positives
    right_others = others - (cuts.calls - cuts.hits)
    scores = {
        "f1": 2 * cuts.hits / (cuts.positives + cuts.calls),
        "accuracy": cuts.hits + right_others,
        "balanced_accuracy": cuts.hits * others + right_others * cuts.positives,
    }[metric]
    return float(thresholds[np.lexsort((-thresholds, np.abs(thresholds - 0.5), -scores))[0]])


def _count(clusters: Sequence[int] | None, chosen: NDArray[np.bool_]) -> int:
    """How many of the chosen rows there are, or in how many clusters."""
    import numpy as np

    return int(chosen.sum()) if clusters is None else len(np.unique(np.asarray(clusters)[chosen]))


def _rows(
    score: float, influence: NDArray[np.float64], clusters: Sequence[int] | None, units: int, most: int | None = None
) -> float | None:
    """The effective number of rows, from what each row (rows,) changes in the score."""
    import numpy as np

    if clusters is None:
        variance = math.fsum((influence**2).tolist())
    elif units < 2:
        return None
    else:
        totals = np.bincount(np.asarray(clusters), weights=influence)
        variance = math.fsum((totals**2).tolist()) * units / (units - 1)
    most = units if most is None else most
    return min(score * (1 - score) / variance, most) if variance > 0 else float(most)
