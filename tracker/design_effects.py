"""By how much less rows count where they come in clusters (groups, copies of one row): the design effect of each score.

The design effect is the variance of a score under the clusters over that of as many independent rows (Kish 1965, Survey
Sampling, section 5.4). Wilson's interval of the rows divided by it is that of the effective sample size (Korn and Graubard
1998, Survey Methodology 24; Dean and Pagano 2015, Journal of Survey Statistics and Methodology 3). Two estimates are averaged:
- Taylor linearization with clusters as sampling units (Woodruff 1971, JASA 66). All pairs of rows of one cluster count alike,
  so a few large clusters decide.
- Kish's 1 + (usual size - 1) * correlation, where pairs in a cluster of n rows weigh 1 / n, so each cluster counts by its
  rows (as in Karlin, Cameron and Williams 1981, PNAS 78). Of clusters of one size both are the same.

A cluster of the usual size is added, so that scores near 0 or 1 and few clusters do not pass for rows that know nothing of
each other: half of it right and half of it wrong, and half of its variance that of the rows that are there.

Clusters of unequal size say as much as (sum of n)^2 / (sum of n^2) equal ones, as unequal weights do (Kish 1965, section
11.7; Carter, Schnepel and Steigerwald 2017, Review of Economics and Statistics 99). A mean over classes has the quantile of
Student's t of so many in place of the normal one: few clusters of a class say little of how they differ (Korn and Graubard
1998). Wilson's interval of one class is wide enough where clusters are few and equal, so a score of one class has t of the
equal ones over t of the clusters. Simulated coverage: tests/test_intervals.py and `python -m benchmarks.simulations`, parts
`intervals`, `unequal`, `several_classes` and `weighted`.

What an earlier release told keeps the effects of its version: 1 had no t, and a cluster that was half right throughout; 2 had
linearization alone, took all clusters for equal, added a cluster of which a third was like those that are there, and had
an effect of precision of a class of one cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tracker.confusion import Z, count_confusion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 3  # of these effects
EFFECTS_VERSION = "effects_version"  # the entry that says so; a report that lacks it has those of version 1
DIGITS = 6  # of the factor for t: fewer than two releases of scipy differ in
# A score is a mean over classes of hits / (by_call * calls + by_truth * truths); accuracy is that of all classes together.
SIZES: Mapping[str, tuple[float, float] | None] = {
    "accuracy": None,
    "balanced_accuracy": (0.0, 1.0),
    "precision": (1.0, 0.0),
    "recall": (0.0, 1.0),
    "f1": (0.5, 0.5),
}
OF_ALL_CLASSES = {"balanced_accuracy"}  # also where there is a positive class


def design_effects(
    truth: NDArray[np.int64],
    call: NDArray[np.int64],
    clusters: Sequence[int],
    classes: int,
    positive: int | None,
    version: int = VERSION,
) -> dict[str, float | None]:
    """The design effect of each score, 1 or more; None where it rests on rows of one cluster, or a class has no row.

    That of precision of one class is None, too, where one cluster alone has rows of the class: all that is right is of it.

    `truth` and `call` are class indices, `clusters` numbers from 0, each (rows,). Sums are exact, so that every machine gives
    the same bits. That of a mean over classes counts Student's t, see above; `version` 1 gives those of earlier releases.
    """
    rows, effects = _rows(truth, call, clusters, classes), dict[str, float | None]()
    for name, sizes in SIZES.items():
        scored = range(classes) if positive is None or name in OF_ALL_CLASSES else (positive,)
        effects[name] = _effect(rows, dict.fromkeys(scored, 1.0), sizes, version)
    return effects


def weighted_effect(
    truth: NDArray[np.int64], call: NDArray[np.int64], clusters: Sequence[int], classes: int, sizes: tuple[float, float]
) -> float | None:
    """That of a mean over classes that are weighted by their rows, where the weights, too, vary from sample to sample."""
    rows = _rows(truth, call, clusters, classes)
    return _effect(rows, class_weights(rows.counts), sizes, VERSION, weights_vary=True)


def clusters_of_classes(truth: NDArray[np.int64], clusters: Sequence[int], classes: int) -> list[int]:
    """How many clusters have a row of each class."""
    return _rows(truth, truth, clusters, classes).clusters_of(range(classes))


def class_weights(counts: NDArray[Any]) -> dict[int, float]:
    """The share of the rows that each class has that is there, by its place."""
    truths = counts.sum(axis=1).tolist()
    return {c: truth / math.fsum(truths) for c, truth in enumerate(truths) if truth}


def effects_version(told: Mapping[str, Any]) -> int:
    """By which version a report counts clusters. Of one that no release wrote it is the newest, which differs from it then."""
    version = told.get(EFFECTS_VERSION, 1)
    return int(version) if version in range(1, VERSION + 1) else VERSION


def version_entry(version: int) -> dict[str, int]:
    """The entry of a report that says it; none of version 1, whose reports have none."""
    return {EFFECTS_VERSION: version} if version > 1 else {}


def t_factor(clusters: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """The square of Student's t over the normal quantile, for a mean over classes that are in so many clusters each.

    The degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2), as if the variance of a class were 1 over its
    clusters: n of one class, 2 n of two that have n each. One is added to each class and one is taken away, so n is n.
    """
    each = list(zip(clusters, weights or [1.0] * len(clusters), strict=True))
    freedom = math.fsum(w**2 / n for n, w in each) ** 2 / math.fsum(w**4 / n**3 for n, w in each)
    return round((_t(freedom) / Z) ** 2, DIGITS)


def unequal_factor(held: NDArray[np.int64]) -> float:
    """The square of t of the equal clusters that say as much, over t of these, of so many rows each; 1 where they are equal."""
    return round((_t(equal_clusters(held)) / _t(len(held))) ** 2, DIGITS)


def equal_clusters(held: NDArray[np.int64]) -> float:
    """How many clusters of one size say as much as these of so many rows each."""
    return int(held.sum()) ** 2 / int((held**2).sum())


def class_influence(counts: NDArray[Any], place: int, sizes: tuple[float, float]) -> NDArray[np.float64]:
    """How much one more row in each cell (classes, classes) would change the score of one class."""
    return _influence(counts, {place: 1.0}, sizes)


def weighted_influence(
    counts: NDArray[Any], weights: Mapping[int, float], sizes: tuple[float, float]
) -> NDArray[np.float64]:
    """The same of a mean over classes that are weighted by their rows, with what the row changes in these weights."""
    import numpy as np

    by_call, by_truth = sizes
    scores = {c: counts[c, c] / _size(counts, c, by_call, by_truth) for c in weights}
    mean = math.fsum(weight * scores[c] for c, weight in weights.items())
    rise = np.array([scores.get(c, mean) - mean for c in range(len(counts))])[:, None] / math.fsum(counts.ravel())
    influence: NDArray[np.float64] = _influence(counts, weights, sizes) + rise
    return influence


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows as they are called: places (rows,), the cluster of each (rows,), and how many there are in each cell."""

    truth: NDArray[np.int64]
    call: NDArray[np.int64]
    of_row: NDArray[np.int64]
    counts: NDArray[np.int64]

    def held(self, counted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many rows in these cells each cluster has that has one."""
        import numpy as np

        held = np.bincount(self.of_row[counted[self.truth, self.call]])
        return held[held > 0]

    def clusters_of(self, places: Iterable[int]) -> list[int]:
        """How many clusters have a row of each class."""
        return [len(set(self.of_row[self.truth == place].tolist())) for place in places]


def _rows(truth: NDArray[np.int64], call: NDArray[np.int64], clusters: Sequence[int], classes: int) -> _Rows:
    import numpy as np

    truth, call = np.asarray(truth), np.asarray(call)
    return _Rows(truth, call, np.asarray(clusters, dtype=np.int64), count_confusion(truth, call, classes))


def _effect(
    rows: _Rows,
    scored: Mapping[int, float],
    sizes: tuple[float, float] | None,
    version: int,
    weights_vary: bool = False,
) -> float | None:
    """Of the mean over the scored classes, by weight; of accuracy where there are no `sizes`."""
    import numpy as np

    counts, classes = rows.counts, len(rows.counts)
    counted = np.ones((classes, classes), dtype=bool) if sizes is None else _counted(classes, scored, *sizes)
    held = rows.held(counted)
    hits_of_one = version > 2 and sizes == SIZES["precision"] and len(scored) == 1 and min(rows.clusters_of(scored)) < 2
    if len(held) < 2 or hits_of_one:
        return None
    usual = int((held**2).sum()) / int(held.sum())  # the size of the cluster that a row is in, on average over rows
    if version > 1 and sizes is not None and not counts[list(scored)].any(axis=1).all():
        return None
    added = usual * _half_right(counted)
    influence = _influence(counts + added, scored, sizes)
    if weights_vary and sizes is not None:
        influence = weighted_influence(counts + added, scored, sizes)
    if version > 1:
        seen, half = counted * (counts + added), 2 if version == 2 else 1
        added = (half * added + usual * seen / math.fsum(seen.ravel())) / (half + 1)
    effect = max(1.0, _ratio(rows, counted, added, influence, usual, version))
    if version == 1:
        return effect
    if sizes is None or len(scored) == 1:
        return effect if version == 2 else effect * unequal_factor(held)
    each = [rows.held(_counted(classes, [c], *sizes)) for c in scored]
    if not all(map(len, each)):
        return None
    return effect * t_factor([len(one) if version == 2 else equal_clusters(one) for one in each], [*scored.values()])


def _ratio(
    rows: _Rows,
    counted: NDArray[np.bool_],
    added: NDArray[np.float64],
    influence: NDArray[np.float64],
    usual: float,
    version: int,
) -> float:
    """The variance under the clusters and the added one over that of rows alone."""
    import numpy as np

    inside = counted[rows.truth, rows.call]
    _, place, held = np.unique(rows.of_row[inside], return_inverse=True, return_counts=True)
    each = influence[rows.truth, rows.call][inside]
    totals, new = np.bincount(place, weights=each), math.fsum((added * influence**2).ravel())
    alone = math.fsum((rows.counts * influence**2).ravel()) + new
    linearized = (math.fsum(totals**2) + usual * new) / alone
    if version < 3 or usual == 1:
        return linearized
    pairs = math.fsum((totals**2 - np.bincount(place, weights=each**2)) / held) + (usual - 1) * new / usual
    correlation = pairs / (len(each) - len(held) + usual - 1) * (len(each) + usual) / alone
    return (linearized + 1 + (usual - 1) * correlation) / 2


def _t(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def _counted(classes: int, scored: Iterable[int], by_call: float, by_truth: float) -> NDArray[np.bool_]:
    """The cells of a confusion matrix (rows: truth, columns: prediction) that a score looks at."""
    import numpy as np

    counted = np.zeros((classes, classes), dtype=bool)
    for c in scored:
        counted[:, c] |= by_call > 0
        counted[c, :] |= by_truth > 0
    return counted


def _half_right(counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Shares of the counted cells: one half evenly over the right ones, one half over the wrong ones."""
    import numpy as np

    right, wrong = counted & np.eye(len(counted), dtype=bool), counted & ~np.eye(len(counted), dtype=bool)
    shares: NDArray[np.float64] = right / (2 * right.sum()) + wrong / (2 * wrong.sum())
    return shares


def _influence(
    counts: NDArray[Any], scored: Mapping[int, float], sizes: tuple[float, float] | None
) -> NDArray[np.float64]:
    """How much one more row in each cell would change the score, up to a factor."""
    import numpy as np

    classes = len(counts)
    if sizes is None:
        share = math.fsum(counts.diagonal()) / math.fsum(counts.ravel())
        return np.eye(classes) - share
    by_call, by_truth = sizes
    influence = np.zeros((classes, classes))
    for c, weight in scored.items():
        size = _size(counts, c, by_call, by_truth)
        score = counts[c, c] / size
        influence[c, c] += weight / size
        influence[:, c] -= weight * by_call * score / size
        influence[c, :] -= weight * by_truth * score / size
    return influence


def _size(counts: NDArray[Any], place: int, by_call: float, by_truth: float) -> float:
    return by_call * math.fsum(counts[:, place]) + by_truth * math.fsum(counts[place, :])
