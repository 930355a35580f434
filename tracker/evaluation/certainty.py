"""How sure it is that one configuration is better than another, from the scores of seeds that had no part in choosing them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tracker.aggregation import spread

DIGITS = 4  # of a probability in a report: fewer than two releases of scipy differ in


def mean(values: Sequence[float | None]) -> float | None:
    """The mean; None where one run has no finite value."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def fold_interval(values: Sequence[float | None]) -> tuple[float, float] | None:
    """The 95 % interval of a mean over folds; None where one has no value, or there are fewer than two.

    Models of different folds share most of their training rows, so that folds say less than as many new samples would: the
    variance of the mean is that of the folds times 1/n + 1/(n - 1), scored over trained rows (corrected resampled t: Nadeau and
    Bengio, Machine Learning 52, 2003).
    """
    middle, sd, count = mean(values), spread(values), len(values)
    if middle is None or sd is None:
        return None
    from scipy.special import stdtrit

    reach = float(stdtrit(count - 1, 0.975)) * sd * math.sqrt(1 / count + 1 / (count - 1))
    return middle - reach, middle + reach


def probability_better(ours: Sequence[float | None], theirs: Sequence[float | None], direction: str) -> float | None:
    """The probability that our mean over all seeds is better than theirs; None where a run has no value.

    It is Welch's t: the distribution function of Student's t with the degrees of freedom of Welch and Satterthwaite, at the
    difference of the means over its standard error (Welch, Biometrika 34, 1947). Read as a probability it is the usual
    approximation of the Behrens-Fisher posterior, where nothing was believed beforehand. It speaks of training seeds on the
    same rows, and of no other rows. Both lists have two values or more.
    """
    a, b, sa, sb = mean(ours), mean(theirs), spread(ours), spread(theirs)
    if a is None or b is None or sa is None or sb is None:
        return None
    gap = a - b if direction == "maximize" else b - a
    va, vb = sa**2 / len(ours), sb**2 / len(theirs)
    if va + vb == 0.0:  # every seed gave the same
        return 0.5 if gap == 0.0 else float(gap > 0.0)
    from scipy.special import stdtr

    freedom = (va + vb) ** 2 / (va**2 / (len(ours) - 1) + vb**2 / (len(theirs) - 1))
    return round(float(stdtr(freedom, gap / math.sqrt(va + vb))), DIGITS)
