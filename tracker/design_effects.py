"""By how much less rows count where they come in clusters (groups, copies of one row): the design effect of each score.

The design effect is the variance of a score under the clusters over that of as many independent rows (Kish 1965, Survey
Sampling, section 5.4), by Taylor linearization with clusters as sampling units (Woodruff 1971, JASA 66). Wilson's interval
of the rows divided by it is that of the effective sample size (Korn and Graubard 1998, Survey Methodology 24; Dean and
Pagano 2015, Journal of Survey Statistics and Methodology 3). A cluster of the usual size is added, so that scores near 0 or
1 and few clusters do not pass for rows that know nothing of each other: half of it right and half of it wrong, and a third
of its variance that of the rows that are there. A mean over classes has the quantile of Student's t in place of the normal
one: few clusters of a class say little of how they differ (Korn and Graubard 1998). Simulated coverage:
tests/test_intervals.py, `python -m benchmarks.simulations intervals`.

What an earlier release told keeps the effects of its version: 1 had no t, and a cluster that was half right throughout.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracker.confusion import Z

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 2  # of these effects
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

    `truth` and `call` are class indices, `clusters` numbers from 0, each (rows,). Sums are exact, so that every machine gives
    the same bits. That of a mean over classes counts Student's t, see above; `version` 1 gives those of earlier releases.
    """
    import numpy as np

    of_row, effects = np.asarray(clusters, dtype=np.int64), {}
    for name, sizes in SIZES.items():
        scored = range(classes) if positive is None or name in OF_ALL_CLASSES else (positive,)
        effects[name] = _effect(np.asarray(truth), np.asarray(call), of_row, classes, scored, sizes, version)
    return effects


def effects_version(told: Mapping[str, Any]) -> int:
    """By which version a report counts clusters. Of one that no release wrote it is the newest, which differs from it then."""
    version = told.get(EFFECTS_VERSION, 1)
    return int(version) if version in range(1, VERSION + 1) else VERSION


def version_entry(version: int) -> dict[str, int]:
    """The entry of a report that says it; none of version 1, whose reports have none."""
    return {EFFECTS_VERSION: version} if version > 1 else {}


def t_factor(clusters: Sequence[int]) -> float:
    """The square of Student's t over the normal quantile, for a mean over classes that are in so many clusters each.

    The degrees of freedom are Satterthwaite's (1946, Biometrics Bulletin 2), as if the variance of a class were 1 over its
    clusters: n of one class, 2 n of two that have n each. One is added to each class and one is taken away, so n is n.
    """
    from scipy.special import stdtrit

    freedom = math.fsum(1 / n for n in clusters) ** 2 / math.fsum(1 / n**3 for n in clusters)
    return round((float(stdtrit(freedom, 0.975)) / Z) ** 2, DIGITS)


def _effect(
    truth: NDArray[np.int64],
    call: NDArray[np.int64],
    of_row: NDArray[np.int64],
    classes: int,
    scored: Sequence[int],
    sizes: tuple[float, float] | None,
    version: int,
) -> float | None:
    import numpy as np

    counted = np.ones((classes, classes), dtype=bool) if sizes is None else _counted(classes, scored, *sizes)
    held = np.bincount(of_row[counted[truth, call]])
    if (held > 0).sum() < 2:
        return None
    usual = int((held**2).sum()) / int(held.sum())  # the size of the cluster that a row is in, on average over rows
    counts = np.bincount(truth * classes + call, minlength=classes * classes).reshape(classes, classes)
    if version > 1 and sizes is not None and not counts[list(scored)].any(axis=1).all():
        return None
    added = usual * _half_right(counted)
    influence = _influence(counts + added, scored, sizes)
    if version > 1:
        seen = counted * (counts + added)
        added = (2 * added + usual * seen / math.fsum(seen.ravel())) / 3
    totals = np.bincount(of_row, weights=influence[truth, call])
    clustered = math.fsum(totals**2) + usual * math.fsum((added * influence**2).ravel())
    alone = math.fsum((counts * influence**2).ravel()) + math.fsum((added * influence**2).ravel())
    effect = max(1.0, clustered / alone)
    if version == 1 or sizes is None or len(scored) == 1:
        return effect
    rows = [_counted(classes, [c], *sizes)[truth, call] for c in scored]
    clusters = [int((np.bincount(of_row[one]) > 0).sum()) for one in rows]
    return effect * t_factor(clusters) if all(clusters) else None


def class_influence(counts: NDArray[Any], place: int, sizes: tuple[float, float]) -> NDArray[np.float64]:
    """How much one more row in each cell (classes, classes) would change the score of one class."""
    return _influence(counts, [place], sizes)


def _counted(classes: int, scored: Sequence[int], by_call: float, by_truth: float) -> NDArray[np.bool_]:
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


def _influence(counts: NDArray[Any], scored: Sequence[int], sizes: tuple[float, float] | None) -> NDArray[np.float64]:
    """How much one more row in each cell would change the score, up to a factor."""
    import numpy as np

    classes = len(counts)
    if sizes is None:
        share = math.fsum(counts.diagonal()) / math.fsum(counts.ravel())
        return np.eye(classes) - share
    by_call, by_truth = sizes
    influence = np.zeros((classes, classes))
    for c in scored:
        size = by_call * math.fsum(counts[:, c]) + by_truth * math.fsum(counts[c, :])
        score = counts[c, c] / size
        influence[c, c] += 1 / size
        influence[:, c] -= by_call * score / size
        influence[c, :] -= by_truth * score / size
    return influence
